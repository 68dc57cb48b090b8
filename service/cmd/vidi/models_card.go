package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/vidi-vision/vidi/service/imports"
	"github.com/vidi-vision/vidi/service/model"
	"github.com/vidi-vision/vidi/service/trial"
)

// cardDraft is a card that is being made: of the file's own, of what lay around it, of what the command says, and of what running
// the network shows; the later ones win.
type cardDraft struct {
	card  model.Card
	notes []string // what was assumed or left out, one sentence each without its point

	hasMean, hasStd bool // they are known; zero may be a mean
	toldSoftmax     bool // the packaging says softmax, which the network may end in already
}

// newCard is what is known before the network runs. What nobody named is zero.
func (c *modelsAddCmd) newCard(source *imports.Source, file *model.File) (*cardDraft, error) {
	d := &cardDraft{notes: source.Notes, hasMean: true, hasStd: true}
	if file.Card != nil && !file.Stated {
		d.card, d.notes = *file.Card, nil // it says everything itself
	} else {
		d.fromSource(source)
	}
	card := &d.card
	if file.Origin.Quantised && card.Precision != "int8" {
		card.Precision = "int8"
		d.notes = append(d.notes, "it is quantised to 8 bits, so its precision is int8: it only answers where it is named, or int8 is asked for")
		if (file.Card == nil || file.Stated) && !strings.HasSuffix(card.Name, "-int8") {
			card.Name += "-int8"
		}
	}
	card.Name, card.Version = cmp.Or(c.Name, card.Name), cmp.Or(c.Version, card.Version)
	card.Description, card.Licence = cmp.Or(c.Description, card.Description), cmp.Or(c.Licence, card.Licence)
	card.Activation = cmp.Or(model.Activation(c.Activation), card.Activation)
	if c.Labels != "" {
		labels, err := model.ReadLabels(c.Labels)
		if err != nil {
			return nil, err
		}
		card.Labels = labels
	}
	in := &card.Input
	if c.Preset != "" {
		crop := in.Crop
		*in = model.Presets[c.Preset]
		in.Crop, d.hasMean, d.hasStd = crop, true, true
	}
	if n := len(c.Crop); n > 0 {
		in.Crop = model.Crop{Height: c.Crop[0], Width: c.Crop[n-1]}
		if c.Preset == "" { // a preset's is as small as the crop allows
			in.Resize = model.Resize{}
		}
	}
	switch len(c.Resize) {
	case 1:
		in.Resize = model.ShorterSide(c.Resize[0])
	case 2:
		in.Resize = model.Squeeze(c.Resize[0], c.Resize[1])
	}
	in.Interpolation = cmp.Or(c.Interpolation, in.Interpolation)
	if len(c.Mean) == 3 {
		in.Mean, d.hasMean = model.Channels(c.Mean), true
	}
	if len(c.Std) == 3 {
		in.Std, d.hasStd = model.Channels(c.Std), true
	}
	return d, nil
}

// fromSource begins a card for a file that has none.
func (d *cardDraft) fromSource(s *imports.Source) {
	d.card = model.Card{
		Format: 1, Task: "classification", Name: cmp.Or(s.Name, model.NameOfFile(s.File)),
		Version: cmp.Or(s.Version, "1"), Precision: "fp32", Input: s.Input, Labels: s.Labels,
		Activation: s.Activation,
	}
	d.hasMean, d.hasStd = s.Input.Std != model.Channels{}, s.Input.Std != model.Channels{}
	if s.Activation == model.Softmax {
		d.card.Activation, d.toldSoftmax = "", true
	}
	var told []string
	for _, fact := range []struct {
		name  string
		known bool
	}{
		{"the input's size", s.Input.Crop != model.Crop{}}, {"the resize", s.Input.Resize != model.Resize{}},
		{"the interpolation", s.Input.Interpolation != ""}, {"mean and std", d.hasStd},
		{"the activation", s.Activation != ""}, {"the labels", len(s.Labels) > 0},
	} {
		if fact.known {
			told = append(told, fact.name)
		}
	}
	if len(told) > 0 {
		d.note("from %s: %s", s.Said, strings.Join(told, ", "))
	}
}

func (d *cardDraft) note(format string, args ...any) {
	d.notes = append(d.notes, fmt.Sprintf(format, args...))
}

