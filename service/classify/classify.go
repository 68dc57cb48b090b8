// Package classify is one picture's way from bytes to labels: preprocess, engine, top-k. The command line and the HTTP API
// both go through it, and Go programs can use it in process:
//
//	c, err := classify.Open(ctx, "resnet18_traced.pt", classify.Config{})
//	answers, err := c.ClassifyImage("espresso.jpg", 3)
package classify

import (
	"context"
	"errors"
	"math"
	"sync/atomic"
	"time"

	"github.com/vidi-vision/vidi/service/admission"
	"github.com/vidi-vision/vidi/service/backend/backends"
	"github.com/vidi-vision/vidi/service/engine"
	"github.com/vidi-vision/vidi/service/model"
	"github.com/vidi-vision/vidi/service/pictures"
	"github.com/vidi-vision/vidi/service/preprocess"
	"github.com/vidi-vision/vidi/service/rules"
)

// Config says how a classifier is set up; the zero value is fp32, a plan for all cores, and the default limits.
type Config struct {
	Engine engine.Config     // no backends means all
	Limits preprocess.Limits // zero means preprocess.DefaultLimits
	Rules  *rules.Book       // what pictures are tagged by; nil is nothing
}

// Options are what a caller may choose per picture.
type Options struct {
	TopK      int     // how many answers; 0 means 3, more than the classes means all
	Threshold float64 // leave out answers below this probability, 0–1; 0 leaves out none
	Parents   bool    // say the groups, too; TopK and Threshold count for them as for the answers
	Image     preprocess.Options
	// Place is the picture's place in a server, by which its turn comes; nil is nobody's in particular.
	Place *admission.Place
}

// Prediction is one answer.
type Prediction struct {
	ClassID     int
	Label       model.Label
	Probability float64 // 0–1
}

// Confidence is the probability in percent, rounded to 0.1.
func (p Prediction) Confidence() float64 { return percent(p.Probability) }

// Parent is a group of classes, and the probability that the picture shows one of them. All classes count, not only those among
// the answers.
type Parent struct {
	Group       model.Group
	Probability float64 // 0–1
}

// Confidence is the probability in percent, rounded to 0.1.
func (p Parent) Confidence() float64 { return percent(p.Probability) }

func percent(probability float64) float64 { return math.Round(probability*1000) / 10 }

// NotSure is the warning that the likeliest answer has less probability than the model's card asks for.
const NotSure preprocess.Warning = "not_sure"

// Timing is where a picture's time went.
type Timing struct {
	Decode     time.Duration // bytes to pixels
	Preprocess time.Duration // pixels to the network's input
	Queue      time.Duration // waiting for a core
	Inference  time.Duration
}

// Result is what is in a picture.
type Result struct {
	Width, Height int
	Format        string
	Warnings      []preprocess.Warning
	Predictions   []Prediction // most likely first
	Best          Prediction   // the most likely one, also where the threshold leaves it out
	Parents       []Parent     // most likely first; nil where they were not asked for
	TopGroups     []Parent     // the top-level groups likewise
	Tags          []rules.Tag  // nil where there are no rules
	Timing        Timing
	Alone         bool // the network had all cores for it
}

// Host is what the classifiers of a process share: the workers, and the memory for decoding. All methods are safe for
// concurrent use, except Close.
type Host struct {
	pool      *engine.Pool
	preparer  *preprocess.Preparer
	precision engine.Precision
	rules     *rules.Book
}

// NewHost starts the workers.
func NewHost(cfg Config) (*Host, error) {
	if cfg.Limits == (preprocess.Limits{}) {
		cfg.Limits = preprocess.DefaultLimits()
	}
	preparer, err := preprocess.New(cfg.Limits)
	if err != nil {
		return nil, err
	}
	if cfg.Engine.Backends == nil {
		cfg.Engine.Backends = backends.All()
	}
	pool, err := engine.NewPool(cfg.Engine)
	if err != nil {
		return nil, err
	}
	pool.BoundMemory(cfg.Limits.MaxMemory)
	return &Host{pool: pool, preparer: preparer, precision: cfg.Engine.Precision, rules: cfg.Rules}, nil
}

// Pool is the workers, for their figures.
func (h *Host) Pool() *engine.Pool { return h.pool }

// Close ends the workers. The host's classifiers must be closed before.
func (h *Host) Close() { h.pool.Close() }

