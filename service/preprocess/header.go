package preprocess

import (
	"fmt"
	"image"
	"time"
)

// header is what the first bytes of a picture promise, read without decoding anything.
type header struct {
	format        string
	width, height int           // as stored, before the EXIF turn
	memory        int64         // most bytes that decoding holds at any time, the finished picture included
	pixelBytes    int64         // of the finished picture
	cpu           time.Duration // most that decoding can take, where no meter can end it; 0 where one can
	decode        decoder
}

// A decoder makes the finished picture: upper left corner at 0,0, the header's size, opaque. It reads its input from the
// meter, which ends it when it takes too long.
type decoder func(m *meter) (*image.NRGBA, []Warning, error)

// request is what a header reader may take into account.
type request struct {
	data    []byte
	limits  Limits
	minSide int // JPEG may be decoded smaller, with no side shorter than this; 0 for never
}

var headerReaders = map[string]func(request) (header, error){
	"jpeg": readJPEGHeader,
	"png":  readPNGHeader,
	"gif":  readGIFHeader,
	"webp": readWebPHeader,
	"bmp":  readBMPHeader,
	"tiff": readTIFFHeader,
}

// fastSides is how many times the resize target fast decode leaves at least. The decoder's own shrinking is coarse, so the last
// halving is left to the resize: with 1, one view in 150 of the photographs got another clear answer, with 2 none did
// (docs/accuracy.md).
const fastSides = 2

// readHeader refuses what is not worth decoding: foreign formats, no pixels, too many pixels.
func readHeader(data []byte, spec Spec, o Options, limits Limits) (header, error) {
	format, err := sniff(data)
	if err != nil {
		return header{}, err
	}
	r := request{data: data, limits: limits}
	if o.Decode == Fast {
		r.minSide = fastSides * spec.Resize
	}
	h, err := headerReaders[format](r)
	if err != nil {
		return header{}, err
	}
	h.format = format
	if err := checkSize(format, int64(h.width), int64(h.height), limits); err != nil {
		return header{}, err
	}
	if h.cpu > limits.MaxCPU {
		return header{}, tooComplex(fmt.Errorf("it may take %v of at most %v", h.cpu, limits.MaxCPU),
			"decoding so large a picture of this kind could take longer than allowed")
	}
	return h, nil
}
