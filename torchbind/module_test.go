package torchbind_test

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vidi-vision/vidi/torchbind"
	"github.com/vidi-vision/vidi/torchbind/torchtest"
)

func run(t testing.TB, m *torchbind.Module, seed int) []float32 {
	t.Helper()
	x := inputFor(t, seed, m.InputDType())
	defer x.Close()
	y, err := m.Run(x)
	must(t, err)
	defer y.Close()
	out, err := y.Float32s()
	must(t, err)
	return out
}

func warm(t testing.TB, m *torchbind.Module) {
	t.Helper()
	x := inputFor(t, 0, m.InputDType())
	defer x.Close()
	y, err := m.Warm(x)
	must(t, err)
	must(t, y.Close())
}

func distance(a, b []float32) float64 {
	d := 0.0
	for i := range a {
		d = max(d, math.Abs(float64(a[i]-b[i])))
	}
	return d
}

func TestLoadFromFileAndBytesAgree(t *testing.T) {
	torchtest.NoLeaks(t)
	path := torchtest.File(t, "build/fixtures/tiny.pt")
	data, err := os.ReadFile(path)
	must(t, err)
	onWorker(t, func() {
		a := loadTiny(t, torchbind.Options{ExtraFile: "vidi.json"})
		b, err := torchbind.LoadBytes(data, torchbind.Options{ExtraFile: "vidi.json"})
		must(t, err)
		defer b.Close()
		clear(data) // the module must not look at the bytes again
		if !slices.Equal(run(t, a, 1), run(t, b, 1)) {
			t.Error("the same file gives different answers from disk and from memory")
		}
		var card struct{ Labels []any }
		must(t, json.Unmarshal(a.Extra(), &card))
		if len(card.Labels) != 5 || !slices.Equal(a.Extra(), b.Extra()) {
			t.Errorf("the card has %d labels, want 5", len(card.Labels))
		}
	})
}

// A fork runs with another number of threads, at the same time as its origin, and after it.
func TestForkAnswersAlikeAndOutlivesItsOrigin(t *testing.T) {
	torchtest.NoLeaks(t)
	var origin, fork *torchbind.Module
	var want, warmed []float32
	onWorker(t, func() {
		origin = loadTiny(t, torchbind.Options{Precision: torchbind.BF16, ExtraFile: "vidi.json"})
		warm(t, origin)
		want = run(t, origin, 1)
	})
	two, err := torchbind.NewWorker(2)
	must(t, err)
	defer two.Close()
	must(t, two.Do(t.Context(), func() error {
		var err error
		fork, err = origin.Fork()
		must(t, err)
		x := inputFor(t, 1, fork.InputDType())
		defer x.Close()
		y, err := two.Warm(fork, x)
		must(t, err)
		defer y.Close()
		warmed, err = y.Float32s()
		return err
	}))
	defer fork.Close()
	if fork.InputDType() != torchbind.BFloat16 || !slices.Equal(fork.Extra(), origin.Extra()) {
		t.Error("the fork lost the module's options")
	}
	must(t, origin.Close())
	must(t, two.Do(t.Context(), func() error {
		x := inputFor(t, 1, fork.InputDType())
		defer x.Close()
		y, err := two.Run(fork, x)
		must(t, err)
		defer y.Close()
		got, err := y.Float32s()
		must(t, err)
		if d := distance(got, want); d > 0.05 { // bf16 sums in another order: its steps here are up to 0.016
			t.Errorf("the fork's answer differs by %g", d)
		}
		if !slices.Equal(got, warmed) {
			t.Errorf("the last run of warming gave another answer, by %g", distance(got, warmed))
		}
		return nil
	}))
	if _, err := origin.Fork(); !errors.Is(err, torchbind.ErrClosed) {
		t.Errorf("fork of a closed module: %v", err)
	}
}

func TestExtraFileIsOptional(t *testing.T) {
	torchtest.NoLeaks(t)
	for _, name := range []string{"", "no-such-file.json"} {
		if extra := loadTiny(t, torchbind.Options{ExtraFile: name}).Extra(); len(extra) != 0 {
			t.Errorf("extra file %q has %d bytes", name, len(extra))
		}
	}
}

