package trial

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/vidi-vision/vidi/service/backend"
	"github.com/vidi-vision/vidi/service/engine"
	"github.com/vidi-vision/vidi/service/model"
	"github.com/vidi-vision/vidi/service/preprocess"
)

// espresso is the picture whose answer is kept in the card. It must never change: cards would no longer agree with it.
// examples/CREDITS.md says who took it.
//
//go:embed espresso.jpg
var espresso []byte

// sides are the input sizes that networks are made for, the usual ones first.
var sides = []int{224, 256, 299, 384, 240, 260, 288, 300, 320, 336, 380, 448, 456, 480, 512, 518, 528, 600, 192, 160, 128, 112, 96, 64, 48, 32, 28, 227, 331}

// examination is one look at a network from outside.
type examination struct {
	ctx    context.Context
	probe  *engine.Probe
	origin model.Origin
	report *Report
	final  []float32 // the output for the photograph
}

// plain is an error without the words that say which file it is about: whoever reads it knows.
func plain(err error) string {
	return backend.MessageOf(err)
}

func (x *examination) refuse(why string, err error) error {
	return &Refusal{Why: why + ": " + plain(err), Do: adviceFor(err, x.origin)}
}

// infer computes a picture at the input's size.
func (x *examination) infer(rgb []byte) ([]float32, error) {
	return x.probe.Infer(x.ctx, rgb, x.report.Input)
}

// at is the input with another size.
func (x *examination) at(crop model.Crop) model.Input { return x.report.Input.At(crop) }

func (x *examination) runs(crop model.Crop) (int, error) {
	in := x.at(crop)
	output, err := x.probe.Infer(x.ctx, grey(in), in)
	return len(output), err
}

// findSize finds a size that the network computes on: the one asked for, or the first of the usual ones.
func (x *examination) findSize() error {
	wanted := x.report.Input.Crop
	if wanted != (model.Crop{}) {
		outputs, err := x.runs(wanted)
		if err == nil {
			x.found(wanted, outputs)
			return nil
		}
		if !errors.Is(err, backend.Failed) {
			return x.refuse("cannot be used", err)
		}
	}
	var first error
	for _, side := range sides {
		outputs, err := x.runs(model.Square(side))
		switch {
		case err == nil && wanted != (model.Crop{}):
			return &Refusal{Why: fmt.Sprintf("cannot compute a picture of %v, but one of %d × %d", wanted, side, side),
				Do: fmt.Sprintf("Use --crop %d, or correct input.crop in the card.", side)}
		case err == nil:
			x.found(model.Square(side), outputs)
			return nil
		case !errors.Is(err, backend.Failed): // it ran: another size would not help
			return x.refuse("cannot be used", err)
		case first == nil:
			first = err
		}
	}
	if x.findRectangle() {
		return nil
	}
	return x.otherLayout(first)
}

// found takes the size.
func (x *examination) found(crop model.Crop, outputs int) {
	x.report.Input, x.report.Outputs = x.at(crop), outputs
}

// findOtherSizes looks whether the network takes other sizes, too.
func (x *examination) findOtherSizes() {
	crop := x.report.Input.Crop
	for _, other := range []model.Crop{
		{Height: crop.Height + 32, Width: crop.Width + 32}, {Height: max(32, crop.Height-32), Width: max(32, crop.Width-32)},
	} {
		if n, err := x.runs(other); other != crop && err == nil && n == x.report.Outputs {
			x.report.AnySize = true
		}
	}
}

// compareEngines finds the fastest engine in fp32, or in int8 for a network that is quantised.
func (x *examination) compareEngines(o order, tell func(message)) error {
	c, err := compareEngines(x.ctx, o, x.probe, x.report.Input, backend.FP32, x.origin.Quantised, tell)
	if err != nil {
		return x.refuse("cannot be prepared for running", err)
	}
	x.report.setEngines(c.times)
	// The card keeps the answer of the engine that will serve.
	if x.report.Trial.Golden, err = golden(x.report.Activation, c.outputs[x.report.Trial.Engine]); err != nil {
		return &Refusal{Why: "gives NaN or infinity for a photograph", Do: adviceFinite}
	}
	return nil
}

// otherLayout explains a network that takes no picture of red, green and blue planes.
func (x *examination) otherLayout(err error) error {
	for _, side := range sides {
		s := int64(side)
		for _, layout := range []struct {
			shape []int64
			is    string
			do    string
		}{
			{[]int64{1, 1, s, s}, fmt.Sprintf("takes grey pictures (1 × 1 × %d × %d), not red, green and blue", s, s),
				"Convert inside the network:  def forward(self, x): return self.net(x.mean(1, keepdim=True))"},
			{[]int64{1, s, s, 3}, fmt.Sprintf("takes pictures with the colours last (1 × %d × %d × 3)", s, s),
				"Convert inside the network:  def forward(self, x): return self.net(x.permute(0, 2, 3, 1))"},
			{[]int64{3, s, s}, fmt.Sprintf("takes one picture without a batch (3 × %d × %d)", s, s),
				"Convert inside the network:  def forward(self, x): return self.net(x[0]).unsqueeze(0)"},
		} {
			if x.probe.Takes(x.ctx, layout.shape...) {
				return &Refusal{Why: layout.is, Do: layout.do + "\nand trace that with torch.rand(1, 3, " + fmt.Sprintf("%d, %d)", s, s)}
			}
		}
	}
	if refusal := x.otherBatch(); refusal != nil {
		return refusal
	}
	return x.refuse(fmt.Sprintf("cannot compute a picture of any usual size from %d × %d to %d × %d", slices.Min(sides), slices.Min(sides), slices.Max(sides), slices.Max(sides)), err)
}