// Classifier is a warm model behind a picture pipeline. All methods are safe for concurrent use, except Close.
type Classifier struct {
	engine   *engine.Engine
	preparer *preprocess.Preparer
	spec     preprocess.Spec
	card     model.Card
	grouping model.Grouping
	rules    *rules.Binding
	ownHost  *Host // nobody else uses it: it is closed with the classifier
	// inference is what one takes, in nanoseconds, as a moving average; 0 before the first.
	inference atomic.Int64
}

// Open loads the model file at path and warms it, on workers of its own.
func Open(ctx context.Context, path string, cfg Config) (*Classifier, error) {
	file, err := model.Inspect(path)
	if err != nil {
		return nil, err
	}
	host, err := NewHost(cfg)
	if err != nil {
		return nil, err
	}
	c, err := host.Open(ctx, file, cfg.Engine.Prepared, engine.Memory{})
	if err != nil {
		host.Close()
		return nil, err
	}
	c.ownHost = host
	return c, nil
}

// Open loads the model file that was looked at and warms it, beside the host's other models. prepared is the engine to
// run it with; "" is the one in its card, or else the usual one. trial is what it took where it was tried.
func (h *Host) Open(ctx context.Context, file *model.File, prepared model.Engine, trial engine.Memory) (*Classifier, error) {
	e, err := h.pool.Load(ctx, file, h.precision, prepared, trial)
	if err != nil {
		return nil, err
	}
	return newClassifier(e, h.preparer, h.rules), nil
}

// New puts a picture pipeline before an engine, which then belongs to the classifier. The limits' memory bounds all that is on the
// engine's pool.
func New(e *engine.Engine, limits preprocess.Limits) (*Classifier, error) {
	preparer, err := preprocess.New(limits)
	if err != nil {
		return nil, err
	}
	e.Pool().BoundMemory(limits.MaxMemory)
	return newClassifier(e, preparer, nil), nil
}

func newClassifier(e *engine.Engine, preparer *preprocess.Preparer, book *rules.Book) *Classifier {
	card := e.Card()
	return &Classifier{engine: e, preparer: preparer, spec: preprocess.SpecFor(card.Input), card: card, grouping: card.Grouping(), rules: book.For(card)}
}

// Classify says what is in the picture whose file content is data. A picture that cannot be used is a [*preprocess.Error].
func (c *Classifier) Classify(ctx context.Context, data []byte, o Options) (*Result, error) {
	seen, err := c.preparer.Look(data, c.spec, o.Image)
	if err != nil {
		return nil, err
	}
	turn, err := c.engine.Begin(ctx, o.Place, seen.Memory())
	if err != nil {
		return nil, err
	}
	return c.classify(ctx, turn, seen, o)
}

// ErrBusy is returned by ClassifyIdle where no worker is idle.
var ErrBusy = errors.New("every worker is busy")

// ClassifyIdle is Classify for work that can be left out: it takes a turn that nobody waits for, or fails with [ErrBusy].
func (c *Classifier) ClassifyIdle(ctx context.Context, data []byte, o Options) (*Result, error) {
	seen, err := c.preparer.Look(data, c.spec, o.Image)
	if err != nil {
		return nil, err
	}
	turn := c.engine.BeginIdle(seen.Memory())
	if turn == nil {
		return nil, ErrBusy
	}
	return c.classify(ctx, turn, seen, o)
}

// classify works on one picture, and ends the turn.
func (c *Classifier) classify(ctx context.Context, turn *engine.Turn, seen *preprocess.Seen, o Options) (*Result, error) {
	defer turn.End()
	picture, err := c.preparer.Decode(ctx, seen)
	if err != nil {
		return nil, err
	}
	turn.Decoded()
	defer c.preparer.Release(picture)
	begun, waited := time.Now(), turn.Waited
	output, err := turn.Infer(ctx, picture.RGB)
	if err != nil {
		return nil, err
	}
	inference := time.Since(begun) - (turn.Waited - waited) // it may have waited for a worker
	c.note(inference)
	p, err := model.Probabilities(c.card.Activation, c.card.Temperature, output)
	if err != nil {
		return nil, err
	}
	result := &Result{
		Width: picture.Width, Height: picture.Height, Format: picture.Format, Warnings: picture.Warnings,
		Timing: Timing{Decode: picture.DecodeTime, Preprocess: picture.ResizeTime, Queue: turn.Waited, Inference: inference},
		Alone:  turn.Alone,
	}
	c.answer(result, p, o)
	if set := c.rules.Set(); set != nil {
		seen := rules.Picture{Probabilities: p}
		if set.NeedsBrightness() {
			seen.Brightness = rules.Brightness(picture.RGB)
		}
		result.Tags = set.Tags(seen)
	}
	return result, nil
}

