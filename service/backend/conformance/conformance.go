// Package conformance is the suite that every backend must pass.
package conformance

import (
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"
	"testing"
	"time"

	"github.com/vidi-vision/vidi/service/backend"
	"github.com/vidi-vision/vidi/service/machine"
	"github.com/vidi-vision/vidi/service/model"
)

// Case is what the suite needs to know of a backend.
type Case struct {
	Backend backend.Backend
	// File is a model of the backend's kind, with a card.
	File string
	// Slow is one that computes for ever on an image of nothing but [SlowPixel], unless it is
	// interrupted; "" if there is none.
	Slow string
	// Broken are files that must be refused with [backend.BadModel].
	Broken []string
	// Tolerance is by how much scores may differ between variants in fp32, and in bf16, as a share of
	// the largest score.
	Tolerance, ToleranceBF16 float64
}

// SlowPixel is what build/fixtures/misbehaves.pt loops on.
var SlowPixel = [3]byte{8, 0, 0}

// Run holds the backend to the contract of its interfaces.
func Run(t *testing.T, c Case) {
	t.Run("sniff", c.sniff)
	t.Run("variants agree", c.variantsAgree)
	t.Run("workers agree", c.workersAgree)
	t.Run("forks outlive", c.forksOutlive)
	t.Run("batches", c.batches)
	t.Run("cancellation", c.cancellation)
	t.Run("close while running", c.closeWhileRunning)
	t.Run("wrong files", c.wrongFiles)
	t.Run("after close", c.afterClose)
	t.Run("memory", c.memory)
}

