package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/vidi-vision/vidi/service/api"
	"github.com/vidi-vision/vidi/service/config"
	"github.com/vidi-vision/vidi/service/engine"
	"github.com/vidi-vision/vidi/service/pictures"
)

type classifyCmd struct {
	Paths   []string `arg:"" name:"path" help:"Picture files, folders, patterns such as '*.jpg', or - for standard input."`
	TopK    int      `help:"How many answers for each picture." short:"k" default:"3" placeholder:"3"`
	Parents bool     `help:"Say the groups that the answers belong to, too: cat, where the answers are tabby and tiger cat."`
	Rules   string   `help:"File of rules that give pictures tags of your own (docs/rules.md)." placeholder:"FILE"`
	Model   string   `help:"A model's name, or a TorchScript file; default: that of vidi models set-default, else resnet18, else the first by name." short:"m" placeholder:"NAME|FILE" env:"VIDI_MODEL"`
	config.Folder
	Format    string       `help:"text, csv, jsonl (a result a line), or json (for one picture only its labels and confidences; for several, or with --parents or --rules, a list of results)." short:"f" enum:"text,json,jsonl,csv" default:"text"`
	BOM       bool         `name:"bom" help:"Begin CSV with a byte-order mark, by which Excel knows UTF-8."`
	Lang      string       `help:"Language of the names shown: en or zh." short:"l" enum:"en,zh" default:"en"`
	NoExif    bool         `help:"Do not turn pictures as their EXIF orientation says."`
	Decode    string       `help:"exact: the pixels that Pillow gives; fast: let the JPEG decoder shrink large pictures." enum:"exact,fast" default:"exact"`
	MaxPixels config.Count `help:"Most pixels of one picture." default:"52M" placeholder:"52M" env:"VIDI_MAX_PIXELS"`
	Precision string       `help:"fp32, bf16, int8 (needs such a model), or auto." short:"p" default:"fp32" placeholder:"fp32"`
	Workers   int          `help:"Pictures inferred, or sent to a server, at the same time; 0 chooses." default:"0" placeholder:"N"`
	Server    string       `help:"Have this server answer, http://HOST:5000: no model is needed here." short:"s" placeholder:"URL"`
	Key       string       `help:"Key for the server, where it asks for one. In VIDI_KEY no other user of this machine sees it." env:"VIDI_KEY" placeholder:"KEY"`
}

// outcome is what became of one input.
type outcome struct {
	index  int
	name   string
	model  string     // that answered
	result api.Result // without index, file name and error; empty if err is set
	err    error
}

// answerer says what is in pictures: a model in this process, or a server.
type answerer interface {
	// answer is what is in the picture, and the name of the model that says so. It may be called from many goroutines.
	answer(ctx context.Context, picture []byte) (result api.Result, model string, err error)
	classes() int // 0 where it is not known
	close()
}

func (c *classifyCmd) check() error {
	switch {
	case c.TopK < 1:
		return fmt.Errorf("--top-k is %d; it must be at least 1", c.TopK)
	case c.Workers < 0:
		return fmt.Errorf("--workers is %d; it must be 0 or more", c.Workers)
	case c.BOM && c.Format != "csv":
		return errors.New("--bom is for --format csv")
	case c.Server != "" && c.Rules != "":
		return errors.New("--rules is not for --server: a server has rules of its own (vidi serve --rules)")
	case c.Server != "" && c.Precision != "fp32":
		return errors.New("--precision is not for --server: a server chooses its own (vidi serve --precision)")
	}
	if c.Server != "" {
		if !strings.Contains(c.Server, "://") {
			c.Server = "http://" + c.Server
		}
		if _, err := api.New(c.Server); err != nil {
			return fmt.Errorf("--server %q is no address; for example http://127.0.0.1:5000", c.Server)
		}
	}
	if err := c.MaxPixels.CheckPixels(); err != nil {
		return fmt.Errorf("--max-pixels: %w", err)
	}
	if _, err := engine.ParsePrecision(c.Precision); err != nil {
		return fmt.Errorf("--precision: %w", err)
	}
	return nil
}

