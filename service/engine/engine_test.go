package engine

import (
	"bytes"
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/vidi-vision/vidi/service/backend"
	"github.com/vidi-vision/vidi/service/backend/backends"
	"github.com/vidi-vision/vidi/service/model"
	"github.com/vidi-vision/vidi/torchbind"
	"github.com/vidi-vision/vidi/torchbind/torchtest"
)

func TestMain(m *testing.M) {
	torchbind.OnLeak = func(kind string) { panic("a " + kind + " was garbage-collected without Close") }
	goleak.VerifyTestMain(m)
}

func load(t *testing.T, name string, cfg Config) (*Engine, error) {
	t.Helper()
	cfg.Backends = backends.All()
	e, err := Load(context.Background(), torchtest.File(t, "build/"+name), cfg)
	if err == nil {
		t.Cleanup(func() { e.Close() })
	}
	return e, err
}

func inspected(t *testing.T, path string) *model.File {
	t.Helper()
	file, err := model.Inspect(path)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

func mustLoad(t *testing.T, name string, cfg Config) *Engine {
	t.Helper()
	e, err := load(t, name, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// picture is an RGB input of side × side pixels that depends on seed.
func picture(side, seed int) []byte {
	rgb := make([]byte, side*side*3)
	for i := range rgb {
		rgb[i] = byte(i*(seed+3) + i*i/(97+seed))
	}
	return rgb
}

func TestInferGivesTheSameAnswerOnEveryWorker(t *testing.T) {
	torchtest.NoLeaks(t)
	e := mustLoad(t, "fixtures/tiny.pt", Config{Workers: 3, Threads: 1, Alone: 1}) // one module: its answers are the same to the last bit
	if p := e.Plan(); p.Workers != 3 || p.Threads != 1 || e.Precision() != backend.FP32 || len(e.Card().Labels) != 5 {
		t.Errorf("loaded as %d × %d, %s, %d labels", e.Plan().Workers, e.Plan().Threads, e.Precision(), len(e.Card().Labels))
	}
	want, err := e.Infer(context.Background(), picture(32, 1))
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			got, err := e.Infer(context.Background(), picture(32, 1))
			if err != nil {
				t.Error(err)
				return
			}
			for i := range want {
				if got[i] != want[i] {
					t.Errorf("got %v, alone it was %v", got, want)
					return
				}
			}
		})
	}
	all.Wait()
}

func TestBareFileGetsAssumedLabels(t *testing.T) {
	torchtest.NoLeaks(t)
	card := mustLoad(t, "fixtures/bare_traced.pt", Config{}).Card()
	if !card.Assumed || card.Name != "bare_traced" || len(card.Labels) != 10 || card.Labels[9].Label != "class_9" || card.Input.Crop != model.Square(224) {
		t.Errorf("assumed %+v", card)
	}
}

