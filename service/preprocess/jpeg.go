package preprocess

import (
	"math"
	"time"

	"github.com/vidi-vision/vidi/service/codec"
)

// decoderSlack is what libjpeg takes for its tables on top of the estimate for coefficients.
const decoderSlack = 1 << 20

// fastSides is how many times the resize target fast decode leaves at least. The decoder's own shrinking is coarse, so the last
// halving is left to the resize: with 1, one view in 150 of the photographs got another clear answer, with 2 none did
// (docs/accuracy.md).
const fastSides = 2

func readJPEGHeader(r request) (header, error) {
	info, err := codec.ProbeJPEG(r.data)
	if err != nil {
		return header{}, fromCodec(err, "jpeg", 0, 0, r.limits)
	}
	minSide := 0
	if r.fast {
		height, width := r.spec.Resize.Smallest()
		minSide = fastSides * max(height, width) // the turn may swap the sides
	}
	scale := jpegScale(info.Width, info.Height, minSide)
	decoderBytes := info.DecoderBytes + decoderSlack
	options := codec.JPEGOptions{
		Scale:           scale,
		MaxPixels:       r.limits.MaxPixels,
		MaxScanPixels:   r.limits.MaxScanPixels,
		MaxDecoderBytes: decoderBytes,
		MaxCPU:          r.limits.MaxCPU,
	}
	return header{
		width: info.Width, height: info.Height,
		memory: decoderBytes + streamBytes(info.Width, info.Height, r.spec),
		stream: func(data []byte, resize codec.Resize, rgb []byte) ([]Warning, time.Duration, error) {
			report, err := codec.ResizeJPEG(data, options, resize, rgb)
			if err != nil {
				return nil, 0, fromCodec(err, "jpeg", info.Width, info.Height, r.limits)
			}
			if report.Warnings > 0 {
				return []Warning{DamagedImage}, report.ResizeTime, nil
			}
			return nil, report.ResizeTime, nil
		},
	}, nil
}

// streamBytes bounds the rows that the shim holds while it resizes a picture of this stored size: those under one tap of the
// filter, some that the decoder hands on at a time, and the tables of weights.
func streamBytes(width, height int, spec Spec) int64 {
	const batch = 8
	// How many stored pixels become one, at most: the turn may swap the sides, and squeezing has a scale for each of them.
	longest := min(width, height)
	if spec.Resize.Squeezes() {
		longest = max(width, height)
	}
	high, wide := spec.Resize.Smallest()
	scale := math.Max(float64(longest)/float64(min(high, wide)), 1)
	// Lanczos reaches three pixels of the result to each side, bicubic two.
	reach := 4.0
	if spec.Filter == codec.Lanczos {
		reach = 6
	}
	under := min(int64(height), int64(reach*scale)+3)
	crop := int64(max(spec.Crop.Height, spec.Crop.Width))
	weights := 2 * crop * 3 * (int64(reach*scale) + 3) * 4
	return (under+batch+2)*4*max(int64(width), crop) + weights
}

// jpegScale is the smallest scale that leaves no side shorter than minSide.
func jpegScale(width, height, minSide int) codec.JPEGScale {
	if minSide <= 0 {
		return codec.FullSize
	}
	for scale := codec.EighthSize; scale > codec.FullSize; scale-- {
		if w, h := scale.Size(width, height); min(w, h) >= minSide {
			return scale
		}
	}
	return codec.FullSize
}
