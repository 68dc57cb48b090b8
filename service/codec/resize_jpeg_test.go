package codec_test

import (
	"bytes"
	"image"
	"testing"

	"github.com/vidi-vision/vidi/service/codec"
	"github.com/vidi-vision/vidi/torchbind/torchtest"
)

// middle is a resize of a picture of 123 × 77, upright or lying on its side, to a window in its middle.
func middle(orientation int) codec.Resize {
	r := codec.Resize{Width: 48, Height: 30, Crop: image.Rect(10, 4, 32, 26), Filter: codec.Bilinear, Orientation: orientation}
	if orientation >= 5 {
		r.Width, r.Height = r.Height, r.Width
		r.Crop = image.Rect(4, 10, 26, 32)
	}
	return r
}

func TestResizeJPEGIsDecodeAndResizeInOne(t *testing.T) {
	torchtest.NothingLeft(t)
	data := jpegOf(t, gradient(123, 77))
	for scale := codec.FullSize; scale <= codec.EighthSize; scale++ {
		width, height := scale.Size(123, 77)
		decoded := image.NewNRGBA(image.Rect(0, 0, width, height))
		o := codec.JPEGOptions{Scale: scale}
		_, err := codec.DecodeJPEG(data, o, decoded)
		must(t, err)
		part := 1 / float64(int(1)<<scale)
		for orientation := range 9 {
			r := middle(orientation)
			got, want := make([]byte, 22*22*3), make([]byte, 22*22*3)
			report, err := codec.ResizeJPEG(data, o, r, got)
			must(t, err)
			if report.Warnings != 0 || report.ResizeTime <= 0 {
				t.Errorf("report of a good file: %+v", report)
			}
			r.Box = codec.Box{X1: 123 * part, Y1: 77 * part}
			must(t, codec.ResizeRGB(decoded, r, want))
			if !bytes.Equal(got, want) {
				t.Errorf("scale %d, orientation %d: not the bytes of the two steps", scale, orientation)
			}
		}
	}
}

func TestResizeTurns(t *testing.T) {
	torchtest.NothingLeft(t)
	src := gradient(8, 6)
	// Where the stored picture's upper left corner goes, by the EXIF standard; to the same size nothing else changes.
	for orientation, corner := range map[int]image.Point{
		0: {0, 0}, 1: {0, 0}, 2: {7, 0}, 3: {7, 5}, 4: {0, 5}, 5: {0, 0}, 6: {5, 0}, 7: {5, 7}, 8: {0, 7},
	} {
		r := codec.Resize{Width: 8, Height: 6, Crop: image.Rect(0, 0, 8, 6), Filter: codec.Bicubic, Orientation: orientation}
		if orientation >= 5 {
			r.Width, r.Height, r.Crop = 6, 8, image.Rect(0, 0, 6, 8)
		}
		dst := make([]byte, 8*6*3)
		must(t, codec.ResizeRGB(src, r, dst))
		if got := dst[(corner.Y*r.Width+corner.X)*3:][:3]; !bytes.Equal(got, src.Pix[:3]) {
			t.Errorf("orientation %d: the corner is %v, want %v at %v", orientation, got, src.Pix[:3], corner)
		}
	}
}

func TestResizeJPEGErrors(t *testing.T) {
	torchtest.NothingLeft(t)
	data := jpegOf(t, gradient(123, 77))
	dst := make([]byte, 22*22*3)
	resize := func(data []byte, o codec.JPEGOptions, change func(*codec.Resize)) error {
		r := middle(1)
		if change != nil {
			change(&r)
		}
		_, err := codec.ResizeJPEG(data, o, r, dst)
		return err
	}
	none := codec.JPEGOptions{}
	must(t, resize(data, codec.JPEGOptions{MaxPixels: 123 * 77}, nil))
	must(t, resize(data[:len(data)-2], none, nil)) // without its end marker: every row is there
	wantCode(t, resize(data[:len(data)-20], none, nil), codec.CorruptImage)
	wantCode(t, resize(data[:len(data)/2], none, nil), codec.CorruptImage)
	wantCode(t, resize([]byte("no picture"), none, nil), codec.CorruptImage)
	wantCode(t, resize(nil, none, nil), codec.InvalidArgument)
	wantCode(t, resize(data, codec.JPEGOptions{MaxPixels: 123*77 - 1}, nil), codec.ImageTooLarge)
	wantCode(t, resize(data, codec.JPEGOptions{MaxScanPixels: 100}, nil), codec.ImageTooComplex)
	wantCode(t, resize(data, none, func(r *codec.Resize) { r.Orientation = 9 }), codec.InvalidArgument)
	wantCode(t, resize(data, none, func(r *codec.Resize) { r.Orientation = 1<<32 + 6 }), codec.InvalidArgument)
	wantCode(t, resize(data, none, func(r *codec.Resize) { r.Box = codec.Box{X1: 124, Y1: 77} }), codec.InvalidArgument)
	wantCode(t, resize(data, none, func(r *codec.Resize) { r.Crop = image.Rect(40, 0, 62, 22) }), codec.InvalidArgument)
	wantCode(t, resize(data, none, func(r *codec.Resize) { r.Crop = image.Rect(0, 0, 20, 20) }), codec.Shape)
	_, err := codec.ResizeJPEG(data, none, middle(1), nil)
	wantCode(t, err, codec.InvalidArgument)
}