// assume fills in what nobody told of how images are prepared, and says so. What the trial finds out is not assumed here.
func (d *cardDraft) assume(origin model.Origin) {
	in, usual := &d.card.Input, model.ImageNetInput()
	if origin.Bytes && !d.hasMean && !d.hasStd {
		in.Std = model.Channels{1. / 255, 1. / 255, 1. / 255}
		d.hasMean, d.hasStd = true, true
		d.note("the network divides its input itself, so it gets values from 0 to 255 (mean 0, std 1/255); if it wants others, give --mean and --std")
	}
	if !d.hasMean {
		in.Mean = usual.Mean
		d.note("nothing says which mean the network was trained with: ImageNet's, %s, is assumed; else give --mean or --preset", numbers(in.Mean))
	}
	if !d.hasStd {
		in.Std = usual.Std
		d.note("nothing says which standard deviation: ImageNet's, %s, is assumed; else give --std or --preset", numbers(in.Std))
	}
	if in.Interpolation == "" {
		in.Interpolation = usual.Interpolation
		d.note("nothing says how images were resized: %s is assumed; else give --interpolation", in.Interpolation)
	}
}

// complete adds what the trial found out, and refuses what does not fit it.
func (d *cardDraft) complete(report *trial.Report, c *modelsAddCmd) error {
	card := &d.card
	if card.Input.Crop == (model.Crop{}) && report.AnySize {
		d.note("the network takes images of any size; %v is assumed. If it was trained with another size, give --crop", report.Input.Crop)
	}
	if card.Input.Resize == (model.Resize{}) && c.Preset == "" {
		d.note("nothing says how much of an image it saw: %v out of %s is assumed; else give --resize, "+
			"as --resize %d,%d for the whole image, squeezed", report.Input.Crop, resizeText(report.Input), report.Input.Height(), report.Input.Width())
	}
	card.Input = report.Input
	if err := d.activation(report, c.Activation != ""); err != nil {
		return err
	}
	if err := d.labels(report.Outputs); err != nil {
		return err
	}
	if report.Constant {
		d.notes = append(d.notes, "it gives the same answer to black, white, noise and a photograph: were the weights loaded?")
	}
	t := report.Trial
	for i := range t.Engines {
		failed := &t.Engines[i]
		failed.Failure = shortened(printable(failed.Failure)) // the network's own words, if it raises an error
		if failed.Failure != "" {
			d.notes = append(d.notes, fmt.Sprintf("the %s engine cannot run it (%s); the %s engine does, in %.1f ms", failed.Engine, failed.Failure, t.Engine, t.Milliseconds))
		}
	}
	t.Vidi = version
	for i := range t.Golden {
		t.Golden[i].Label = card.Labels[t.Golden[i].ClassID].Label
	}
	card.Trial = &t
	return card.Validate()
}

// activation holds the outputs against what is to be made of them. asked is true if the command named the activation.
func (d *cardDraft) activation(report *trial.Report, asked bool) error {
	wanted := d.card.Activation
	d.card.Activation = report.Activation
	switch {
	case wanted == model.None && report.Probabilities == "":
		return fmt.Errorf("the activation is none, for outputs that are probabilities; but these are not all from 0 to 1. Use --activation softmax, or sigmoid for labels that do not exclude each other")
	case wanted != "" && wanted != model.None && report.Probabilities == model.Softmax && !asked:
		return fmt.Errorf("the card says %s, but the outputs are probabilities already (they sum to 1): applied twice, it flattens them. Add it with --activation none", wanted)
	case wanted != "" && wanted != model.None && report.Probabilities != "":
		d.notes = append(d.notes, fmt.Sprintf("all outputs lie between 0 and 1. If they are probabilities already, use --activation none, not %s", wanted))
	case wanted == "" && report.Probabilities == model.Softmax:
		d.notes = append(d.notes, "the outputs are probabilities already (they sum to 1), so its activation is none")
	case wanted == "" && report.Probabilities == model.Sigmoid:
		d.notes = append(d.notes, "each output lies between 0 and 1: taken as probabilities of labels that do not exclude each other, its activation is none. If they are logits, give --activation")
	case wanted == "" && report.Activation == model.Sigmoid:
		d.notes = append(d.notes, "a single output: it becomes a percentage of its own (--activation sigmoid)")
	case wanted == "" && !d.toldSoftmax:
		d.note("the outputs are no probabilities, and nothing says what makes some of them: softmax is assumed, for one class of many; " +
			"where labels do not exclude each other, give --activation sigmoid")
	}
	return nil
}