func (c Case) inspect(t *testing.T, path string) *model.File {
	t.Helper()
	file, err := model.Inspect(path)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// images are count different crops for the file's card.
func images(in model.Input, count int) backend.Input {
	rgb := make([]byte, count*in.Bytes())
	for i := range rgb {
		rgb[i] = byte(i*7 + i*i/97 + i/in.Bytes()*31)
	}
	return backend.Input{RGB: rgb, Count: count, Model: in}
}

// opened is the case's network, warm, on a worker of that many threads; both are closed at the end.
func (c Case) opened(t *testing.T, path string, o backend.Options, threads int) (
	backend.Network, backend.Worker, model.Input,
) {
	t.Helper()
	file := c.inspect(t, path)
	in := file.CardOrBare(1).Input
	w, err := c.Backend.NewWorker(threads, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	var n backend.Network
	err = w.Do(t.Context(), func() (err error) {
		n, err = c.Backend.Load(w, file, o)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	err = w.Do(t.Context(), func() error {
		_, err := n.Warm(w, images(in, 1))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n, w, in
}

// reference are the options of the variant that changes nothing.
func (c Case) reference(t *testing.T) backend.Options {
	t.Helper()
	variants, err := c.Backend.Variants()
	if err != nil || len(variants) == 0 {
		t.Fatalf("variants %v, %v", variants, err)
	}
	return backend.Options{Variant: variants[len(variants)-1], Precision: backend.FP32}
}

func run(t *testing.T, n backend.Network, w backend.Worker, in backend.Input) []float32 {
	t.Helper()
	outputs, left, err := n.Run(t.Context(), w, in)
	if err != nil || left != nil {
		t.Fatalf("error %v, something left: %v", err, left != nil)
	}
	ports := n.Outputs()
	if len(outputs) != len(ports) {
		t.Fatalf("%d outputs, %d were announced", len(outputs), len(ports))
	}
	for i, o := range outputs {
		if o.Name != ports[i].Name || o.Kind != ports[i].Kind {
			t.Errorf("output %d is %q (%s), %q (%s) was announced", i, o.Name, o.Kind, ports[i].Name, ports[i].Kind)
		}
	}
	return outputs[0].Values
}

// far is the largest difference, as a share of the largest value.
func far(a, b []float32) float64 {
	if len(a) != len(b) {
		return math.Inf(1)
	}
	worst, largest := 0.0, 1e-9
	for i := range a {
		worst = max(worst, math.Abs(float64(a[i]-b[i])))
		largest = max(largest, math.Abs(float64(a[i])))
	}
	return worst / largest
}

func (c Case) sniff(t *testing.T) {
	file := c.inspect(t, c.File)
	if b, err := backend.Pick([]backend.Backend{c.Backend}, file); err != nil || b.Name() != c.Backend.Name() {
		t.Errorf("%v, %v", b, err)
	}
}

func (c Case) variantsAgree(t *testing.T) {
	variants, err := c.Backend.Variants()
	if err != nil {
		t.Fatal(err)
	}
	n, w, in := c.opened(t, c.File, c.reference(t), 1)
	want := run(t, n, w, images(in, 1))
	auto, err := c.Backend.Auto()
	if err != nil {
		t.Fatal(err)
	}
	precisions := map[backend.Precision]float64{backend.FP32: c.Tolerance}
	if auto == backend.BF16 {
		precisions[auto] = c.ToleranceBF16
	}
	for precision, tolerance := range precisions {
		for _, v := range variants {
			n, w, in := c.opened(t, c.File, backend.Options{Variant: v, Precision: precision}, 1)
			if off := far(want, run(t, n, w, images(in, 1))); off > tolerance {
				t.Errorf("%s in %s is off by %g, more than %g", v, precision, off, tolerance)
			}
		}
	}
}

// One warm network serves several workers at once, and gives each the same.
func (c Case) workersAgree(t *testing.T) {
	n, w, in := c.opened(t, c.File, c.reference(t), 1)
	want := run(t, n, w, images(in, 1))
	var clients sync.WaitGroup
	for range 3 {
		w, err := c.Backend.NewWorker(1, 5)
		if err != nil {
			t.Fatal(err)
		}
		clients.Go(func() {
			defer w.Close()
			for range 5 {
				outputs, _, err := n.Run(t.Context(), w, images(in, 1))
				if err != nil || far(want, outputs[0].Values) != 0 {
					t.Errorf("another worker: %v, %v", outputs, err)
					return
				}
			}
		})
	}
	clients.Wait()
}

// A fork runs with another number of threads, and when the first one is closed.
func (c Case) forksOutlive(t *testing.T) {
	n, w, in := c.opened(t, c.File, c.reference(t), 1)
	want := run(t, n, w, images(in, 1))
	n.SetLimits(backend.Limits{Time: time.Minute})
	fork, err := n.Fork()
	if err != nil {
		t.Fatal(err)
	}
	defer fork.Close()
	if fork.Limits().Time != time.Minute {
		t.Error("a fork has other limits")
	}
	two, err := c.Backend.NewWorker(2, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer two.Close()
	err = two.Do(t.Context(), func() error {
		_, err := fork.Warm(two, images(in, 1))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	if off := far(want, run(t, fork, two, images(in, 1))); off > c.Tolerance {
		t.Errorf("a fork is off by %g", off)
	}
}

// Several images in one run give what they give one by one.
func (c Case) batches(t *testing.T) {
	n, w, in := c.opened(t, c.File, c.reference(t), 1)
	both := run(t, n, w, images(in, 2))
	for i := range 2 {
		one := images(in, 2)
		one.RGB, one.Count = one.RGB[i*in.Bytes():(i+1)*in.Bytes()], 1
		scores := run(t, n, w, one)
		if off := far(scores, both[i*len(scores):(i+1)*len(scores)]); off > c.Tolerance {
			t.Errorf("image %d is off by %g", i, off)
		}
	}
}

func (c Case) cancellation(t *testing.T) {
	n, w, in := c.opened(t, c.File, c.reference(t), 1)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, left, err := n.Run(ended, w, images(in, 1)); !errors.Is(err, context.Canceled) || left != nil {
		t.Errorf("before it began: %v, something left: %v", err, left != nil)
	}
	if c.Slow == "" {
		return
	}
	n, w, in = c.opened(t, c.Slow, c.reference(t), 1)
	short, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	begun := time.Now()
	slow := images(in, 1)
	for i := range slow.RGB {
		slow.RGB[i] = SlowPixel[i%3]
	}
	_, left, err := n.Run(short, w, slow)
	if late := time.Since(begun); late > 900*time.Millisecond {
		t.Errorf("it returned after %v", late)
	}
	if !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, backend.TooSlow) {
		t.Errorf("it returned %v", err)
	}
	if left != nil {
		<-left
	}
	run(t, n, w, images(in, 1)) // the worker and the network can be used again
}

// Close waits for the run under way.
func (c Case) closeWhileRunning(t *testing.T) {
	n, w, in := c.opened(t, c.File, c.reference(t), 1)
	var running sync.WaitGroup
	running.Go(func() {
		for {
			_, _, err := n.Run(t.Context(), w, images(in, 1))
			if errors.Is(err, backend.ErrClosed) {
				return
			}
			if err != nil {
				t.Errorf("while it is closed: %v", err)
				return
			}
		}
	})
	time.Sleep(20 * time.Millisecond)
	if err := n.Close(); err != nil {
		t.Error(err)
	}
	running.Wait()
}

func (c Case) wrongFiles(t *testing.T) {
	w, err := c.Backend.NewWorker(1, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	load := func(file *model.File) error {
		return w.Do(t.Context(), func() error {
			n, err := c.Backend.Load(w, file, c.reference(t))
			if err == nil {
				n.Close()
			}
			return err
		})
	}
	content, err := os.ReadFile(c.File)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "model.pt")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	file := c.inspect(t, path)
	if err := os.Rename(path, path+".old"); err != nil {
		t.Fatal(err)
	}
	if err := load(file); err == nil {
		t.Error("a file that is gone was loaded")
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := load(file); err == nil {
		t.Error("another file than the one that was looked at was loaded")
	}
	for _, broken := range c.Broken {
		if err := load(c.inspect(t, broken)); !errors.Is(err, backend.BadModel) {
			t.Errorf("%s: %v", filepath.Base(broken), err)
		}
	}
}

func (c Case) afterClose(t *testing.T) {
	n, w, in := c.opened(t, c.File, c.reference(t), 1)
	if err := errors.Join(n.Close(), n.Close()); err != nil {
		t.Error(err)
	}
	if _, _, err := n.Run(t.Context(), w, images(in, 1)); !errors.Is(err, backend.ErrClosed) {
		t.Errorf("a closed network: %v", err)
	}
	if _, err := n.Fork(); !errors.Is(err, backend.ErrClosed) {
		t.Errorf("a fork of a closed network: %v", err)
	}
	n, w, in = c.opened(t, c.File, c.reference(t), 1)
	if err := errors.Join(w.Close(), w.Close()); err != nil {
		t.Error(err)
	}
	if _, _, err := n.Run(t.Context(), w, images(in, 1)); !errors.Is(err, backend.ErrClosed) {
		t.Errorf("a closed worker: %v", err)
	}
	if err := w.Do(t.Context(), func() error { return nil }); !errors.Is(err, backend.ErrClosed) {
		t.Errorf("a job of a closed worker: %v", err)
	}
}

// resident is the process's anonymous memory in bytes, after a collection.
func resident(t *testing.T) int64 {
	t.Helper()
	debug.FreeOSMemory()
	bytes := machine.ProcessBytes("RssAnon")
	if bytes == 0 {
		t.Fatal("the kernel does not tell RssAnon")
	}
	return bytes
}

// A network that is closed leaves nothing: the process stays as large, however often it is loaded.
func (c Case) memory(t *testing.T) {
	const (
		loads = 20
		bound = 32 << 20 // heaps keep some pages; each load of the smallest network takes megabytes
	)
	cycle := func() {
		n, w, in := c.opened(t, c.File, c.reference(t), 1)
		run(t, n, w, images(in, 1))
		n.Close()
		w.Close()
		c.Backend.Trim()
	}
	for range 5 {
		cycle()
	}
	before := resident(t)
	for range loads {
		cycle()
	}
	if grown := resident(t) - before; grown > bound {
		t.Errorf("%d loads left %d bytes", loads, grown)
	}
}
