package preprocess

import (
	"image"
	"testing"

	"github.com/vidi-vision/vidi/service/codec"
	"github.com/vidi-vision/vidi/service/model"
)

// The expected values are Python's, of int(256 * long / short) and int(round((side - 224) / 2.0)).
func TestResizeFor(t *testing.T) {
	for _, c := range []struct{ width, height, w, h, x, y int }{
		{640, 480, 341, 256, 58, 16},
		{480, 640, 256, 341, 16, 58},
		{256, 256, 256, 256, 16, 16},
		{224, 224, 256, 256, 16, 16},
		{1, 1, 256, 256, 16, 16},
		{500, 375, 341, 256, 58, 16},
		{4032, 3024, 341, 256, 58, 16},
		{1920, 1080, 455, 256, 116, 16}, // round(115.5) is 116
		{1080, 1920, 256, 455, 16, 116},
		{373, 256, 373, 256, 74, 16}, // round(74.5) is 74, the even one
		{375, 256, 375, 256, 76, 16}, // round(75.5) is 76
		{257, 256, 257, 256, 16, 16}, // round(16.5) is 16
		{259, 256, 259, 256, 18, 16}, // round(17.5) is 18
		{10000, 1, 2560000, 256, 1279888, 16},
		{1, 65500, 256, 16768000, 16, 8383888},
		{7, 3, 597, 256, 186, 16}, // 597.333…, round(186.5) is 186
	} {
		want := codec.Resize{Width: c.w, Height: c.h, Crop: image.Rect(c.x, c.y, c.x+224, c.y+224), Filter: codec.Bilinear}
		if got := resizeFor(c.width, c.height, imagenet); got != want {
			t.Errorf("%d × %d: %+v, want %+v", c.width, c.height, got, want)
		}
	}
}

func TestSpecValidate(t *testing.T) {
	for _, c := range []struct {
		spec  Spec
		valid bool
	}{
		{imagenet, true},
		{Spec{Resize: model.ShorterSide(224), Crop: model.Square(224), Filter: codec.Bicubic}, true},
		{Spec{Resize: model.ShorterSide(223), Crop: model.Square(224), Filter: codec.Bilinear}, false},
		{Spec{Resize: model.ShorterSide(256), Crop: model.Square(0), Filter: codec.Bilinear}, false},
		{Spec{Resize: model.ShorterSide(9000), Crop: model.Square(9000), Filter: codec.Bilinear}, false},
		{Spec{Resize: model.ShorterSide(256), Crop: model.Square(224)}, false},
	} {
		if err := c.spec.Validate(); (err == nil) != c.valid {
			t.Errorf("%+v: %v", c.spec, err)
		}
	}
}

func TestJPEGScale(t *testing.T) {
	for _, c := range []struct {
		width, height, minSide int
		want                   codec.JPEGScale
	}{
		{4032, 3024, 0, codec.FullSize},
		{4032, 3024, 256, codec.EighthSize},
		{2040, 2040, 256, codec.QuarterSize}, // an eighth is 255
		{2041, 2041, 256, codec.EighthSize},  // 255.125 is rounded up
		{640, 480, 256, codec.FullSize},
		{1024, 512, 256, codec.HalfSize},
	} {
		if got := jpegScale(c.width, c.height, c.minSide); got != c.want {
			t.Errorf("%d × %d, at least %d: %v, want %v", c.width, c.height, c.minSide, got, c.want)
		}
	}
}