// Every engine computes the same function. 1e-5 is for sums taken in another order; outputs here are of order 1.
func TestEnginesAgree(t *testing.T) {
	torchtest.NoLeaks(t)
	onWorker(t, func() {
		plain := loadTiny(t, torchbind.Options{Engine: torchbind.EnginePlain})
		engines := []torchbind.Engine{torchbind.EngineAuto, torchbind.EngineOptimized, torchbind.EngineFrozen}
		auto := torchbind.EngineOptimized
		if info, err := torchbind.Runtime(); err == nil && info.HasFuser {
			auto = torchbind.EngineFused
			engines = append(engines, auto)
		}
		for _, engine := range engines {
			m := loadTiny(t, torchbind.Options{Engine: engine})
			want := engine
			if engine == torchbind.EngineAuto {
				want = auto
			}
			if m.Engine() != want {
				t.Errorf("a module loaded with %v runs with %v, want %v", engine, m.Engine(), want)
			}
			warm(t, m)
			for seed := range 5 {
				want, got := run(t, plain, seed), run(t, m, seed)
				if d := distance(got, want); d > 1e-5 || len(got) != 5 {
					t.Errorf("%v, seed %d: off by %g", engine, seed, d)
				}
			}
		}
	})
}

// bfloat16 keeps 8 bits of each number, so a few hundredths of outputs of order 1.
func TestBF16IsClose(t *testing.T) {
	torchtest.NoLeaks(t)
	onWorker(t, func() {
		exact := loadTiny(t, torchbind.Options{})
		m := loadTiny(t, torchbind.Options{Precision: torchbind.BF16})
		warm(t, m)
		want, got := run(t, exact, 1), run(t, m, 1)
		if d := distance(got, want); d > 0.1 || d == 0 {
			t.Errorf("off by %g: want more than 0 (it must really compute in bf16) and at most 0.1", d)
		}
	})
}

func TestLoadErrorsNameTheFileAndTheReason(t *testing.T) {
	torchtest.NoLeaks(t)
	dir := t.TempDir()
	for _, c := range []struct {
		path string
		code torchbind.Code
		text string
	}{
		{filepath.Join(dir, "missing.pt"), torchbind.NotFound, "o such file"},
		{"nul\x00byte.pt", torchbind.InvalidArgument, "NUL"},
		{torchtest.File(t, "build/fixtures/garbage.pt"), torchbind.BadModel, "garbage.pt"},
		{torchtest.File(t, "build/fixtures/empty.pt"), torchbind.BadModel, "empty.pt"},
		{torchtest.File(t, "build/fixtures/state_dict.pth"), torchbind.BadModel, "constants.pkl"},
		{dir, torchbind.NotFound, "directory"},
	} {
		m, err := torchbind.Load(c.path, torchbind.Options{})
		if err == nil {
			m.Close()
		}
		wantCode(t, err, c.code)
		if err == nil || !strings.Contains(err.Error(), c.text) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: error is not one line with %q: %v", c.path, c.text, err)
		}
	}
	if _, err := torchbind.Load("x.pt", torchbind.Options{Precision: "fp16"}); !errors.Is(err, torchbind.InvalidArgument) {
		t.Errorf("fp16: %v", err)
	}
	if _, err := torchbind.LoadBytes(nil, torchbind.Options{}); !errors.Is(err, torchbind.InvalidArgument) {
		t.Errorf("no bytes: %v", err)
	}
}

func TestRunErrorsLeaveTheModuleUsable(t *testing.T) {
	torchtest.NoLeaks(t)
	onWorker(t, func() {
		for file, code := range map[string]torchbind.Code{"throws.pt": torchbind.ForwardFailed, "tuple_output.pt": torchbind.BadModel} {
			m, err := torchbind.Load(torchtest.File(t, "build/fixtures/"+file), torchbind.Options{})
			must(t, err)
			x := inputFor(t, 1, torchbind.Float32)
			for range 5 { // the first runs are interpreted, later ones compiled: both must report
				_, err = m.Run(x)
				wantCode(t, err, code)
				if err != nil && strings.Contains(err.Error(), "\n") {
					t.Errorf("%s: the message has several lines: %v", file, err)
				}
			}
			x.Close()
			m.Close()
		}
		m := loadTiny(t, torchbind.Options{})
		wrong, err := torchbind.NewFloat32([]int64{1, 4, 32, 32}, make([]float32, 4*32*32))
		must(t, err)
		defer wrong.Close()
		_, err = m.Run(wrong)
		wantCode(t, err, torchbind.ForwardFailed)
		if len(run(t, m, 1)) != 5 {
			t.Error("after an error the module gives no answer")
		}
	})
}

