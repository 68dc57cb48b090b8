// Package engine runs a model: it loads the file, checks that its output fits its card, warms it, and spreads pictures over
// a fixed set of workers. It is the only package of the service that touches torchbind's Module.
package engine

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/vidi-vision/vidi/service/model"
	"github.com/vidi-vision/vidi/torchbind"
)

// Config says how a model is run. The zeros mean: one worker of one thread per core, and all cores for a picture that has the
// machine to itself.
type Config struct {
	Precision Precision
	Workers   int // pictures worked on at the same time
	Threads   int // of each worker; 0 shares the cores out among the workers
	// Alone is the threads for a picture that has the machine to itself. More than Threads means a second compiled module, which
	// is made after Load has returned and costs some megabytes; 1 does without.
	Alone int
}

// Engine is a loaded, warm model with its workers. All methods but Close are safe for concurrent use.
type Engine struct {
	card      model.Card
	precision torchbind.Precision
	plan      Plan
	module    *torchbind.Module
	workers   []*torchbind.Worker
	// free holds the workers that nobody uses. Who takes one out works on a picture; who takes all out has the machine.
	free    chan *torchbind.Worker
	alone   alone
	waiting atomic.Int64 // turns that are waited for
}

// Load reads the TorchScript file at path and makes it ready: when Load returns, the first picture is as fast as any that
// comes together with others. An error says what is wrong with the file in words for its owner.
func Load(ctx context.Context, path string, cfg Config) (*Engine, error) {
	file, err := model.Inspect(path)
	if err != nil {
		return nil, err
	}
	quantised := file.Card != nil && file.Card.Precision == "int8"
	e := &Engine{plan: cfg.plan()}
	if err := e.start(ctx, func() error { return e.load(path, cfg.Precision, quantised) }); err != nil {
		return nil, err
	}
	return e, nil
}

// Fork is a second engine over the same weights, with a plan of its own; the precision stays. Both must be closed, in any order.
func (e *Engine) Fork(ctx context.Context, cfg Config) (*Engine, error) {
	fork := &Engine{plan: cfg.plan(), card: e.card, precision: e.precision}
	err := fork.start(ctx, func() (err error) {
		if fork.module, err = e.module.Fork(); err != nil {
			return err
		}
		_, err = warm(fork.module, fork.card.Input)
		return err
	})
	if err != nil {
		return nil, err
	}
	return fork, nil
}

// start makes the workers, has one of them make the module, and puts them to work. On an error nothing is left.
func (e *Engine) start(ctx context.Context, makeModule func() error) (err error) {
	defer func() {
		if err != nil {
			e.Close()
		}
	}()
	e.free = make(chan *torchbind.Worker, e.plan.Workers)
	for range e.plan.Workers {
		worker, err := torchbind.NewWorker(e.plan.Threads)
		if err != nil {
			return err
		}
		e.workers = append(e.workers, worker)
	}
	// One worker makes and warms it alone: the shared module still changes while it is being compiled.
	if err := e.workers[0].Do(ctx, makeModule); err != nil {
		return err
	}
	torchbind.TrimMemory()
	debug.FreeOSMemory() // the card's JSON, mostly
	for _, worker := range e.workers {
		e.free <- worker
	}
	if e.plan.TwoModules() {
		e.alone.start(e.module, e.plan.Alone, e.card.Input)
	}
	return nil
}

// load runs on a worker's thread.
func (e *Engine) load(path string, wanted Precision, quantised bool) error {
	info, err := torchbind.Runtime()
	if err != nil {
		return err
	}
	e.precision = wanted.resolve(info, quantised)
	e.module, err = torchbind.Load(path, torchbind.Options{Precision: e.precision, ExtraFile: model.CardFile})
	if err != nil {
		return err
	}
	if card := e.module.Extra(); len(card) > 0 {
		if e.card, err = model.ParseCard(card); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	} else {
		e.card = model.BareCard(model.NameOfFile(path), 1)
	}
	if err := wanted.check(e.card); err != nil {
		return err
	}
	output, err := warm(e.module, e.card.Input)
	if err != nil {
		return fmt.Errorf("%s cannot classify a picture of %d × %d pixels: %w", path, e.card.Input.Crop, e.card.Input.Crop, err)
	}
	if e.card.Assumed {
		e.card = model.BareCard(e.card.Name, len(output))
	} else if len(output) != len(e.card.Labels) {
		return fmt.Errorf("%s: the network has %d outputs, but the card names %d labels", path, len(output), len(e.card.Labels))
	}
	if _, err := model.Probabilities(e.card.Activation, output); err != nil {
		return fmt.Errorf("%s: %w, even for a plain grey picture", path, err)
	}
	return nil
}

