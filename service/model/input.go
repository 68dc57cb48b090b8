package model

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// Input is how an image becomes the network's input, in torchvision's terms: Resize, CenterCrop,
// ToTensor, Normalize.
type Input struct {
	Resize        Resize   `json:"resize"`
	Crop          Crop     `json:"crop"`
	CropOffset    string   `json:"crop_offset,omitempty"`
	Interpolation string   `json:"interpolation"` // one of Interpolations, as Pillow computes it
	Mean          Channels `json:"mean"`          // of values in 0–1
	Std           Channels `json:"std"`
}

// CropFloor is the crop offset of Hugging Face's processors: where (side − crop) / 2 is not whole,
// the lower pixel. The empty one is torchvision's, the even pixel.
const CropFloor = "floor"

// Interpolations are the filters that a card may name, in Pillow's words. All but nearest are
// antialiased.
var Interpolations = []string{"bilinear", "bicubic", "lanczos", "box", "hamming", "nearest"}

// Height is the height of the network's input, in pixels.
func (in Input) Height() int { return in.Crop.Height }

// Width is the width of the network's input, in pixels.
func (in Input) Width() int { return in.Crop.Width }

// Pixels is height × width of the network's input.
func (in Input) Pixels() int { return in.Crop.Height * in.Crop.Width }

// Bytes is how long one image is as the network's input: rows of RGB, a byte for each sample.
func (in Input) Bytes() int { return in.Pixels() * 3 }

// At is the input with another crop. A resize that is not known becomes one in the usual proportion,
// 256 for 224; for a crop that is not square, exactly that size.
func (in Input) At(crop Crop) Input {
	side := max(crop.Height, crop.Width)
	switch {
	case in.Resize.Squeezes():
		in.Resize = Squeeze(max(in.Resize.Height, crop.Height), max(in.Resize.Width, crop.Width))
	case in.Resize.Shorter > 0:
		in.Resize = ShorterSide(max(in.Resize.Shorter, side))
	case crop.Height != crop.Width:
		in.Resize = Squeeze(crop.Height, crop.Width)
	default:
		in.Resize = ShorterSide((side*256 + 112) / 224)
	}
	in.Crop = crop
	return in
}

// ImageNetInput is the preprocessing that torchvision's ImageNet models are trained for.
func ImageNetInput() Input {
	return Input{
		Resize: ShorterSide(256), Crop: Square(224), Interpolation: "bilinear",
		Mean: Channels{0.485, 0.456, 0.406}, Std: Channels{0.229, 0.224, 0.225},
	}
}

// maxSide bounds the network's input: 4096 pixels a side are 200 MB of float32.
const maxSide = 4096

// check reports the mistakes of a card's input.
func (in Input) check(check func(ok bool, format string, args ...any)) {
	resize, crop := in.Resize, in.Crop
	check(min(crop.Height, crop.Width) >= 1 && max(crop.Height, crop.Width) <= maxSide,
		"input.crop is %v; its sides must be 1 to %d", crop, maxSide)
	height, width := resize.Smallest()
	check(height >= crop.Height && width >= crop.Width && max(height, width) <= maxSide,
		"input.resize is %v; it must be at least input.crop and at most %d", resize, maxSide)
	check(in.CropOffset == "" || in.CropOffset == CropFloor,
		"input.crop_offset is %q; use %s, or leave it out", in.CropOffset, CropFloor)
	check(slices.Contains(Interpolations, in.Interpolation),
		"input.interpolation is %q; use %s", in.Interpolation, strings.Join(Interpolations, ", "))
	for i := range 3 {
		// Beyond these, somebody wrote them for pixels from 0 to 255.
		check(in.Mean[i] >= -1 && in.Mean[i] <= 1,
			"input.mean[%d] is %g; it must be from -1 to 1: pixels count from 0 to 1, so divide by 255", i, in.Mean[i])
		check(in.Std[i] > 0 && in.Std[i] <= 10,
			"input.std[%d] is %g; it must be above 0, and at most 10: pixels count from 0 to 1, so divide by 255", i, in.Std[i])
	}
}

