package registry

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vidi-vision/vidi/service/classify"
)

func TestNames(t *testing.T) {
	w := serving(t)
	w.place("cars", "7")
	w.do(Load, "cars@7", 0)
	w.do(ToCanary, "pets@2", 0.0001) // it is there, and answers next to nothing
	for ref, want := range map[string]string{
		"": "pets@1", "pets": "pets@1", "pets@1": "pets@1", "pets@2": "pets@2", "pets@stable": "pets@1", "pets@canary": "pets@2",
		"cars": "cars@7", "cars@7": "cars@7", "cars@stable": "cars@7",
	} {
		if got := w.ask(ref); got != want {
			t.Errorf("%q is %s, want %s", ref, got, want)
		}
	}
	for _, ref := range []string{"dogs", "pets@3", "cars@canary", "cars@1", "pets@"} {
		_, err := w.registry.Pick(ref, "")
		var known *Error
		if !errors.As(err, &known) || known.Code != NotFound || !strings.Contains(err.Error(), "there are: pets, pets@1, pets@2, cars, cars@7") {
			t.Errorf("%q: %v", ref, err)
		}
	}
	list := w.registry.List()
	if len(list) != 3 || !list[0].Default || list[1].Default || list[2].Default || list[0].Version != "1" || !slices.Equal(list[1].Aliases, []string{"canary"}) {
		t.Errorf("listed %+v", list)
	}
}

// While versions change, every request gets one version, which is open for as long as the request has it.
func TestSwapsUnderLoad(t *testing.T) {
	w := serving(t)
	stop := make(chan struct{})
	var clients sync.WaitGroup
	answered := map[string]int{}
	var mu sync.Mutex
	for range 8 {
		clients.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				lease, err := w.registry.Pick("pets", "")
				if err != nil {
					t.Error(err)
					return
				}
				version := lease.Card().Version
				for range 3 {
					result, err := lease.Classify(t.Context(), []byte("picture"), classify.Options{})
					if err != nil || result.Best.Label.Label != version {
						t.Errorf("version %s answered %+v, %v", version, result, err)
					}
				}
				lease.Release()
				mu.Lock()
				answered[version]++
				mu.Unlock()
			}
		})
	}
	for i := range 100 {
		w.do(Swap, []string{"pets@2", "pets@1"}[i%2], 0)
	}
	close(stop)
	clients.Wait()
	w.settles("one version is left", func() bool { return w.open.Load() == 1 && w.registry.Status().Draining == 0 })
	if answered["1"] == 0 || answered["2"] == 0 {
		t.Errorf("answered: %v", answered)
	}
	if got, want := w.registry.estimated.Load(), w.registry.Status().Models[0].Versions[0].Memory; got != want {
		t.Errorf("%d bytes are counted, want %d", got, want)
	}
}

func TestTheOldVersionGoesOnUntilItsLastRequest(t *testing.T) {
	w := serving(t)
	lease, err := w.registry.Pick("", "")
	if err != nil {
		t.Fatal(err)
	}
	w.do(Swap, "pets@2", 0)
	if got := w.ask(""); got != "pets@2" {
		t.Errorf("after the swap %s answers", got)
	}
	if _, err := lease.Classify(t.Context(), nil, classify.Options{}); err != nil || w.open.Load() != 2 || w.registry.Status().Draining != 1 {
		t.Errorf("the old one: %v, %d open", err, w.open.Load())
	}
	lease.Release()
	w.settles("the old one is closed", func() bool { return w.open.Load() == 1 })
}

func TestRollback(t *testing.T) {
	w := serving(t)
	w.refused(Rollback, "pets", 0, NotFound)
	w.do(Swap, "pets", 0) // its newest
	if got := w.ask(""); got != "pets@2" {
		t.Errorf("swapped to %s", got)
	}
	for _, want := range []string{"pets@1", "pets@2"} {
		w.do(Rollback, "pets", 0)
		if got := w.ask(""); got != want {
			t.Errorf("rolled back to %s, want %s", got, want)
		}
	}
	if err := os.Remove(w.file("pets-1.pt")); err != nil {
		t.Fatal(err)
	}
	w.refused(Rollback, "pets", 0, NotFound)
}

