package preprocess

import (
	"encoding/binary"
	"errors"
	"image"
	"image/png"
	"time"

	"github.com/vidi-vision/vidi/service/codec"
)

func readPNGHeader(r request) (header, error) {
	const ihdrEnd = 8 + 8 + 13
	if len(r.data) < ihdrEnd || string(r.data[12:16]) != "IHDR" {
		return header{}, corrupt("png", errors.New("no IHDR"))
	}
	w, h := binary.BigEndian.Uint32(r.data[16:]), binary.BigEndian.Uint32(r.data[20:])
	if err := checkSize("png", int64(w), int64(h), r.limits); err != nil {
		return header{}, err
	}
	if interlaced := r.data[28] != 0; interlaced {
		return interlacedPNGHeader(r.data, int(w), int(h)), nil
	}
	options := codec.PNGOptions{MaxPixels: r.limits.MaxPixels, MaxCPU: r.limits.MaxCPU}
	return header{
		width: int(w), height: int(h), memory: streamBytes(int(w), int(h), r.spec),
		stream: func(data []byte, resize codec.Resize, rgb []byte) ([]Warning, time.Duration, error) {
			resizeTime, err := codec.ResizePNG(data, options, resize, rgb)
			if err != nil {
				return nil, 0, fromCodec(err, "png", int(w), int(h), r.limits)
			}
			return nil, resizeTime, nil
		},
	}, nil
}

// interlacedPNGHeader is for pictures whose rows come in no order; they are decoded as a whole, by Go.
func interlacedPNGHeader(data []byte, width, height int) header {
	pixels := int64(width) * int64(height)
	depth, colorType := data[24], data[25]

	// What Go's decoder makes of the colour types: 4 or 8 bytes a pixel are turned into the finished picture where they lie.
	native := int64(4)
	const gray, paletted = 0, 3
	if colorType == paletted || colorType == gray && !hasTransparentColor(data) {
		native = 1
	}
	if depth == 16 {
		native *= 2
	}
	memory := 2 * pixels * native // each pass is a picture of its own first
	if native < 4 {
		memory += 4 * pixels
	}
	return header{
		width: width, height: height, memory: memory,
		decode: decodeWith("png", width, height, func(m *meter) (image.Image, error) {
			img, err := png.Decode(m)
			var unsupported png.UnsupportedError
			if errors.As(err, &unsupported) {
				return nil, unsupportedVariant("png", err, "a rare kind of colours or of compression")
			}
			if err != nil {
				return nil, corrupt("png", err)
			}
			return img, nil
		}),
	}
}

// pngChunk is a piece of a PNG; body is shorter than it should be where the file ends early.
type pngChunk struct {
	name string
	body []byte
}

// pngChunks yields the chunks one after the other, hopping from header to header.
func pngChunks(data []byte) func(yield func(pngChunk) bool) {
	return func(yield func(pngChunk) bool) {
		for at := int64(8); at+8 <= int64(len(data)); {
			end := at + 8 + int64(binary.BigEndian.Uint32(data[at:]))
			chunk := pngChunk{name: string(data[at+4 : at+8]), body: data[at+8 : min(end, int64(len(data)))]}
			if !yield(chunk) {
				return
			}
			at = end + 4 // the checksum
		}
	}
}

// hasTransparentColor looks for a tRNS chunk before the pixels.
func hasTransparentColor(data []byte) bool {
	for chunk := range pngChunks(data) {
		switch chunk.name {
		case "tRNS":
			return true
		case "IDAT":
			return false
		}
	}
	return false
}
