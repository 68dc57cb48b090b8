package engine

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/vidi-vision/vidi/service/admission"
	"github.com/vidi-vision/vidi/service/model"
	"github.com/vidi-vision/vidi/torchbind"
)

// Config says how the cores are used. The zeros mean: one worker of one thread per core, and all cores for a picture that has
// the machine to itself.
type Config struct {
	Precision Precision
	// Prepared is the engine that libtorch runs the model with; "" is the card's, or else the fused one.
	Prepared model.Engine
	Workers  int // pictures worked on at the same time
	Threads  int // of each worker; 0 shares the cores out among the workers
	// Alone is the threads for a picture that has the machine to itself. More than Threads means a second compiled module for each
	// model, which is made after Load has returned and costs as much as the weights and some megabytes; 1 does without; 0 is all
	// cores, for those models that are faster with them, which is measured.
	Alone int
	// Nice is how far inference stands behind the process's other threads where cores are short: 0 not at all, to 19 (Linux's nice
	// value). A server that also has to refuse, and to answer probes, wants some; who only waits for the answer does not.
	Nice int
	// Trust is which files may use operators that are not on the list.
	Trust model.Trust
}

// Pool is the workers that enter libtorch, however many models there are: so the cores are given out once, and libtorch's
// threads stay as many as the plan says. All methods but Close are safe for concurrent use.
type Pool struct {
	plan    Plan
	nice    int
	trust   model.Trust
	workers []*torchbind.Worker
	// turns are for images that may be in work. Taking one means working on an image; taking all means having the machine.
	turns *admission.Turns
	free  chan *torchbind.Worker // workers that compute nothing; only who has a turn takes one
	alone *torchbind.Worker      // for a picture that has the machine to itself; nil if the plan gives it nothing more
	// measuresAlone says that a model has to be faster with all cores to get them.
	measuresAlone bool
	// compiling is the models whose second module is being compiled, by alone: until then no picture goes there.
	compiling atomic.Int64
	aloneLeft atomic.Bool // alone still computes what nobody waits for any more
	// Inferences that have taken longer than they may, and go on.
	stuckWorkers, stuckAlone atomic.Int64
	loadTime                 func(fileBytes int64) time.Duration // for tests to shorten
}

// NewPool starts the workers; the config's precision and engine have no meaning here.
func NewPool(cfg Config) (*Pool, error) {
	p := &Pool{plan: cfg.plan(), nice: cfg.Nice, trust: cfg.Trust, measuresAlone: cfg.Alone == 0, loadTime: loadTime}
	p.free = make(chan *torchbind.Worker, p.plan.Workers)
	p.turns = admission.NewTurns(p.plan.Images, p.plan.Workers)
	for range p.plan.Workers {
		worker, err := p.newWorker(p.plan.Threads)
		if err != nil {
			p.Close()
			return nil, err
		}
		p.workers = append(p.workers, worker)
		p.free <- worker
	}
	if p.plan.TwoModules() {
		var err error
		if p.alone, err = p.newWorker(p.plan.Alone); err != nil {
			p.Close()
			return nil, err
		}
	}
	return p, nil
}

// newWorker starts a worker of the pool's priority.
func (p *Pool) newWorker(threads int) (*torchbind.Worker, error) {
	worker, err := torchbind.NewWorker(threads)
	if err != nil || p.nice == 0 {
		return worker, err
	}
	if err := worker.SetNice(p.nice); err != nil {
		worker.Close()
		return nil, err
	}
	return worker, nil
}

// withWorker calls f with a worker, for which it waits until ctx ends; waited is how long. The caller has a
// turn. What f has left on the worker keeps it.
func (p *Pool) withWorker(ctx context.Context, f func(*torchbind.Worker) (left <-chan struct{}, err error)) (waited time.Duration, err error) {
	begun := time.Now()
	select {
	case worker := <-p.free:
		waited = time.Since(begun)
		var left <-chan struct{}
		defer func() { after(left, func() { p.free <- worker }) }()
		left, err = f(worker)
		return waited, err
	case <-ctx.Done():
		return time.Since(begun), ctx.Err()
	}
}

// BoundMemory says how many bytes all images in work may be decoded in together; without it there is no bound.
func (p *Pool) BoundMemory(bytes int64) { p.turns.BoundMemory(bytes) }

// Plan is how the pool uses the cores.
func (p *Pool) Plan() Plan { return p.plan }

// Use is how busy a pool is: images in work, at most as many as there are workers, turns that are waited for, and inferences that have
// taken longer than they may and cannot be interrupted.
type Use struct{ Busy, Waiting, Stuck int }

// Use is a snapshot of how busy the pool is.
func (p *Pool) Use() Use {
	return Use{Busy: min(p.plan.Images-p.turns.Free(), p.plan.Workers), Waiting: p.turns.Waiting(),
		Stuck: int(p.stuckWorkers.Load() + p.stuckAlone.Load())}
}

// Stuck reports whether every worker is stuck: nothing will be answered any more.
func (p *Pool) Stuck() bool { return int(p.stuckWorkers.Load()) >= p.plan.Workers }

// Close ends the workers' threads after what they do now. The pool's engines must be closed before.
func (p *Pool) Close() {
	for _, worker := range p.workers {
		worker.Close()
	}
	if p.alone != nil {
		p.alone.Close()
	}
}
