package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/vidi-vision/vidi/service/config"
	"github.com/vidi-vision/vidi/service/engine"
	"github.com/vidi-vision/vidi/service/imports"
	"github.com/vidi-vision/vidi/service/model"
	"github.com/vidi-vision/vidi/service/trial"
)

type modelsAddCmd struct {
	Source        string    `arg:"" name:"source" help:"A TorchScript file (.pt, .torchscript), a TorchServe archive (.mar), or a model folder of Triton's, Hugging Face's or timm's."`
	Labels        string    `help:"File of the classes' names in the order of the outputs: text (one a line), JSON (a list, index_to_name.json, id2label), or columns separated by tabs (label, zh)." placeholder:"FILE"`
	Name          string    `help:"Name of the model; default: what the card or the file is called." placeholder:"NAME"`
	Version       string    `help:"Version of the model; default: the card's, or 1." placeholder:"VERSION"`
	Description   string    `help:"What it is, for people." placeholder:"TEXT"`
	Licence       string    `help:"Its licence." placeholder:"TEXT"`
	Crop          []int     `help:"Side of the square that the network takes, in pixels, or height and width; default: found by trying." placeholder:"224|H,W"`
	Resize        []int     `help:"What the shorter side is resized to before the crop, or height and width, whatever the proportions; default: in proportion, 256 for 224." placeholder:"256|H,W"`
	Mean          []float32 `help:"Mean of red, green, blue, for values from 0 to 1; default: ImageNet's." placeholder:"R,G,B"`
	Std           []float32 `help:"Standard deviation, likewise." placeholder:"R,G,B"`
	Interpolation string    `help:"How to resize: bilinear, bicubic, lanczos, box, hamming or nearest, as Pillow does." enum:"bilinear,bicubic,lanczos,box,hamming,nearest," default:"" placeholder:"bilinear"`
	Activation    string    `help:"What makes probabilities of the outputs: softmax, sigmoid, or none where they are some already; default: found by trying." enum:"softmax,sigmoid,none," default:"" placeholder:"softmax"`
	Preset        string    `help:"How a family of networks wants images: imagenet, half, ultralytics, keras or clip (docs/models.md)." enum:"imagenet,half,ultralytics,keras,clip," default:"" placeholder:"imagenet"`
	Force         bool      `help:"Replace the model of the same name and version."`
	trialFlags    `embed:""`
}

// trialFlags bound the process that a model is tried in.
type trialFlags struct {
	Memory  config.Bytes  `help:"Memory that trying it may take; default: 4 GiB and six times the file." default:"0" placeholder:"8GiB"`
	Timeout time.Duration `help:"Time that trying it may take; default: two minutes, and more for large files." default:"0" placeholder:"5m"`
}

func (f trialFlags) check() error {
	if f.Memory.N != 0 && f.Memory.N < 1<<30 {
		return errors.New("--memory must be at least 1 GiB: libtorch itself takes half of that")
	}
	if f.Timeout < 0 {
		return errors.New("--timeout must be more than 0")
	}
	return nil
}

func (f trialFlags) limits(fileBytes int64) trial.Limits {
	l := trial.DefaultLimits(fileBytes)
	return trial.Limits{Memory: cmp.Or(f.Memory.N, l.Memory), Time: cmp.Or(f.Timeout, l.Time)}
}

// Run adds the model and says what was found out. A model that is refused leaves nothing behind.
func (c *modelsAddCmd) Run(m *modelsCmd, a *app) error {
	if err := c.check(); err != nil {
		return usageError(err)
	}
	ctx, stop := a.interruptible()
	defer stop()
	folder := m.folder()
	if err := os.MkdirAll(string(folder), 0o755); err != nil {
		return err
	}
	added, err := c.add(ctx, a, folder, m.Trusted())
	if err != nil {
		if ctx.Err() != nil {
			return errors.New("interrupted; nothing was added")
		}
		return err
	}
	return added.print(a, folder)
}

func (c *modelsAddCmd) check() error {
	switch {
	case c.Name != "" && !model.ValidName(c.Name):
		return fmt.Errorf("--name is %q; use 1 to 64 letters, digits, dots, dashes and underscores, beginning with a letter or digit", c.Name)
	case !isSize(c.Crop) || !isSize(c.Resize):
		return errors.New("--crop and --resize are each a number of pixels, more than 0, or a height and a width: --crop 224, --resize 256,256")
	case len(c.Mean) != 0 && len(c.Mean) != 3, len(c.Std) != 0 && len(c.Std) != 3:
		return errors.New("--mean and --std take three numbers, for red, green and blue: --mean 0.485,0.456,0.406")
	}
	if err := c.trialFlags.check(); err != nil {
		return err
	}
	for i := range c.Mean {
		if c.Mean[i] > 1 {
			return errors.New("--mean is for pixels from 0 to 1; divide yours by 255")
		}
	}
	for i := range c.Std {
		if c.Std[i] > 10 {
			return errors.New("--std is for pixels from 0 to 1; divide yours by 255")
		}
	}
	return nil
}

// isSize reports whether a flag is absent, a number of pixels, or height and width.
func isSize(flag []int) bool {
	return len(flag) <= 2 && !slices.ContainsFunc(flag, func(pixels int) bool { return pixels < 1 })
}

// added is a model that was put into its folder.
type added struct {
	card  model.Card
	path  string
	bytes int64
	notes []string
}

