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

// forward measures inferences one after the other.
type forward struct {
	engine    *engine.Engine
	precision string
	batch     int
	warm      bool
	times     []float64 // ms per picture
}

func (f *forward) measure(ctx context.Context, slice time.Duration, step func()) error {
	side := f.engine.Card().Input.Crop
	rgb := bytes.Repeat([]byte{128}, side*side*3*f.batch)
	if !f.warm {
		for range 4 { // the engine compiles each batch size in its first calls
			if _, err := f.engine.InferBatch(ctx, rgb, f.batch); err != nil {
				return err
			}
		}
		f.warm = true
	}
	for end := time.Now().Add(slice); time.Now().Before(end); {
		begun := time.Now()
		if _, err := f.engine.InferBatch(ctx, rgb, f.batch); err != nil {
			return err
		}
		f.times = append(f.times, milliseconds(time.Since(begun))/float64(f.batch))
	}
	step()
	return nil
}

func (f *forward) report(r *Report) {
	r.Inference = append(r.Inference, Inference{
		Precision: f.precision, Threads: f.engine.Plan().Threads, Batch: f.batch, Median: median(f.times), P95: quantile(f.times, 0.95),
	})
}

func (f *forward) close() { f.engine.Close() }

// whole measures as many pictures at a time as there are workers, from bytes to answers.
type whole struct {
	classifier *classify.Classifier
	cfg        Config
	precision  string

	mu                        sync.Mutex
	times                     []float64
	decode, resize, inference []float64
	rates, cpu                []float64 // one for each round
}

func (w *whole) measure(ctx context.Context, slice time.Duration, step func()) error {
	options := classify.Options{Image: preprocess.Options{Decode: w.cfg.Decode}}
	if _, err := w.classifier.Classify(ctx, w.cfg.Picture, options); err != nil {
		return err
	}
	workers := w.classifier.Engine().Plan().Workers
	before, begun, pictures := processCPU(), time.Now(), 0
	var group errgroup.Group
	for range workers {
		group.Go(func() error {
			for time.Since(begun) < slice {
				start := time.Now()
				result, err := w.classifier.Classify(ctx, w.cfg.Picture, options)
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
	step()
	return nil
}

func (w *whole) report(r *Report) {
	plan := w.classifier.Engine().Plan()
	rate := median(w.rates)
	single := rate // of the first plan
	for _, t := range r.Throughputs {
		if t.Precision == w.precision {
			single = t.Rate
			break
		}
	}
	r.Throughputs = append(r.Throughputs, Throughput{
		Precision: w.precision, Workers: plan.Workers, Threads: plan.Threads,
		Rate: rate, Speedup: rate / single, Latency: median(w.times), P95: quantile(w.times, 0.95), CPU: median(w.cpu),
		Decode: median(w.decode), Resize: median(w.resize), Inference: median(w.inference),
	})
}

func (w *whole) close() { w.classifier.Close() }

// processCPU is what all threads of this process have used, from getrusage.
func processCPU() time.Duration {
	var usage unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &usage); err != nil {
		return 0 // cannot happen: the arguments are constants
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
