package registry

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/vidi-vision/vidi/service/admission"
	"github.com/vidi-vision/vidi/service/classify"
	"github.com/vidi-vision/vidi/service/model"
	"github.com/vidi-vision/vidi/torchbind/torchtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake is a model that answers with its own version, and notices when it is used after its end.
type fake struct {
	world  *world
	card   model.Card
	closed atomic.Bool
}

func (f *fake) Card() model.Card { return f.card }

func (f *fake) Cost([]byte, classify.Options) admission.Cost { return admission.Cost{} }

func (f *fake) Classify(_ context.Context, data []byte, _ classify.Options) (*classify.Result, error) {
	if f.closed.Load() {
		f.world.t.Errorf("%s was used after it was closed", f.card.Version)
	}
	label := f.card.Version
	if string(data) == "alike" {
		label = "alike"
	}
	result := &classify.Result{Best: classify.Prediction{Label: model.Label{Label: label}, Probability: 0.75}}
	result.Timing.Inference = 10 * time.Millisecond
	result.Predictions = []classify.Prediction{result.Best}
	if label != "1" {
		result.Predictions = append(result.Predictions, classify.Prediction{Label: model.Label{Label: "1"}, Probability: 0.125})
	}
	return result, nil
}

func (f *fake) ClassifyIdle(ctx context.Context, data []byte, o classify.Options) (*classify.Result, error) {
	switch {
	case f.world.busy.Load():
		return nil, classify.ErrBusy
	case string(data) == "bad for the shadow":
		return nil, errors.New("by order")
	}
	return f.Classify(ctx, data, o)
}

func (f *fake) Close() error {
	if f.closed.Swap(true) {
		f.world.t.Errorf("%s was closed twice", f.card.Version)
	}
	f.world.open.Add(-1)
	return nil
}

// world is a registry over a folder of real files, whose models are fakes.
type world struct {
	t        *testing.T
	folder   model.Folder
	registry *Registry
	open     atomic.Int64
	opening  atomic.Int64
	busy     atomic.Bool
	need     Need                    // what trials tell; zero for nothing
	during   func(path string) error // what happens while a file is being opened; may be nil

	mu      sync.Mutex
	changed []string
}

func newWorld(t *testing.T, memory int64) *world {
	t.Helper()
	w := &world{t: t, folder: model.Folder(t.TempDir())}
	w.registry = New(Config{Folder: w.folder, Memory: memory, Log: slog.New(slog.DiscardHandler), Try: w.try, Changed: func(c Change, err error) {
		w.mu.Lock()
		defer w.mu.Unlock()
		text := string(c)
		if err != nil {
			text += " refused"
		}
		w.changed = append(w.changed, text)
	}})
	t.Cleanup(func() {
		_ = w.registry.Close(context.Background()) // a test may have closed it
		w.settles("every model is closed", func() bool { return w.open.Load() == 0 })
	})
	return w
}

func (w *world) try(_ context.Context, path string) (Candidate, error) {
	return Candidate{Need: w.need, Open: func(ctx context.Context) (Opened, error) { return w.load(ctx, path) }}, nil
}

func (w *world) load(_ context.Context, path string) (Opened, error) {
	if n := w.opening.Add(1); n > 1 {
		w.t.Errorf("%d files are being loaded at the same time", n)
	}
	defer w.opening.Add(-1)
	if w.during != nil {
		if err := w.during(path); err != nil {
			return Opened{}, err
		}
	}
	file, err := model.Inspect(path)
	if err != nil {
		return Opened{}, err
	}
	w.open.Add(1)
	return Opened{Model: &fake{world: w, card: *file.Card}, Precision: "fp32"}, nil
}

// place puts a version into the folder, as `vidi models add` does.
func (w *world) place(name, version string) string {
	w.t.Helper()
	tiny := torchtest.File(w.t, "build/fixtures/tiny.pt")
	file, err := model.Inspect(tiny)
	if err != nil {
		w.t.Fatal(err)
	}
	card := *file.Card
	card.Name, card.Version = name, version
	draft, err := w.folder.Draft(tiny, card)
	if err != nil {
		w.t.Fatal(err)
	}
	defer draft.Discard()
	path, _, err := draft.Place(false)
	if err != nil {
		w.t.Fatal(err)
	}
	return path
}

// serving is a world that serves version 1 of pets, and has 2 in its folder.
func serving(t *testing.T) *world {
	t.Helper()
	w := newWorld(t, 0)
	path := w.place("pets", "1")
	w.place("pets", "2")
	if err := w.registry.Start(t.Context(), []string{path}); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) do(change Change, ref string, share float64) {
	w.t.Helper()
	if err := w.registry.Do(w.t.Context(), change, ref, share); err != nil {
		w.t.Fatalf("%s %s: %v", change, ref, err)
	}
}

// refused fails unless the change is refused with the code, and changes nothing.
func (w *world) refused(change Change, ref string, share float64, want Code) *Error {
	w.t.Helper()
	before, estimated := w.registry.table.Load(), w.registry.estimated.Load()
	var err *Error
	if e := w.registry.Do(w.t.Context(), change, ref, share); !errors.As(e, &err) || err.Code != want || err.Detail == "" {
		w.t.Errorf("%s %s: %v, want %s", change, ref, e, want)
		return &Error{}
	}
	if w.registry.table.Load() != before || w.registry.estimated.Load() != estimated {
		w.t.Errorf("%s %s was refused and has changed something", change, ref)
	}
	return err
}

// ask is which version answers to ref.
func (w *world) ask(ref string, pictures ...string) string {
	w.t.Helper()
	lease, err := w.registry.Pick(ref, "request-1")
	if err != nil {
		return err.Error()
	}
	defer lease.Release()
	for _, data := range append(pictures, "picture") {
		if _, err := lease.Classify(w.t.Context(), []byte(data), classify.Options{}); err != nil {
			w.t.Error(err)
		}
	}
	return model.Ref(lease.Card().Name, lease.Card().Version)
}

func (w *world) settles(what string, condition func() bool) {
	w.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !condition(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			w.t.Fatalf("%s: not within 20 s", what)
		}
	}
}

func (w *world) file(name string) string { return filepath.Join(string(w.folder), name) }