// The output of a classifier may come in a tuple or a dictionary of its own, or with positions, of which there is one.
func TestOneTensorIsTakenInEveryForm(t *testing.T) {
	torchtest.NoLeaks(t)
	const classes = 5
	for _, name := range []string{"in_tuple.pt", "in_dictionary.pt", "in_picture.pt"} {
		e := mustLoad(t, "fixtures/"+name, Config{Workers: 1, Precision: FP32})
		got, err := e.Infer(context.Background(), picture(e.Card().Input.Crop.Width, 1))
		if err != nil || len(got) != classes {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

func TestLoadRefusesWithTheReason(t *testing.T) {
	torchtest.NoLeaks(t)
	for name, want := range map[string]string{
		"state_dict.pth":       "a state_dict",
		"garbage.pt":           "no known kind",
		"card_three_labels.pt": "5 outputs, but the card names 3 labels",
		"nan.pt":               "not finite",
		"tuple_output.pt":      "returned a Tuple",
		"throws.pt":            "cannot classify an image",
		"int_output.pt":        "gives floating-point numbers",
		"wrong_shape.pt":       "a classifier gives 1 × classes",
	} {
		if _, err := load(t, "fixtures/"+name, Config{}); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: want %q in: %v", name, want, err)
		}
	}
	if _, err := Load(context.Background(), filepath.Join(t.TempDir(), "none.pt"), Config{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing file: %v", err)
	}
	stopped, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Load(stopped, torchtest.File(t, "build/fixtures/tiny.pt"), Config{Backends: backends.All()}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// What was looked at is what is loaded, or nothing is.
func TestAFileIsNotExchanged(t *testing.T) {
	torchtest.NoLeaks(t)
	content, err := os.ReadFile(torchtest.File(t, "build/fixtures/tiny.pt"))
	if err != nil {
		t.Fatal(err)
	}
	for _, how := range []string{"not", "renamed", "written", "linked"} {
		folder := t.TempDir()
		path, other := filepath.Join(folder, "model.pt"), filepath.Join(folder, "other.pt")
		write := func(path string) {
			t.Helper()
			if err := os.WriteFile(path, content, 0o666); err != nil {
				t.Fatal(err)
			}
		}
		write(other)
		write(filepath.Join(folder, "first.pt"))
		if err := os.Symlink("first.pt", path); err != nil {
			t.Fatal(err)
		}
		file := inspected(t, path)
		switch how {
		case "renamed":
			err = os.Rename(other, path)
		case "written":
			time.Sleep(20 * time.Millisecond) // longer than the kernel's clock stands still
			write(path)
		case "linked":
			err = errors.Join(os.Remove(path), os.Symlink("other.pt", path))
		}
		if err != nil {
			t.Fatal(err)
		}
		e, err := LoadFile(t.Context(), file, Config{Backends: backends.All(), Workers: 1, Alone: 1})
		if err == nil {
			e.Close()
		}
		if (err == nil) != (how == "not") || err != nil && !strings.Contains(err.Error(), "was changed or replaced") {
			t.Errorf("%s: %v", how, err)
		}
	}
}

// Loading takes what it took in the trial, or fails.
func TestLoadTakesWhatTheTrialDid(t *testing.T) {
	torchtest.NoLeaks(t)
	pool, err := NewPool(Config{Backends: backends.All(), Workers: 1, Threads: 1, Alone: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	// It makes 300 MB of constants ahead, or when it runs.
	file := inspected(t, torchtest.File(t, "build/fixtures/folds_300mb.pt"))
	e, err := pool.Load(t.Context(), file, FP32, model.Frozen, Memory{})
	if err != nil {
		t.Fatal(err)
	}
	loading, running := e.TensorPeaks()
	e.Close()
	if loading < 300_000_000 || running == 0 {
		t.Errorf("%d bytes of tensors to load, %d to run", loading, running)
	}
	if e, err = pool.Load(t.Context(), file, FP32, model.Frozen, Memory{LoadTensors: loading, RunTensors: running}); err != nil {
		t.Fatal(err)
	}
	e.Close()
	if e, err = pool.Load(t.Context(), file, FP32, model.Frozen, Memory{LoadTensors: 1 << 20, RunTensors: 1 << 10}); !errors.Is(err, backend.OutOfMemory) {
		t.Errorf("with less: %v", err)
		e.Close()
	}
}

// A model that takes too long to load is given up, and freed when it is there; a trusted one may.
func TestLoadIsGivenUp(t *testing.T) {
	torchtest.NoLeaks(t)
	path := torchtest.File(t, "build/fixtures/slow_in_setstate.pt")
	var refused *model.OperatorError
	if _, err := Load(t.Context(), path, Config{Backends: backends.All()}); !errors.As(err, &refused) || !strings.Contains(err.Error(), "for (code/") {
		t.Fatalf("without trust: %v", err)
	}
	pool, err := NewPool(Config{Backends: backends.All(), Workers: 1, Threads: 1, Alone: 1, Trust: model.Trust{SHA256: []string{refused.SHA256}}})
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	pool.loadTime = func(int64) time.Duration { return 100 * time.Millisecond }
	begun := time.Now()
	_, err = pool.Load(t.Context(), inspected(t, path), FP32, model.Plain, Memory{})
	var late *LoadTimeError
	if !errors.As(err, &late) || !strings.Contains(err.Error(), "not loaded in 100ms") {
		t.Fatalf("%v after %v", err, time.Since(begun))
	}
	select {
	case <-late.Ended():
		t.Fatalf("it took %v, and the test proves nothing", time.Since(begun))
	default:
	}
	// Others are loaded meanwhile.
	pool.loadTime = loadTime
	e, err := pool.Load(t.Context(), inspected(t, torchtest.File(t, "build/fixtures/tiny.pt")), FP32, model.Plain, Memory{})
	if err != nil {
		t.Fatal(err)
	}
	e.Close()
	<-late.Ended()
}

func TestPrecision(t *testing.T) {
	torchtest.NoLeaks(t)
	exact := mustLoad(t, "fixtures/tiny.pt", Config{Precision: FP32, Workers: 1})
	rough := mustLoad(t, "fixtures/tiny.pt", Config{Precision: BF16, Workers: 1})
	a, err := exact.Infer(context.Background(), picture(32, 2))
	if err != nil {
		t.Fatal(err)
	}
	b, err := rough.Infer(context.Background(), picture(32, 2))
	if err != nil {
		t.Fatal(err)
	}
	largest := 0.0
	for i := range a {
		largest = math.Max(largest, math.Abs(float64(a[i]-b[i])))
	}
	if largest == 0 || largest > 0.1 { // 8 bits of each number, outputs of order 1
		t.Errorf("bf16 is off by %g; want more than 0 and at most 0.1", largest)
	}

	cpu, err := torchbind.Runtime()
	if err != nil {
		t.Fatal(err)
	}
	if got := mustLoad(t, "fixtures/tiny.pt", Config{Precision: Auto}).Precision(); (got == backend.BF16) != cpu.HasFastBF16 {
		t.Errorf("auto chose %s; fast bf16: %v", got, cpu.HasFastBF16)
	}
	if _, err := load(t, "fixtures/tiny.pt", Config{Precision: Int8}); err == nil || !strings.Contains(err.Error(), "not quantised") {
		t.Errorf("int8: %v", err)
	}
	if err := BF16.check(model.Card{Name: "x", Precision: "int8"}); err == nil {
		t.Error("bf16 of a quantised file was accepted")
	}
	if _, err := ParsePrecision("fp16"); err == nil || !strings.Contains(err.Error(), "use bf16") {
		t.Errorf("fp16: %v", err)
	}
	if _, err := ParsePrecision("exact"); err == nil {
		t.Error("an unknown precision was accepted")
	}
}

// The real quantised model: it runs in every precision but bf16, which is refused with the reason.
func TestQuantisedModel(t *testing.T) {
	torchtest.NoLeaks(t)
	const exact, quantised = "models/efficientnet-lite0.pt", "models/efficientnet-lite0-int8.pt"
	want, err := mustLoad(t, exact, Config{Workers: 1}).Infer(context.Background(), picture(224, 5))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []Precision{"", FP32, Int8, Auto} {
		e := mustLoad(t, quantised, Config{Precision: p, Workers: 1})
		if e.Card().Precision != "int8" || e.Card().Name != "efficientnet-lite0-int8" || e.Precision() != backend.FP32 {
			t.Errorf("%q: %s, precision %s, runs in %s", p, e.Card().Name, e.Card().Precision, e.Precision())
		}
		got, err := e.Infer(context.Background(), picture(224, 5))
		if err != nil {
			t.Fatalf("%q: %v", p, err)
		}
		off, spread := 0.0, 0.0 // mean squares
		for i := range want {
			off += float64(got[i]-want[i]) * float64(got[i]-want[i])
			spread += float64(want[i]) * float64(want[i])
		}
		// 0.07 on photographs; a picture like noise is further off, a wrong engine or scale as far as the logits reach.
		if ratio := math.Sqrt(off / spread); ratio == 0 || ratio > 0.4 {
			t.Errorf("%q: logits are off by %.3f of their size; want more than 0 and at most 0.4", p, ratio)
		}
	}
	if _, err := load(t, quantised, Config{Precision: BF16}); err == nil || !strings.Contains(err.Error(), "cannot run in bf16") {
		t.Errorf("bf16: %v", err)
	}
	if _, err := load(t, exact, Config{Precision: Int8}); err == nil || !strings.Contains(err.Error(), "efficientnet-lite0-int8") {
		t.Errorf("int8 of a float model: %v", err)
	}
}

// Two models on one pool give the answers that each gives alone, from the same workers; one can go while the other works on.
func TestModelsShareAPool(t *testing.T) {
	torchtest.NoLeaks(t)
	pool, err := NewPool(Config{Backends: backends.All(), Workers: 2, Threads: 1, Alone: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	ctx, rgb := context.Background(), picture(32, 1)
	want, err := mustLoad(t, "fixtures/tiny.pt", Config{Workers: 1, Threads: 1, Alone: 1}).Infer(ctx, rgb)
	if err != nil {
		t.Fatal(err)
	}
	var engines [2]*Engine
	for i := range engines {
		if engines[i], err = pool.Load(ctx, inspected(t, torchtest.File(t, "build/fixtures/tiny.pt")), FP32, "", Memory{}); err != nil {
			t.Fatal(err)
		}
		defer engines[i].Close()
	}
	turn := mustBegin(t, engines[0])
	other := mustBegin(t, engines[1])
	if use := pool.Use(); use.Busy != 2 {
		t.Errorf("%d workers are busy with a picture of each model; want 2", use.Busy)
	}
	turn.End()
	engines[0].Close()
	got, err := other.Infer(ctx, rgb)
	if err != nil {
		t.Fatal(err)
	}
	other.End()
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("on a shared pool %v, alone %v", got, want)
		}
	}
	if _, err := pool.Load(ctx, inspected(t, torchtest.File(t, "build/fixtures/nan.pt")), FP32, "", Memory{}); err == nil {
		t.Error("a bad model was loaded")
	}
	if _, err := engines[1].Infer(ctx, rgb); err != nil {
		t.Errorf("after a bad model: %v", err)
	}
}

func TestBeginHonoursContextWhileWaiting(t *testing.T) {
	torchtest.NoLeaks(t)
	e := mustLoad(t, "fixtures/tiny.pt", Config{Workers: 1})
	turn, err := e.Begin(context.Background(), nil, 0) // the only worker is busy
	if err != nil {
		t.Fatal(err)
	}
	defer turn.End()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := e.Begin(ctx, nil, 0); !errors.Is(err, context.Canceled) {
		t.Errorf("begin: %v", err)
	}
	if _, err := turn.Infer(ctx, picture(32, 1)); !errors.Is(err, context.Canceled) {
		t.Errorf("infer: %v", err)
	}
}

func TestInferRefusesAPictureOfTheWrongSize(t *testing.T) {
	torchtest.NoLeaks(t)
	e := mustLoad(t, "fixtures/tiny.pt", Config{Workers: 1})
	if _, err := e.Infer(context.Background(), bytes.Repeat([]byte{1}, 100)); !errors.Is(err, torchbind.Shape) {
		t.Errorf("got %v", err)
	}
}
