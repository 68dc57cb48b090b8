package preprocess

import (
	"bytes"
	"context"
	"errors"
	"image"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestLimitsValidate(t *testing.T) {
	if err := DefaultLimits().Validate(); err != nil {
		t.Error(err)
	}
	_, err := New(Limits{MaxScanPixels: -1})
	for _, name := range []string{"MaxPixels", "MaxScanPixels", "MaxCPU", "MaxMemory"} {
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%v does not name %s", err, name)
		}
	}
	if _, err := New(Limits{MaxPixels: 1 << 62, MaxScanPixels: 1, MaxCPU: 1, MaxMemory: 1}); err == nil {
		t.Error("2⁶² pixels were accepted")
	}
}

func TestTooMuchMemory(t *testing.T) {
	limits := DefaultLimits()
	limits.MaxMemory = 64 << 10 // a PNG is read row by row and needs little more
	for _, format := range allFormats {
		_, refusal := prepareWithin(t, limits, encode(t, format, scene(800, 600)), Options{})
		if refusal == nil || refusal.Code != ImageTooComplex {
			t.Errorf("%s: %v", format, refusal)
		}
	}
}

// TestTooMuchTime gives each decoder no time at all.
func TestTooMuchTime(t *testing.T) {
	limits := DefaultLimits()
	limits.MaxCPU = time.Nanosecond
	for _, format := range []string{"png", "gif", "tiff", "webp"} {
		_, refusal := prepareWithin(t, limits, encode(t, format, scene(800, 600)), Options{})
		if refusal == nil || refusal.Code != ImageTooComplex {
			t.Errorf("%s: %v", format, refusal)
		}
	}
}

func TestCancelled(t *testing.T) {
	p, err := New(DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := p.Prepare(ctx, encode(t, "png", scene(64, 48)), imagenet, Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// TestConcurrent prepares pictures of all formats at the same time, and wants the same answers.
func TestConcurrent(t *testing.T) {
	p, err := New(DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	for _, format := range allFormats {
		data := encode(t, format, scene(300, 200))
		want := expect(t, data, ok)
		for range 4 {
			group.Go(func() {
				for range 5 {
					got, err := p.Prepare(context.Background(), data, imagenet, Options{})
					if err != nil || !bytes.Equal(got.RGB, want.RGB) {
						t.Errorf("%s: %v, or other pixels", format, err)
						return
					}
					p.Release(got) // and so the next picture of any format may get its memory
				}
			})
		}
	}
	group.Wait()
}

// TestPanicIsAnError: a decoder from elsewhere may panic, and only its own goroutine can catch that.
func TestPanicIsAnError(t *testing.T) {
	h := header{format: "gif", width: 1, height: 1, decode: func(*meter) (*image.NRGBA, []Warning, error) { panic("boom") }}
	_, _, err := decode(h, nil, DefaultLimits())
	var refusal *Error
	if !errors.As(err, &refusal) || refusal.Code != CorruptImage || refusal.Err == nil || strings.Contains(refusal.Detail, "boom") {
		t.Errorf("got %v", err)
	}
}

// TestFast decodes a large JPEG smaller: nearly the same result, with the picture's own size.
func TestFast(t *testing.T) {
	data := encode(t, "jpeg", scene(2400, 1800))
	exact, _ := prepare(t, data, Options{Decode: Exact})
	fast, _ := prepare(t, data, Options{Decode: Fast})
	if fast.Width != 2400 || fast.Height != 1800 || !similar(exact.RGB, fast.RGB) {
		t.Errorf("fast: %d × %d, or pixels too different", fast.Width, fast.Height)
	}
	turned, _ := prepare(t, jpegWithEXIF(data, exifTurn(6)), Options{Decode: Fast})
	if turned.Width != 1800 || turned.Height != 2400 {
		t.Errorf("turned: %d × %d", turned.Width, turned.Height)
	}
}

func TestBlendWhite(t *testing.T) {
	for v := range 256 {
		for a := range 256 {
			got := int(blendWhite(byte(v), byte(a)))
			exact := float64(v*a+255*(255-a)) / 255
			if d := float64(got) - exact; d < -0.5001 || d > 0.5001 {
				t.Fatalf("%d over white at %d: %d, want %.2f", v, a, got, exact)
			}
		}
	}
	if blendWhite(0, 0) != 255 || blendWhite(77, 255) != 77 {
		t.Error("the ends are not exact")
	}
}
