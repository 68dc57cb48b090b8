package main

import (
	"context"
	"fmt"
	"os"
	"runtime"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"

	"github.com/vidi-vision/vidi/service/classify"
	"github.com/vidi-vision/vidi/service/engine"
	"github.com/vidi-vision/vidi/service/model"
	"github.com/vidi-vision/vidi/service/preprocess"
)

type classifyCmd struct {
	Paths     []string `arg:"" name:"path" help:"Picture files, folders, patterns such as '*.jpg', or - for standard input."`
	TopK      int      `help:"How many answers for each picture." default:"3" placeholder:"3"`
	Parents   bool     `help:"Say the groups that the answers belong to, too: cat, where the answers are tabby and tiger cat."`
	Rules     string   `help:"File of rules that give pictures tags of your own (docs/rules.md)." placeholder:"FILE"`
	Model     string   `help:"A model's name, or a TorchScript file; default: that of vidi models set-default, else resnet18, else the first by name." placeholder:"NAME|FILE" env:"VIDI_MODEL"`
	Models    string   `help:"Folder of models." default:"${models}" env:"VIDI_MODELS" type:"path" placeholder:"DIR"`
	Format    string   `help:"text, csv, jsonl (a result a line), or json (for one picture only its labels and confidences; for several, or with --parents or --rules, a list of results)." enum:"text,json,jsonl,csv" default:"text"`
	Lang      string   `help:"Language of the names shown: en or zh." enum:"en,zh" default:"en"`
	NoExif    bool     `help:"Do not turn pictures as their EXIF orientation says."`
	Decode    string   `help:"exact: the pixels that Pillow gives; fast: let the JPEG decoder shrink large pictures." enum:"exact,fast" default:"exact"`
	Precision string   `help:"fp32, bf16, int8 (needs such a model), or auto." default:"fp32" placeholder:"fp32"`
	Workers   int      `help:"Pictures inferred at the same time; 0 chooses." default:"0" placeholder:"N"`
}

// outcome is what became of one input.
type outcome struct {
	index  int
	name   string
	result *classify.Result // nil if err is set
	err    error
}

// Run classifies every input and prints the outcomes in the order of the arguments.
func (c *classifyCmd) Run(a *app) error {
	precision, err := engine.ParsePrecision(c.Precision)
	if err != nil {
		return usageError(fmt.Errorf("--precision: %w", err))
	}
	if c.TopK < 1 {
		return usageError(fmt.Errorf("--top-k is %d; it must be at least 1", c.TopK))
	}
	if c.Workers < 0 {
		return usageError(fmt.Errorf("--workers is %d; it must be 0 or more", c.Workers))
	}
	ctx, stop := a.interruptible()
	defer stop()

	book, err := openRules(c.Rules)
	if err != nil {
		return startFailure(err)
	}
	path, prepared, err := findModel(ctx, c.Models, c.Model, precision, a.sayTrying)
	if err != nil {
		return startFailure(err)
	}
	inputs := expand(c.Paths)
	cfg := classify.Config{Engine: engine.Config{Precision: precision, Prepared: prepared, Workers: c.Workers}, Rules: book}
	if c.Workers == 0 && len(inputs) == 1 {
		cfg.Engine.Workers = 1 // all cores on the one picture
	}
	classifier, err := classify.Open(ctx, path, cfg)
	if err != nil {
		return startFailure(err)
	}
	defer classifier.Close()
	if card := classifier.Card(); card.Assumed {
		fmt.Fprintf(a.stderr, "vidi: %s has no card: assuming ImageNet preprocessing and %s\n", path, assumedLabels(card))
	}

	if err := book.Check(classifier.Card()); err != nil {
		return startFailure(err)
	}

	out := newPrinter(c.Format, a.stdout, shown{lang: c.Lang, parents: c.Parents, tags: book != nil, single: len(inputs) == 1})
	bar := progress{}
	if !isTerminal(a.stdout) { // where the results scroll past they are progress enough
		bar = newProgress(a, len(inputs), "%d of %d pictures ")
	}
	failed := 0
	for o := range c.classifyAll(ctx, a, classifier, inputs) {
		if o.err != nil {
			failed++
		}
		if err := out.print(o); err != nil {
			return fmt.Errorf("writing the results: %w", err) // a closed pipe, a full disk
		}
		if o.err != nil && out.errorsGoToStderr() {
			fmt.Fprintf(a.stderr, "vidi: %s: %s\n", printable(o.name), printable(publicError(o.err)))
		}
		bar.step()
	}
	bar.finish()
	if err := out.finish(); err != nil {
		return fmt.Errorf("writing the results: %w", err)
	}
	if ctx.Err() != nil {
		return &exitError{code: exitSomeFailed, err: fmt.Errorf("interrupted")}
	}
	if failed > 0 {
		return &exitError{code: exitSomeFailed, err: summary(failed, len(inputs))}
	}
	return nil
}

// classifyAll works on as many pictures at a time as there are cores, and yields the outcomes in the inputs' order. At most
// a few pictures wait for an earlier, slower one: their number bounds the memory.
func (c *classifyCmd) classifyAll(ctx context.Context, a *app, classifier *classify.Classifier, inputs []input) func(yield func(outcome) bool) {
	options := classify.Options{TopK: c.TopK, Parents: c.Parents, Image: preprocess.Options{Decode: preprocess.Decode(c.Decode), IgnoreEXIF: c.NoExif}}
	return func(yield func(outcome) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		pending := make(chan chan outcome, 2*runtime.GOMAXPROCS(0))
		go func() {
			defer close(pending)
			for i, in := range inputs {
				slot := make(chan outcome, 1)
				select {
				case pending <- slot:
				case <-ctx.Done():
					return
				}
				go func() {
					o := outcome{index: i, name: in.name}
					var data []byte
					if data, o.err = in.read(a.stdin); o.err == nil {
						o.result, o.err = classifier.Classify(ctx, data, options)
					}
					slot <- o
				}()
			}
		}()
		yielding := true
		for slot := range pending { // to the end, even when nobody listens: the classifier must be idle when this returns
			o := <-slot
			if yielding && ctx.Err() == nil && !yield(o) {
				yielding = false
				cancel()
			}
		}
	}
}

func assumedLabels(card model.Card) string {
	if len(card.Labels) == len(model.ImageNet()) {
		return "ImageNet's labels"
	}
	return fmt.Sprintf("labels class_0 to class_%d", len(card.Labels)-1)
}

func summary(failed, total int) error {
	if total == 1 {
		return nil // the one error was printed already
	}
	return fmt.Errorf("%d of %d pictures could not be classified", failed, total)
}

// progress is a bar on standard error, shown where a person watches. The zero value shows nothing.
type progress struct {
	container *mpb.Progress
	bar       *mpb.Bar
}

// newProgress shows a count of total things in the given words.
func newProgress(a *app, total int, words string) progress {
	if total < 2 || !isTerminal(a.stderr) {
		return progress{}
	}
	container := mpb.New(mpb.WithOutput(a.stderr), mpb.WithWidth(40))
	bar := container.AddBar(int64(total),
		mpb.PrependDecorators(decor.CountersNoUnit(words)),
		mpb.AppendDecorators(decor.AverageSpeed(0, "%.0f/s, "), decor.AverageETA(decor.ET_STYLE_GO)))
	return progress{container, bar}
}

func (p progress) step() {
	if p.bar != nil {
		p.bar.Increment()
	}
}

func (p progress) finish() {
	if p.bar != nil {
		p.bar.Abort(false) // complete bars ignore it; an interrupted one must not be waited for
		p.container.Wait()
	}
}

func isTerminal(w any) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
