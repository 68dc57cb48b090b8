package trial

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/vidi-vision/vidi/service/engine"
	"github.com/vidi-vision/vidi/service/model"
	"github.com/vidi-vision/vidi/torchbind"
)

// reference is what the plain engine computes in fp32: what every other engine must compute, too.
type reference struct {
	input   model.Input
	images  [][]byte // RGB at the input's size
	outputs [][]float32
}

// newReference computes a photograph, noise and a black image. They are few, because a network may take
// seconds for each.
func newReference(ctx context.Context, probe *engine.Probe, in model.Input) (*reference, error) {
	photograph, err := photograph(in)
	if err != nil {
		return nil, err
	}
	r := &reference{input: in, images: [][]byte{photograph, noise(in, 1), flat(in, 0)}}
	for _, image := range r.images {
		output, err := probe.Infer(ctx, image, in)
		if err != nil {
			return nil, err
		}
		r.outputs = append(r.outputs, output)
	}
	return r, nil
}

// How far an engine's outputs may be from those of the plain one, as a share of how far the outputs of
// different images are apart. Rounding in fp32 moves them by millionths; a stale shape or a wrong layout by
// as much as they are apart. bf16 keeps 8 bits of 24; 8-bit networks round their additions once or twice.
const (
	closeFP32 = 0.01
	closeLow  = 0.25
)

// check returns the probe's output for the photograph, and an error if it does not compute what the
// reference says.
func (r *reference) check(ctx context.Context, probe *engine.Probe, within float64) (first []float32, err error) {
	largest := 0.0
	for _, v := range r.outputs[0] {
		largest = max(largest, math.Abs(float64(v)))
	}
	scale := max(spreadOf(r.outputs), 0.01*largest, 1e-3)
	for i, image := range r.images {
		output, err := probe.Infer(ctx, image, r.input)
		if err != nil {
			return nil, err
		}
		if len(output) != len(r.outputs[i]) {
			return nil, fmt.Errorf("it gives %d outputs, not %d", len(output), len(r.outputs[i]))
		}
		if off := distance(output, r.outputs[i]); !(off <= within*scale) { // a NaN fails as well
			return nil, fmt.Errorf("its outputs are wrong, by up to %.3g", off)
		}
		if i == 0 {
			first = output
		}
	}
	return first, nil
}

// contender is an engine that computes the network right.
type contender struct {
	engine model.Engine
	probe  *engine.Probe
	best   time.Duration // the shortest inference so far
}

// comparison finds the fastest engine for a network.
type comparison struct {
	ctx        context.Context
	path       string
	precision  torchbind.Precision
	within     float64
	reference  *reference
	contenders []*contender
	times      []model.EngineTime         // of those that are out
	outputs    map[model.Engine][]float32 // for the reference's photograph
	tell       func(message)
}

const (
	// firstRuns are enough to see that an engine is far too slow.
	firstRuns = 3
	// farTooSlow is how many times as long as the best one an engine takes that is not timed further.
	farTooSlow = 1.5
	// mostRounds and roundsTime bound the comparison of those that are nearly equally fast.
	mostRounds = 20
	roundsTime = 2 * time.Second
)

// compareEngines is the comparison for the network of a card.
func compareEngines(ctx context.Context, o order, card model.Card, precision torchbind.Precision, tell func(message)) ([]model.EngineTime, error) {
	probe, err := engine.OpenProbe(ctx, o.Path, model.Plain, torchbind.FP32)
	if err != nil {
		return nil, err
	}
	defer probe.Close()
	reference, err := newReference(ctx, probe, card.Input)
	if err != nil {
		return nil, err
	}
	c := &comparison{ctx: ctx, path: o.Path, precision: precision, within: closeFP32, reference: reference, tell: tell}
	if precision != torchbind.FP32 || card.Precision == "int8" {
		c.within = closeLow
	}
	probe.Close() // every engine is opened by itself, in the precision that counts
	return c.run(o.Failed)
}

// run tries the engines one after the other and times those that are nearly equally fast in turns, so that
// a busy second hits all of them.
func (c *comparison) run(failed []model.EngineTime) ([]model.EngineTime, error) {
	defer func() {
		for _, one := range c.contenders {
			one.probe.Close()
		}
	}()
	info, err := torchbind.Runtime()
	if err != nil {
		return nil, err
	}
	c.times, c.outputs = slices.Clone(failed), map[model.Engine][]float32{}
	// The plain one first: with that the report is complete, whatever the others do.
	for _, e := range []model.Engine{model.Plain, model.Fused, model.Optimized, model.Frozen} {
		if _, known := model.TimeOf(failed, e); known || e == model.Fused && !info.HasFuser {
			continue
		}
		c.tell(message{Stage: fmt.Sprintf("the %s engine was being tried", e), Trying: e})
		if err := c.add(e); err != nil {
			c.out(model.EngineTime{Engine: e, Failure: plain(err)})
		}
	}
	c.tell(message{Stage: "its speed was being measured"})
	for begun, round := time.Now(), firstRuns; round < mostRounds && len(c.contenders) > 1 && time.Since(begun) < roundsTime; round++ {
		for _, one := range c.contenders {
			if err := c.time(one); err != nil {
				return nil, err
			}
		}
	}
	for _, one := range c.contenders {
		c.out(one.result())
	}
	if model.Fastest(c.times) == "" {
		return nil, fmt.Errorf("no engine runs the network: %s", c.times[0].Failure)
	}
	return c.times, nil
}

func (c *comparison) out(t model.EngineTime) {
	c.times = append(c.times, t)
	c.tell(message{Tried: &t})
}

func (o *contender) result() model.EngineTime {
	return model.EngineTime{Engine: o.engine, Milliseconds: rounded(o.best)}
}

// rounded is a time in milliseconds, to a hundredth.
func rounded(d time.Duration) float64 { return math.Round(d.Seconds()*1e5) / 100 }

// add opens an engine, compiles it, and looks whether it computes the network, and about how fast. Who is
// far slower than the best is out.
func (c *comparison) add(e model.Engine) error {
	probe, err := engine.OpenProbe(c.ctx, c.path, e, c.precision)
	if err != nil {
		return err
	}
	one := &contender{engine: e, probe: probe, best: math.MaxInt64}
	if err := probe.Warm(c.ctx, c.reference.input); err != nil {
		probe.Close()
		return err
	}
	output, err := c.reference.check(c.ctx, probe, c.within)
	if err != nil {
		probe.Close()
		return err
	}
	c.outputs[e] = output
	for range firstRuns {
		if err := c.time(one); err != nil {
			probe.Close()
			return err
		}
	}
	c.contenders = append(c.contenders, one)
	best := slices.MinFunc(c.contenders, func(a, b *contender) int { return int(a.best - b.best) }).best
	c.contenders = slices.DeleteFunc(c.contenders, func(o *contender) bool {
		slow := float64(o.best) > farTooSlow*float64(best)
		if slow {
			c.out(o.result())
			o.probe.Close()
		}
		return slow
	})
	return nil
}

func (c *comparison) time(o *contender) error {
	took, err := o.probe.Time(c.ctx, c.reference.images[0], c.reference.input)
	o.best = min(o.best, took)
	return err
}
