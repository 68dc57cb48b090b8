package engine

import (
	"context"
	"sync/atomic"

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
}

// Pool is the workers that enter libtorch, however many models there are: so the cores are given out once, and libtorch's
// threads stay as many as the plan says. All methods but Close are safe for concurrent use.
type Pool struct {
	plan    Plan
	nice    int
	workers []*torchbind.Worker
	// free holds the workers that nobody uses. Who takes one out works on a picture; who takes all out has the machine.
	free  chan *torchbind.Worker
	alone *torchbind.Worker // for a picture that has the machine to itself; nil if the plan gives it nothing more
	// measuresAlone says that a model has to be faster with all cores to get them.
	measuresAlone bool
	// compiling is the models whose second module is being compiled, by alone: until then no picture goes there.
	compiling atomic.Int64
	waiting   atomic.Int64 // turns that are waited for
}

// NewPool starts the workers; the config's precision and engine have no meaning here.
func NewPool(cfg Config) (*Pool, error) {
	p := &Pool{plan: cfg.plan(), nice: cfg.Nice, measuresAlone: cfg.Alone == 0}
	p.free = make(chan *torchbind.Worker, p.plan.Workers)
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

// take waits for a free worker, first come, first served, until ctx ends.
func (p *Pool) take(ctx context.Context) (*torchbind.Worker, error) {
	p.waiting.Add(1)
	defer p.waiting.Add(-1)
	select {
	case worker := <-p.free:
		if err := ctx.Err(); err != nil { // both had come: no work for the dead
			p.free <- worker
			return nil, err
		}
		return worker, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// takeIdle takes a worker if one is free, which means that nobody waits for one; else it is nil.
func (p *Pool) takeIdle() *torchbind.Worker {
	select {
	case worker := <-p.free:
		return worker
	default:
		return nil
	}
}

// takeRest takes all the workers but the caller's, or none if one of them is in use.
func (p *Pool) takeRest() (rest []*torchbind.Worker, all bool) { return p.takeFree(p.plan.Workers - 1) }

// takeFree takes so many workers, or none if fewer are free.
func (p *Pool) takeFree(count int) (workers []*torchbind.Worker, all bool) {
	for range count {
		worker := p.takeIdle()
		if worker == nil {
			p.give(workers) // at once: pictures that wait need them, not only after the caller's inference
			return nil, false
		}
		workers = append(workers, worker)
	}
	return workers, true
}

func (p *Pool) give(workers []*torchbind.Worker) {
	for _, worker := range workers {
		p.free <- worker
	}
}

// Plan is how the pool uses the cores.
func (p *Pool) Plan() Plan { return p.plan }

// Use is how busy a pool is: workers that are taken, and turns that are waited for.
type Use struct{ Busy, Waiting int }

// Use is a snapshot of how busy the pool is.
func (p *Pool) Use() Use {
	return Use{Busy: p.plan.Workers - len(p.free), Waiting: int(p.waiting.Load())}
}

// Close ends the workers' threads after what they do now. The pool's engines must be closed before.
func (p *Pool) Close() {
	for _, worker := range p.workers {
		worker.Close()
	}
	if p.alone != nil {
		p.alone.Close()
	}
}
