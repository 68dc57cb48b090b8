package preprocess

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"github.com/vidi-vision/vidi/torchbind"
)

// One target per format, so that each decoder gets its own corpus: go test -fuzz FuzzPNG ./service/preprocess

func FuzzJPEG(f *testing.F) { fuzz(f, "jpeg") }
func FuzzPNG(f *testing.F)  { fuzz(f, "png") }
func FuzzGIF(f *testing.F)  { fuzz(f, "gif") }
func FuzzWebP(f *testing.F) { fuzz(f, "webp") }
func FuzzBMP(f *testing.F)  { fuzz(f, "bmp") }
func FuzzTIFF(f *testing.F) { fuzz(f, "tiff") }

// FuzzAny also reaches the sniffer and formats that are not read.
func FuzzAny(f *testing.F) { fuzz(f, allFormats...) }

func fuzz(f *testing.F, formats ...string) {
	for _, format := range formats {
		f.Add(encode(f, format, scene(24, 16)))
		f.Add(encode(f, format, paletted(scene(9, 7))))
	}
	f.Add(jpegWithEXIF(encode(f, "jpeg", scene(24, 16)), exifTurn(6)))
	limits := Limits{MaxPixels: 1 << 16, MaxScanPixels: 1 << 20, MaxCPU: time.Second, MaxMemory: 64 << 20}
	p, err := New(limits)
	if err != nil {
		f.Fatal(err)
	}
	spec := Spec{Resize: 32, Crop: 32, Filter: torchbind.Bilinear}
	f.Fuzz(func(t *testing.T, data []byte) {
		first, err := p.Prepare(context.Background(), data, spec, Options{})
		var refusal *Error
		if err != nil && (!errors.As(err, &refusal) || refusal.Code == "") {
			t.Fatalf("an error without a code: %v", err)
		}
		if err != nil {
			return
		}
		second, err := p.Prepare(context.Background(), data, spec, Options{})
		if err != nil || !bytes.Equal(first.RGB, second.RGB) {
			t.Fatalf("the second answer differs: %v", err)
		}
	})
}
