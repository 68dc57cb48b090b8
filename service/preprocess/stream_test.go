package preprocess

import (
	"bytes"
	"image"
	"slices"
	"strings"
	"testing"

	"github.com/vidi-vision/vidi/service/codec"
)

// TestStreamedJPEG holds the way that JPEGs take, without a decoded picture, against decoding, turning and resizing one by one.
func TestStreamedJPEG(t *testing.T) {
	for _, size := range []image.Point{{640, 480}, {479, 641}, {2000, 30}, {3, 700}, {100, 100}, {1, 1}} {
		stored := scene(size.X, size.Y)
		data := encode(t, "jpeg", stored)
		pixels := image.NewNRGBA(stored.Rect)
		if _, err := codec.DecodeJPEG(data, codec.JPEGOptions{}, pixels); err != nil {
			t.Fatal(err)
		}
		for turn := orientation(1); turn <= 8; turn++ {
			upright := turn.apply(pixels)
			want := make([]byte, 224*224*3)
			if err := codec.ResizeRGB(upright, resizeFor(upright.Rect.Dx(), upright.Rect.Dy(), imagenet), want); err != nil {
				t.Fatal(err)
			}
			got := expect(t, jpegWithEXIF(data, exifTurn(turn)), ok)
			if got != nil && !bytes.Equal(got.RGB, want) {
				t.Errorf("%v, orientation %d: other pixels", size, turn)
			}
		}
	}
}

// TestStagesAreTimed: what a caller sees of the two stages is all of the time, and some of each.
func TestStagesAreTimed(t *testing.T) {
	for _, format := range []string{"jpeg", "png"} {
		p := expect(t, encode(t, format, scene(800, 600)), ok)
		if p.DecodeTime <= 0 || p.ResizeTime <= 0 {
			t.Errorf("%s: decoded in %v, resized in %v", format, p.DecodeTime, p.ResizeTime)
		}
	}
}

// TestJPEGIsChargedLessThanItsPixels: 12 megapixels are 48 MB when they are decoded, and never are.
func TestJPEGIsChargedLessThanItsPixels(t *testing.T) {
	for _, size := range []image.Point{{4032, 3024}, {3024, 4032}} {
		h, err := readHeader(encode(t, "jpeg", scene(size.X, size.Y)), imagenet, Options{}, DefaultLimits())
		if err != nil {
			t.Fatal(err)
		}
		if h.memory < 1<<20 || h.memory > 8<<20 {
			t.Errorf("%v: %d bytes", size, h.memory)
		}
	}
}

// TestDamageInAJPEG: where the crop is, damage is repaired and told of; below it, it is not seen; an early end never passes.
func TestDamageInAJPEG(t *testing.T) {
	data := encode(t, "jpeg", scene(400, 1200))
	good := expect(t, data, ok)
	for _, c := range []struct {
		percent int
		seen    bool
	}{{50, true}, {95, false}} {
		damaged := bytes.Clone(data)
		at := len(data) * c.percent / 100
		copy(damaged[at:], bytes.Repeat([]byte{0xff, 0x00}, 20))
		p := expect(t, damaged, ok)
		if p == nil {
			continue
		}
		if same := bytes.Equal(p.RGB, good.RGB); same == c.seen {
			t.Errorf("damage at %d %%: the same pixels: %v, warnings %v", c.percent, same, p.Warnings)
		}
	}
	for _, end := range []int{len(data) - 20, len(data) * 95 / 100, len(data) / 2} {
		expect(t, data[:end], CorruptImage)
	}
	for _, tail := range []string{"", "\xff", "\x00\x00", "\r\n", strings.Repeat("\x00", 5000)} { // in place of the end marker
		p := expect(t, append(bytes.Clone(data[:len(data)-2]), tail...), ok)
		if p != nil && (!slices.Equal(p.Warnings, []Warning{DamagedImage}) || !bytes.Equal(p.RGB, good.RGB)) {
			t.Errorf("ending with %q: warnings %v", tail, p.Warnings)
		}
	}
}
