package registry

import (
	"os"
	"slices"
	"testing"
)

// told is what was told of since the last call.
func (w *world) told() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	told := w.changed
	w.changed = nil
	return told
}

func TestWatchTakesANewVersion(t *testing.T) {
	w := serving(t)
	watcher := newWatcher(w.registry)
	look := func() { watcher.look(t.Context()) }
	look()
	look()
	if got := w.ask(""); got != "pets@1" || len(w.told()) != 0 {
		t.Errorf("what was there already was taken: %s", got)
	}

	w.place("pets", "10") // after 2, as people count
	look()
	if got := w.ask(""); got != "pets@1" {
		t.Errorf("it was taken at first sight: %s", got)
	}
	look()
	if got, told := w.ask(""), w.told(); got != "pets@10" || !slices.Equal(told, []string{"watch"}) {
		t.Errorf("%s answers, told %q", got, told)
	}

	w.do(Rollback, "pets", 0)
	w.told()
	look()
	look()
	if got := w.ask(""); got != "pets@1" || len(w.told()) != 0 {
		t.Errorf("the rollback was undone: %s", got)
	}
}

func TestWatchKeepsWhatIsServed(t *testing.T) {
	w := serving(t)
	watcher := newWatcher(w.registry)
	half := string(w.read("pets-2.pt")[:2000])
	twice := func() { watcher.look(t.Context()); watcher.look(t.Context()) }
	for name, c := range map[string]struct {
		put  func()
		told []string
	}{
		"an older version":   {func() { w.place("pets", "0.9") }, nil},
		"another name":       {func() { w.place("cars", "5") }, nil},
		"no model":           {func() { w.write("junk.pt", "junk") }, []string{"watch refused"}},
		"the same version":   {func() { w.write("copy.pt", string(w.read("pets-1.pt"))) }, []string{"watch refused"}},
		"no .pt":             {func() { w.write("pets-9.pt.part", "junk") }, nil},
		"half a model":       {func() { w.write("pets-8.pt", half) }, []string{"watch refused"}},
		"a file that is off": {func() { os.Remove(w.file("pets-2.pt")) }, nil},
	} {
		c.put()
		twice()
		twice() // said once
		if told := w.told(); !slices.Equal(told, c.told) {
			t.Errorf("%s: told %q, want %q", name, told, c.told)
		}
		if got := w.ask(""); got != "pets@1" {
			t.Errorf("%s: %s answers", name, got)
		}
	}
}

// A file that grows while it is looked at is not taken before it rests.
func TestWatchWaitsForTheWholeFile(t *testing.T) {
	w := serving(t)
	whole := w.read("pets-2.pt")
	if err := os.Remove(w.file("pets-2.pt")); err != nil {
		t.Fatal(err)
	}
	watcher := newWatcher(w.registry)
	for part := 1; part <= 4; part++ {
		w.write("pets-2.pt", string(whole[:len(whole)*part/4]))
		watcher.look(t.Context())
		if told := w.told(); len(told) != 0 {
			t.Fatalf("after %d quarters: %q", part, told)
		}
	}
	watcher.look(t.Context())
	if got := w.ask(""); got != "pets@2" {
		t.Errorf("%s answers", got)
	}
}

func (w *world) write(name, text string) {
	w.t.Helper()
	if err := os.WriteFile(w.file(name), []byte(text), 0o644); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) read(name string) []byte {
	w.t.Helper()
	data, err := os.ReadFile(w.file(name))
	if err != nil {
		w.t.Fatal(err)
	}
	return data
}

// A version that there was no memory for is served once another model has left, and not tried before.
func TestWatchTriesAgainOnceThereIsMemory(t *testing.T) {
	w := newWorld(t, 0)
	pets, cars := w.place("pets", "1"), w.place("cars", "1")
	if err := w.registry.Start(t.Context(), []string{pets, cars}); err != nil {
		t.Fatal(err)
	}
	need := Estimate(int64(len(w.read("pets-1.pt"))), false)
	w.registry.cfg.Memory = need.Loaded + need.Loading + 8192 // two versions of one of them, or one of each
	watcher := newWatcher(w.registry)
	w.place("pets", "2")
	for range 4 {
		watcher.look(t.Context())
	}
	if got, told := w.ask("pets"), w.told(); got != "pets@1" || !slices.Equal(told, []string{"watch refused"}) {
		t.Errorf("%s answers, told %q", got, told)
	}
	w.do(Unload, "cars", 0)
	w.settles("cars has left", func() bool { return w.open.Load() == 1 && w.registry.draining.Load() == 0 })
	w.told()
	watcher.look(t.Context())
	if got, told := w.ask("pets"), w.told(); got != "pets@2" || !slices.Equal(told, []string{"watch"}) {
		t.Errorf("%s answers, told %q", got, told)
	}
}
