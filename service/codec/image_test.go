package codec_test

import (
	"bytes"
	"image"
	"image/color"
	"image/jpeg"
	"math"
	"testing"

	"github.com/vidi-vision/vidi/service/codec"
	"github.com/vidi-vision/vidi/torchbind/torchtest"
)

// gradient is a picture in which no two neighbours are alike.
func gradient(width, height int) *image.NRGBA {
	img := image.NewNRGBA(image.Rect(0, 0, width, height))
	for y := range height {
		for x := range width {
			img.SetNRGBA(x, y, color.NRGBA{uint8(x * 255 / width), uint8(y * 255 / height), uint8((x ^ y) * 7), 255})
		}
	}
	return img
}

func jpegOf(t testing.TB, img image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	must(t, jpeg.Encode(&b, img, &jpeg.Options{Quality: 95}))
	return b.Bytes()
}

func TestJPEGProbeAndDecode(t *testing.T) {
	torchtest.NothingLeft(t)
	original := gradient(123, 77)
	data := jpegOf(t, original)
	info, err := codec.ProbeJPEG(data)
	must(t, err)
	if info.Width != 123 || info.Height != 77 || info.Colors != codec.JPEGRGB || info.Progressive || info.DecoderBytes <= 0 {
		t.Errorf("probed as %+v", info)
	}
	dst := image.NewNRGBA(image.Rect(0, 0, 123, 77))
	report, err := codec.DecodeJPEG(data, codec.JPEGOptions{}, dst)
	must(t, err)
	if report.Warnings != 0 {
		t.Errorf("warnings for a good file: %+v", report)
	}
	// Quality 95 with halved chroma: the mean difference from the original is a few levels. Wrong channel order is dozens.
	sum := 0.0
	for i := range dst.Pix {
		if i%4 == 3 && dst.Pix[i] != 255 {
			t.Fatalf("alpha is %d", dst.Pix[i])
		}
		sum += math.Abs(float64(dst.Pix[i]) - float64(original.Pix[i]))
	}
	if mean := sum / float64(len(dst.Pix)); mean > 8 {
		t.Errorf("the decoded picture is off by %.1f levels on average", mean)
	}
}

func TestJPEGScales(t *testing.T) {
	torchtest.NothingLeft(t)
	data := jpegOf(t, gradient(123, 77))
	for scale, want := range map[codec.JPEGScale]image.Point{
		codec.FullSize: {123, 77}, codec.HalfSize: {62, 39}, codec.QuarterSize: {31, 20}, codec.EighthSize: {16, 10},
	} {
		width, height := scale.Size(123, 77)
		if width != want.X || height != want.Y {
			t.Errorf("scale %d is %d × %d, want %v", scale, width, height, want)
		}
		_, err := codec.DecodeJPEG(data, codec.JPEGOptions{Scale: scale}, image.NewNRGBA(image.Rect(0, 0, width, height)))
		must(t, err)
		_, err = codec.DecodeJPEG(data, codec.JPEGOptions{Scale: scale}, image.NewNRGBA(image.Rect(0, 0, width, height-1)))
		wantCode(t, err, codec.InvalidArgument)
	}
}

func TestJPEGErrors(t *testing.T) {
	torchtest.NothingLeft(t)
	data := jpegOf(t, gradient(123, 77))
	dst := image.NewNRGBA(image.Rect(0, 0, 123, 77))
	decode := func(data []byte, o codec.JPEGOptions) error {
		_, err := codec.DecodeJPEG(data, o, dst)
		return err
	}
	wantCode(t, decode(data[:len(data)*9/10], codec.JPEGOptions{}), codec.CorruptImage)
	wantCode(t, decode([]byte("no picture"), codec.JPEGOptions{}), codec.CorruptImage)
	wantCode(t, decode(data, codec.JPEGOptions{MaxPixels: 123*77 - 1}), codec.ImageTooLarge)
	must(t, decode(data, codec.JPEGOptions{MaxPixels: 123 * 77}))
	wantCode(t, decode(data, codec.JPEGOptions{MaxScanPixels: 100}), codec.ImageTooComplex)
	wantCode(t, decode(nil, codec.JPEGOptions{}), codec.InvalidArgument)
	_, err := codec.ProbeJPEG(nil)
	wantCode(t, err, codec.CorruptImage)
	_, err = codec.DecodeJPEG(data, codec.JPEGOptions{}, image.NewNRGBA(image.Rectangle{}))
	wantCode(t, err, codec.InvalidArgument)
}

