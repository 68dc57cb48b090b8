package preprocess

import (
	"fmt"
	"image"
	"time"

	"github.com/vidi-vision/vidi/service/codec"
)

// header is what the first bytes of a picture promise, read without decoding anything.
type header struct {
	format        string
	width, height int           // as stored, before the EXIF turn
	memory        int64         // most bytes that decoding holds at any time, the finished picture included
	cpu           time.Duration // most that decoding can take, where no meter can end it; 0 where one can
	decode        decoder       // or, where the decoder and the resize work hand in hand:
	stream        streamer
}

// A decoder makes the finished picture: upper left corner at 0,0, the header's size, opaque. It reads its input from the
// meter, which ends it when it takes too long.
type decoder func(m *meter) (*image.NRGBA, []Warning, error)

// A streamer decodes and resizes in one, without a finished picture: it fills rgb with the crop. It says how much of the time went
// into the resize.
type streamer func(data []byte, r codec.Resize, rgb []byte) (warnings []Warning, resizeTime time.Duration, err error)

// request is what a header reader may take into account.
type request struct {
	data   []byte
	limits Limits
	spec   Spec
	fast   bool // JPEG may be decoded smaller
}

var headerReaders = map[string]func(request) (header, error){
	"jpeg": readJPEGHeader,
	"png":  readPNGHeader,
	"gif":  readGIFHeader,
	"webp": readWebPHeader,
	"bmp":  readBMPHeader,
	"tiff": readTIFFHeader,
}

// readHeader refuses what is not worth decoding: foreign formats, no pixels, too many pixels.
func readHeader(data []byte, spec Spec, o Options, limits Limits) (header, error) {
	format, err := sniff(data)
	if err != nil {
		return header{}, err
	}
	h, err := headerReaders[format](request{data: data, limits: limits, spec: spec, fast: o.Decode == Fast})
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
