package preprocess

import (
	"fmt"
	"image"
)

// decode runs the header's decoder under its limits and checks what comes out. A panic in a decoder becomes an error here, in
// the goroutine where it happens: nowhere else could it be caught.
func decode(h header, data []byte, limits Limits) (pixels *image.NRGBA, warnings []Warning, err error) {
	metered(data, limits.MaxCPU, func(m *meter) {
		defer func() {
			if cause := recover(); cause != nil {
				pixels, warnings, err = nil, nil, corrupt(h.format, fmt.Errorf("the decoder panicked: %v", cause))
			}
		}()
		pixels, warnings, err = h.decode(m)
		if m.expired {
			pixels, err = nil, tooComplex(errExpired, "decoding the picture takes longer than allowed")
		}
	})
	if err != nil {
		return nil, nil, err
	}
	if pixels.Rect.Empty() || pixels.Rect.Min != (image.Point{}) {
		return nil, nil, corrupt(h.format, fmt.Errorf("the decoder gave a picture of %v", pixels.Rect))
	}
	return pixels, warnings, nil
}

// decodeWith is a decoder that reads the picture with a Go package and lays it over white.
func decodeWith(format string, width, height int, read func(m *meter) (image.Image, error)) decoder {
	return func(m *meter) (*image.NRGBA, []Warning, error) {
		img, err := read(m)
		if err != nil {
			return nil, nil, err
		}
		if img.Bounds().Dx() != width || img.Bounds().Dy() != height {
			return nil, nil, corrupt(format, fmt.Errorf("the header says %d × %d pixels, the decoder %v", width, height, img.Bounds()))
		}
		pixels, err := overWhite(img)
		if err != nil {
			return nil, nil, unsupportedVariant(format, err, "a rare kind of colours")
		}
		return pixels, nil, nil
	}
}
