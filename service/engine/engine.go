// Package engine runs models: it loads a file, checks that its output fits its card, warms it, and
// spreads images over a fixed set of workers, the Pool, which several models can share. It knows
// libraries by the interfaces of package backend only.
package engine

import (
	"context"
	"errors"
	"runtime/debug"
	"time"

	"github.com/vidi-vision/vidi/service/admission"
	"github.com/vidi-vision/vidi/service/backend"
	"github.com/vidi-vision/vidi/service/model"
)

// Engine is a loaded, warm model on a [Pool]. All methods but Close are safe for concurrent use.
type Engine struct {
	pool      *Pool
	ownPool   bool // nobody else uses it: it is closed with the engine
	backend   backend.Backend
	workers   *workers // of the backend, on the pool
	card      model.Card
	precision backend.Precision
	prepared  model.Engine // how the library runs the network
	failures  []model.EngineTime
	unlisted  []string // operators that are trusted, and not on the list
	network   backend.Network
	alone     alone
}

// Fork is a second engine over the same weights, with workers and a plan of its own; the precision stays. Both must be closed, in
// any order.
func (e *Engine) Fork(ctx context.Context, cfg Config) (*Engine, error) {
	return onOwnPool(cfg, func(p *Pool) (*Engine, error) {
		fork := &Engine{pool: p, backend: e.backend, card: e.card, precision: e.precision, prepared: e.prepared}
		err := fork.start(ctx, loadTime(0), func(w backend.Worker) (err error) {
			if fork.network, err = e.network.Fork(); err != nil {
				return err
			}
			_, err = warm(w, fork.network, fork.card.Input)
			return err
		})
		return fork, err
	})
}

// On is the same model on the workers of another pool, which must have as many threads each; a picture that is alone gets no more of
// them. It has nothing of its own: close e instead, after the last inference.
func (e *Engine) On(p *Pool) (*Engine, error) {
	w, err := p.workersOf(e.backend)
	if err != nil {
		return nil, err
	}
	return &Engine{pool: p, backend: e.backend, workers: w, card: e.card, precision: e.precision, prepared: e.prepared,
		network: e.network}, nil
}

// onOwnPool gives the engine that open makes a pool that nobody else uses.
func onOwnPool(cfg Config, open func(*Pool) (*Engine, error)) (*Engine, error) {
	pool, err := NewPool(cfg)
	if err != nil {
		return nil, err
	}
	e, err := open(pool)
	if err != nil {
		pool.Close()
		return nil, err
	}
	e.ownPool = true
	return e, nil
}

// start has makeNetwork make the network, inside the Do of one more worker like the pool's: the network
// still changes while it is being compiled, so nobody else may run it. On an error nothing is left, but
// for a [*LoadTimeError].
func (e *Engine) start(ctx context.Context, limit time.Duration, makeNetwork func(backend.Worker) error) (err error) {
	if e.workers, err = e.pool.workersOf(e.backend); err != nil {
		return err
	}
	worker, err := e.backend.NewWorker(e.pool.plan.Threads, e.pool.nice)
	if err != nil {
		return err
	}
	made := make(chan error) // without room: what nobody takes is given up
	tooLate, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		err := worker.Do(ctx, func() error { return makeNetwork(worker) })
		worker.Close()
		select {
		case made <- err:
		case <-tooLate:
			e.closeNetwork()
		}
	}()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case err = <-made:
	case <-timer.C:
		close(tooLate)
		return &LoadTimeError{limit: limit, ended: ended}
	}
	if err != nil {
		e.closeNetwork()
		return err
	}
	e.backend.Trim()
	debug.FreeOSMemory() // the card's JSON, mostly
	if e.workers.alone != nil {
		e.startAlone()
	}
	return nil
}

// closeNetwork closes the network, if there is one, and gives memory back to the system.
func (e *Engine) closeNetwork() error {
	if e.network == nil {
		return nil
	}
	defer e.backend.Trim()
	return e.network.Close()
}

// Unlisted is what the model's code names that is not on the list of operators: somebody has trusted the file. Nil for most models.
func (e *Engine) Unlisted() []string { return e.unlisted }

