package codec

import (
	"fmt"
	"image"
	"time"
)

// JPEGColors is how a JPEG file stores colour.
type JPEGColors int

// The kinds of colour in JPEG files.
const (
	JPEGGray JPEGColors = 1
	JPEGRGB  JPEGColors = 3
	JPEGCMYK JPEGColors = 4
)

// JPEGInfo is what a JPEG's header says.
type JPEGInfo struct {
	Width, Height int // pixels, both > 0
	Colors        JPEGColors
	Progressive   bool  // several scans over the whole picture
	DecoderBytes  int64 // estimate of what decoding needs beside the pixels
}

// ProbeJPEG reads the header only. Errors: [CorruptImage], [UnsupportedImage]. Safe for concurrent use.
func ProbeJPEG(data []byte) (JPEGInfo, error) {
	if err := Open(); err != nil {
		return JPEGInfo{}, err
	}
	if len(data) == 0 {
		return JPEGInfo{}, &Error{Package: library.Package, Op: "probe JPEG", Code: CorruptImage, Message: "the file is empty"}
	}
	return jpegProbe(data)
}

// JPEGScale is the fraction of its size that a JPEG is decoded to.
type JPEGScale int

// The scales. Below [FullSize] the inverse DCT itself shrinks the picture: faster, and not what Pillow does.
const (
	FullSize    JPEGScale = 0
	HalfSize    JPEGScale = 1
	QuarterSize JPEGScale = 2
	EighthSize  JPEGScale = 3
)

func (s JPEGScale) eighths() int { return 8 >> s }

// Size is how large a picture of width × height becomes.
func (s JPEGScale) Size(width, height int) (int, int) {
	round := 1<<s - 1
	return (width + round) >> s, (height + round) >> s
}

// JPEGOptions say how to decode, and bound what one file may cost; a limit of 0 means none.
type JPEGOptions struct {
	Scale           JPEGScale
	MaxPixels       int64         // width × height
	MaxScanPixels   int64         // scans × width × height
	MaxDecoderBytes int64         // memory beside the pixels
	MaxCPU          time.Duration // CPU time of the call
}

// JPEGReport says how a decode went.
type JPEGReport struct {
	Warnings     int           // pieces of damage that were repaired or skipped
	FirstWarning string        // what the decoder said of the first
	ResizeTime   time.Duration // of [ResizeJPEG]: about how long it resized; the rest of the call is decoding
}

// DecodeJPEG decodes data into dst, whose bounds must have the size that [ProbeJPEG] found, scaled by [JPEGScale.Size]; alpha
// becomes 255. At full size the pixels are those that Pillow gives. Errors: [CorruptImage] (also for data that ends early), [UnsupportedImage], [ImageTooLarge],
// [ImageTooComplex], [OutOfMemory]. Safe for concurrent use with different dst.
func DecodeJPEG(data []byte, o JPEGOptions, dst *image.NRGBA) (JPEGReport, error) {
	if err := Open(); err != nil {
		return JPEGReport{}, err
	}
	if len(data) == 0 || len(dst.Pix) == 0 {
		return JPEGReport{}, &Error{Package: library.Package, Op: "decode JPEG", Code: InvalidArgument, Message: "no data, or an empty picture to decode into"}
	}
	return jpegDecode(data, o, dst.Pix, dst.Stride)
}

// Filter is a resize filter of Pillow's. All but [Nearest] are antialiased.
type Filter int32

// The filters, numbered as in Pillow but for Nearest, which is 0 there.
const (
	Lanczos   Filter = 1
	Bilinear  Filter = 2
	Bicubic   Filter = 3
	BoxFilter Filter = 4
	Hamming   Filter = 5
	Nearest   Filter = 6
)

// Box is a part of a picture, in pixels and fractions of them.
type Box struct{ X0, Y0, X1, Y1 float64 }

// Resize says what size the whole picture is resized to, and which window of that is wanted. Width, Height and Crop are those of
// the upright picture, after the turn that Orientation stands for.
type Resize struct {
	Width, Height int             // of the whole resized picture
	Crop          image.Rectangle // inside 0,0–Width,Height; at most 8192 pixels a side
	Filter        Filter
	Orientation   int // EXIF's, 1 to 8: how the stored picture is turned upright; 0 is 1, as it is
	Box           Box // the part of the stored picture that is resized; zero for the whole
}

// ResizeRGB writes the crop as rows of RGB, Crop.Dy() × Crop.Dx() × 3 bytes without padding, bit for bit what Pillow's
// ImageOps.exif_transpose, then resize((Width, Height), Filter, Box), then crop(Crop) give (the box turned with the picture).
// Alpha is ignored. The turn costs nothing, and all costs time and memory for the crop only. Safe for concurrent use.
func ResizeRGB(src *image.NRGBA, r Resize, dst []byte) error {
	if err := Open(); err != nil {
		return err
	}
	b := src.Rect
	if b.Empty() || len(src.Pix) < (b.Dy()-1)*src.Stride+4*b.Dx() {
		return &Error{Package: library.Package, Op: "resize", Code: InvalidArgument, Message: fmt.Sprintf("the picture is empty or shorter than its size says (%v)", b)}
	}
	return imageResize(src.Pix, b.Dx(), b.Dy(), src.Stride, r, dst)
}

// What their errors name.
const (
	opResizeJPEG = "resize JPEG"
	opResizePNG  = "resize PNG"
)

// ResizeJPEG writes the same bytes as [DecodeJPEG] and [ResizeRGB] one after the other, in less time and without the decoded
// picture ever being in memory: only the rows and columns that the crop needs are decoded, and each is resized at once. Box is in
// pixels of the file at full size, whatever o.Scale says.
//
// What lies below the crop is not looked at, so damage there is not reported. A file that lacks rows is [CorruptImage] all the
// same. Errors and limits are those of the two functions. Safe for concurrent use with different dst.
func ResizeJPEG(data []byte, o JPEGOptions, r Resize, dst []byte) (JPEGReport, error) {
	if err := Open(); err != nil {
		return JPEGReport{}, err
	}
	if len(data) == 0 || len(dst) == 0 {
		return JPEGReport{}, &Error{Package: library.Package, Op: opResizeJPEG, Code: InvalidArgument, Message: "no data, or no room for the crop"}
	}
	thread := takeThread()
	defer giveBack(thread)
	return jpegResize(thread, data, o, r, dst)
}

// PNGOptions bound what one file may cost; a limit of 0 means none.
type PNGOptions struct {
	MaxPixels int64         // width × height
	MaxCPU    time.Duration // CPU time of the call
}

// ResizePNG decodes a PNG that is not interlaced, lays it over white, and writes the crop as [ResizeRGB] does, row by row, without
// the decoded picture ever being in memory. Of samples of 16 bits the high byte counts. All of the file is read. It returns about
// how long it resized; the rest of the call is decoding. Errors: [CorruptImage], [UnsupportedImage] (interlaced), [ImageTooLarge],
// [ImageTooComplex], [OutOfMemory]. Safe for concurrent use with different dst.
func ResizePNG(data []byte, o PNGOptions, r Resize, dst []byte) (time.Duration, error) {
	if err := Open(); err != nil {
		return 0, err
	}
	if len(data) == 0 || len(dst) == 0 {
		return 0, &Error{Package: library.Package, Op: opResizePNG, Code: InvalidArgument, Message: "no data, or no room for the crop"}
	}
	thread := takeThread()
	defer giveBack(thread)
	return pngResize(thread, data, o, r, dst)
}
