package preprocess

import (
	"context"
	"image"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vidi-vision/vidi/service/codec"
	"github.com/vidi-vision/vidi/torchbind"
)

// BenchmarkToTensor times the way from a picture's bytes to the network's input. tools/bench runs it on the pictures that
// VIDI_BENCH_PICTURES lists, beside Python; without that it takes the photographs of the repository.
func BenchmarkToTensor(b *testing.B) {
	for _, path := range benchPictures(b) {
		data, err := os.ReadFile(path)
		if err != nil {
			b.Fatal(err)
		}
		name := strings.TrimSuffix(filepath.Base(path), filepath.Ext(path))
		for _, decode := range []Decode{Exact, Fast} {
			b.Run(name+"/"+string(decode), func(b *testing.B) { benchToTensor(b, data, Options{Decode: decode}) })
		}
	}
}

// BenchmarkJPEGBits times what no way to decode a JPEG can do without, however much it shrinks the picture: reading the
// compressed bits in their order. Only the last row is asked for, at an eighth of its size, so that libjpeg reads all the others
// and throws them away.
func BenchmarkJPEGBits(b *testing.B) {
	for _, path := range benchPictures(b) {
		data, err := os.ReadFile(path)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(strings.TrimSuffix(filepath.Base(path), filepath.Ext(path)), func(b *testing.B) {
			info, err := codec.ProbeJPEG(data)
			if err != nil {
				b.Fatal(err)
			}
			width, height := codec.EighthSize.Size(info.Width, info.Height)
			resize := codec.Resize{Width: width, Height: height, Crop: image.Rect(0, height-1, 1, height), Filter: codec.Bilinear}
			medianOf(b, func() {
				if _, err := codec.ResizeJPEG(data, codec.JPEGOptions{Scale: codec.EighthSize}, resize, make([]byte, 3)); err != nil {
					b.Fatal(err)
				}
			})
		})
	}
}

func benchPictures(b *testing.B) []string {
	if list := os.Getenv("VIDI_BENCH_PICTURES"); list != "" {
		return filepath.SplitList(list)
	}
	paths, err := filepath.Glob("../../examples/*.jpg")
	if err != nil || len(paths) == 0 {
		b.Fatalf("no photographs in examples: %v", err)
	}
	return paths
}

func benchToTensor(b *testing.B, data []byte, o Options) {
	p, err := New(DefaultLimits())
	if err != nil {
		b.Fatal(err)
	}
	mean, std := [3]float32{0.485, 0.456, 0.406}, [3]float32{0.229, 0.224, 0.225}
	medianOf(b, func() {
		picture, err := p.Prepare(context.Background(), data, imagenet, o)
		if err != nil {
			b.Fatal(err)
		}
		tensor, err := torchbind.NewInput(picture.RGB, 1, imagenet.Crop.Height, imagenet.Crop.Width, mean, std, torchbind.Float32)
		if err != nil {
			b.Fatal(err)
		}
		tensor.Close()
	})
}

// medianOf reports the median, as of the others that tools/bench measures: the mean that Go prints has every pause of the machine
// in it.
func medianOf(b *testing.B, f func()) {
	f() // the very first opens libtorch
	var times []time.Duration
	for b.Loop() {
		begun := time.Now()
		f()
		times = append(times, time.Since(begun))
	}
	slices.Sort(times)
	b.ReportMetric(float64(times[len(times)/2])/float64(time.Millisecond), "median-ms")
}
