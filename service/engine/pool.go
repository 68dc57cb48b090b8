package engine

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vidi-vision/vidi/service/admission"
	"github.com/vidi-vision/vidi/service/backend"
	"github.com/vidi-vision/vidi/service/model"
)

// Config says how the cores are used. The zeros mean: one worker of one thread per core, and all cores for a picture that has
// the machine to itself.
type Config struct {
	// Backends are the libraries that models may be run with: the first one that reads a file runs it.
	Backends  []backend.Backend
	Precision Precision
	// Prepared is the engine that the library runs the model with; "" is the card's, or else the fused one.
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

// Pool is the workers that enter libraries, however many models there are: so the cores are given out
// once, and threads stay as many as the plan says. All methods but Close are safe for concurrent use.
type Pool struct {
	plan     Plan
	nice     int
	trust    model.Trust
	backends []backend.Backend
	mu       sync.Mutex          // guards workers
	workers  map[string]*workers // of each backend that has been used, by its name
	// turns are for images that may be in work. Taking one means working on an image; taking all means having the machine.
	turns *admission.Turns
	free  chan int // which worker of each backend computes nothing; only who has a turn takes one
	// measuresAlone says that a model has to be faster with all cores to get them.
	measuresAlone bool
	// compiling is the models whose second module is being compiled, by alone: until then no picture goes there.
	compiling atomic.Int64
	aloneLeft atomic.Bool // alone still computes what nobody waits for any more
	// Inferences that have taken longer than they may, and go on.
	stuckWorkers, stuckAlone atomic.Int64
	loadTime                 func(fileBytes int64) time.Duration // for tests to shorten
}

// workers are those of one backend.
type workers struct {
	each  []backend.Worker
	alone backend.Worker // for an image that has the machine to itself; nil if the plan gives it nothing more
}

// NewPool shares out the cores; the config's precision and engine have no meaning here. Workers are
// started when the first model of their backend is loaded.
func NewPool(cfg Config) (*Pool, error) {
	if len(cfg.Backends) == 0 {
		return nil, errors.New("engine: no backend to run models with")
	}
	p := &Pool{plan: cfg.plan(), nice: cfg.Nice, trust: cfg.Trust, backends: cfg.Backends,
		measuresAlone: cfg.Alone == 0, loadTime: loadTime, workers: map[string]*workers{}}
	p.free = make(chan int, p.plan.Workers)
	p.turns = admission.NewTurns(p.plan.Images, p.plan.Workers)
	for i := range p.plan.Workers {
		p.free <- i
	}
	return p, nil
}

// workersOf are the backend's workers, which it starts if need be.
func (p *Pool) workersOf(b backend.Backend) (*workers, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if w := p.workers[b.Name()]; w != nil {
		return w, nil
	}
	w := new(workers)
	for range p.plan.Workers {
		worker, err := b.NewWorker(p.plan.Threads, p.nice)
		if err != nil {
			w.close()
			return nil, err
		}
		w.each = append(w.each, worker)
	}
	if p.plan.TwoModules() {
		var err error
		if w.alone, err = b.NewWorker(p.plan.Alone, p.nice); err != nil {
			w.close()
			return nil, err
		}
	}
	p.workers[b.Name()] = w
	return w, nil
}

func (w *workers) close() {
	for _, worker := range w.each {
		worker.Close()
	}
	if w.alone != nil {
		w.alone.Close()
	}
}

// withWorker calls f with a worker, for which it waits until ctx ends; waited is how long. The caller has a
// turn. What f has left on the worker keeps it.
func (e *Engine) withWorker(ctx context.Context, f func(backend.Worker) (left <-chan struct{}, err error)) (waited time.Duration, err error) {
	begun := time.Now()
	select {
	case i := <-e.pool.free:
		waited = time.Since(begun)
		var left <-chan struct{}
		defer func() { after(left, func() { e.pool.free <- i }) }()
		left, err = f(e.workers.each[i])
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
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, w := range p.workers {
		w.close()
	}
	clear(p.workers)
}
