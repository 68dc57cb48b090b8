package torchbind_test

import (
	"bytes"
	"image"
	"image/color"
	"image/jpeg"
	"math"
	"testing"

	"github.com/vidi-vision/vidi/torchbind"
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
	torchtest.NoLeaks(t)
	original := gradient(123, 77)
	data := jpegOf(t, original)
	info, err := torchbind.ProbeJPEG(data)
	must(t, err)
	if info.Width != 123 || info.Height != 77 || info.Colors != torchbind.JPEGRGB || info.Progressive || info.DecoderBytes <= 0 {
		t.Errorf("probed as %+v", info)
	}
	dst := image.NewNRGBA(image.Rect(0, 0, 123, 77))
	report, err := torchbind.DecodeJPEG(data, torchbind.JPEGOptions{}, dst)
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
	torchtest.NoLeaks(t)
	data := jpegOf(t, gradient(123, 77))
	for scale, want := range map[torchbind.JPEGScale]image.Point{
		torchbind.FullSize: {123, 77}, torchbind.HalfSize: {62, 39}, torchbind.QuarterSize: {31, 20}, torchbind.EighthSize: {16, 10},
	} {
		width, height := scale.Size(123, 77)
		if width != want.X || height != want.Y {
			t.Errorf("scale %d is %d × %d, want %v", scale, width, height, want)
		}
		_, err := torchbind.DecodeJPEG(data, torchbind.JPEGOptions{Scale: scale}, image.NewNRGBA(image.Rect(0, 0, width, height)))
		must(t, err)
		_, err = torchbind.DecodeJPEG(data, torchbind.JPEGOptions{Scale: scale}, image.NewNRGBA(image.Rect(0, 0, width, height-1)))
		wantCode(t, err, torchbind.InvalidArgument)
	}
}

func TestJPEGErrors(t *testing.T) {
	torchtest.NoLeaks(t)
	data := jpegOf(t, gradient(123, 77))
	dst := image.NewNRGBA(image.Rect(0, 0, 123, 77))
	decode := func(data []byte, o torchbind.JPEGOptions) error {
		_, err := torchbind.DecodeJPEG(data, o, dst)
		return err
	}
	wantCode(t, decode(data[:len(data)*9/10], torchbind.JPEGOptions{}), torchbind.CorruptImage)
	wantCode(t, decode([]byte("no picture"), torchbind.JPEGOptions{}), torchbind.CorruptImage)
	wantCode(t, decode(data, torchbind.JPEGOptions{MaxPixels: 123*77 - 1}), torchbind.ImageTooLarge)
	must(t, decode(data, torchbind.JPEGOptions{MaxPixels: 123 * 77}))
	wantCode(t, decode(data, torchbind.JPEGOptions{MaxScanPixels: 100}), torchbind.ImageTooComplex)
	wantCode(t, decode(nil, torchbind.JPEGOptions{}), torchbind.InvalidArgument)
	_, err := torchbind.ProbeJPEG(nil)
	wantCode(t, err, torchbind.CorruptImage)
	_, err = torchbind.DecodeJPEG(data, torchbind.JPEGOptions{}, image.NewNRGBA(image.Rectangle{}))
	wantCode(t, err, torchbind.InvalidArgument)
}

func TestResizeCropsWhatTheWholeWouldBe(t *testing.T) {
	torchtest.NoLeaks(t)
	src := gradient(300, 200)
	resize := func(crop image.Rectangle) []byte {
		dst := make([]byte, crop.Dx()*crop.Dy()*3)
		must(t, torchbind.ResizeRGB(src, torchbind.Resize{Width: 90, Height: 60, Crop: crop, Filter: torchbind.Bicubic}, dst))
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
	torchtest.NoLeaks(t)
	src := gradient(64, 64)
	window := image.Rect(8, 16, 40, 48)
	part := src.SubImage(window).(*image.NRGBA)
	dst := make([]byte, 32*32*3)
	must(t, torchbind.ResizeRGB(part, torchbind.Resize{Width: 32, Height: 32, Crop: image.Rect(0, 0, 32, 32), Filter: torchbind.Bilinear}, dst))
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
	torchtest.NoLeaks(t)
	src := gradient(10, 10)
	good := torchbind.Resize{Width: 8, Height: 8, Crop: image.Rect(0, 0, 8, 8), Filter: torchbind.Bilinear}
	for name, change := range map[string]func(r *torchbind.Resize){
		"a crop outside":  func(r *torchbind.Resize) { r.Crop = image.Rect(1, 0, 9, 8) },
		"a negative crop": func(r *torchbind.Resize) { r.Crop = image.Rect(-1, 0, 7, 8) },
		"an empty crop":   func(r *torchbind.Resize) { r.Crop = image.Rectangle{} },
		"no size":         func(r *torchbind.Resize) { r.Width = 0 },
		"a huge size":     func(r *torchbind.Resize) { r.Height = math.MaxInt },
		"no filter":       func(r *torchbind.Resize) { r.Filter = 0 },
	} {
		r := good
		change(&r)
		err := torchbind.ResizeRGB(src, r, make([]byte, 8*8*3))
		t.Run(name, func(t *testing.T) { wantCode(t, err, torchbind.InvalidArgument) })
	}
	wantCode(t, torchbind.ResizeRGB(src, good, make([]byte, 8*8*3-1)), torchbind.Shape)
	wantCode(t, torchbind.ResizeRGB(&image.NRGBA{}, good, make([]byte, 8*8*3)), torchbind.InvalidArgument)
	short := *src
	short.Pix = short.Pix[:len(short.Pix)-1]
	wantCode(t, torchbind.ResizeRGB(&short, good, make([]byte, 8*8*3)), torchbind.InvalidArgument)
}

func TestNewInputNormalises(t *testing.T) {
	torchtest.NoLeaks(t)
	mean, std := [3]float32{0.485, 0.456, 0.406}, [3]float32{0.229, 0.224, 0.225}
	rgb := []byte{0, 128, 255, 10, 20, 30}
	x, err := torchbind.NewInput(rgb, 1, 1, 2, mean, std, torchbind.Float32)
	must(t, err)
	defer x.Close()
	got, err := x.Float32s() // row-major: channel, then row, then column
	must(t, err)
	for c := range 3 {
		for i := range 2 {
			unit := float32(rgb[3*i+c]) / 255
			if want := (unit - mean[c]) / std[c]; got[2*c+i] != want {
				t.Errorf("channel %d, pixel %d: %v, want exactly %v", c, i, got[2*c+i], want)
			}
		}
	}
	_, err = torchbind.NewInput(rgb, 1, 2, 2, mean, std, torchbind.Float32)
	wantCode(t, err, torchbind.Shape)
	_, err = torchbind.NewInput(rgb, 1, 1, 2, mean, [3]float32{}, torchbind.Float32)
	wantCode(t, err, torchbind.InvalidArgument)
	_, err = torchbind.NewInput(rgb, 1, 1, 2, mean, std, torchbind.Int64)
	wantCode(t, err, torchbind.InvalidArgument)
}
