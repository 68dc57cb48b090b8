package torchbind_test

import (
	"context"
	"errors"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

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

// A worker has a C thread run modules: the answers, the errors and what is left behind are those of Module.Run.
func TestWorkerRun(t *testing.T) {
	torchtest.NoLeaks(t)
	m := loadTiny(t, torchbind.Options{Engine: torchbind.EnginePlain})
	throws, err := torchbind.Load(torchtest.File(t, "build/fixtures/throws.pt"), torchbind.Options{})
	must(t, err)
	tuple, err := torchbind.Load(torchtest.File(t, "build/fixtures/tuple_output.pt"), torchbind.Options{})
	must(t, err)
	defer tuple.Close()
	var want []float32
	onWorker(t, func() { want = run(t, m, 1) })
	for _, threads := range []int{1, 2} {
		w := newWorker(t, threads)
		must(t, w.Do(context.Background(), func() error {
			x := inputFor(t, 1, torchbind.Float32)
			defer x.Close()
			for range 50 {
				y, err := w.Run(m, x)
				must(t, err)
				got, err := y.Float32s()
				must(t, err)
				y.Close()
				if d := distance(got, want); d > 1e-5 { // two threads may sum in another order
					t.Errorf("%d threads: the answer differs by %g", threads, d)
					return nil
				}
			}
			y, err := w.Warm(m, x)
			must(t, err)
			y.Close()
			_, err = w.Run(throws, x)
			wantCode(t, err, torchbind.ForwardFailed)
			_, err = w.Run(tuple, x)
			wantCode(t, err, torchbind.BadModel)
			return nil
		}))
		w.Close()
	}
	must(t, throws.Close())
	w := newWorker(t, 2)
	must(t, w.Do(context.Background(), func() error {
		x := inputFor(t, 1, torchbind.Float32)
		defer x.Close()
		if _, err := w.Run(throws, x); !errors.Is(err, torchbind.ErrClosed) {
			t.Errorf("a closed module: %v", err)
		}
		return nil
	}))
	w.Close()
	if _, err := w.Run(throws, nil); !errors.Is(err, torchbind.ErrClosed) {
		t.Errorf("a closed worker: %v", err)
	}
}

// During an inference the goroutine waits as for a socket: no thread of Go's is inside C, which its scheduler would look after. It need
// not be the worker's own goroutine, and several take turns.
func TestWorkerWaitsOutsideC(t *testing.T) {
	torchtest.NoLeaks(t)
	m := loadTiny(t, torchbind.Options{Engine: torchbind.EnginePlain})
	w := newWorker(t, 1)
	seen := make(chan struct{})
	var callers sync.WaitGroup
	for range 2 {
		callers.Go(func() {
			x := inputFor(t, 1, torchbind.Float32)
			defer x.Close()
			for {
				y, err := w.Run(m, x)
				must(t, err)
				y.Close()
				select {
				case <-seen:
					return
				default:
				}
			}
		})
	}
	torchtest.WantWaiting(t, `\(\*Worker\)\.RunUntil`)
	close(seen)
	callers.Wait()
}

// All threads of a worker have its priority, those that it has started already too.
func TestWorkerThreadsHaveItsPriority(t *testing.T) {
	torchtest.NoLeaks(t)
	m := loadTiny(t, torchbind.Options{Engine: torchbind.EnginePlain})
	w := newWorker(t, 3)
	x := inputFor(t, 1, torchbind.Float32)
	defer x.Close()
	for _, nice := range []int{7, 9} {
		must(t, w.SetNice(nice))
		y, err := w.Run(m, x)
		must(t, err)
		must(t, y.Close())
		if !hasThread(t, "tb-runner", nice) {
			t.Errorf("no thread that computes has the nice value %d", nice)
		}
	}
	for begun := time.Now(); hasThread(t, "tb-runner", 7); time.Sleep(time.Millisecond) { // OpenMP's end a moment later
		if time.Since(begun) > 10*time.Second {
			t.Fatal("threads of the old priority are left")
		}
	}
}

// Close waits for a Run that is under way, and one that comes later is told.
func TestWorkerClosesBehindARun(t *testing.T) {
	torchtest.NoLeaks(t)
	m := loadTiny(t, torchbind.Options{Engine: torchbind.EnginePlain})
	w := newWorker(t, 2)
	running := make(chan struct{})
	var caller sync.WaitGroup
	caller.Go(func() {
		x := inputFor(t, 1, torchbind.Float32)
		defer x.Close()
		for n := 0; ; n++ {
			y, err := w.Run(m, x)
			if err != nil {
				if n == 0 || !errors.Is(err, torchbind.ErrClosed) {
					t.Errorf("run %d: %v", n, err)
				}
				return
			}
			y.Close()
			if n == 0 {
				close(running)
			}
		}
	})
	<-running
	w.Close()
	caller.Wait()
}

// hasThread reports whether this process has a thread of that name and nice value.
func hasThread(t *testing.T, name string, nice int) bool {
	t.Helper()
	tasks, err := os.ReadDir("/proc/self/task")
	must(t, err)
	for _, task := range tasks {
		stat, err := os.ReadFile("/proc/self/task/" + task.Name() + "/stat")
		if err != nil {
			continue // it has ended
		}
		// The name is in brackets; nice is the 17th field after it (proc(5)).
		head, tail, _ := strings.Cut(string(stat), ") ")
		if strings.HasSuffix(head, "("+name) && strings.Fields(tail)[16] == strconv.Itoa(nice) {
			return true
		}
	}
	return false
}

// The threads of a worker's OpenMP pool end with the worker. Without that, each of these 20 would leave up to four behind.
func TestWorkerThreadsEndWithIt(t *testing.T) {
	torchtest.NoLeaks(t)
	m := loadTiny(t, torchbind.Options{Engine: torchbind.EnginePlain})
	x := inputFor(t, 1, torchbind.Float32)
	defer x.Close()
	for range 20 {
		w := newWorker(t, 4)
		must(t, w.Do(context.Background(), func() error {
			y, err := w.Run(m, x)
			must(t, err)
			return y.Close()
		}))
		w.Close()
	}
}