func TestResizeCropsWhatTheWholeWouldBe(t *testing.T) {
	torchtest.NothingLeft(t)
	src := gradient(300, 200)
	resize := func(crop image.Rectangle) []byte {
		dst := make([]byte, crop.Dx()*crop.Dy()*3)
		must(t, codec.ResizeRGB(src, codec.Resize{Width: 90, Height: 60, Crop: crop, Filter: codec.Bicubic}, dst))
		return dst
	}
	whole := resize(image.Rect(0, 0, 90, 60))
	crop := image.Rect(17, 9, 60, 50)
	part := resize(crop)
	for y := range crop.Dy() {
		from := ((y+crop.Min.Y)*90 + crop.Min.X) * 3
		if !bytes.Equal(part[y*crop.Dx()*3:(y+1)*crop.Dx()*3], whole[from:from+crop.Dx()*3]) {
			t.Fatalf("row %d of the crop differs", y)
		}
	}
}

func TestResizeOfASubImage(t *testing.T) {
	torchtest.NothingLeft(t)
	src := gradient(64, 64)
	window := image.Rect(8, 16, 40, 48)
	part := src.SubImage(window).(*image.NRGBA)
	dst := make([]byte, 32*32*3)
	must(t, codec.ResizeRGB(part, codec.Resize{Width: 32, Height: 32, Crop: image.Rect(0, 0, 32, 32), Filter: codec.Bilinear}, dst))
	for y := range 32 {
		for x := range 32 {
			c := src.NRGBAAt(x+8, y+16)
			if got := dst[(y*32+x)*3:][:3]; got[0] != c.R || got[1] != c.G || got[2] != c.B {
				t.Fatalf("pixel %d,%d is %v, want %v: resizing to the same size must change nothing", x, y, got, c)
			}
		}
	}
}

func TestResizeRefuses(t *testing.T) {
	torchtest.NothingLeft(t)
	src := gradient(10, 10)
	good := codec.Resize{Width: 8, Height: 8, Crop: image.Rect(0, 0, 8, 8), Filter: codec.Bilinear}
	for name, change := range map[string]func(r *codec.Resize){
		"a crop outside":  func(r *codec.Resize) { r.Crop = image.Rect(1, 0, 9, 8) },
		"a negative crop": func(r *codec.Resize) { r.Crop = image.Rect(-1, 0, 7, 8) },
		"an empty crop":   func(r *codec.Resize) { r.Crop = image.Rectangle{} },
		"no size":         func(r *codec.Resize) { r.Width = 0 },
		"a huge size":     func(r *codec.Resize) { r.Height = math.MaxInt },
		"no filter":       func(r *codec.Resize) { r.Filter = 0 },
	} {
		r := good
		change(&r)
		err := codec.ResizeRGB(src, r, make([]byte, 8*8*3))
		t.Run(name, func(t *testing.T) { wantCode(t, err, codec.InvalidArgument) })
	}
	wantCode(t, codec.ResizeRGB(src, good, make([]byte, 8*8*3-1)), codec.Shape)
	wantCode(t, codec.ResizeRGB(&image.NRGBA{}, good, make([]byte, 8*8*3)), codec.InvalidArgument)
	short := *src
	short.Pix = short.Pix[:len(short.Pix)-1]
	wantCode(t, codec.ResizeRGB(&short, good, make([]byte, 8*8*3)), codec.InvalidArgument)
}
