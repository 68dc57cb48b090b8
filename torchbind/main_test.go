package torchbind_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"

	"github.com/vidi-vision/vidi/torchbind"
	"github.com/vidi-vision/vidi/torchbind/torchtest"
)

// In tests, an object that was never closed is a bug of the test or of the binding.
func TestMain(m *testing.M) {
	torchbind.OnLeak = func(kind string) { panic("a " + kind + " was garbage-collected without Close") }
	if after := os.Getenv(idiomAfter); after != "" {
		os.Exit(idiomChild(after))
	}
	os.Exit(m.Run())
}

// onWorker runs f on a worker with one thread, as programs are told to run libtorch.
func onWorker(t testing.TB, f func()) {
	t.Helper()
	w, err := torchbind.NewWorker(1)
	must(t, err)
	defer w.Close()
	must(t, w.Do(context.Background(), func() error { f(); return nil }))
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		panic(fmt.Sprintf("%s: %v", t.Name(), err)) // not t.Fatal: this may be a worker's goroutine
	}
}

func wantCode(t testing.TB, err error, code torchbind.Code) {
	t.Helper()
	if !errors.Is(err, code) {
		t.Errorf("error is %v, want one with code %v", err, code)
	}
}

func loadTiny(t testing.TB, o torchbind.Options) *torchbind.Module {
	t.Helper()
	m, err := torchbind.Load(torchtest.File(t, "build/fixtures/tiny.pt"), o)
	must(t, err)
	t.Cleanup(func() { m.Close() })
	return m
}

// inputFor is a 1 × 3 × 32 × 32 input whose values depend on seed.
func inputFor(t testing.TB, seed int, dtype torchbind.DType) *torchbind.Tensor {
	t.Helper()
	rgb := make([]byte, 32*32*3)
	for i := range rgb {
		rgb[i] = byte(i*31 + seed*97 + i*i/7)
	}
	x, err := torchbind.NewInput(rgb, 1, 32, 32, [3]float32{0.5, 0.5, 0.5}, [3]float32{0.25, 0.25, 0.25}, dtype)
	must(t, err)
	return x
}