// Nothing that is wrong with a file, or with what is asked for, changes what is served.
func TestRefusals(t *testing.T) {
	w := serving(t)
	w.refused(Change("nonsense"), "pets@2", 0, BadParameter)
	w.refused(Watched, "pets@2", 0, BadParameter) // the folder's own
	w.place("cars", "1")
	w.do(Load, "cars", 0)
	if err := os.WriteFile(w.file("broken.pt"), []byte("PK\x03\x04 nothing more"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		change Change
		ref    string
		share  float64
		want   Code
	}{
		{Swap, "pets@3", 0, NotFound}, {Swap, "dogs@1", 0, NotFound}, {Load, "dogs", 0, NotFound}, {Load, "broken", 0, Rejected},
		{Load, "../pets-2.pt", 0, NotFound}, {Load, w.file("pets-2.pt"), 0, NotFound}, {Load, "pets-2.pt", 0, NotFound}, {Load, "", 0, NotFound},
		{Unload, "pets", 0, InUse}, {Unload, "pets@1", 0, InUse}, {Unload, "pets@2", 0, NotFound}, {Unload, "dogs", 0, NotFound},
		{ToCanary, "pets@1", 5, BadParameter}, {ToCanary, "pets@2", 101, BadParameter}, {ToShadow, "pets@2", -1, BadParameter}, {ToCanary, "dogs", 0, NotFound},
		{Rollback, "dogs", 0, NotFound},
	} {
		w.refused(c.change, c.ref, c.share, c.want)
	}
	w.during = func(string) error { return errors.New("libtorch crashed (segmentation fault)") }
	if err := w.refused(Swap, "pets@2", 0, Rejected); !strings.Contains(err.Detail, "segmentation fault") {
		t.Errorf("it does not say why: %v", err)
	}
	w.during = func(path string) error { return os.WriteFile(path, []byte("another file"), 0o644) }
	w.refused(Swap, "pets@2", 0, Rejected)
	w.during = nil
	if got := w.ask(""); got != "pets@1" || w.open.Load() != 2 {
		t.Errorf("%s answers, %d models are open", got, w.open.Load())
	}
	if !slices.Contains(w.changed, "swap refused") || !slices.Contains(w.changed, "load") {
		t.Errorf("told of %q", w.changed)
	}
}

// A file that is replaced while it is loaded is not served: what was tried would not be what answers.
func TestAFileThatChangesWhileItIsLoaded(t *testing.T) {
	w := serving(t)
	path := w.file("pets-2.pt")
	w.during = func(string) error {
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return errors.Join(os.WriteFile(path+".new", data, 0o644), os.Rename(path+".new", path))
	}
	if err := w.refused(Swap, "pets@2", 0, Rejected); !strings.Contains(err.Detail, "was changed while it was being loaded") {
		t.Error(err)
	}
	if w.open.Load() != 1 {
		t.Errorf("%d models are open", w.open.Load())
	}
}

func TestUnload(t *testing.T) {
	w := serving(t)
	w.place("cars", "1")
	w.place("cars", "2")
	w.do(Load, "cars@1", 0)
	w.do(Load, "cars@2", 0) // beside it
	w.do(Load, "cars@2", 0) // again: nothing
	if got := w.ask("cars") + " " + w.ask("cars@2"); got != "cars@1 cars@2" || w.open.Load() != 3 {
		t.Errorf("loaded %s, %d open", got, w.open.Load())
	}
	w.refused(Unload, "cars@1", 0, InUse)
	w.do(Unload, "cars@2", 0)
	w.settles("it is closed", func() bool { return w.open.Load() == 2 })
	w.do(ToCanary, "cars@2", 100)
	if got := w.ask("cars"); got != "cars@2" {
		t.Errorf("the canary has everything, and %s answers", got)
	}
	w.do(ToCanary, "cars", 0)
	w.settles("the canary is closed", func() bool { return w.open.Load() == 2 })
	w.do(Unload, "cars", 0)
	w.settles("all are closed", func() bool { return w.open.Load() == 1 })
	if got := w.ask("cars"); !strings.Contains(got, "not served here") {
		t.Errorf("cars is %s", got)
	}
}

// A swap to the canary makes it the stable version, without loading it twice.
func TestACanaryIsPromoted(t *testing.T) {
	w := serving(t)
	w.do(ToCanary, "pets@2", 50)
	w.during = func(string) error { return errors.New("it was loaded before") }
	w.do(Swap, "pets@2", 0)
	status := w.registry.Status().Models[0]
	if status.Stable != "2" || status.Canary != nil || status.Before != "1" {
		t.Errorf("status %+v", status)
	}
	w.settles("the version before is closed", func() bool { return w.open.Load() == 1 })
}

// 5 sigma: one run in two million fails by chance.
func TestTheCanaryHasItsShare(t *testing.T) {
	w := serving(t)
	w.do(ToCanary, "pets@2", 20)
	const n, p = 10_000, 0.2
	got := 0
	for range n {
		lease, err := w.registry.Pick("pets", "")
		if err != nil {
			t.Fatal(err)
		}
		if lease.Card().Version == "2" {
			got++
		}
		lease.Release()
	}
	if off := float64(got) - n*p; off*off > 25*n*p*(1-p) {
		t.Errorf("%d of %d requests went to the canary of 20 %%", got, n)
	}
}

func TestTheMemoryLimit(t *testing.T) {
	w := newWorld(t, 0)
	path := w.place("pets", "1")
	w.place("pets", "2")
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	need := Estimate(info.Size(), false)
	w.registry.cfg.Memory = need.Loaded + need.Loading - 4096 // two files of one network differ by some bytes of their cards
	if err := w.registry.Start(t.Context(), []string{path}); err != nil {
		t.Fatal(err)
	}
	w.during = func(path string) error { t.Errorf("%s was opened", path); return nil }
	if err := w.refused(Swap, "pets@2", 0, MemoryLimit); !strings.Contains(err.Detail, "--model-memory") {
		t.Errorf("it does not say what to do: %v", err)
	}
	w.during = nil
	w.registry.cfg.Memory += 8192
	for range 5 { // what leaves is waited for
		w.do(Swap, "pets@2", 0)
		w.do(Swap, "pets@1", 0)
	}
}

func TestTheServersStop(t *testing.T) {
	w := serving(t)
	lease, err := w.registry.Pick("", "")
	if err != nil {
		t.Fatal(err)
	}
	began := make(chan struct{})
	goOn := make(chan struct{})
	w.during = func(string) error { close(began); <-goOn; return nil }
	change := make(chan error, 1)
	go func() { change <- w.registry.Do(t.Context(), Swap, "pets@2", 0) }()
	<-began
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := w.registry.Close(ctx); err == nil || !strings.Contains(err.Error(), "being loaded") {
		t.Errorf("closed while loading: %v", err)
	}
	close(goOn)
	<-change
	ctx, cancel = context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := w.registry.Close(ctx); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("closed while in use: %v", err)
	}
	lease.Release()
	w.settles("all are closed", func() bool { return w.open.Load() == 0 })
	var stopping *Error
	if err := w.registry.Do(t.Context(), Swap, "pets@1", 0); !errors.As(err, &stopping) || stopping.Code != Stopping {
		t.Errorf("after the end: %v", err)
	}
}

