package torchbind

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
	"sync"
	"syscall"
)

// Worker is a goroutine that owns one OS thread for life, where its jobs run. libtorch keeps a pool of OpenMP threads for every OS
// thread it was ever called from; with a fixed set of workers the number of threads is fixed too.
//
// Do and Close are safe for concurrent use; a Worker does one job at a time.
type Worker struct {
	threads int
	tid     int // of the worker's OS thread
	jobs    chan func()
	stop    chan struct{}
	done    chan struct{}
	once    sync.Once
	runner  *runner // belongs to the worker's goroutine; nil until it is needed
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
		defer func() { w.runner.close() }()
		w.tid = syscall.Gettid()
		err := setThreadCount(threads) // refuses bad counts
		if err == nil {
			err = setThreadCount(1)
		}
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

// Run is [Module.Run] on the worker's threads; only the worker's own jobs may call it, inside [Worker.Do]. They are not the one that the
// job runs on but a C thread and its pool, which get that one's priority at the first call: Go's scheduler, which would look after a
// thread inside C again and again, has nothing to do until the output is there.
func (w *Worker) Run(m *Module, input *Tensor) (*Tensor, error) {
	select {
	case <-w.done:
		return nil, ErrClosed
	default:
	}
	if syscall.Gettid() != w.tid {
		return nil, &Error{Op: "run", Code: InvalidArgument, Message: "this is not the worker's thread: call Worker.Run inside Do of the same worker"}
	}
	if w.runner == nil {
		var err error
		if w.runner, err = newRunner(w.threads); err != nil {
			return nil, err
		}
	}
	return m.run(input, w.runner.forward)
}

// Warm is [Module.Warm] on the worker's threads; call it inside [Worker.Do].
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