func TestRunAfterClose(t *testing.T) {
	torchtest.NoLeaks(t)
	m, err := torchbind.Load(torchtest.File(t, "build/fixtures/tiny.pt"), torchbind.Options{})
	must(t, err)
	x := inputFor(t, 1, torchbind.Float32)
	defer x.Close()
	m.Close()
	m.Close()
	if _, err := m.Run(x); !errors.Is(err, torchbind.ErrClosed) {
		t.Errorf("got %v", err)
	}
	var none *torchbind.Module
	none.Close()
}

// Several workers share one warm module; Close comes while they run and must wait for them.
func TestConcurrentRunAndClose(t *testing.T) {
	torchtest.NoLeaks(t)
	m, err := torchbind.Load(torchtest.File(t, "build/fixtures/tiny.pt"), torchbind.Options{})
	must(t, err)
	var want [4][]float32
	onWorker(t, func() {
		warm(t, m)
		for seed := range want {
			want[seed] = run(t, m, seed)
		}
	})
	var running, done sync.WaitGroup
	for seed := range want {
		running.Add(1)
		done.Go(func() {
			onWorker(t, func() {
				x := inputFor(t, seed, torchbind.Float32)
				defer x.Close()
				for i := 0; ; i++ {
					y, err := m.Run(x)
					if errors.Is(err, torchbind.ErrClosed) {
						return
					}
					must(t, err)
					got, err := y.Float32s()
					must(t, err)
					y.Close()
					if !slices.Equal(got, want[seed]) {
						t.Errorf("worker %d, run %d: %v, alone it was %v", seed, i, got, want[seed])
						running.Done()
						return
					}
					if i == 50 {
						running.Done()
					}
				}
			})
		})
	}
	running.Wait()
	m.Close()
	done.Wait()
}

// Limits are their thread's, so that a network may start no other. Where it waits for them itself they
// become calls.
func TestNoThreadsOfItsOwn(t *testing.T) {
	w := newWorker(t, 1)
	input := inputFor(t, 1, torchbind.Float32)
	defer input.Close()
	for _, engine := range []torchbind.Engine{torchbind.EnginePlain, torchbind.EngineFrozen} {
		m, err := torchbind.Load(torchtest.File(t, "build/fixtures/joins.pt"), torchbind.Options{Engine: engine})
		if err != nil {
			t.Errorf("%v: a network that waits for its threads: %v", engine, err)
			continue
		}
		y, err := w.Run(m, input)
		must(t, err)
		got, err := y.Float32s()
		must(t, err)
		y.Close()
		m.Close()
		if slices.Min(got) < 1 {
			t.Errorf("%v: relu and one more is %v", engine, got)
		}
	}
	_, err := torchbind.Load(torchtest.File(t, "build/fixtures/forks.pt"), torchbind.Options{Engine: torchbind.EnginePlain})
	if !errors.Is(err, torchbind.BadModel) || !strings.Contains(err.Error(), "torch.jit.fork") {
		t.Errorf("a network with threads of its own: %v", err)
	}
}

// A run that is left goes on, and keeps the worker until it has ended.
func TestRunUntilLeaves(t *testing.T) {
	w := newWorker(t, 1)
	m, err := torchbind.Load(torchtest.File(t, "build/fixtures/hangs.pt"), torchbind.Options{Engine: torchbind.EnginePlain})
	must(t, err)
	defer m.Close()
	input := inputFor(t, 1, torchbind.Float32)
	defer input.Close()
	for _, end := range []func() (context.Context, context.CancelFunc){
		func() (context.Context, context.CancelFunc) {
			return context.WithTimeout(t.Context(), 300*time.Millisecond)
		},
		func() (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(300*time.Millisecond, cancel)
			return ctx, cancel
		},
	} {
		m.SetLimits(torchbind.Limits{Time: time.Second})
		ctx, cancel := end()
		_, left, err := w.RunUntil(ctx, m, input)
		if err == nil || left == nil && !errors.Is(err, torchbind.TooSlow) {
			t.Errorf("a run that hangs: %v", err)
		}
		cancel()
		if left != nil {
			<-left
		}
	}
	m.SetLimits(torchbind.Limits{Time: 50 * time.Millisecond})
	for range 3 { // and the worker is as before
		if _, err := w.Run(m, input); !errors.Is(err, torchbind.TooSlow) {
			t.Errorf("a loop without end: %v", err)
		}
	}
}
