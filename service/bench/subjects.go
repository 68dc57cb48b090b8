package bench

import (
	"bytes"
	"context"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/vidi-vision/vidi/service/classify"
	"github.com/vidi-vision/vidi/service/engine"
	"github.com/vidi-vision/vidi/service/preprocess"
)

// onFreshThreads calls f with the model on workers that have just been started, and ends them. libtorch's OpenMP keeps threads for each
// worker that it was called from; once they are more than the cores, those that wait for each other sleep at once instead of spinning,
// and an inference on all cores takes up to twice as long. A server has no more than cores of them.
func onFreshThreads(e *engine.Engine, plan engine.Config, f func(*engine.Engine) error) error {
	pool, err := engine.NewPool(plan)
	if err != nil {
		return err
	}
	defer pool.Close()
	on, err := e.On(pool)
	if err != nil {
		return err
	}
	return f(on)
}

// forward measures inferences one after the other.
type forward struct {
	engine    *engine.Engine
	plan      engine.Config
	precision string
	batch     int
	warm      bool
	times     []float64 // ms per picture
}

func (f *forward) measure(ctx context.Context, slice time.Duration, step func()) error {
	rgb := bytes.Repeat([]byte{128}, f.engine.Card().Input.Bytes()*f.batch)
	untimed := 1 // starts OpenMP's threads
	if !f.warm {
		untimed = 4 // the engine compiles each batch size in its first calls
		f.warm = true
	}
	defer step()
	return onFreshThreads(f.engine, f.plan, func(e *engine.Engine) error {
		infer := func() (time.Duration, error) {
			begun := time.Now()
			_, err := e.InferBatch(ctx, rgb, f.batch)
			return time.Since(begun), err
		}
		for range untimed {
			if _, err := infer(); err != nil {
				return err
			}
		}
		for end := time.Now().Add(slice); time.Now().Before(end); {
			took, err := infer()
			if err != nil {
				return err
			}
			f.times = append(f.times, milliseconds(took)/float64(f.batch))
		}
		return nil
	})
}

func (f *forward) report(r *Report) {
	r.Inference = append(r.Inference, Inference{
		Precision: f.precision, Threads: f.plan.Threads, Batch: f.batch, Median: median(f.times), P95: quantile(f.times, 0.95),
	})
}

func (f *forward) close() { f.engine.Close() }

// whole measures as many pictures at a time as there are workers, from bytes to answers.
type whole struct {
	engine    *engine.Engine
	plan      engine.Config
	cfg       Config
	precision string

	mu                        sync.Mutex
	times                     []float64
	decode, resize, inference []float64
	rates, cpu                []float64 // one for each round
}

func (w *whole) measure(ctx context.Context, slice time.Duration, step func()) error {
	defer step()
	return onFreshThreads(w.engine, w.plan, func(e *engine.Engine) error {
		c, err := classify.New(e, preprocess.DefaultLimits())
		if err != nil {
			return err
		}
		return w.run(ctx, c, slice)
	})
}

func (w *whole) run(ctx context.Context, c *classify.Classifier, slice time.Duration) error {
	options := classify.Options{Image: preprocess.Options{Decode: w.cfg.Decode}}
	var first, group errgroup.Group
	for range w.plan.Workers { // each worker starts OpenMP's threads
		first.Go(func() error {
			_, err := c.Classify(ctx, w.cfg.Picture, options)
			return err
		})
	}
	if err := first.Wait(); err != nil {
		return err
	}
	before, begun, pictures := processCPU(), time.Now(), 0
	for range w.plan.Workers {
		group.Go(func() error {
			for time.Since(begun) < slice {
				start := time.Now()
				result, err := c.Classify(ctx, w.cfg.Picture, options)
				if err != nil {
					return err
				}
				took := milliseconds(time.Since(start))
				w.mu.Lock()
				pictures++
				w.times = append(w.times, took)
				w.decode = append(w.decode, milliseconds(result.Timing.Decode))
				w.resize = append(w.resize, milliseconds(result.Timing.Preprocess))
				w.inference = append(w.inference, milliseconds(result.Timing.Inference))
				w.mu.Unlock()
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	w.rates = append(w.rates, float64(pictures)/time.Since(begun).Seconds())
	w.cpu = append(w.cpu, milliseconds(processCPU()-before)/float64(pictures))
	return nil
}

func (w *whole) report(r *Report) {
	rate := median(w.rates)
	single := rate // of the first plan
	for _, t := range r.Throughputs {
		if t.Precision == w.precision {
			single = t.Rate
			break
		}
	}
	r.Throughputs = append(r.Throughputs, Throughput{
		Precision: w.precision, Workers: w.plan.Workers, Threads: w.plan.Threads,
		Rate: rate, Speedup: rate / single, Latency: median(w.times), P95: quantile(w.times, 0.95), CPU: median(w.cpu),
		Decode: median(w.decode), Resize: median(w.resize), Inference: median(w.inference),
	})
}

func (w *whole) close() { w.engine.Close() }

// processCPU is what all threads of this process have used, from getrusage.
func processCPU() time.Duration {
	var usage unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &usage); err != nil {
		return 0 // cannot happen: the arguments are constants
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
