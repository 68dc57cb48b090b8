package engine

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/vidi-vision/vidi/service/backend"
	"github.com/vidi-vision/vidi/service/backend/conformance"
	"github.com/vidi-vision/vidi/service/backend/fake"
	"github.com/vidi-vision/vidi/torchbind/torchtest"
)

// The tests of this file run under the race detector, too: nothing in them is computed outside Go.

func loadFake(t *testing.T, p *Pool) *Engine {
	t.Helper()
	e, err := p.Load(t.Context(), inspected(t, torchtest.File(t, "build/fixtures/tiny.pt")), FP32, "", Memory{})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func fakePool(t *testing.T, b *fake.Backend, cfg Config) *Pool {
	t.Helper()
	cfg.Backends = []backend.Backend{b}
	p, err := NewPool(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

// However many models and callers there are, no more inferences run than there are workers.
func TestFakeInferencesShareTheWorkers(t *testing.T) {
	const workers = 3
	b := &fake.Backend{Classes: 5, Time: 2 * time.Millisecond}
	p := fakePool(t, b, Config{Workers: workers, Threads: 1, Alone: 1})
	var clients sync.WaitGroup
	for range 2 {
		e := loadFake(t, p)
		defer e.Close()
		want, err := e.Infer(t.Context(), picture(e.Card().Input.Width(), 1))
		if err != nil {
			t.Fatal(err)
		}
		for range 20 {
			clients.Go(func() {
				got, err := e.Infer(t.Context(), picture(e.Card().Input.Width(), 1))
				if err != nil || len(got) != len(want) || got[0] != want[0] {
					t.Errorf("%v, %v", got, err)
				}
			})
		}
	}
	clients.Wait()
	if most := b.Most(); most != workers {
		t.Errorf("%d inferences at one time on %d workers", most, workers)
	}
	if use := p.Use(); use != (Use{}) {
		t.Errorf("idle, and %+v", use)
	}
}

// An image that is alone runs on all threads, and never beside another one.
func TestFakeImageThatIsAlone(t *testing.T) {
	b := &fake.Backend{Classes: 5, Time: time.Millisecond}
	p := fakePool(t, b, Config{Workers: 2, Threads: 1, Alone: 2})
	e := loadFake(t, p)
	defer e.Close()
	if outcome, err := e.WaitAlone(t.Context()); err != nil || !outcome.Used {
		t.Fatalf("%+v, %v", outcome, err)
	}
	turn := mustBegin(t, e)
	_, err := turn.Infer(t.Context(), picture(e.Card().Input.Width(), 1))
	turn.End()
	if err != nil || !turn.Alone {
		t.Errorf("alone %v, %v", turn.Alone, err)
	}
	var clients sync.WaitGroup
	for range 20 {
		clients.Go(func() {
			if _, err := e.Infer(t.Context(), picture(e.Card().Input.Width(), 1)); err != nil {
				t.Error(err)
			}
		})
	}
	clients.Wait()
	if most := b.Most(); most > 2 {
		t.Errorf("%d inferences at one time on two cores", most)
	}
}

// What cannot be interrupted keeps its worker, and counts as stuck once it is late; the caller is free.
func TestFakeInferenceThatGoesOn(t *testing.T) {
	b := &fake.Backend{Classes: 5, Time: 300 * time.Millisecond, Deaf: true}
	p := fakePool(t, b, Config{Workers: 1, Threads: 1, Alone: 1})
	e := loadFake(t, p)
	defer e.Close()
	short, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	begun := time.Now()
	if _, err := e.Infer(short, picture(e.Card().Input.Width(), 1)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("it returned %v", err)
	}
	if took := time.Since(begun); took > 200*time.Millisecond {
		t.Errorf("it returned after %v", took)
	}
	if _, err := e.Infer(t.Context(), picture(e.Card().Input.Width(), 1)); err != nil {
		t.Error(err)
	}
	if took := time.Since(begun); took < 600*time.Millisecond || b.Most() != 1 {
		t.Errorf("the next one was done after %v; %d at one time", took, b.Most())
	}
}

// A network that is interrupted leaves its worker at once.
func TestFakeDeadline(t *testing.T) {
	b := &fake.Backend{Classes: 5}
	p := fakePool(t, b, Config{Workers: 1, Threads: 1, Alone: 1})
	e := loadFake(t, p)
	defer e.Close()
	slow := picture(e.Card().Input.Width(), 1)
	copy(slow, conformance.SlowPixel[:])
	short, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := e.Infer(short, slow); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("it returned %v", err)
	}
	if _, err := e.Infer(t.Context(), picture(e.Card().Input.Width(), 1)); err != nil {
		t.Error(err)
	}
}
