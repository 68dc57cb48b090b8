package engine

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/vidi-vision/vidi/service/backend"
)

// alone is a model's second module, compiled for a picture that has the machine to itself. It is made in the background,
// since everything works without it.
type alone struct {
	network  atomic.Pointer[backend.Network] // nil until it is ready, and where it is not worth having
	stop     context.CancelFunc              // ends the measurement
	compiled chan struct{}                   // closed when it can be run; nil, as settled, if there is none to be
	settled  chan struct{}                   // closed when it is known what becomes of it
	outcome  AloneOutcome                    // these two are read after that
	err      error                           // why there is none
	pace     pace
}

// AloneOutcome is what became of the module for a picture that has the machine to itself.
type AloneOutcome struct {
	Used bool
	// Among and Alone are how long an inference takes on a worker, and with all threads: medians. They are 0
	// where that was not measured, because the config asked for it or the engine was closed first.
	Among, Alone time.Duration
	// Ratio is the median of Alone / Among over pairs of inferences that followed each other.
	Ratio float64
}

// loaded is the second network if it is ready.
func (a *alone) loaded() backend.Network {
	if n := a.network.Load(); n != nil {
		return *n
	}
	return nil
}

// startAlone makes the second network from the one that the workers share, on the worker that will run it.
func (e *Engine) startAlone() {
	ctx, stop := context.WithCancel(context.Background())
	a, pool := &e.alone, e.pool
	a.stop = stop
	a.compiled, a.settled = make(chan struct{}), make(chan struct{})
	pool.compiling.Add(1)
	go func() {
		defer close(a.settled)
		defer e.backend.Trim()
		var second backend.Network
		err := e.workers.alone.Do(ctx, func() (err error) {
			if second, err = e.network.Fork(); err != nil {
				return err
			}
			_, err = warm(e.workers.alone, second, e.card.Input)
			return err
		})
		pool.compiling.Add(-1)
		close(a.compiled)
		outcome := AloneOutcome{Used: true}
		if err == nil && pool.measuresAlone {
			outcome, err = judge(ctx, func() ([]pair, error) { return e.compare(ctx, second) })
		}
		switch {
		case ctx.Err() != nil: // the engine is being closed: nobody waits for the outcome
		case err != nil:
			a.err = fmt.Errorf("the second module, for pictures that come alone: %w", err)
		case outcome.Used:
			a.outcome = outcome
			a.pace.among = outcome.Among
			a.network.Store(&second)
			return
		default:
			a.outcome = outcome
		}
		if second != nil {
			a.err = cmp.Or(a.err, second.Close())
		}
	}()
}

const (
	// comparisons are the pairs of inferences in one look at the machine.
	comparisons = 5
	// worthwhilePercent is how long an inference with all threads may take at most, of one on a worker: for less gain the second
	// module is not worth its memory, nor keeping the other workers from pictures that may come.
	worthwhilePercent = 95
	// busyPause is how long a machine that is not idle is left alone: each look at it takes a worker from the pictures, for a moment.
	busyPause = 100 * time.Millisecond
)

// secondThoughts are the pauses before the modules are compared once more. On a virtual machine a neighbour
// may take a core, or the units that two hyperthreads share, for seconds: then either side of a comparison may
// take ten times as long as it needs. So a yes takes two looks, and a no, which holds for as long as the model
// is loaded, takes four; pace looks after a machine that gets busy later.
var secondThoughts = []time.Duration{time.Second, 2 * time.Second, 4 * time.Second}

// pair is an inference on a worker, and the one with all threads that followed it.
type pair struct{ among, alone time.Duration }

// outcomeOf decides by all pairs so far. The median of their ratios is not moved by what disturbs one look.
func outcomeOf(pairs []pair) AloneOutcome {
	among, alone, ratios := make([]time.Duration, len(pairs)), make([]time.Duration, len(pairs)), make([]float64, len(pairs))
	for i, p := range pairs {
		among[i], alone[i], ratios[i] = p.among, p.alone, p.alone.Seconds()/max(p.among, 1).Seconds()
	}
	found := AloneOutcome{Among: median(among), Alone: median(alone), Ratio: median(ratios)}
	found.Used = found.Ratio*100 <= worthwhilePercent
	return found
}

// judge decides whether a picture that is alone gets all threads. More of them are not always faster: each layer has to wait for the
// slowest, and read what the other cores have just written.
func judge(ctx context.Context, look func() ([]pair, error)) (AloneOutcome, error) {
	var pairs []pair
	for try := 0; ; try++ {
		more, err := look()
		if err != nil {
			return AloneOutcome{}, err
		}
		pairs = append(pairs, more...)
		found := outcomeOf(pairs)
		if found.Used && try > 0 || try == len(secondThoughts) {
			return found, nil
		}
		if err := pause(ctx, secondThoughts[try]); err != nil {
			return AloneOutcome{}, err
		}
	}
}

// compare times an inference on a worker and one with all threads, one after the other while nothing else is inferred. Between two
// comparisons pictures may come, and as long as they come all the time, it waits: nobody is alone then.
func (e *Engine) compare(ctx context.Context, second backend.Network) ([]pair, error) {
	p, in, alone := e.pool, e.card.Input, e.workers.alone
	grey := batch{rgb: bytes.Repeat([]byte{128}, in.Bytes()), count: 1, input: in}
	whole := context.WithoutCancel(ctx) // an inference goes to its end
	var pairs []pair
	for len(pairs) < comparisons {
		idle := false
		// Inside Do, because another model may be compiled there, and the workers are not to be held until that is done.
		err := alone.Do(ctx, func() error {
			if idle = p.turns.TakeFree(p.plan.Images); !idle {
				return nil
			}
			defer p.turns.GiveFree(p.plan.Images)
			var one pair
			_, err := e.withWorker(ctx, func(w backend.Worker) (_ <-chan struct{}, err error) {
				one.among, err = timed(func() error { _, _, err := infer(whole, w, e.network, grey); return err })
				return nil, err
			})
			if err != nil {
				return err
			}
			one.alone, err = timed(func() error { _, _, err := infer(whole, alone, second, grey); return err })
			pairs = append(pairs, one)
			return err
		})
		if err != nil {
			return nil, err
		}
		if !idle {
			if err := pause(ctx, busyPause); err != nil {
				return nil, err
			}
		}
	}
	return pairs, nil
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

func timed(f func() error) (time.Duration, error) {
	begun := time.Now()
	err := f()
	return time.Since(begun), err
}

// median is the upper one of an even number.
func median[T cmp.Ordered](values []T) T {
	slices.Sort(values)
	return values[len(values)/2]
}

// wait returns when it is settled, or when ctx ends.
func (a *alone) wait(ctx context.Context) (AloneOutcome, error) {
	if a.settled == nil {
		return AloneOutcome{}, nil
	}
	select {
	case <-a.settled:
		return a.outcome, a.err
	case <-ctx.Done():
		return AloneOutcome{}, ctx.Err()
	}
}

// waitCompiled returns when it can be run, or when ctx ends.
func (a *alone) waitCompiled(ctx context.Context) {
	if a.compiled == nil {
		return
	}
	select {
	case <-a.compiled:
	case <-ctx.Done():
	}
}

func (a *alone) close() error {
	if a.settled != nil {
		a.stop()
		<-a.settled
	}
	if second := a.loaded(); second != nil {
		return second.Close()
	}
	return nil
}