// Run classifies every input and prints the outcomes in the order of the arguments.
func (c *classifyCmd) Run(a *app) error {
	if err := c.check(); err != nil {
		return usageError(err)
	}
	ctx, stop := a.interruptible()
	defer stop()
	inputs, leftOut := expand(ctx, c.Paths, c.Format != "text", a.sayLooking)
	toRead := countToRead(inputs)
	answers, err := untilDone(ctx, func() (answerer, error) {
		if c.Server != "" {
			return c.openServer(ctx, a)
		}
		return c.openModel(ctx, a, toRead)
	})
	if err != nil {
		return startFailure(err)
	}

	out := newPrinter(c.Format, a.stdout, shown{
		lang: c.Lang, parents: c.Parents, tags: c.Rules != "", single: toRead == 1, bom: c.BOM, columns: columnsFor(c.TopK, answers.classes()),
	})
	bar := progress{}
	if !isTerminal(a.stdout) { // where the results scroll past they are progress enough
		bar = newProgress(a, len(inputs), "%d of %d pictures ")
	}
	done, failed, unread := 0, 0, 0
	var inWork sync.WaitGroup
	for o := range c.classifyAll(ctx, a, answers, inputs, &inWork) {
		passedOver := errors.As(o.err, new(unreadError))
		switch {
		case passedOver:
			unread++
		case o.err != nil:
			failed++
			fallthrough
		default:
			done++
		}
		if err := out.print(o); err != nil {
			bar.finish()
			return fmt.Errorf("writing the results: %w", err) // a closed pipe, a full disk
		}
		if o.err != nil && !passedOver && out.errorsGoToStderr() {
			fmt.Fprintf(a.stderr, "vidi: %s: %s\n", printable(o.name), printable(publicError(o.err)))
		}
		bar.step()
	}
	bar.finish()
	closeWhenIdle(ctx, answers, &inWork)
	if err := out.finish(); err != nil {
		return fmt.Errorf("writing the results: %w", err)
	}
	if text := leftOut.String(); text != "" {
		fmt.Fprintln(a.stderr, "vidi: "+text)
	}
	if ctx.Err() != nil {
		return &exitError{code: exitSomeFailed, err: fmt.Errorf("interrupted: %d of %d pictures are done", done, len(inputs)-unread)}
	}
	if failed > 0 {
		return &exitError{code: exitSomeFailed, err: summary(failed, done)}
	}
	return nil
}

// untilDone is open's result. It does not wait for open once ctx has ended: the process ends next, and whatever loads with it.
func untilDone[T any](ctx context.Context, open func() (T, error)) (T, error) {
	type opened struct {
		value T
		err   error
	}
	result := make(chan opened, 1)
	go func() {
		value, err := open()
		result <- opened{value, err}
	}()
	select {
	case r := <-result:
		return r.value, r.err
	case <-ctx.Done():
		var none T
		return none, ctx.Err()
	}
}

// idlePatience is how long an interrupted run waits for the inferences that have begun; then the process ends under them.
const idlePatience = 500 * time.Millisecond

// closeWhenIdle closes the answerer when nothing is in work any more.
func closeWhenIdle(ctx context.Context, answers answerer, inWork *sync.WaitGroup) {
	closed := make(chan struct{})
	go func() {
		inWork.Wait()
		answers.close()
		close(closed)
	}()
	select {
	case <-closed:
	case <-afterDone(ctx, idlePatience):
	}
}

// afterDone is ready some time after ctx has ended.
func afterDone(ctx context.Context, d time.Duration) <-chan struct{} {
	ready := make(chan struct{})
	context.AfterFunc(ctx, func() { time.AfterFunc(d, func() { close(ready) }) })
	return ready
}

// classifyAll works on several pictures at a time, and yields the outcomes in the inputs' order. At most a few pictures wait for an
// earlier, slower one: their number bounds the memory. Once ctx has ended, it yields what is done by then, and waits for nothing;
// inWork counts what still goes on.
func (c *classifyCmd) classifyAll(ctx context.Context, a *app, answers answerer, inputs []input, inWork *sync.WaitGroup) func(yield func(outcome) bool) {
	atATime := 2 * runtime.GOMAXPROCS(0)
	if c.Server != "" {
		atATime = serverPictures
		if c.Workers > 0 {
			atATime = c.Workers
		}
	}
	return func(yield func(outcome) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		// A slot is taken before a picture is begun, and given back when its outcome has been yielded.
		free := make(chan struct{}, atATime)
		pending := make(chan chan outcome, atATime)
		go func() {
			defer close(pending)
			for i, in := range inputs {
				select {
				case free <- struct{}{}:
				case <-ctx.Done():
					return
				}
				slot := make(chan outcome, 1)
				pending <- slot
				inWork.Go(func() { slot <- in.classify(ctx, a, answers, i) })
			}
		}()
		for slot := range pending {
			o, ready := outcomeIn(ctx, slot)
			if ready && !errors.Is(o.err, context.Canceled) && !yield(o) {
				return
			}
			<-free
		}
	}
}

// outcomeIn waits for the outcome in the slot until ctx ends; one that is there then counts, too.
func outcomeIn(ctx context.Context, slot <-chan outcome) (o outcome, ready bool) {
	select {
	case o = <-slot:
		return o, true
	case <-ctx.Done():
	}
	select {
	case o = <-slot:
		return o, true
	default:
		return outcome{}, false
	}
}

// classify is the outcome of the input with this index.
func (i input) classify(ctx context.Context, a *app, answers answerer, index int) outcome {
	o := outcome{index: index, name: i.name}
	var data []byte
	data, o.err = untilDone(ctx, func() ([]byte, error) { return i.read(a.stdin) }) // standard input may never end
	if o.err == nil {
		o.result, o.model, o.err = answers.answer(ctx, data)
	}
	return o
}

// unreadError is why a file of a folder was left out that may well be a picture.
type unreadError struct{ kind pictures.Kind }

// Error says what the file is, and what to do.
func (e unreadError) Error() string {
	return fmt.Sprintf("left out of the folder: vidi does not read %s files; convert it to JPEG or PNG", e.kind)
}

func summary(failed, total int) error {
	if total == 1 {
		return nil // the one error was printed already
	}
	return fmt.Errorf("%d of %d pictures could not be classified", failed, total)
}
