package engine

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vidi-vision/vidi/service/model"
	"github.com/vidi-vision/vidi/torchbind"
)

// alone is a model's second module, compiled for a picture that has the machine to itself. It is made in the background,
// since everything works without it.
type alone struct {
	module  atomic.Pointer[torchbind.Module] // nil until it is ready, and where it is not worth having
	stop    context.CancelFunc               // ends the measurement; nil if there is no second module to be
	loading sync.WaitGroup
	outcome AloneOutcome // these two are read after loading
	err     error        // why there is none
	pace    pace
}

// AloneOutcome is what became of the module for a picture that has the machine to itself.
type AloneOutcome struct {
	Used bool
	// Among and Alone are how long an inference takes on a worker, and with all threads; 0 where that was not measured, because the
	// config asked for it or the machine was never idle.
	Among, Alone time.Duration
}

// start makes the module from the one that the workers share, on the pool's worker that will run it.
func (a *alone) start(shared *torchbind.Module, pool *Pool, in model.Input) {
	ctx, stop := context.WithCancel(context.Background())
	a.stop = stop
	pool.compiling.Add(1)
	a.loading.Go(func() {
		defer pool.compiling.Add(-1)
		var second *torchbind.Module
		err := pool.alone.Do(ctx, func() (err error) {
			if second, err = shared.Fork(); err != nil {
				return err
			}
			_, err = warm(pool.alone, second, in)
			return err
		})
		if err == nil && pool.measuresAlone {
			a.outcome, err = pool.compare(ctx, shared, second, in)
		}
		switch {
		case ctx.Err() != nil:
			second.Close()
		case err != nil:
			second.Close()
			a.err = fmt.Errorf("the second module, for pictures that come alone: %w", err)
		case a.outcome.Alone*100 > a.outcome.Among*worthwhilePercent:
			second.Close()
			a.err = torchbind.ForgetFused() // it remembers the last network that was compiled
		default:
			a.outcome.Used = true
			a.pace.among = a.outcome.Among
			a.module.Store(second)
		}
		torchbind.TrimMemory()
	})
}

const (
	// comparisons are enough for a median that one disturbance does not move.
	comparisons = 5
	// worthwhilePercent is how long an inference with all threads may take at most, of one on a worker: for less gain the second
	// module is not worth its memory, nor keeping the other workers from pictures that may come.
	worthwhilePercent = 95
	// idlePatience is how long an idle machine is waited for.
	idlePatience = 10 * time.Second
)

// compare times an inference on a worker and one with all threads, one after the other while nothing else is inferred. More
// threads are not always faster: each layer has to wait for the slowest, and read what the other cores have just written. Between
// two comparisons pictures may come, and if they always do, nothing is found.
func (p *Pool) compare(ctx context.Context, shared, second *torchbind.Module, in model.Input) (found AloneOutcome, err error) {
	grey := bytes.Repeat([]byte{128}, in.Crop*in.Crop*3)
	var among, alone []time.Duration
	for begun := time.Now(); len(among) < comparisons; {
		if time.Since(begun) > idlePatience {
			return AloneOutcome{}, nil
		}
		worker, err := p.take(ctx)
		if err != nil {
			return AloneOutcome{}, err
		}
		rest, all := p.takeRest()
		if all {
			err = timed(&among, func() error { _, err := infer(ctx, worker, shared, grey, 1, in); return err })
			if err == nil {
				// Inside Do, so that another model which is being warmed there is not in the middle of it.
				err = p.alone.Do(ctx, func() error {
					return timed(&alone, func() error { _, err := infer(ctx, p.alone, second, grey, 1, in); return err })
				})
			}
		}
		p.give(append(rest, worker))
		if err != nil {
			return AloneOutcome{}, err
		}
		if !all {
			time.Sleep(idlePatience / 500)
		}
	}
	return AloneOutcome{Among: median(among), Alone: median(alone)}, nil
}

func timed(times *[]time.Duration, f func() error) error {
	begun := time.Now()
	err := f()
	*times = append(*times, time.Since(begun))
	return err
}

func median(times []time.Duration) time.Duration {
	slices.Sort(times)
	return times[len(times)/2]
}

func (a *alone) wait() (AloneOutcome, error) {
	a.loading.Wait()
	return a.outcome, a.err
}

func (a *alone) close() error {
	if a.stop != nil {
		a.stop()
	}
	a.loading.Wait()
	return a.module.Load().Close()
}