// TensorPeaks are the most bytes that tensors had at one time while the model was loaded, and in a run.
func (e *Engine) TensorPeaks() (loading, running int64) { return e.network.Peaks() }

// Turn is the right to work on one image. It is meant to be held from before decoding to the answer, so that
// there are never many more images in work than the cores can carry: one more than there are workers, which is
// being decoded, or waits for a worker with its pixels ready. One goroutine uses it, and must End it.
type Turn struct {
	// Waited is how long the turn was waited for, and Infer for a worker.
	Waited time.Duration
	// Alone says whether Infer had the whole machine.
	Alone  bool
	engine *Engine
	turn   admission.Turn
	// busy is closed when what still goes on for the turn leaves it free; nil if nothing does.
	busy   <-chan struct{}
	modest bool // it takes no other workers, even if all are free
}

// Begin waits for a turn until ctx ends, and for so many bytes to decode in. Whose turn it is, where several wait, place decides; nil
// is nobody's in particular, and first.
func (e *Engine) Begin(ctx context.Context, place *admission.Place, bytes int64) (*Turn, error) {
	start := time.Now()
	turn, err := e.pool.turns.Take(ctx, place, bytes)
	if err != nil {
		return nil, err
	}
	return &Turn{Waited: time.Since(start), engine: e, turn: turn}, nil
}

// BeginIdle is Begin for work that can be left out: it takes a turn that leaves one for an image that comes,
// or is nil. The turn never takes the whole machine.
func (e *Engine) BeginIdle(bytes int64) *Turn {
	turn, ok := e.pool.turns.TakeIdle(bytes)
	if !ok {
		return nil
	}
	return &Turn{engine: e, turn: turn, modest: true}
}

// Decoded gives back what the image was decoded in.
func (t *Turn) Decoded() { t.engine.pool.turns.Decoded(&t.turn) }

// Infer computes the network's raw output for one picture of Crop × Crop × 3 bytes of RGB, with all cores if no other turn is
// being held. It returns when ctx ends, or the time is up that the model may take: with context.DeadlineExceeded then. What still
// computes keeps the turn, also after End.
func (t *Turn) Infer(ctx context.Context, rgb []byte) ([]float32, error) {
	e := t.engine
	if network := e.alone.loaded(); network != nil && !t.modest && e.pool.compiling.Load() == 0 && !e.pool.aloneLeft.Load() {
		// Who has every turn has the machine: nobody else computes, or begins to. An image that comes meanwhile
		// waits for this one inference, so the cores are never given out twice.
		if rest := e.pool.plan.Images - 1; e.pool.turns.TakeFree(rest) {
			if e.alone.pace.allThreads() {
				t.Alone = true
				return paced(e.alone.pace.tookAll, func() ([]float32, error) { return t.onAll(ctx, network, rgb, rest) })
			}
			e.pool.turns.GiveFree(rest)
			return paced(e.alone.pace.tookAmong, func() ([]float32, error) { return t.onWorker(ctx, rgb, 1) })
		}
	}
	return t.onWorker(ctx, rgb, 1)
}

// onAll computes one image with all cores. It holds the rest of the turns, and gives them back.
func (t *Turn) onAll(ctx context.Context, network backend.Network, rgb []byte, rest int) ([]float32, error) {
	e := t.engine
	output, left, err := e.inferInTime(ctx, e.workers.alone, network, e.batch(rgb, 1))
	if left.ended != nil {
		e.pool.aloneLeft.Store(true)
		after(left.ended, func() { e.pool.aloneLeft.Store(false) })
	}
	// One that is stuck computes beside the workers: better than that nobody does.
	t.busy = left.settled
	after(t.busy, func() { e.pool.turns.GiveFree(rest) })
	return output, err
}

// onWorker computes count images on a worker, for which it waits.
func (t *Turn) onWorker(ctx context.Context, rgb []byte, count int) (output []float32, err error) {
	e := t.engine
	waited, err := e.withWorker(ctx, func(w backend.Worker) (<-chan struct{}, error) {
		var left left
		output, left, err = e.inferInTime(ctx, w, e.network, e.batch(rgb, count))
		t.busy = left.ended
		return left.ended, err
	})
	t.Waited += waited
	t.turn.Waited += waited
	return output, err
}

