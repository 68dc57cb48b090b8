package trial

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vidi-vision/vidi/service/engine"
	"github.com/vidi-vision/vidi/service/model"
	"github.com/vidi-vision/vidi/torchbind"
	"github.com/vidi-vision/vidi/torchbind/torchtest"
)

// sabotage is the environment variable that says how the other process ends, and where: "crash:fused" while
// it tries that engine, "hang:sizes" at a stage with that word in it.
const sabotage = "VIDI_TEST_SABOTAGE"

// saboteur does what the variable says.
func saboteur(orders string) func(message) {
	how, where, _ := strings.Cut(orders, ":")
	return func(m message) {
		if where == "" || string(m.Trying) != where && !strings.Contains(m.Stage, where) {
			return
		}
		if how == "hang" {
			select {}
		}
		_ = syscall.Kill(os.Getpid(), syscall.SIGSEGV)
		select {}
	}
}

// A trial times every engine and takes the fastest one, unless that is only a little faster.
func TestTrialTimesEveryEngine(t *testing.T) {
	path := torchtest.File(t, "build/models/efficientnet-lite0.pt")
	file, err := model.Inspect(path)
	if err != nil {
		t.Fatal(err)
	}
	report, err := examined(t, path, file.Card.Input, patient)
	if err != nil {
		t.Fatal(err)
	}
	info, err := torchbind.Runtime()
	if err != nil {
		t.Fatal(err)
	}
	if tried := len(report.Trial.Engines); tried != len(model.Engines()) && (info.HasFuser || tried != len(model.Engines())-1) {
		t.Errorf("these engines were tried: %v", report.Trial.Engines)
	}
	for i, tried := range report.Trial.Engines {
		if tried.Failure != "" || tried.Milliseconds <= 0 {
			t.Errorf("%s: %+v", tried.Engine, tried)
		}
		if i > 0 && tried.Engine == report.Trial.Engines[i-1].Engine {
			t.Errorf("%s was tried twice", tried.Engine)
		}
	}
	chosen, _ := model.TimeOf(report.Trial.Engines, report.Trial.Engine)
	for _, other := range report.Trial.Engines {
		if other.Milliseconds < 0.9*chosen.Milliseconds {
			t.Errorf("%s was chosen, but %s", chosen, other)
		}
	}
	if report.Trial.Milliseconds != chosen.Milliseconds {
		t.Errorf("the report says %v ms, the engine took %v", report.Trial.Milliseconds, chosen.Milliseconds)
	}
}

func TestFastest(t *testing.T) {
	for want, times := range map[model.Engine][]model.EngineTime{
		"":              {{Engine: model.Fused, Failure: "crashed"}},
		model.Fused:     {{Engine: model.Fused, Milliseconds: 10}, {Engine: model.Plain, Milliseconds: 9.8}},
		model.Optimized: {{Engine: model.Fused, Milliseconds: 1691}, {Engine: model.Optimized, Milliseconds: 141}, {Engine: model.Frozen, Milliseconds: 150}},
		model.Plain:     {{Engine: model.Fused, Failure: "crashed"}, {Engine: model.Optimized, Milliseconds: 20}, {Engine: model.Plain, Milliseconds: 10}},
	} {
		if got := model.Fastest(times); got != want {
			t.Errorf("of %v %q is taken, not %q", times, got, want)
		}
	}
}

// An engine that ends the process, or takes too long, is noted, and the trial goes on without it.
func TestTrialGoesOnWithoutAnEngine(t *testing.T) {
	path := fixture(t, "tiny.pt")
	for _, how := range []string{"crash:fused", "hang:fused", "crash:optimized", "crash:frozen"} {
		t.Setenv(sabotage, how)
		limits := Limits{Memory: patient.Memory, Time: time.Minute}
		if strings.HasPrefix(how, "hang") {
			limits.Time = 24 * time.Second // a quarter of it is what an engine may take
		}
		_, broken, _ := strings.Cut(how, ":")
		for _, examine := range []bool{true, false} {
			request := Request{Path: path, Examine: examine, Input: unknown(), Precision: engine.FP32, Limits: limits}
			report, err := Run(context.Background(), request, nil)
			if err != nil {
				t.Errorf("%s: %v", how, err)
				continue
			}
			failed, known := model.TimeOf(report.Trial.Engines, model.Engine(broken))
			if !known || failed.Failure == "" || report.Trial.Engine == failed.Engine || !report.Trial.Engine.Valid() {
				t.Errorf("%s, examine %v: %+v", how, examine, report.Trial)
			}
			t.Logf("%s, examine %v: %q, then %s", how, examine, failed.Failure, report.Trial.Engine)
		}
	}
}

// A crash at a size that nobody asked for does not count; one of the plain engine at its own size does.
func TestTrialForgivesOtherSizes(t *testing.T) {
	t.Setenv(sabotage, "crash:sizes")
	report, err := examined(t, fixture(t, "tiny.pt"), unknown(), patient)
	if err != nil || report.AnySize || report.Trial.Engine == "" {
		t.Errorf("%+v, %v", report, err)
	}
	t.Setenv(sabotage, "crash:loaded")
	var refusal *Refusal
	if _, err := examined(t, fixture(t, "tiny.pt"), unknown(), patient); !errors.As(err, &refusal) {
		t.Errorf("%v", err)
	}
}

// The engine in a card is used without timing all of them, unless it fails here.
func TestVetUsesTheCardsEngine(t *testing.T) {
	card := model.Card{}
	file, err := model.Inspect(fixture(t, "tiny.pt"))
	if err != nil {
		t.Fatal(err)
	}
	card = *file.Card
	card.Name, card.Trial = "chosen", &model.Trial{Engine: model.Frozen}
	draft, err := model.Folder(t.TempDir()).Draft(file.Path, card)
	if err != nil {
		t.Fatal(err)
	}
	defer draft.Discard()
	request := Request{Path: draft.Path, Precision: engine.FP32, Limits: patient}
	report, err := Run(context.Background(), request, nil)
	if err != nil || report.Trial.Engine != model.Frozen || len(report.Trial.Engines) != 0 {
		t.Errorf("%+v, %v", report, err)
	}
	t.Setenv(sabotage, "crash:frozen")
	report, err = Run(context.Background(), request, nil)
	if err != nil || report.Trial.Engine == model.Frozen || len(report.Trial.Engines) != len(model.Engines()) {
		t.Errorf("%+v, %v", report, err)
	}
	memory := Tried{Dir: filepath.Join(t.TempDir(), "tried"), Version: "1"}
	memory.Remember("abc", engine.BF16, Verdict{Engine: model.Optimized})
	if v, known := memory.Knows("abc", engine.BF16); !known || v.Engine != model.Optimized {
		t.Errorf("remembered %+v, %v", v, known)
	}
	if _, known := memory.Knows("abc", engine.FP32); known {
		t.Error("known in a precision that was not tried")
	}
}
