// Package preprocess turns the bytes of a picture into a network's input: it sniffs the format, checks limits before
// anything is decoded, decodes, applies the EXIF turn, and resizes and crops as the model's card says.
//
// JPEG is decoded, and every picture is resized, by codec, with the pixels that Pillow gives; the other formats are
// decoded in Go. Nothing here trusts the input: every failure is an [*Error], and what a picture may cost in memory and time
// is weighed before it is spent.
//
// Every picture that Pillow 9.4 opens in one of these formats is read with Pillow's pixels, to the last bit, with three
// differences that are meant: samples of 16 bits are scaled to 8 and not clipped, what is transparent is laid over white, and a
// BMP whose alpha is 0 everywhere is opaque.
// testdata/pillow_exceptions.tsv lists the exceptions with their reasons, kinds of TIFF above all. Animations are their first picture;
// colour profiles are ignored.
package preprocess

import (
	"errors"
	"fmt"
	"time"

	"github.com/vidi-vision/vidi/service/codec"
	"github.com/vidi-vision/vidi/service/model"
)

// Code names a kind of failure; the texts are those of the HTTP API's problem codes.
type Code string

// The codes an [Error] can have.
const (
	EmptyImage         Code = "empty_image"         // no bytes
	UnsupportedFormat  Code = "unsupported_format"  // not a picture, or of a format that is not read here
	UnsupportedVariant Code = "unsupported_variant" // a known format in a form that is not read here
	CorruptImage       Code = "corrupt_image"       // damaged, or it ends early
	ImageTooLarge      Code = "image_too_large"     // too many pixels
	ImageTooComplex    Code = "image_too_complex"   // decoding would cost too much memory or time
)

// Error is why a picture was refused. Detail is a sentence for the person who sent it, and says what to do.
type Error struct {
	Code   Code
	Detail string
	Err    error // the cause, for logs; may be nil
}

// Error is the detail, and the cause if there is one.
func (e *Error) Error() string {
	if e.Err != nil {
		return e.Detail + " (" + e.Err.Error() + ")"
	}
	return e.Detail
}

// Unwrap is the cause.
func (e *Error) Unwrap() error { return e.Err }

// Limits bound what one picture may cost. Who decodes several at the same time bounds their memory
// together, see [Seen.Memory].
type Limits struct {
	MaxPixels     int64         // width × height of one picture
	MaxScanPixels int64         // scans × width × height of one JPEG
	MaxCPU        time.Duration // CPU time of decoding one picture
	MaxMemory     int64         // bytes of decoding one picture
}

// DefaultLimits are 52 megapixels (the 8,192 × 6,144 of a phone among them), ten full scans of them, 2 s, and 1 GiB.
func DefaultLimits() Limits {
	return Limits{MaxPixels: 52_000_000, MaxScanPixels: 520_000_000, MaxCPU: 2 * time.Second, MaxMemory: 1 << 30}
}

// WithMaxPixels are the limits for pictures of so many pixels, in as many full scans as before.
func (l Limits) WithMaxPixels(n int64) Limits {
	scans := l.MaxScanPixels / l.MaxPixels
	l.MaxPixels, l.MaxScanPixels = n, n*scans
	return l
}

// Validate reports everything that is wrong with the limits.
func (l Limits) Validate() error {
	var errs []error
	for _, v := range []struct {
		name  string
		value int64
	}{
		{"MaxPixels", l.MaxPixels}, {"MaxScanPixels", l.MaxScanPixels}, {"MaxCPU", int64(l.MaxCPU)}, {"MaxMemory", l.MaxMemory},
	} {
		if v.value <= 0 {
			errs = append(errs, fmt.Errorf("preprocess: %s is %d; it must be more than 0", v.name, v.value))
		}
	}
	if l.MaxPixels > maxMaxPixels {
		errs = append(errs, fmt.Errorf("preprocess: MaxPixels is %d; it must not be more than %d", l.MaxPixels, int64(maxMaxPixels)))
	}
	return errors.Join(errs...)
}

// Beyond this, sizes in bytes would no longer be safe to multiply; no computer that runs this can hold such a picture.
const maxMaxPixels = 1 << 34

// Spec is what the model wants: the image resized, and its middle cut out. No resized image is smaller than Crop.
type Spec struct {
	Resize model.Resize
	Crop   model.Crop
	Filter codec.Filter
	Floor  bool // of the crop's offset, see model.CropFloor
}

// Validate reports what is wrong with the spec.
func (s Spec) Validate() error {
	height, width := s.Resize.Smallest()
	switch {
	case min(s.Crop.Height, s.Crop.Width) < 1 || max(s.Crop.Height, s.Crop.Width) > maxCrop:
		return fmt.Errorf("preprocess: the crop is %v; its sides must be from 1 to %d", s.Crop, maxCrop)
	case height < s.Crop.Height || width < s.Crop.Width || max(height, width) > maxCrop:
		return fmt.Errorf("preprocess: the picture is resized to %v; it must be from %v, the crop, to %d", s.Resize, s.Crop, maxCrop)
	case s.Filter < codec.Lanczos || s.Filter > codec.Nearest:
		return fmt.Errorf("preprocess: filter %d is not known; use one of codec's", s.Filter)
	}
	return nil
}

const maxCrop = 8192 // codec's limit

// Decode is how JPEG is decoded.
type Decode string

// The ways to decode: Exact gives Pillow's pixels; Fast lets the JPEG decoder shrink large pictures, to no less than
// twice the resize target.
const (
	Exact Decode = "exact"
	Fast  Decode = "fast"
)

// Options are what a caller may choose per picture; the zero value is exact with the EXIF turn applied.
type Options struct {
	Decode     Decode
	IgnoreEXIF bool
}

// Warning tells of something odd about a picture that was still usable.
type Warning string

// The warnings.
const (
	LowResolution Warning = "low_resolution" // a side is shorter than the crop: the picture was enlarged
	DamagedImage  Warning = "damaged_image"  // the decoder repaired or skipped damage
)

// Picture is a picture ready for the network.
type Picture struct {
	Width, Height int    // as a person sees it: after the EXIF turn
	Format        string // "jpeg", "png", "gif", "webp", "bmp", "tiff": what the bytes are, whatever the name says
	Warnings      []Warning
	RGB           []byte // Crop.Height × Crop.Width × 3, rows of RGB
	DecodeTime    time.Duration
	ResizeTime    time.Duration
}