// Resize is the size that an image is resized to before the crop: its shorter side, as torchvision's
// Resize(int), or height and width whatever its proportions were, as Resize((height, width)). In JSON
// it is a number, or a list [height, width]. The zero value means that nothing is known.
type Resize struct {
	Shorter       int // pixels of the shorter side; 0 where Height and Width are given
	Height, Width int // pixels; 0 where Shorter is given
}

// ShorterSide is a resize that keeps the proportions: the shorter side gets that many pixels.
func ShorterSide(pixels int) Resize { return Resize{Shorter: pixels} }

// Squeeze is a resize to exactly that size, in pixels, whatever the image's proportions are.
func Squeeze(height, width int) Resize { return Resize{Height: height, Width: width} }

// Squeezes reports whether the image's proportions are given up.
func (r Resize) Squeezes() bool { return r.Shorter == 0 && r != Resize{} }

// Smallest is the size that the smallest resized image has: that of a square one, unless all have the same.
func (r Resize) Smallest() (height, width int) {
	if r.Squeezes() {
		return r.Height, r.Width
	}
	return r.Shorter, r.Shorter
}

// String is for people: "256", or "224 × 320" as height × width.
func (r Resize) String() string {
	if r.Squeezes() {
		return fmt.Sprintf("%d × %d", r.Height, r.Width)
	}
	return fmt.Sprint(r.Shorter)
}

// MarshalJSON writes a number or a list.
func (r Resize) MarshalJSON() ([]byte, error) {
	if r.Squeezes() {
		return json.Marshal([]int{r.Height, r.Width})
	}
	return json.Marshal(r.Shorter)
}

// UnmarshalJSON reads a number or a list.
func (r *Resize) UnmarshalJSON(data []byte) error {
	height, width, isList, err := parseSize(data)
	if isList {
		*r = Squeeze(height, width)
	} else {
		*r = ShorterSide(height)
	}
	return err
}

// Crop is the size of what is cut from the middle of the resized image, in pixels: the network's
// input. In JSON it is a number for a square, as torchvision's CenterCrop(int), or a list
// [height, width]. The zero value means that it is not known.
type Crop struct{ Height, Width int }

// Square is a crop with equal sides.
func Square(side int) Crop { return Crop{side, side} }

// String is for people: "224 × 320" as height × width.
func (c Crop) String() string { return fmt.Sprintf("%d × %d", c.Height, c.Width) }

// MarshalJSON writes a number for a square, else a list.
func (c Crop) MarshalJSON() ([]byte, error) {
	if c.Height == c.Width {
		return json.Marshal(c.Height)
	}
	return json.Marshal([]int{c.Height, c.Width})
}

// UnmarshalJSON reads a number or a list.
func (c *Crop) UnmarshalJSON(data []byte) (err error) {
	c.Height, c.Width, _, err = parseSize(data)
	return err
}

// parseSize reads a number, which stands for both sides, or [height, width].
func parseSize(data []byte) (height, width int, isList bool, err error) {
	if json.Unmarshal(data, &height) == nil {
		return height, height, false, nil
	}
	var list []int
	if json.Unmarshal(data, &list) != nil || len(list) != 2 {
		return 0, 0, false, fmt.Errorf(
			"a size is a whole number of pixels, or a list of two, [height, width]; here is %.40s", data)
	}
	return list[0], list[1], true, nil
}

// Channels is a number each for red, green and blue.
type Channels [3]float32

// UnmarshalJSON takes a list of exactly three numbers; Go alone would fill up a shorter one with zeros.
func (c *Channels) UnmarshalJSON(data []byte) error {
	var list []float32
	if err := json.Unmarshal(data, &list); err != nil {
		return err
	}
	if len(list) != len(c) {
		return fmt.Errorf("mean and std are lists of three numbers, for red, green and blue; here are %d", len(list))
	}
	*c = Channels(list)
	return nil
}