func (c *modelsAddCmd) add(ctx context.Context, a *app, folder model.Folder, trust model.Trust) (*added, error) {
	say := func(format string, args ...any) { fmt.Fprintf(a.stderr, "vidi: "+format+"\n", args...) }
	say("looking inside %s", printable(c.Source))
	source, err := imports.Open(c.Source, string(folder))
	if err != nil {
		return nil, err
	}
	defer source.Close()
	// What was unpacked has a name of our own: people are told of what they named.
	named := func(err error) error {
		if source.File == c.Source {
			return err
		}
		return errors.New(strings.ReplaceAll(err.Error(), source.File, c.Source))
	}
	file, err := model.Inspect(source.File)
	if err != nil {
		return nil, named(err)
	}
	if err := file.Permit(trust); err != nil {
		return nil, named(err)
	}
	if err := model.CheckRecords(source.File); err != nil {
		return nil, named(err)
	}
	draft, err := c.newCard(source, file)
	if err != nil {
		return nil, err
	}
	if !c.Force {
		if err := folder.CheckFree(draft.card.Name, draft.card.Version); err != nil {
			return nil, err
		}
	}
	draft.assume(file.Origin)
	request := trial.Request{Path: source.File, Examine: true, Input: draft.card.Input, Activation: draft.card.Activation, Limits: c.limits(file.Bytes)}
	if file.Unlisted != nil {
		say("it is trusted to use %s", strings.Join(file.UnlistedNames(), ", "))
		sum, err := model.SHA256(source.File)
		if err != nil {
			return nil, err
		}
		request.Trust = file.Trusted(sum)
	}
	say("trying it in a process of its own, %v at most", request.Limits.Time)
	report, err := trial.Run(ctx, request, func(stage string) { say("  %s", present(stage)) })
	if err != nil {
		return nil, named(err)
	}
	if err := draft.complete(report, c); err != nil {
		return nil, fmt.Errorf("%s: %w", c.Source, err)
	}
	say("writing it with its card, and trying what was written")
	return c.place(ctx, folder, source, draft, request, report, file.UnlistedNames())
}

// place writes the file, sees that it answers as the one it was made from, and puts it into the folder.
func (c *modelsAddCmd) place(ctx context.Context, folder model.Folder, source *imports.Source, d *cardDraft, request trial.Request, before *trial.Report, unlisted []string) (*added, error) {
	written, err := folder.Draft(source.File, d.card)
	if err != nil {
		return nil, err
	}
	defer written.Discard()
	request.Path, request.Examine = written.Path, false
	if request.Trust.SHA256 != nil {
		sum, err := model.SHA256(written.Path)
		if err != nil {
			return nil, err
		}
		request.Trust = model.Trust{SHA256: []string{sum}}
	}
	after, err := trial.Run(ctx, request, nil)
	if err != nil {
		return nil, fmt.Errorf("the file that was written with its card is not good, though %s is: %w", c.Source, err)
	}
	if first, second := before.Trial.Engine, after.Trial.Engine; first != second {
		return nil, fmt.Errorf("%s ran with the %s engine at first, and with the %s engine when it was tried again. Is the machine short of memory? Add it once more",
			c.Source, first, second)
	}
	if off := furthest(before.Trial.Golden, after.Trial.Golden); off > goldenBoundOf(d.card) {
		return nil, fmt.Errorf("the file that was written answers differently from %s, by %g: please report this", c.Source, off)
	}
	info, err := os.Stat(written.Path)
	if err != nil {
		return nil, err
	}
	path, sum, err := written.Place(c.Force)
	if err != nil {
		return nil, err
	}
	tried().Remember(sum, engine.FP32, trial.Verdict{Engine: d.card.Trial.Engine, Memory: after.Memory})
	if unlisted != nil {
		d.note("it uses operators that are not on the list (%s), and nothing in the folder says that it may: name it wherever it is used, --trust %s, or VIDI_TRUST",
			strings.Join(unlisted, ", "), sum)
	}
	return &added{card: d.card, path: path, bytes: info.Size(), notes: d.notes}, nil
}

// furthest is the largest difference of probability between two answers. A class that only one of them holds is at most as likely
// in the other as its least likely one.
func furthest(a, b []model.Answer) float64 {
	probability := func(in []model.Answer, class int) (p float64, found bool) {
		for _, answer := range in {
			if answer.ClassID == class {
				return answer.Probability, true
			}
		}
		return 0, false
	}
	widest := 0.0
	for _, pair := range [][2][]model.Answer{{a, b}, {b, a}} {
		for _, answer := range pair[0] {
			p, found := probability(pair[1], answer.ClassID)
			if !found && len(pair[1]) > 0 {
				p = min(answer.Probability, pair[1][len(pair[1])-1].Probability)
			}
			widest = max(widest, math.Abs(answer.Probability-p))
		}
	}
	return widest
}

// present turns "it was being loaded", which ends a sentence about a death, into "it is being loaded".
func present(stage string) string {
	return strings.NewReplacer(" was ", " is ", " were ", " are ").Replace(stage)
}

func (r *added) print(a *app, folder model.Folder) error {
	printCard(a.stdout, r.card)
	for _, note := range r.notes {
		fmt.Fprintf(a.stderr, "note: %s.\n", note)
	}
	fmt.Fprintf(a.stderr, "Added %s %s as %s (%.1f MB). Use it:  vidi classify --model %s PICTURE\n", r.card.Name, r.card.Version, r.path, float64(r.bytes)/1e6, r.card.Name)
	entries, err := folder.List()
	if err != nil {
		return err
	}
	if len(entries) > 0 && entries[0].Name != r.card.Name { // none: somebody has removed it since
		fmt.Fprintf(a.stderr, "Where no model is named, %s still answers; to change that:  vidi models set-default %s\n", entries[0].Name, r.card.Name)
	}
	return nil
}