// givenUp is the error of a model that is still being loaded when nobody waits for it any more.
type givenUp chan struct{}

func (givenUp) Error() string            { return "not loaded in time" }
func (g givenUp) Ended() <-chan struct{} { return g }

// A load that was given up has its memory until it ends, and others are loaded meanwhile.
func TestALoadThatIsGivenUp(t *testing.T) {
	w := serving(t)
	before := w.registry.estimated.Load()
	ended := make(givenUp)
	w.during = func(path string) error {
		if strings.Contains(path, "pets-2") {
			return ended
		}
		return nil
	}
	var refused *Error
	if err := w.registry.Do(t.Context(), Swap, "pets@2", 0); !errors.As(err, &refused) || refused.Code != Rejected {
		t.Errorf("%v", err)
	}
	if w.ask("pets") != "pets@1" || w.registry.estimated.Load() <= before {
		t.Errorf("%s answers; %d bytes are counted, and %d before", w.ask("pets"), w.registry.estimated.Load(), before)
	}
	w.place("pets", "3")
	w.do(Load, "pets@3", 0)
	w.do(Unload, "pets@3", 0)
	close(ended)
	w.settles("its memory to be given back", func() bool { return w.registry.estimated.Load() == before })
}

// What a trial has measured counts, and not the size of the file: before the model is loaded, and afterwards.
func TestMeasuredMemoryCounts(t *testing.T) {
	const much = 1 << 30
	w := newWorld(t, much)
	path := w.place("pets", "1")
	w.place("pets", "2")
	w.need = Measured(much/2, much*3/4, 0, false)
	if err := w.registry.Start(t.Context(), []string{path}); err != nil {
		t.Fatal(err)
	}
	if got := w.registry.estimated.Load(); got != much/2 {
		t.Errorf("%d bytes are counted", got)
	}
	w.during = func(path string) error { t.Errorf("%s was loaded", path); return nil }
	w.refused(Swap, "pets@2", 0, MemoryLimit)
	w.during, w.need = nil, Measured(much/4, much/2, 0, false)
	w.do(Swap, "pets@2", 0)
	w.settles("the first one to leave", func() bool { return w.registry.estimated.Load() == much/4 })
}