// embeddingSizes are the widths of the layers before the last in the usual networks.
var embeddingSizes = []int{
	128, 256, 320, 384, 512, 576, 640, 768, 960, 1024, 1280, 1408, 1536, 1664, 1792, 1920, 2048, 2304, 2560, 3072, 4096,
}

// labels gives each output a name, or refuses those that do not fit.
func (d *cardDraft) labels(outputs int) error {
	card := &d.card
	switch n := len(card.Labels); {
	case n == outputs:
	case n > 0:
		hint := ""
		switch n - outputs {
		case 1:
			hint = " Is its first line a heading, or a class for the background?"
		case -1:
			hint = " Does the network have a class for the background?"
		}
		return fmt.Errorf("the network has %d outputs, but there are %d labels.%s Give each output a label with --labels FILE, in their order", outputs, n, hint)
	default:
		card.Labels = model.BareCard(card.Name, outputs).Labels
		if outputs == len(model.ImageNet()) {
			d.notes = append(d.notes, "it has 1000 outputs and no labels: ImageNet's are assumed")
		} else {
			if card.Activation == model.Softmax && slices.Contains(embeddingSizes, outputs) {
				d.note("it has %d outputs and no labels: is that an embedding, the features before the last layer? Then its percentages mean "+
					"nothing; trace the network with its last layer", outputs)
			}
			d.notes = append(d.notes, fmt.Sprintf("there are no labels, so its classes are called class_0 to class_%d; name them with --labels FILE", outputs-1))
		}
	}
	return nil
}

// printCard is a card for people.
func printCard(w io.Writer, card model.Card) {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(name, format string, args ...any) {
		if text := fmt.Sprintf(format, args...); text != "" {
			fmt.Fprintf(table, "%s\t%s\n", name, text)
		}
	}
	in := card.Input
	row("model", "%s %s", card.Name, card.Version)
	row("description", "%s", card.Description)
	row("licence", "%s", card.Licence)
	row("source", "%s", card.Source)
	row("precision", "%s", cmp.Or(card.Precision, "fp32"))
	row("input", "%v out of %s, %s, mean %s, std %s", in.Crop, resizeText(in), in.Interpolation, numbers(in.Mean), numbers(in.Std))
	row("activation", "%s", card.Activation)
	if card.Temperature != 0 {
		row("temperature", "%.3f", card.Temperature)
	}
	if card.UnsureBelow != 0 {
		row("not sure", "below %.1f %%", card.UnsureBelow*100)
	}
	row("classes", "%d: %s", len(card.Labels), firstLabels(card.Labels))
	if t := card.Trial; t != nil {
		row("answer", "to a photograph of an espresso: %s", answerText(t.Golden))
		row("speed", "%.1f ms for one image on one thread, without decoding (libtorch %s)", t.Milliseconds, t.Torch)
		row("engine", "%s", engineText(t))
	}
	table.Flush()
}

func resizeText(in model.Input) string {
	switch {
	case !in.Resize.Squeezes():
		return fmt.Sprintf("a shorter side of %v", in.Resize)
	case in.Resize == model.Squeeze(in.Height(), in.Width()):
		return "the whole image, squeezed"
	}
	return fmt.Sprintf("the whole image, squeezed to %v", in.Resize)
}

// engineText is the engine that runs the model, and what the others took: "fused; optimized 33.8 ms".
func engineText(t *model.Trial) string {
	text := string(t.Engine)
	for _, other := range t.Engines {
		if other.Engine != t.Engine {
			text += "; " + other.String()
		}
	}
	return text
}

func numbers(c model.Channels) string { return fmt.Sprintf("%.4g, %.4g, %.4g", c[0], c[1], c[2]) }

func firstLabels(labels []model.Label) string {
	const shown = 6
	var names []string
	for _, l := range labels[:min(shown, len(labels))] {
		names = append(names, l.Label)
	}
	if len(labels) > shown {
		names = append(names, "…")
	}
	return strings.Join(names, ", ")
}

func answerText(answers []model.Answer) string {
	parts := make([]string, 0, len(answers))
	for _, answer := range answers[:min(3, len(answers))] {
		parts = append(parts, fmt.Sprintf("%s %.1f %%", answer.Label, answer.Probability*100))
	}
	return strings.Join(parts, ", ")
}
