package preprocess

import (
	"image"

	"github.com/vidi-vision/vidi/torchbind"
)

// decoderSlack is what libjpeg takes for its tables on top of the estimate for coefficients.
const decoderSlack = 1 << 20

func readJPEGHeader(r request) (header, error) {
	info, err := torchbind.ProbeJPEG(r.data)
	if err != nil {
		return header{}, fromTorchbind(err, 0, 0, r.limits)
	}
	scale := jpegScale(info.Width, info.Height, r.minSide)
	w, h := scale.Size(info.Width, info.Height)
	pixelBytes := 4 * int64(w) * int64(h)
	decoderBytes := info.DecoderBytes + decoderSlack
	options := torchbind.JPEGOptions{
		Scale:           scale,
		MaxPixels:       r.limits.MaxPixels,
		MaxScanPixels:   r.limits.MaxScanPixels,
		MaxDecoderBytes: decoderBytes,
		MaxCPU:          r.limits.MaxCPU,
	}
	return header{
		width: info.Width, height: info.Height,
		memory: decoderBytes + pixelBytes, pixelBytes: pixelBytes,
		decode: func(m *meter) (*image.NRGBA, []Warning, error) {
			pixels := image.NewNRGBA(image.Rect(0, 0, w, h))
			report, err := torchbind.DecodeJPEG(m.data, options, pixels)
			if err != nil {
				return nil, nil, fromTorchbind(err, info.Width, info.Height, r.limits)
			}
			if report.Warnings > 0 {
				return pixels, []Warning{DamagedImage}, nil
			}
			return pixels, nil, nil
		},
	}, nil
}

// jpegScale is the smallest scale that leaves no side shorter than minSide.
func jpegScale(width, height, minSide int) torchbind.JPEGScale {
	if minSide <= 0 {
		return torchbind.FullSize
	}
	for scale := torchbind.EighthSize; scale > torchbind.FullSize; scale-- {
		if w, h := scale.Size(width, height); min(w, h) >= minSide {
			return scale
		}
	}
	return torchbind.FullSize
}
