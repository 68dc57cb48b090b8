package torchbind

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
	"sync"
	"syscall"
	"time"

	"github.com/vidi-vision/vidi/cgo/cthread"
)

// Worker is a goroutine that owns one OS thread for life, where its jobs run ([Worker.Do]), and a C thread that runs modules
// ([Worker.Run]). libtorch keeps a pool of OpenMP threads for every OS thread it was ever called from; with a fixed set of workers the
// number of threads is fixed too.
//
// All methods are safe for concurrent use; a Worker does one job and one run at a time.
type Worker struct {
	threads int
	jobs    chan func()
	stop    chan struct{}
	done    chan struct{}
	once    sync.Once
	running sync.Mutex      // guards runner, of which nobody may ask two things at a time
	runner  *cthread.Thread // nil when the worker has ended
}

// PanicError is what [Worker.Do] returns when the job panicked; the worker goes on.
type PanicError struct {
	Value any
	Stack []byte // of the worker's goroutine
}

// Error says what was panicked with, without the stack.
func (e *PanicError) Error() string { return fmt.Sprintf("torchbind: a job panicked: %v", e.Value) }

// NewWorker starts a worker whose [Worker.Run] computes on the given number of threads (≥ 1). Whatever else its jobs do, they do on
// one: a second pool of threads would be too many for the cores, and OpenMP then lets the threads of all pools sleep between layers.
func NewWorker(threads int) (*Worker, error) {
	if err := Open(); err != nil {
		return nil, err
	}
	w := &Worker{threads: threads, jobs: make(chan func()), stop: make(chan struct{}), done: make(chan struct{})}
	started := make(chan error)
	go func() {
		// Never unlocked: when this goroutine ends, its thread ends with it, and libtorch's pool of that thread too.
		runtime.LockOSThread()
		defer close(w.done)
		defer w.replaceRunner(nil)
		err := w.begin()
		started <- err
		if err != nil {
			return
		}
		for {
			select {
			case job := <-w.jobs:
				job()
			case <-w.stop:
				return
			}
		}
	}()
	if err := <-started; err != nil {
		<-w.done
		return nil, err
	}
	return w, nil
}

// begin prepares the worker's thread, on which it runs, and starts the others.
func (w *Worker) begin() error {
	if err := setThreadCount(w.threads); err != nil { // refuses bad counts
		return err
	}
	if err := setThreadCount(1); err != nil {
		return err
	}
	return w.startRunner()
}

// replaceRunner ends the runner, which may be nil, after a Run that is under way; next may be nil too.
func (w *Worker) replaceRunner(next *cthread.Thread) {
	w.running.Lock()
	defer w.running.Unlock()
	w.runner.Close()
	w.runner = next
}

// SetNice lowers the priority of the worker's threads: nice is Linux's value, from 0 to 19. Those that run modules are started anew. It
// must not be called inside [Worker.Do].
func (w *Worker) SetNice(nice int) error {
	return w.Do(context.Background(), func() error {
		// In Linux a priority is each thread's own, 0 is the thread that asks, and those that it starts inherit it.
		if err := syscall.Setpriority(syscall.PRIO_PROCESS, 0, nice); err != nil {
			return fmt.Errorf("torchbind: cannot lower the priority of inference: %w", err)
		}
		return w.startRunner()
	})
}

// startRunner has a new runner take the place of the one that there may be, with the priority of this thread, which is the worker's.
func (w *Worker) startRunner() error {
	next, err := cthread.New("tb-runner")
	if err != nil {
		return &Error{Package: shim.Package, Op: "start a thread", Code: Unavailable, Message: err.Error()}
	}
	if err := setThreadCountOf(next, w.threads); err != nil {
		next.Close()
		return err
	}
	w.replaceRunner(next)
	return nil
}

// Do runs job on the worker's thread and returns its error. ctx counts only while the job waits for its turn: once begun it
// runs to its end. Errors of its own: ctx.Err(), [ErrClosed], [*PanicError].
func (w *Worker) Do(ctx context.Context, job func() error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	result := make(chan error, 1)
	run := func() {
		returned := false
		defer func() {
			if !returned {
				result <- &PanicError{Value: recover(), Stack: debug.Stack()}
			}
		}()
		err := job()
		returned = true
		result <- err
	}
	select {
	case w.jobs <- run:
		return <-result
	case <-w.stop:
		return ErrClosed
	case <-w.done: // a job ended its goroutine (runtime.Goexit) and the worker with it
		return ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Run is [Module.Run] on the worker's threads, from any goroutine; it waits while another Run is under way. These threads are not the
// one of [Worker.Do] but a C thread and its pool: Go's scheduler, which would look after a thread inside C again and again, has nothing to
// do until the output is there. A goroutine that calls Run itself, and not inside Do, saves two changes of thread.
func (w *Worker) Run(m *Module, input *Tensor) (*Tensor, error) {
	output, _, err := w.RunUntil(context.Background(), m, input)
	return output, err
}

// RunUntil is Run that gives up when ctx ends, with ctx's error. ctx's deadline is then one of the run's limits ([Limits]): loops in the
// network end at it too. What goes on all the same has left, and left is closed at its end: until then it keeps the worker, the module and the
// input, which must not be closed. left is nil where nothing goes on.
func (w *Worker) RunUntil(ctx context.Context, m *Module, input *Tensor) (output *Tensor, left <-chan struct{}, err error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	w.running.Lock()
	m.mu.RLock()
	free := func() {
		m.mu.RUnlock()
		w.running.Unlock()
	}
	if w.runner == nil || m.ptr == nil || input == nil || input.ptr == nil {
		free()
		return nil, nil, ErrClosed
	}
	limits := m.Limits()
	if deadline, ok := ctx.Deadline(); ok && (limits.Time == 0 || time.Until(deadline) < limits.Time) {
		limits.Time = max(time.Until(deadline), time.Millisecond)
	}
	finish := forwardOn(w.runner, m.ptr, input.ptr, limits)
	if ctx.Done() == nil {
		w.runner.Wait()
	} else if !w.runner.WaitUntil(ctx) {
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			defer free()
			w.runner.Wait()
			late, _ := finish() // nobody wants to know
			runtime.KeepAlive(input)
			tensorFree(late)
		}()
		return nil, ended, ctx.Err()
	}
	defer free()
	ptr, err := finish()
	runtime.KeepAlive(input)
	if err != nil {
		return nil, nil, err
	}
	output, err = ownTensor(ptr)
	return output, nil, err
}

// Warm is [Module.Warm] on the worker's threads.
func (w *Worker) Warm(m *Module, input *Tensor) (*Tensor, error) {
	return warm(func() (*Tensor, error) { return w.Run(m, input) })
}

// Close lets the job under way finish, refuses waiting ones, and returns when the worker's thread has ended. Further calls
// do nothing.
func (w *Worker) Close() error {
	w.once.Do(func() { close(w.stop) })
	<-w.done
	return nil
}