// Cost is what the picture is estimated to take.
func (c *Classifier) Cost(data []byte, o Options) admission.Cost {
	return admission.Cost{Decode: c.preparer.Cost(data, c.spec, o.Image), Inference: time.Duration(c.inference.Load())}
}

// note lets an inference count among those by which the next ones are estimated. Two at once may lose one of them.
func (c *Classifier) note(inference time.Duration) {
	const newest = 16 // one part in so many
	old := c.inference.Load()
	if old == 0 {
		old = int64(inference)
	}
	c.inference.Store(old + (int64(inference)-old)/newest)
}

// answer fills in what the probabilities of all classes say.
func (c *Classifier) answer(r *Result, p []float64, o Options) {
	best := model.TopK(p, 1)[0]
	r.Best = Prediction{ClassID: best, Label: c.card.Labels[best], Probability: p[best]}
	k := o.TopK
	if k == 0 {
		k = 3
	}
	for _, class := range likeliest(p, k, o.Threshold) {
		r.Predictions = append(r.Predictions, Prediction{ClassID: class, Label: c.card.Labels[class], Probability: p[class]})
	}
	if r.Best.Probability < c.card.UnsureBelow {
		r.Warnings = append(r.Warnings, NotSure)
	}
	if !o.Parents {
		return
	}
	together := c.grouping.Together(c.card.Activation, p)
	r.Parents = c.likeliestOf(c.grouping.Parents, together, k, o.Threshold)
	r.TopGroups = c.likeliestOf(c.grouping.Tops, together, k, o.Threshold)
}

// likeliestOf is the k likeliest of these groups, given the probabilities of all. It is never nil.
func (c *Classifier) likeliestOf(groups []int, together []float64, k int, threshold float64) []Parent {
	p := make([]float64, len(groups))
	for i, group := range groups {
		p[i] = together[group]
	}
	parents := []Parent{}
	for _, i := range likeliest(p, k, threshold) {
		parents = append(parents, Parent{Group: c.grouping.Groups[groups[i]], Probability: p[i]})
	}
	return parents
}

// likeliest is the k largest of p, largest first, without those below the threshold.
func likeliest(p []float64, k int, threshold float64) []int {
	top := model.TopK(p, k)
	for len(top) > 0 && p[top[len(top)-1]] < threshold {
		top = top[:len(top)-1]
	}
	return top
}

// Input is what the network would see of the picture: rows of RGB, crop × crop × 3 bytes by the model's card.
func (c *Classifier) Input(ctx context.Context, data []byte, o preprocess.Options) ([]byte, error) {
	seen, err := c.preparer.Look(data, c.spec, o)
	if err != nil {
		return nil, err
	}
	turn, err := c.engine.Begin(ctx, nil, seen.Memory())
	if err != nil {
		return nil, err
	}
	defer turn.End()
	picture, err := c.preparer.Decode(ctx, seen)
	if err != nil {
		return nil, err
	}
	return picture.RGB, nil
}

// Answer is one answer in the form of the article's classify_image.
type Answer struct {
	Label      string  `json:"label"`
	Confidence float64 `json:"confidence"` // percent, rounded to 0.1
}

// ClassifyImage is the article's function: the topK most likely labels of the picture file at path.
func (c *Classifier) ClassifyImage(path string, topK int) ([]Answer, error) {
	data, err := pictures.ReadFile(path)
	if err != nil {
		return nil, err
	}
	result, err := c.Classify(context.Background(), data, Options{TopK: topK})
	if err != nil {
		return nil, err
	}
	return result.Answers(), nil
}

// Answers is the predictions in the article's form.
func (r *Result) Answers() []Answer {
	answers := make([]Answer, len(r.Predictions))
	for i, p := range r.Predictions {
		answers[i] = Answer{Label: p.Label.Label, Confidence: p.Confidence()}
	}
	return answers
}

// Card is the model's card.
func (c *Classifier) Card() model.Card { return c.card }

// Engine is the engine behind the classifier, for its figures.
func (c *Classifier) Engine() *engine.Engine { return c.engine }

// Close waits for inferences under way and frees the model.
func (c *Classifier) Close() error {
	err := c.engine.Close()
	if c.ownHost != nil {
		c.ownHost.Close()
	}
	return err
}
