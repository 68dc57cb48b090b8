package preprocess

import (
	"bytes"
	"image"
	"image/jpeg"
	"image/png"
	"testing"
	"time"

	"github.com/vidi-vision/vidi/service/model"
)

// Estimates are of the right order: more for larger pictures, within the limit, nothing for what is refused at once.
func TestEstimate(t *testing.T) {
	p, err := New(DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	spec := SpecFor(model.ImageNetInput())
	encode := func(format string, side int) []byte {
		var b bytes.Buffer
		gray := image.NewGray(image.Rect(0, 0, side, side))
		switch format {
		case "jpeg":
			err = jpeg.Encode(&b, gray, nil)
		case "png":
			err = png.Encode(&b, gray)
		}
		if err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	for _, format := range []string{"jpeg", "png"} {
		small, large := p.Cost(encode(format, 200), spec, Options{}), p.Cost(encode(format, 4000), spec, Options{})
		if small <= 0 || small > 5*time.Millisecond || large < 50*time.Millisecond || large > time.Second {
			t.Errorf("%s: 200² %v, 4000² %v", format, small, large)
		}
	}
	// 33 megapixels in 32 bytes, one colour.
	bomb := []byte("RIFF\x18\x00\x00\x00WEBPVP8L\x0c\x00\x00\x00\x2f\x8b\xd6\xa2\x05\x88\x88\x08\x00\x00\x00\x00")
	if got := p.Cost(bomb, spec, Options{}); got < time.Second || got > 2*time.Second {
		t.Errorf("a WebP of 33 megapixels: %v", got)
	}
	for _, data := range []string{"", "no picture", string(bomb[:20])} {
		if got := p.Cost([]byte(data), spec, Options{}); got != 0 {
			t.Errorf("%q: %v", data, got)
		}
	}
}