// repeats is how often the photograph is computed again to see whether the answer stays.
const repeats = 5

// answers computes pictures that differ as much as pictures can, and looks at what comes out.
func (x *examination) answers() error {
	photograph, err := photograph(x.report.Input)
	if err != nil {
		return err
	}
	var outputs [][]float32
	in := x.report.Input
	for _, picture := range []struct {
		name string
		rgb  []byte
	}{
		{"a grey picture", grey(in)}, {"a black picture", flat(in, 0)}, {"a white picture", flat(in, 255)}, {"noise", noise(in, 1)},
		{"noise", noise(in, 2)}, {"stripes", stripes(in)}, {"a photograph", photograph},
	} {
		output, err := x.infer(picture.rgb)
		if err != nil {
			return x.refuse("cannot compute "+picture.name, err)
		}
		if len(output) != x.report.Outputs {
			return &Refusal{Why: fmt.Sprintf("gives %d outputs for %s, and %d for others", len(output), picture.name, x.report.Outputs), Do: adviceShape}
		}
		if _, err := model.Probabilities(model.None, 1, output); err != nil {
			return &Refusal{Why: "gives NaN or infinity for " + picture.name, Do: adviceFinite}
		}
		outputs = append(outputs, output)
	}
	spread, first := spreadOf(outputs), outputs[len(outputs)-1]
	// More than once, as dropout before a few outputs can leave the same ones twice: five halves agree once in 32 tries.
	for range repeats {
		if x.final, err = x.infer(photograph); err != nil {
			return x.refuse("cannot compute a photograph once more", err)
		}
		// Dropout moves the outputs by as much as they are apart. A NaN fails as well.
		if !(distance(x.final, first) <= 0.01*max(spread, 1e-3)) {
			return &Refusal{Why: "gives different answers to the same picture", Do: "It was exported in training mode. Call model.eval() before torch.jit.trace."}
		}
	}
	x.report.Constant = spread <= 1e-6
	x.report.Probabilities = probabilities(outputs)
	if x.report.Activation == "" {
		x.report.Activation = chooseActivation(x.report.Probabilities, x.report.Outputs)
	}
	if x.report.Trial.Golden, err = golden(x.report.Activation, x.final); err != nil {
		return &Refusal{Why: "gives NaN or infinity for a photograph", Do: adviceFinite}
	}
	return nil
}

// golden is the five likeliest classes of the photograph, without the card's temperature, which may change.
func golden(activation model.Activation, output []float32) ([]model.Answer, error) {
	p, err := model.Probabilities(activation, 1, output)
	if err != nil {
		return nil, err
	}
	var answers []model.Answer
	for _, class := range model.TopK(p, 5) {
		answers = append(answers, model.Answer{ClassID: class, Probability: math.Round(p[class]*1e6) / 1e6})
	}
	return answers, nil
}

// chooseActivation is what a network of that kind needs. A single output is one label that is there or not.
func chooseActivation(probabilities model.Activation, outputs int) model.Activation {
	switch {
	case probabilities != "":
		return model.None
	case outputs == 1:
		return model.Sigmoid
	}
	return model.Softmax
}

// probabilities tells what the network ended in, if every output of every picture looks like it. Logits of seven pictures so
// different do not all stay between 0 and 1 by chance.
func probabilities(outputs [][]float32) model.Activation {
	const rounding = 1e-3 // of a thousand bfloat16 or float16 numbers
	sums := true
	for _, row := range outputs {
		sum := 0.0
		for _, v := range row {
			if v < 0 || v > 1+rounding {
				return ""
			}
			sum += float64(v)
		}
		sums = sums && math.Abs(sum-1) <= rounding
	}
	if sums && len(outputs[0]) > 1 {
		return model.Softmax
	}
	return model.Sigmoid
}

// spreadOf is the largest distance of two outputs.
func spreadOf(outputs [][]float32) float64 {
	widest := 0.0
	for _, row := range outputs[1:] {
		widest = max(widest, distance(outputs[0], row))
	}
	return widest
}

func distance(a, b []float32) float64 {
	widest := 0.0
	for i := range a {
		widest = max(widest, math.Abs(float64(a[i])-float64(b[i])))
	}
	return widest
}

// photograph is the espresso as the network's input.
func photograph(in model.Input) ([]byte, error) {
	preparer, err := preprocess.New(preprocess.DefaultLimits())
	if err != nil {
		return nil, err
	}
	picture, err := preparer.Prepare(context.Background(), espresso, preprocess.SpecFor(in), preprocess.Options{})
	if err != nil {
		return nil, err
	}
	return picture.RGB, nil
}

func flat(in model.Input, value byte) []byte { return bytes.Repeat([]byte{value}, in.Bytes()) }

func grey(in model.Input) []byte { return flat(in, 128) }

func noise(in model.Input, seed uint64) []byte {
	random, rgb := rand.New(rand.NewPCG(seed, 7)), make([]byte, in.Bytes())
	for i := range rgb {
		rgb[i] = byte(random.Uint32())
	}
	return rgb
}

func stripes(in model.Input) []byte {
	rgb := make([]byte, 0, in.Bytes())
	for y := range in.Height() {
		for x := range in.Width() {
			rgb = append(rgb, byte(x/8%2*255), byte(y/8%2*255), byte((x+y)*255/(in.Width()+in.Height())))
		}
	}
	return rgb
}
