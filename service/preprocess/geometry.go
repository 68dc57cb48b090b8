package preprocess

import (
	"image"
	"math"

	"github.com/vidi-vision/vidi/service/codec"
	"github.com/vidi-vision/vidi/service/model"
)

// SpecFor is what a model's card asks for.
func SpecFor(in model.Input) Spec {
	return Spec{Resize: in.Resize, Crop: in.Crop, Filter: filters[in.Interpolation], Floor: in.CropOffset == model.CropFloor}
}

// filters are codec's, by what cards call them.
var filters = map[string]codec.Filter{
	"bilinear": codec.Bilinear, "bicubic": codec.Bicubic, "lanczos": codec.Lanczos, "box": codec.BoxFilter,
	"hamming": codec.Hamming, "nearest": codec.Nearest,
}

// resizeFor is torchvision's Resize(spec.Resize) followed by CenterCrop(spec.Crop) for a picture of this size. Both round
// as Python does, since one pixel of difference moves every sample.
func resizeFor(width, height int, spec Spec) codec.Resize {
	h, w := spec.Resize.Smallest()
	switch {
	case spec.Resize.Squeezes():
	case width < height:
		h = longSide(w, height, width)
	default:
		w = longSide(h, width, height)
	}
	x, y := cropOffset(w, spec.Crop.Width), cropOffset(h, spec.Crop.Height)
	if spec.Floor {
		x, y = (w-spec.Crop.Width)/2, (h-spec.Crop.Height)/2
	}
	return codec.Resize{Width: w, Height: h, Crop: image.Rect(x, y, x+spec.Crop.Width, y+spec.Crop.Height), Filter: spec.Filter}
}

// longSide is Python's int(size * long / short): a product of integers, a division in double precision, truncation.
func longSide(size, long, short int) int { return int(float64(size*long) / float64(short)) }

// cropOffset is Python's int(round((side - crop) / 2.0)), which rounds halves to the even number.
func cropOffset(side, crop int) int { return int(math.RoundToEven(float64(side-crop) / 2)) }
