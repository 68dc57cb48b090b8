package torchbind_test

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/vidi-vision/vidi/torchbind"
	"github.com/vidi-vision/vidi/torchbind/torchtest"
)

func newWorker(t *testing.T, threads int) *torchbind.Worker {
	t.Helper()
	w, err := torchbind.NewWorker(threads)
	must(t, err)
	t.Cleanup(func() { w.Close() })
	return w
}

func TestWorkerKeepsItsThread(t *testing.T) {
	torchtest.NoLeaks(t)
	w := newWorker(t, 1)
	ids := map[int]bool{}
	for range 100 {
		must(t, w.Do(context.Background(), func() error { ids[syscall.Gettid()] = true; return nil }))
		runtime.Gosched()
	}
	if len(ids) != 1 {
		t.Errorf("jobs ran on %d threads", len(ids))
	}
}

func TestWorkerReturnsErrorsAndPanics(t *testing.T) {
	torchtest.NoLeaks(t)
	w := newWorker(t, 1)
	mine := errors.New("mine")
	if err := w.Do(context.Background(), func() error { return mine }); err != mine {
		t.Errorf("got %v", err)
	}
	err := w.Do(context.Background(), func() error { panic("boom") })
	var p *torchbind.PanicError
	if !errors.As(err, &p) || p.Value != "boom" || !strings.Contains(string(p.Stack), "TestWorkerReturnsErrorsAndPanics") {
		t.Errorf("got %v", err)
	}
	if err := w.Do(context.Background(), func() error { return nil }); err != nil {
		t.Errorf("after a panic: %v", err)
	}
}

func TestWorkerContextCountsOnlyWhileWaiting(t *testing.T) {
	torchtest.NoLeaks(t)
	w := newWorker(t, 1)
	ctx, cancel := context.WithCancel(context.Background())
	started, finish := make(chan struct{}), make(chan struct{})
	var long sync.WaitGroup
	long.Go(func() {
		if err := w.Do(ctx, func() error { close(started); <-finish; return nil }); err != nil {
			t.Errorf("a job that had begun was given up: %v", err)
		}
	})
	<-started
	var waiting sync.WaitGroup
	waiting.Go(func() {
		if err := w.Do(ctx, func() error { t.Error("a cancelled job ran"); return nil }); !errors.Is(err, context.Canceled) {
			t.Errorf("a waiting job: %v", err)
		}
	})
	cancel()
	waiting.Wait()
	close(finish)
	long.Wait()
}

func TestWorkerClose(t *testing.T) {
	torchtest.NoLeaks(t)
	w := newWorker(t, 1)
	w.Close()
	w.Close()
	if err := w.Do(context.Background(), func() error { return nil }); !errors.Is(err, torchbind.ErrClosed) {
		t.Errorf("got %v", err)
	}
}

func TestWorkerThatLosesItsGoroutineSaysSo(t *testing.T) {
	torchtest.NoLeaks(t)
	w := newWorker(t, 1)
	if err := w.Do(context.Background(), func() error { runtime.Goexit(); return nil }); err == nil {
		t.Error("no error")
	}
	if err := w.Do(context.Background(), func() error { return nil }); !errors.Is(err, torchbind.ErrClosed) {
		t.Errorf("got %v", err)
	}
}

func TestWorkerRefusesBadThreadCounts(t *testing.T) {
	torchtest.NoLeaks(t)
	for _, n := range []int{0, -1, 1 << 40} {
		if w, err := torchbind.NewWorker(n); err == nil {
			w.Close()
			t.Errorf("%d threads were accepted", n)
		}
	}
}

// The threads of a worker's OpenMP pool end with the worker. Without that, each of these 20 would leave three behind.
func TestWorkerThreadsEndWithIt(t *testing.T) {
	torchtest.NoLeaks(t)
	m := loadTiny(t, torchbind.Options{Engine: torchbind.EnginePlain})
	for range 20 {
		w := newWorker(t, 4)
		must(t, w.Do(context.Background(), func() error { run(t, m, 1); return nil }))
		w.Close()
	}
}
