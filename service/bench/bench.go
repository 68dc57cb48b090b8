// Package bench measures what a model does on this machine: the latency of one inference, the pictures a second of each way
// to share out the cores, and where a picture's time goes. `vidi bench` prints it.
//
// Machines are noisy and slow down when they get warm. So everything that is to be compared is measured in turns, a slice of
// time each, for several rounds; what is reported is the median of the rounds.
package bench

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"time"

	"github.com/vidi-vision/vidi/service/backend/backends"
	"github.com/vidi-vision/vidi/service/classify"
	"github.com/vidi-vision/vidi/service/engine"
	"github.com/vidi-vision/vidi/service/model"
	"github.com/vidi-vision/vidi/service/preprocess"
)

// Config says what is measured.
type Config struct {
	Model      string             // path of the TorchScript file
	Trust      model.Trust        // for its operators
	Picture    []byte             // an encoded picture, measured from its bytes to the answer
	Precisions []engine.Precision // none means fp32 and bf16, or int8 for a model of that kind
	Threads    []int              // of one inference
	Workers    []int              // pictures at the same time; each gets its share of the cores
	Batches    []int              // pictures in one forward pass
	Decode     preprocess.Decode
	// Prepared is the engine that serving would run the model with in that precision; nil is the usual one.
	Prepared func(engine.Precision) (model.Engine, error)
	Slice    time.Duration // how long each thing is measured in each round
	Rounds   int
	// Progress is called after each slice with what was done and what there is in all; may be nil.
	Progress func(done, all int)
}

// Default measures on one core up to all, with one worker up to one per core, for batches of 1, 4 and 8.
func Default() Config {
	cores := runtime.GOMAXPROCS(0)
	return Config{
		Threads: upTo(cores), Workers: upTo(cores), Batches: []int{1, 4, 8},
		Decode: preprocess.Exact, Slice: 500 * time.Millisecond, Rounds: 5,
	}
}

// upTo is 1, 2, 4, … and n.
func upTo(n int) []int {
	var counts []int
	for i := 1; i < n; i *= 2 {
		counts = append(counts, i)
	}
	return append(counts, n)
}

// plans are the ways to share out the cores. One worker with one thread is always the first: what all cores do is told as a
// multiple of it.
func (c Config) plans() []engine.Config {
	plans := []engine.Config{{Backends: backends.All(), Workers: 1, Threads: 1, Alone: 1}}
	for _, workers := range c.Workers {
		threads := max(1, runtime.GOMAXPROCS(0)/workers)
		if workers > 1 || threads > 1 {
			plans = append(plans, engine.Config{Backends: backends.All(), Workers: workers, Threads: threads, Alone: 1})
		}
	}
	return plans
}

// Report is what was found.
type Report struct {
	Cores       int          `json:"cores"`
	Model       string       `json:"model"`
	Width       int          `json:"width"`  // of the picture
	Height      int          `json:"height"` // of the picture
	Inference   []Inference  `json:"inference"`
	Throughputs []Throughput `json:"throughput"`
}

// Inference is the time of forward passes, without the picture's way there.
type Inference struct {
	Precision string  `json:"precision"`
	Threads   int     `json:"threads"`
	Batch     int     `json:"batch"`
	Median    float64 `json:"median_ms"` // per picture
	P95       float64 `json:"p95_ms"`    // per picture
}

// Throughput is how a number of workers does on the whole way from the picture's bytes to its answer.
type Throughput struct {
	Precision string  `json:"precision"`
	Workers   int     `json:"workers"`
	Threads   int     `json:"threads"` // each
	Rate      float64 `json:"pictures_per_second"`
	Latency   float64 `json:"median_ms"`
	P95       float64 `json:"p95_ms"`
	Speedup   float64 `json:"speedup"` // against one worker with one thread in the same precision
	CPU       float64 `json:"cpu_ms_per_picture"`
	Decode    float64 `json:"decode_ms"` // medians of the stages
	Resize    float64 `json:"preprocess_ms"`
	Inference float64 `json:"inference_ms"`
}

