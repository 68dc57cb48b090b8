// Package registry holds the models that a server has loaded, and decides which one answers a request.
//
// Each name has a stable version, which answers; it may have a canary, which answers a share of the requests, and a shadow, which
// looks at a share of the pictures when nobody waits for a worker, and is compared. What a request gets is a [Lease]: it keeps its
// version alive, so a change is one atomic exchange of a table, and a version that is in no table any more is closed when its last
// lease is released. So no request fails because of a change, and none is answered by two versions.
//
// [Registry.Pick], [Registry.List] and [Registry.Status] never wait. Changes (changes.go) come one after the other, because loading
// two models at once would take the memory of both; each finds its file in the folder of models by name and version.
package registry

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vidi-vision/vidi/service/admission"
	"github.com/vidi-vision/vidi/service/classify"
	"github.com/vidi-vision/vidi/service/model"
)

// Model is a loaded, warm model; [*classify.Classifier] is the real one. All methods but Close are safe for concurrent use.
type Model interface {
	Classify(ctx context.Context, data []byte, o classify.Options) (*classify.Result, error)
	// ClassifyIdle is Classify, or [classify.ErrBusy] at once if every worker works.
	ClassifyIdle(ctx context.Context, data []byte, o classify.Options) (*classify.Result, error)
	Cost(data []byte, o classify.Options) admission.Cost
	Card() model.Card
	Close() error
}

// Opened is a model, and how it runs.
type Opened struct {
	Model
	Precision string       // what it computes in: "fp32", "bf16" or "int8"
	Engine    model.Engine // that libtorch runs it with
}

// Candidate is a file that was tried.
type Candidate struct {
	Need Need // the zero value is not known
	// Open loads and warms it.
	Open func(ctx context.Context) (Opened, error)
}

// Config is what a registry works with.
type Config struct {
	Folder model.Folder
	// Try tries the file at path. An error says what is wrong with the file in words for its owner.
	Try    func(ctx context.Context, path string) (Candidate, error)
	Memory int64 // bytes that all models together may take, as measured, or estimated by [Estimate]; 0 is no limit
	Log    *slog.Logger
	// Changed hears of each change, and whether it was done; may be nil.
	Changed func(change Change, err error)
	// Seen hears at each look of Watch whether the folder could be read; may be nil.
	Seen func(usable bool)
}

// Registry is the models of a server. All methods are safe for concurrent use.
type Registry struct {
	cfg      Config
	table    atomic.Pointer[table]
	changing chan struct{} // holds one token while a change is under way
	stopping context.Context
	stop     context.CancelFunc
	shadows  *shadowQueue
	running  sync.WaitGroup // the shadows' goroutine, and each version until it is closed

	estimated atomic.Int64 // bytes of all versions that are not closed
	draining  atomic.Int64 // versions that are in no table and not closed
}

// New makes a registry that has no model yet; call Close.
func New(cfg Config) *Registry {
	r := &Registry{cfg: cfg, changing: make(chan struct{}, 1), shadows: newShadowQueue()}
	r.stopping, r.stop = context.WithCancel(context.Background())
	r.table.Store(&table{})
	r.running.Go(func() { r.shadows.work(r.stopping) })
	return r
}

// Start loads the files, which may lie anywhere, and makes the first one's name the default. The first of several versions of
// a name is its stable one, the others are there beside it.
func (r *Registry) Start(ctx context.Context, paths []string) error {
	return r.locked(ctx, func(ctx context.Context) error {
		for _, path := range paths {
			if err := r.load(ctx, path, ""); err != nil {
				return err
			}
		}
		return nil
	})
}

// Close ends the shadows, and closes every version once its leases are released. Nothing may be picked any more. When ctx ends first,
// what is left (a model that is being loaded, which libtorch cannot interrupt) is left to the process's end.
func (r *Registry) Close(ctx context.Context) error {
	r.stop()
	select {
	case r.changing <- struct{}{}:
	case <-ctx.Done():
		return fmt.Errorf("a model is still being loaded: %w", ctx.Err())
	}
	r.commit(&table{})
	<-r.changing
	closed := make(chan struct{})
	go func() {
		r.running.Wait()
		close(closed)
	}()
	select {
	case <-closed:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%d models are still in use: %w", r.draining.Load(), ctx.Err())
	}
}

// commit makes t what answers from now on, and lets go of the versions that are not in it. The caller has the right to change.
func (r *Registry) commit(t *table) {
	before := r.table.Swap(t)
	for _, v := range before.versions() {
		if !t.has(v) {
			r.draining.Add(1)
			v.release()
		}
	}
	for _, l := range before.lines {
		if s := l.shadow; s != nil && !t.shadows(s) {
			s.end()
		}
	}
}

// version is one loaded version of a model. The table it is in holds one reference, and each lease another.
type version struct {
	Opened
	card     model.Card
	path     string
	since    time.Time
	estimate int64 // bytes
	refs     atomic.Int64
	last     func() // called once, when nobody has a reference any more
}

// adopt takes the model over. It is closed on a goroutine of its own: the request that used it last need not wait for that.
func (r *Registry) adopt(opened Opened, path string, estimate int64) *version {
	v := &version{Opened: opened, card: opened.Card(), path: path, since: time.Now(), estimate: estimate}
	v.refs.Store(1)
	r.running.Add(1)
	v.last = func() {
		go func() {
			defer r.running.Done()
			if err := v.Close(); err != nil {
				r.cfg.Log.Warn("a model was not freed", "model", v.ref(), "error", err)
			}
			r.estimated.Add(-v.estimate)
			r.draining.Add(-1)
		}()
	}
	return v
}

func (v *version) ref() string { return model.Ref(v.card.Name, v.card.Version) }

// acquire takes a reference, unless the last one was given back already.
func (v *version) acquire() bool {
	for {
		n := v.refs.Load()
		if n == 0 {
			return false
		}
		if v.refs.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

func (v *version) release() {
	if v.refs.Add(-1) == 0 {
		v.last()
	}
}
