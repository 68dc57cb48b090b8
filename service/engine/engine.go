// Package engine runs a model: it loads the file, checks that its output fits its card, warms it, and spreads pictures over
// a fixed set of workers. It is the only package of the service that touches torchbind's Module.
package engine

import (
	"bytes"
	"context"
	"fmt"
	"runtime"
	"time"

	"github.com/vidi-vision/vidi/service/model"
	"github.com/vidi-vision/vidi/torchbind"
)

// Config says how a model is run.
type Config struct {
	Precision Precision
	// Workers is how many pictures are inferred at the same time, each by Threads threads. 0 means one worker per core.
	Workers int
	// Threads is per worker; 0 shares the cores out among the workers.
	Threads int
}

// plan resolves the zeros of Workers and Threads. Cores are those that Go may use, which follows a container's CPU quota;
// libtorch alone would count the machine's.
func (c Config) plan() (workers, threads int) {
	cores := runtime.GOMAXPROCS(0)
	workers, threads = c.Workers, c.Threads
	if workers == 0 {
		workers = max(1, cores/max(threads, 1))
	}
	if threads == 0 {
		threads = max(1, cores/workers)
	}
	return workers, threads
}

// Engine is a loaded, warm model with its workers. Infer is safe for concurrent use; Close waits for it.
type Engine struct {
	card      model.Card
	module    *torchbind.Module
	workers   []*torchbind.Worker
	free      chan *torchbind.Worker
	threads   int
	precision torchbind.Precision
}

// Load reads the TorchScript file at path and makes it ready: when Load returns, the first picture is as fast as any. An
// error says what is wrong with the file in words for its owner.
func Load(ctx context.Context, path string, cfg Config) (*Engine, error) {
	file, err := model.Inspect(path)
	if err != nil {
		return nil, err
	}
	quantised := file.Card != nil && file.Card.Precision == "int8"
	count, threads := cfg.plan()
	e := &Engine{threads: threads, free: make(chan *torchbind.Worker, count)}
	ok := false
	defer func() {
		if !ok {
			e.Close()
		}
	}()
	for range count {
		worker, err := torchbind.NewWorker(threads)
		if err != nil {
			return nil, err
		}
		e.workers = append(e.workers, worker)
	}
	// One worker loads and warms alone: the shared module still changes while it is being compiled.
	if err := e.workers[0].Do(ctx, func() error { return e.load(path, cfg.Precision, quantised) }); err != nil {
		return nil, err
	}
	torchbind.TrimMemory()
	for _, worker := range e.workers {
		e.free <- worker
	}
	ok = true
	return e, nil
}

// load runs on a worker's thread.
func (e *Engine) load(path string, wanted Precision, quantised bool) error {
	var err error
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
	// A grey picture warms the module and shows what the output looks like.
	side := e.card.Input.Crop
	grey := bytes.Repeat([]byte{128}, side*side*3)
	output, err := e.forward(grey, e.module.Warm)
	if err != nil {
		return fmt.Errorf("%s cannot classify a picture of %d × %d pixels: %w", path, side, side, err)
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

// forward computes one row of outputs, after giving the input to first, if that is not nil. It must run on a worker's thread.
func (e *Engine) forward(rgb []byte, first func(*torchbind.Tensor) error) ([]float32, error) {
	in := e.card.Input
	input, err := torchbind.NewInput(rgb, 1, in.Crop, in.Crop, in.Mean, in.Std, e.module.InputDType())
	if err != nil {
		return nil, err
	}
	defer input.Close()
	if first != nil {
		if err := first(input); err != nil {
			return nil, err
		}
	}
	output, err := e.module.Run(input)
	if err != nil {
		return nil, err
	}
	defer output.Close()
	shape := output.Shape()
	if len(shape) != 2 || shape[0] != 1 || shape[1] < 1 {
		return nil, fmt.Errorf("the model's output is %v; a classifier gives 1 × classes", output)
	}
	switch output.DType() {
	case torchbind.Float32, torchbind.BFloat16, torchbind.Float16, torchbind.Float64:
	default:
		return nil, fmt.Errorf("the model's output is %v; a classifier gives floating-point numbers", output)
	}
	return output.Float32s()
}

// Timing is where an inference's time went.
type Timing struct {
	Queue     time.Duration // waiting for a worker
	Inference time.Duration
}

// Infer computes the network's raw output for one picture of Crop × Crop × 3 bytes of RGB. ctx counts until a worker takes
// the picture.
func (e *Engine) Infer(ctx context.Context, rgb []byte) ([]float32, Timing, error) {
	start := time.Now()
	var worker *torchbind.Worker
	select {
	case worker = <-e.free:
	case <-ctx.Done():
		return nil, Timing{Queue: time.Since(start)}, ctx.Err()
	}
	defer func() { e.free <- worker }()
	begun := time.Now()
	var output []float32
	err := worker.Do(ctx, func() (err error) {
		output, err = e.forward(rgb, nil)
		return err
	})
	return output, Timing{Queue: begun.Sub(start), Inference: time.Since(begun)}, err
}

// Card is the model's card, or the one assumed for it.
func (e *Engine) Card() model.Card { return e.card }

// Workers is how many pictures are inferred at the same time.
func (e *Engine) Workers() int { return len(e.workers) }

// Threads is how many threads each worker uses.
func (e *Engine) Threads() int { return e.threads }

// Precision is what the model computes in, after auto was resolved.
func (e *Engine) Precision() torchbind.Precision { return e.precision }

// Close waits for inferences under way and frees the model. Infer must not be called afterwards.
func (e *Engine) Close() error {
	for _, worker := range e.workers {
		worker.Close()
	}
	return e.module.Close()
}