// Turn is the right to work on one picture, with one of the engine's workers: it is meant to be held from before decoding to
// the answer, so that never more pictures are in work than the cores can carry. One goroutine uses it, and must End it.
type Turn struct {
	// Waited is how long the turn was waited for.
	Waited time.Duration
	engine *Engine
	worker *torchbind.Worker
}

// Begin waits for a free worker, first come, first served, until ctx ends.
func (e *Engine) Begin(ctx context.Context) (*Turn, error) {
	start := time.Now()
	e.waiting.Add(1)
	defer e.waiting.Add(-1)
	select {
	case worker := <-e.free:
		if err := ctx.Err(); err != nil { // both had come: no work for the dead
			e.free <- worker
			return nil, err
		}
		return &Turn{Waited: time.Since(start), engine: e, worker: worker}, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Infer computes the network's raw output for one picture of Crop × Crop × 3 bytes of RGB, with all cores if no other turn is
// being held. ctx counts until the computation begins.
func (t *Turn) Infer(ctx context.Context, rgb []byte) ([]float32, error) {
	e := t.engine
	if second := e.alone.lane.Load(); second != nil {
		// Who has every worker has the machine: nobody else computes, or begins to. A picture that comes meanwhile waits for
		// this one inference, so the cores are never given out twice.
		if rest, all := e.takeRest(); all {
			defer e.give(rest)
			return second.infer(ctx, rgb, e.card.Input)
		}
	}
	return infer(ctx, t.worker, e.module, rgb, 1, e.card.Input)
}

// End gives the worker to the next picture.
func (t *Turn) End() { t.engine.free <- t.worker }

// Infer is Begin, Infer and End for a picture that is ready.
func (e *Engine) Infer(ctx context.Context, rgb []byte) ([]float32, error) {
	turn, err := e.Begin(ctx)
	if err != nil {
		return nil, err
	}
	defer turn.End()
	return turn.Infer(ctx, rgb)
}

// InferBatch computes count pictures, one after the other in rgb, in one forward pass on one worker. The module is compiled
// anew for each count, in the first four calls with it, and keeps what was compiled: use few counts. It is there for measuring;
// the service infers pictures one by one, because batching gains less than waiting for a batch costs (docs/architecture.md).
func (e *Engine) InferBatch(ctx context.Context, rgb []byte, count int) ([]float32, error) {
	turn, err := e.Begin(ctx)
	if err != nil {
		return nil, err
	}
	defer turn.End()
	return infer(ctx, turn.worker, e.module, rgb, count, e.card.Input)
}

// takeRest takes all the other workers, or none if one of them is in use.
func (e *Engine) takeRest() (rest []*torchbind.Worker, all bool) {
	for range e.plan.Workers - 1 {
		select {
		case worker := <-e.free:
			rest = append(rest, worker)
		default:
			e.give(rest) // at once: pictures that wait need them, not only after the caller's inference
			return nil, false
		}
	}
	return rest, true
}

func (e *Engine) give(workers []*torchbind.Worker) {
	for _, worker := range workers {
		e.free <- worker
	}
}

// WaitAlone returns when the module for a picture that is alone is ready too, and with an error if it could not be loaded;
// everything then goes on without it. It returns at once if the plan has none.
func (e *Engine) WaitAlone() error { return e.alone.wait() }

// BF16Gain is how many times as fast this CPU computes convolutions in bf16 as in fp32, measured now on one thread; it takes a
// tenth of a second and one turn.
func (e *Engine) BF16Gain(ctx context.Context) (float64, error) {
	turn, err := e.Begin(ctx)
	if err != nil {
		return 0, err
	}
	defer turn.End()
	var times [2]time.Duration
	err = turn.worker.Do(ctx, func() (err error) {
		for i, p := range []torchbind.Precision{torchbind.FP32, torchbind.BF16} {
			if times[i], err = torchbind.TimeConvolution(p); err != nil {
				return err
			}
		}
		return nil
	})
	return times[0].Seconds() / times[1].Seconds(), err
}

// Use is how busy the engine is: workers that are taken, and turns that are waited for.
type Use struct{ Busy, Waiting int }

// Use is a snapshot of how busy the engine is.
func (e *Engine) Use() Use {
	return Use{Busy: e.plan.Workers - len(e.free), Waiting: int(e.waiting.Load())}
}

// Card is the model's card, or the one assumed for it.
func (e *Engine) Card() model.Card { return e.card }

// Plan is how the engine uses the cores.
func (e *Engine) Plan() Plan { return e.plan }

// Precision is what the model computes in, after auto was resolved.
func (e *Engine) Precision() torchbind.Precision { return e.precision }

// Close waits for inferences under way and frees the model. Begin must not be called afterwards.
func (e *Engine) Close() error {
	for _, worker := range e.workers {
		worker.Close()
	}
	return errors.Join(e.alone.close(), e.module.Close())
}
