package trial

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/vidi-vision/vidi/service/backend"
	"github.com/vidi-vision/vidi/service/engine"
	"github.com/vidi-vision/vidi/service/model"
)

// reference is what the plain engine computes in fp32: what every other engine must compute, too.
type reference struct {
	input   model.Input
	images  [][]byte // RGB at the input's size
	outputs [][]float32
}

// newReference computes a photograph, noise and a black image with the plain engine. They are few, because a
// network may take seconds for each.
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
// as much as they are apart. bf16 keeps 8 bits of 24; 8-bit networks round their additions once or twice. Noise
// and black are nothing that a network was trained for: a deep one was seen to amplify rounding there to a
// quarter of that.
const (
	closeFP32  = 0.01
	closeLow   = 0.25
	closeAtAll = 1 // of noise and black
)

// check times the contender on the reference's images, and returns an error if it does not compute what the
// reference says.
func (r *reference) check(ctx context.Context, o *contender, within float64) error {
	largest := 0.0
	for _, v := range r.outputs[0] {
		largest = max(largest, math.Abs(float64(v)))
	}
	scale := max(spreadOf(r.outputs), 0.01*largest, 1e-3)
	for i, image := range r.images {
		output, err := o.infer(ctx, image, r.input)
		if err != nil {
			return err
		}
		if len(output) != len(r.outputs[i]) {
			return fmt.Errorf("it gives %d outputs, not %d", len(output), len(r.outputs[i]))
		}
		if i == 0 {
			o.output = output
		} else {
			within = closeAtAll
		}
		if off := distance(output, r.outputs[i]); !(off <= within*scale) { // a NaN fails as well
			return fmt.Errorf("its outputs are wrong, by up to %.3g", off)
		}
	}
	return nil
}

// contender is an engine that computes the network right.
type contender struct {
	engine model.Engine
	probe  *engine.Probe
	best   time.Duration // the shortest inference so far
	output []float32     // for the reference's photograph
}

// infer computes an image, and notes how long that took.
func (o *contender) infer(ctx context.Context, rgb []byte, in model.Input) ([]float32, error) {
	begun := time.Now()
	output, err := o.probe.Infer(ctx, rgb, in)
	o.best = min(o.best, time.Since(begun))
	return output, err
}

// comparison finds the fastest engine for a network.
type comparison struct {
	ctx        context.Context
	file       *model.File
	trust      model.Trust
	backend    backend.Backend
	precision  backend.Precision
	within     float64
	reference  *reference
	plain      *engine.Probe // open already, in the precision that counts; may be nil
	contenders []*contender
	times      []model.EngineTime         // of those that are out
	outputs    map[model.Engine][]float32 // for the reference's photograph
	tell       func(message)
}

const (
	// farTooSlow is how many times as long as the best one an engine takes that is not timed further. A
	// neighbour on the machine may treble a time for as long as the first look takes.
	farTooSlow = 4
	// mostRounds and roundsTime bound the comparison of those that are nearly equally fast.
	mostRounds = 20
	roundsTime = 2 * time.Second
)

// compareForCard is [compareEngines] for the network of a card, in a precision that it is to serve in.
func compareForCard(ctx context.Context, o order, card model.Card, precision backend.Precision, tell func(message)) (*comparison, error) {
	probe, err := engine.OpenProbe(ctx, o.backend, o.file, o.Trust, model.Plain, backend.FP32)
	if err != nil {
		return nil, err
	}
	defer probe.Close()
	return compareEngines(ctx, o, probe, card.Input, precision, card.Precision == "int8", tell)
}

// compareEngines finds the fastest engine for a network in that precision. probe runs it with the plain engine
// in fp32. In the comparison are the times of all engines that were tried, and their outputs.
func compareEngines(ctx context.Context, o order, probe *engine.Probe, in model.Input, precision backend.Precision, quantised bool, tell func(message)) (*comparison, error) {
	reference, err := newReference(ctx, probe, in)
	if err != nil {
		return nil, err
	}
	c := &comparison{ctx: ctx, file: o.file, trust: o.Trust, backend: o.backend, precision: precision, within: closeFP32, reference: reference, tell: tell}
	if precision != backend.FP32 || quantised {
		c.within = closeLow
	}
	if precision == backend.FP32 {
		c.plain = probe
	}
	return c, c.run(o.Failed)
}

// run tries the engines one after the other and times those that are nearly equally fast in turns, so that
// a busy second hits all of them.
func (c *comparison) run(failed []model.EngineTime) error {
	defer func() {
		for _, one := range c.contenders {
			one.probe.Close()
		}
	}()
	variants, err := c.backend.Variants()
	if err != nil {
		return err
	}
	c.times, c.outputs = slices.Clone(failed), map[model.Engine][]float32{}
	// The reference first: with that the report is complete, whatever the others do.
	last := len(variants) - 1
	for _, e := range append(variants[last:], variants[:last]...) {
		if _, known := model.TimeOf(failed, e); known {
			continue
		}
		c.tell(message{Stage: fmt.Sprintf("the %s engine was being tried", e), Trying: e})
		if err := c.add(e); err != nil {
			c.out(model.EngineTime{Engine: e, Failure: plain(err)})
		}
	}
	c.tell(message{Stage: "its speed was being measured"})
	for begun, round := time.Now(), 0; round < mostRounds && len(c.contenders) > 1 && time.Since(begun) < roundsTime; round++ {
		c.contenders = slices.DeleteFunc(c.contenders, func(o *contender) bool {
			_, err := o.infer(c.ctx, c.reference.images[0], c.reference.input)
			if err != nil {
				c.out(model.EngineTime{Engine: o.engine, Failure: plain(err)})
				o.probe.Close()
			}
			return err != nil
		})
	}
	for _, one := range c.contenders {
		c.out(one.result())
	}
	if model.Fastest(c.times) == "" {
		return fmt.Errorf("no engine runs the network: %s", c.times[0].Failure)
	}
	return nil
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

// add opens an engine, compiles it, and looks whether it computes the network, and about how fast. What is
// far slower than the best is out.
func (c *comparison) add(e model.Engine) error {
	one, err := c.open(e)
	if err != nil {
		return err
	}
	c.outputs[e] = one.output
	c.contenders = append(c.contenders, one)
	result := one.result()
	c.tell(message{Tried: &result}) // should the time be up before the turns
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

func (c *comparison) open(e model.Engine) (one *contender, err error) {
	one = &contender{engine: e, best: math.MaxInt64}
	defer func() {
		if err != nil {
			one.probe.Close()
		}
	}()
	if e == model.Plain && c.plain != nil {
		one.probe = c.plain
		return one, c.reference.check(c.ctx, one, c.within)
	}
	if one.probe, err = engine.OpenProbe(c.ctx, c.backend, c.file, c.trust, e, c.precision); err != nil {
		return one, err
	}
	if err := one.probe.Warm(c.ctx, c.reference.input); err != nil {
		return one, err
	}
	return one, c.reference.check(c.ctx, one, c.within)
}
