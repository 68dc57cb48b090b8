// Package fake is a backend without a library, for tests of what stands above backends: it computes in
// Go, so the race detector sees all of it. Its files are zip archives like any model's: what it needs of
// them is the card.
package fake

import (
	"bytes"
	"context"
	"fmt"
	"hash/fnv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vidi-vision/vidi/service/backend"
	"github.com/vidi-vision/vidi/service/backend/conformance"
	"github.com/vidi-vision/vidi/service/model"
)

// Backend gives networks whose scores depend on the image only.
type Backend struct {
	// Classes are what each network tells apart.
	Classes int
	// Time is how long an inference takes; of an image of [conformance.SlowPixel] it takes an hour. It
	// ends early at its deadline, as a loop in a model does.
	Time time.Duration
	// Deaf has inferences go on when nobody waits for them any more.
	Deaf bool

	running, most atomic.Int64
}

var _ backend.Backend = (*Backend)(nil)

// Name is "fake".
func (*Backend) Name() string { return "fake" }

// Sniff takes every file.
func (*Backend) Sniff([]byte, string) bool { return true }

// Variants is the plain one.
func (*Backend) Variants() ([]model.Engine, error) { return []model.Engine{model.Plain}, nil }

// Auto is fp32.
func (*Backend) Auto() (backend.Precision, error) { return backend.FP32, nil }

// Gain is not known.
func (*Backend) Gain(context.Context, backend.Worker) (float64, error) { return 0, nil }

// Trim does nothing.
func (*Backend) Trim() {}

// Most is how many inferences were under way at one time.
func (b *Backend) Most() int { return int(b.most.Load()) }

// NewWorker starts nothing: jobs run on the caller's goroutine.
func (*Backend) NewWorker(threads, _ int) (backend.Worker, error) {
	if threads < 1 {
		return nil, &backend.Error{Message: fmt.Sprintf("%d threads", threads)}
	}
	return &worker{threads: threads}, nil
}

type worker struct {
	threads int
	busy    sync.Mutex // one job or inference at a time
	closed  atomic.Bool
}

func (w *worker) Do(ctx context.Context, job func() error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	w.busy.Lock()
	defer w.busy.Unlock()
	if w.closed.Load() {
		return backend.ErrClosed
	}
	return job()
}

func (w *worker) Close() error {
	w.busy.Lock()
	defer w.busy.Unlock()
	w.closed.Store(true)
	return nil
}

// Load believes the card.
func (b *Backend) Load(_ backend.Worker, file *model.File, o backend.Options) (backend.Network, error) {
	content, err := file.Open()
	if err != nil {
		return nil, err
	}
	defer content.Close()
	if o.MaxBytes > 0 && file.Bytes > o.MaxBytes {
		return nil, &backend.Error{Kind: backend.OutOfMemory, Message: "the file is larger than the limit"}
	}
	return &network{of: b}, nil
}

type network struct {
	of     *Backend
	mu     sync.RWMutex // a run holds it shared, Close exclusively
	closed bool
	limits atomic.Pointer[backend.Limits]
}

func (n *network) Outputs() []backend.Port {
	return []backend.Port{{Name: "scores", Kind: backend.Scores, DType: "float32",
		Shape: []int64{1, int64(n.of.Classes)}}}
}

func (n *network) Warm(w backend.Worker, in backend.Input) ([]backend.Output, error) {
	return n.compute(in)
}

func (n *network) Fork() (backend.Network, error) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	if n.closed {
		return nil, backend.ErrClosed
	}
	fork := &network{of: n.of}
	fork.SetLimits(n.Limits())
	return fork, nil
}

func (n *network) Run(ctx context.Context, w backend.Worker, in backend.Input) (
	[]backend.Output, <-chan struct{}, error,
) {
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	mine := w.(*worker)
	mine.busy.Lock()
	n.mu.RLock()
	free := func() { n.mu.RUnlock(); mine.busy.Unlock() }
	if n.closed || mine.closed.Load() {
		free()
		return nil, nil, backend.ErrClosed
	}
	over := n.Limits().Time
	var late <-chan time.Time
	if over > 0 {
		late = time.After(over)
	}
	running := n.of.running.Add(1)
	for most := n.of.most.Load(); running > most && !n.of.most.CompareAndSwap(most, running); {
		most = n.of.most.Load()
	}
	takes := n.of.Time
	if bytes.HasPrefix(in.RGB, conformance.SlowPixel[:]) {
		takes = time.Hour
	}
	done := time.After(takes)
	end := func() { n.of.running.Add(-1); free() }
	select {
	case <-done:
		defer end()
		outputs, err := n.compute(in)
		return outputs, nil, err
	case <-late:
		defer end()
		return nil, nil, &backend.Error{Kind: backend.TooSlow, Message: "not done in its time"}
	case <-ctx.Done():
		if !n.of.Deaf {
			defer end()
			return nil, nil, ctx.Err()
		}
		left := make(chan struct{})
		go func() {
			<-done
			end()
			close(left)
		}()
		return nil, left, ctx.Err()
	}
}

// compute gives each class the hash of the image, scaled.
func (n *network) compute(in backend.Input) ([]backend.Output, error) {
	if in.Shape != nil {
		return nil, &backend.Error{Kind: backend.Failed, Message: "the fake takes images"}
	}
	each := in.Model.Bytes()
	if in.Count < 1 || len(in.RGB) != in.Count*each {
		return nil, &backend.Error{Kind: backend.Failed, Message: "not so many images"}
	}
	out := backend.Output{Port: n.Outputs()[0]}
	out.Shape[0] = int64(in.Count)
	for i := range in.Count {
		hash := fnv.New32a()
		hash.Write(in.RGB[i*each : (i+1)*each])
		for class := range n.of.Classes {
			out.Values = append(out.Values, float32(hash.Sum32()>>(class%24)%97)/10)
		}
	}
	return []backend.Output{out}, nil
}

func (n *network) SetLimits(l backend.Limits) { n.limits.Store(&l) }

func (n *network) Limits() backend.Limits {
	if l := n.limits.Load(); l != nil {
		return *l
	}
	return backend.Limits{}
}

func (n *network) Peaks() (loading, running int64) { return 0, 0 }

func (n *network) Close() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.closed = true
	return nil
}