// Run measures everything. A model that cannot be loaded, or a picture that cannot be read, is an error.
func Run(ctx context.Context, cfg Config) (*Report, error) {
	report := &Report{Cores: runtime.GOMAXPROCS(0)}
	if len(cfg.Precisions) == 0 {
		var err error
		if cfg.Precisions, err = precisionsOf(cfg.Model); err != nil {
			return nil, err
		}
	}
	all := len(cfg.Precisions) * (len(cfg.Threads)*len(cfg.Batches) + len(cfg.plans())) * cfg.Rounds
	done := 0
	step := func() {
		if done++; cfg.Progress != nil {
			cfg.Progress(done, all)
		}
	}
	var subjects []subject
	defer func() {
		for _, s := range subjects {
			s.close()
		}
	}()
	for _, precision := range cfg.Precisions {
		made, err := subjectsOf(ctx, cfg, precision, report)
		subjects = append(subjects, made...)
		if err != nil {
			return nil, err
		}
	}
	for range cfg.Rounds {
		for _, s := range subjects {
			if err := s.measure(ctx, cfg.Slice, step); err != nil {
				return nil, err
			}
		}
	}
	for _, s := range subjects {
		s.report(report)
	}
	return report, nil
}

// precisionsOf is what the model can be run in.
func precisionsOf(path string) ([]engine.Precision, error) {
	file, err := model.Inspect(path)
	if err != nil {
		return nil, err
	}
	if file.Card != nil && file.Card.Precision == "int8" {
		return []engine.Precision{engine.Int8}, nil
	}
	return []engine.Precision{engine.FP32, engine.BF16}, nil
}

// subject is a thing that is measured in turns with others.
type subject interface {
	measure(ctx context.Context, slice time.Duration, step func()) error
	report(*Report)
	close()
}

// subjectsOf loads the model once and forks it for each plan. What was made must be closed, also after an error.
func subjectsOf(ctx context.Context, cfg Config, precision engine.Precision, report *Report) (made []subject, err error) {
	plan := engine.Config{Backends: backends.All(), Precision: precision, Workers: 1, Threads: 1, Alone: 1, Trust: cfg.Trust}
	if cfg.Prepared != nil {
		if plan.Prepared, err = cfg.Prepared(precision); err != nil {
			return nil, err
		}
	}
	origin, err := engine.Load(ctx, cfg.Model, plan)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, origin.Close()) }()
	card := origin.Card()
	report.Model = card.Name
	name := string(origin.Precision())
	if card.Precision == "int8" {
		name = "int8"
	}
	for _, threads := range cfg.Threads {
		plan := engine.Config{Backends: backends.All(), Workers: 1, Threads: threads, Alone: threads}
		for _, batch := range cfg.Batches { // a module each: one that has seen several shapes takes detours
			e, err := origin.Fork(ctx, plan)
			if err != nil {
				return made, err
			}
			made = append(made, &forward{engine: e, plan: plan, precision: name, batch: batch})
		}
	}
	for _, plan := range cfg.plans() {
		e, err := origin.Fork(ctx, plan)
		if err != nil {
			return made, err
		}
		made = append(made, &whole{engine: e, plan: plan, cfg: cfg, precision: name})
	}
	if err := cfg.look(ctx, origin, report); err != nil {
		return made, fmt.Errorf("the picture: %w", err)
	}
	return made, nil
}

// look finds out whether the picture can be classified, and how large it is.
func (c Config) look(ctx context.Context, e *engine.Engine, report *Report) error {
	classifier, err := classify.New(e, preprocess.DefaultLimits())
	if err != nil {
		return err
	}
	result, err := classifier.Classify(ctx, c.Picture, classify.Options{})
	if err != nil {
		return err
	}
	report.Width, report.Height = result.Width, result.Height
	return nil
}

func median(values []float64) float64 { return quantile(values, 0.5) }

// quantile is the nearest-rank one; 0 of nothing.
func quantile(values []float64, q float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
