package registry

import (
	"context"
	"testing"
	"time"

	"github.com/vidi-vision/vidi/service/classify"
)

func (w *world) comparison() *Comparison { return w.registry.Status().Models[0].Shadow }

// queue is the condition, with the queue locked.
func (w *world) queue(condition func(*shadowQueue) bool) func() bool {
	q := w.registry.shadows
	return func() bool {
		q.mu.Lock()
		defer q.mu.Unlock()
		return condition(q)
	}
}

// A model agrees with itself, always.
func TestAShadowOfItself(t *testing.T) {
	w := serving(t)
	w.do(ToShadow, "pets@1", 100)
	for n := range uint64(10) {
		w.ask("")
		w.settles("it was compared", func() bool { return w.comparison().Pictures == n+1 })
	}
	c := w.comparison()
	if *c.Agreement != 100 || *c.Difference != 0 || c.Agreed != 10 || c.Dropped+c.Failed != 0 || len(c.Last) != 0 || *c.InferenceMS != 10 || *c.StableInferenceMS != 10 {
		t.Errorf("compared: %+v", c)
	}
}

func TestAShadowThatDiffers(t *testing.T) {
	w := serving(t)
	w.do(ToShadow, "pets@2", 100)
	w.ask("", "alike", "bad for the shadow") // and one picture more
	w.settles("all were compared", func() bool { c := w.comparison(); return c.Pictures+c.Failed == 3 })
	c := w.comparison()
	// "alike" has 0.75 with both; the other one 0.75 as version 1 names it, and 0.125 of that name with version 2.
	if c.Agreed != 1 || c.Failed != 1 || *c.Agreement != 50 || *c.Difference != (0.75-0.125)/2 {
		t.Errorf("compared: %+v, agreement %v, difference %v", c, *c.Agreement, *c.Difference)
	}
	want := Difference{RequestID: "request-1", Stable: Named{"1", 0.75}, Shadow: Named{"2", 0.75}}
	if len(c.Last) != 1 {
		t.Fatalf("differences: %+v", c.Last)
	}
	if want.Time = c.Last[0].Time; c.Last[0] != want {
		t.Errorf("difference %+v, want %+v", c.Last[0], want)
	}
	for range keptDifferences + 5 {
		before := w.comparison().Pictures
		w.ask("")
		w.settles("it was compared", func() bool { return w.comparison().Pictures > before })
	}
	if n := len(w.comparison().Last); n != keptDifferences {
		t.Errorf("%d differences are kept", n)
	}
	w.do(ToShadow, "pets", 0)
	if w.comparison() != nil {
		t.Error("it has not ended")
	}
	w.settles("the shadow is closed", func() bool { return w.open.Load() == 1 })
}

// Where every worker works, pictures wait in a queue that is bounded, and requests never wait for it.
func TestABusyServerDropsPictures(t *testing.T) {
	w := serving(t)
	w.do(ToShadow, "pets@2", 100)
	w.busy.Store(true)
	const sent = 100
	for range sent {
		w.ask("")
	}
	// One is with the goroutine, the others in the queue.
	if c := w.comparison(); c.Dropped < sent-maxShadowJobs-1 || c.Pictures != 0 {
		t.Errorf("busy: %+v", c)
	}
	w.busy.Store(false)
	w.settles("the queue is empty", func() bool { c := w.comparison(); return c.Pictures+c.Dropped == sent })
	large := string(make([]byte, maxShadowBytes+1))
	before := w.comparison().Dropped
	w.ask("", large)
	w.settles("the large one is dropped", func() bool { return w.comparison().Dropped == before+1 })
	w.settles("nothing is held", w.queue(func(q *shadowQueue) bool { return q.bytes == 0 }))
}

// Only the share is looked at, and nothing of what others than the stable version answer.
func TestWhatAShadowSees(t *testing.T) {
	w := serving(t)
	w.do(ToShadow, "pets@2", 100)
	w.ask("pets@2")
	if c := w.comparison(); c.Pictures+c.Dropped != 0 || len(w.registry.shadows.jobs) != 0 {
		t.Errorf("it saw its own answer: %+v", c)
	}
	w.do(ToShadow, "pets@2", 25)
	const n, p = 4000, 0.25
	seen := 0
	for range n {
		lease, err := w.registry.Pick("", "")
		if err != nil {
			t.Fatal(err)
		}
		if lease.shadow != nil {
			seen++
		}
		lease.Release()
	}
	if off := float64(seen) - n*p; off*off > 25*n*p*(1-p) {
		t.Errorf("%d of %d requests were for the shadow of 25 %%", seen, n)
	}
}

// After a swap a shadow is compared with the new stable version, from the beginning; one that has become stable ends.
func TestAShadowAfterASwap(t *testing.T) {
	w := serving(t)
	w.place("pets", "3")
	w.do(ToShadow, "pets@3", 100)
	w.ask("")
	w.settles("it was compared", func() bool { return w.comparison().Pictures == 1 })
	w.do(Swap, "pets@2", 0)
	if c := w.comparison(); c == nil || c.Against != "2" || c.Version != "3" || c.Pictures != 0 {
		t.Errorf("after the swap: %+v", c)
	}
	w.do(Swap, "pets@3", 0)
	if c := w.comparison(); c != nil {
		t.Errorf("it is stable, and its own shadow: %+v", c)
	}
	w.settles("the others are closed", func() bool { return w.open.Load() == 1 })
}

// Close waits for a change that is under way; a request that ends meanwhile gives its pictures to nobody.
func TestCloseWhileALeaseEnds(t *testing.T) {
	w := serving(t)
	w.place("pets", "3")
	w.do(ToShadow, "pets@2", 100)
	lease, err := w.registry.Pick("pets", "request-1")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lease.Classify(t.Context(), []byte("picture"), classify.Options{}); err != nil {
		t.Fatal(err)
	}
	loading, loaded := make(chan struct{}), make(chan struct{})
	w.during = func(string) error { close(loading); <-loaded; return nil }
	changed, closed := make(chan error, 1), make(chan error, 1)
	go func() { changed <- w.registry.Do(context.Background(), Load, "pets@3", 0) }()
	<-loading
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	go func() { closed <- w.registry.Close(ctx) }()
	w.settles("the shadows have ended", w.queue(func(q *shadowQueue) bool { return q.ended }))
	lease.Release()
	close(loaded)
	<-changed // done, or refused: it came first
	if err := <-closed; err != nil {
		t.Error(err)
	}
}
