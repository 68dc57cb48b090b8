package preprocess

import (
	"image"
	"math"

	"github.com/vidi-vision/vidi/torchbind"
)

// resizeFor is torchvision's Resize(spec.Resize) followed by CenterCrop(spec.Crop) for a picture of this size. Both round
// as Python does, since one pixel of difference moves every sample.
func resizeFor(width, height int, spec Spec) torchbind.Resize {
	w, h := spec.Resize, spec.Resize
	if width < height {
		h = longSide(spec.Resize, height, width)
	} else {
		w = longSide(spec.Resize, width, height)
	}
	x, y := cropOffset(w, spec.Crop), cropOffset(h, spec.Crop)
	return torchbind.Resize{Width: w, Height: h, Crop: image.Rect(x, y, x+spec.Crop, y+spec.Crop), Filter: spec.Filter}
}

// longSide is Python's int(size * long / short): a product of integers, a division in double precision, truncation.
func longSide(size, long, short int) int { return int(float64(size*long) / float64(short)) }

// cropOffset is Python's int(round((side - crop) / 2.0)), which rounds halves to the even number.
func cropOffset(side, crop int) int { return int(math.RoundToEven(float64(side-crop) / 2)) }