func (e *Engine) batch(rgb []byte, count int) batch {
	return batch{rgb: rgb, count: count, input: e.card.Input, outputs: len(e.card.Labels)}
}

// paced tells took how long an inference needed. One that failed, since its picture was not waited for any more, tells nothing of the machine.
func paced(took func(time.Duration), inference func() ([]float32, error)) ([]float32, error) {
	begun := time.Now()
	output, err := inference()
	if err == nil {
		took(time.Since(begun))
	}
	return output, err
}

// End gives the turn to the next image, at once or when what still goes on for it ends.
func (t *Turn) End() { after(t.busy, func() { t.engine.pool.turns.Give(t.turn) }) }

// Infer is Begin, Infer and End for a picture that is ready.
func (e *Engine) Infer(ctx context.Context, rgb []byte) ([]float32, error) {
	turn, err := e.Begin(ctx, nil, 0)
	if err != nil {
		return nil, err
	}
	defer turn.End()
	return turn.Infer(ctx, rgb)
}

// InferBatch computes count pictures, one after the other in rgb, in one forward pass on one worker. The module is compiled
// anew for each count, in the first three calls with it, and keeps what was compiled: use few counts. It is there for measuring;
// the service infers pictures one by one, because batching gains less than waiting for a batch costs (`vidi bench` measures batches).
func (e *Engine) InferBatch(ctx context.Context, rgb []byte, count int) ([]float32, error) {
	turn, err := e.Begin(ctx, nil, 0)
	if err != nil {
		return nil, err
	}
	defer turn.End()
	e.network.SetLimits(backend.Limits{}) // those are for one picture
	return turn.onWorker(ctx, rgb, count)
}

// WaitAlone returns when it is settled whether a picture that is alone has a module of its own, and with an error if it could not
// be made; everything then goes on without it. It returns at once if the plan has none, and with ctx's error if that ends before. On an
// idle machine it takes a second, or ten where all threads turn out not to be worth it; on a busy one until there is a pause.
func (e *Engine) WaitAlone(ctx context.Context) (AloneOutcome, error) { return e.alone.wait(ctx) }

// WaitCompiled returns when nothing is being compiled for the model any more, or ctx ends.
func (e *Engine) WaitCompiled(ctx context.Context) { e.alone.waitCompiled(ctx) }

// BF16Gain is how many times as fast this CPU computes convolutions in bf16 as in fp32, measured now on one thread; it takes a
// tenth of a second and one turn.
func (e *Engine) BF16Gain(ctx context.Context) (float64, error) {
	turn, err := e.Begin(ctx, nil, 0)
	if err != nil {
		return 0, err
	}
	defer turn.End()
	gain := 0.0
	_, err = e.withWorker(ctx, func(w backend.Worker) (<-chan struct{}, error) {
		gain, err = e.backend.Gain(ctx, w)
		return nil, err
	})
	return gain, err
}

// Card is the model's card, or the one assumed for it.
func (e *Engine) Card() model.Card { return e.card }

// Pool is what the engine runs on.
func (e *Engine) Pool() *Pool { return e.pool }

// Plan is how the pool uses the cores.
func (e *Engine) Plan() Plan { return e.pool.plan }

// Precision is what the model computes in, after auto was resolved.
func (e *Engine) Precision() backend.Precision { return e.precision }

// Prepared is the engine that the library runs the model with.
func (e *Engine) Prepared() model.Engine { return e.prepared }

// Failures are the engines that were to run the model and could not, with the reason. Prepared is a
// simpler one then.
func (e *Engine) Failures() []model.EngineTime { return e.failures }

// Close waits for inferences under way, frees the model and gives its memory back to the system. Begin must not be called
// afterwards.
func (e *Engine) Close() error {
	err := errors.Join(e.alone.close(), e.closeNetwork())
	if e.ownPool {
		e.pool.Close()
	}
	return err
}
