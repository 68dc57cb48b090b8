package torchbind_test

import (
	"errors"
	"image"
	"os"
	"testing"

	"github.com/vidi-vision/vidi/service/codec"
	"github.com/vidi-vision/vidi/torchbind"
	"github.com/vidi-vision/vidi/torchbind/torchtest"
)

// growth is by how much resident memory grew over n rounds, after as many rounds to fill caches and pools.
func growth(t *testing.T, n int, round func()) int64 {
	t.Helper()
	settle := func() int64 {
		for range n {
			round()
		}
		torchtest.Measure() // collects garbage
		torchbind.TrimMemory()
		return torchtest.ResidentBytes(t)
	}
	first := settle()
	return settle() - first
}

// soakRounds × leakBytes is what a leak of one small object a round would show; half of it is the bound.
const (
	soakRounds = 400
	leakBytes  = 32 << 10
	soakBound  = soakRounds * leakBytes / 2
)

// Everything a request does, good and bad, over and over: memory must stay where it is.
func TestMemoryStaysFlat(t *testing.T) {
	torchtest.NoLeaks(t)
	data, err := os.ReadFile(torchtest.File(t, "examples/flower.jpg"))
	must(t, err)
	onWorker(t, func() {
		m := loadTiny(t, torchbind.Options{})
		warm(t, m)
		dst, crop := image.NewNRGBA(image.Rect(0, 0, 640, 427)), make([]byte, 32*32*3)
		wrong, err := torchbind.NewFloat32([]int64{1, 1, 1, 1}, []float32{0})
		must(t, err)
		defer wrong.Close()
		grown := growth(t, soakRounds, func() {
			_, err := codec.DecodeJPEG(data, codec.JPEGOptions{}, dst)
			must(t, err)
			must(t, codec.ResizeRGB(dst, codec.Resize{Width: 43, Height: 32, Crop: image.Rect(5, 0, 37, 32), Filter: codec.Bilinear}, crop))
			_, err = codec.ResizeJPEG(data, codec.JPEGOptions{}, codec.Resize{Width: 43, Height: 32, Crop: image.Rect(5, 0, 37, 32), Filter: codec.Bilinear, Orientation: 3}, crop)
			must(t, err)
			run(t, m, 1)
			if _, err := codec.ResizeJPEG(data[:len(data)/2], codec.JPEGOptions{}, codec.Resize{Width: 32, Height: 32, Crop: image.Rect(0, 0, 32, 32), Filter: codec.Bilinear}, crop); !errors.Is(err, codec.CorruptImage) {
				t.Errorf("half a picture, resized: %v", err)
			}
			if _, err := codec.DecodeJPEG(data[:len(data)/2], codec.JPEGOptions{}, dst); !errors.Is(err, codec.CorruptImage) {
				t.Errorf("half a picture: %v", err)
			}
			if _, err := m.Run(wrong); !errors.Is(err, torchbind.ForwardFailed) {
				t.Errorf("a wrong input: %v", err)
			}
		})
		t.Logf("resident memory grew by %d KB over %d rounds (bound %d KB)", grown>>10, soakRounds, soakBound>>10)
		if grown > soakBound {
			t.Errorf("resident memory grew by %d bytes, more than %d", grown, soakBound)
		}
	})
}

// The negative control: a leak of one 32 KB tensor a round must break the bound.
func TestMemoryBoundSeesALeak(t *testing.T) {
	torchtest.NoLeaks(t)
	var leaked []*torchbind.Tensor
	data := make([]byte, leakBytes)
	for i := range data {
		data[i] = 1
	}
	grown := growth(t, soakRounds, func() {
		x, err := torchbind.NewTensor(torchbind.Uint8, []int64{leakBytes}, data)
		must(t, err)
		leaked = append(leaked, x)
	})
	for _, x := range leaked {
		x.Close()
	}
	if grown <= soakBound {
		t.Errorf("a leak of %d bytes a round showed as %d bytes in all: the bound would not see it", leakBytes, grown)
	}
}
