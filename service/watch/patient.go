package watch

import (
	"context"
	"errors"
	"time"
)

// patience is how long one look at a file or folder may take. Local disks need milliseconds, and network file systems that answer at
// all do so within a second or two.
const patience = 5 * time.Second

// ErrHangs is what a look fails with that took too long, as on a network file system whose server is gone.
var ErrHangs = errors.New("its file system does not answer (tried for " + patience.String() + ")")

// Patient does one thing at a time that may hang. Nothing can end a system call on a file system that does not answer, so what hangs
// is left behind, on one goroutine however often it is tried again. The zero value is ready to use, by one goroutine.
type Patient[T any] struct{ running chan done[T] }

type done[T any] struct {
	value T
	err   error
}

// Do is f's result, or [ErrHangs] where there is none in time, or ctx's error. While an earlier f hangs, that one is waited for, and
// its late result counts: a new one would hang as well.
func (p *Patient[T]) Do(ctx context.Context, f func() (T, error)) (T, error) {
	if p.running == nil {
		p.running = make(chan done[T], 1)
		go func(result chan<- done[T]) {
			value, err := f()
			result <- done[T]{value, err}
		}(p.running)
	}
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	var none T
	select {
	case d := <-p.running:
		p.running = nil
		return d.value, d.err
	case <-timeout.C:
		return none, ErrHangs
	case <-ctx.Done():
		return none, ctx.Err()
	}
}
