package admission

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// worked has so many pictures of each visit wait for turns, each of which takes its cost, and notes who got them.
type worked struct {
	turns *Turns
	group sync.WaitGroup
	mu    sync.Mutex
	order []string
	waits map[string]time.Duration // the longest
}

func (w *worked) add(t *testing.T, name string, p *Place, takes time.Duration) {
	w.group.Go(func() {
		begun := time.Now()
		turn, err := w.turns.Take(t.Context(), p, 0)
		if err != nil {
			t.Error(err)
			return
		}
		w.mu.Lock()
		w.order = append(w.order, name)
		w.waits[name] = max(w.waits[name], time.Since(begun))
		w.mu.Unlock()
		time.Sleep(takes)
		w.turns.Give(turn)
		p.Left(takes)
	})
	synctest.Wait()
}

func newWorked(turns, workers int) *worked {
	return &worked{turns: NewTurns(turns, workers), waits: map[string]time.Duration{}}
}

// Clients come in turn, and so do the requests of one client; a request with many pictures waits for nobody but its own.
func TestTurnsAreShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w := testRoom(), newWorked(1, 1)
		add := func(client, request string, n int, each time.Duration) {
			v := r.Visit(client)
			for _, p := range enter(t, v, n, each) {
				w.add(t, client+request, p, each)
			}
		}
		add("a", "1", 6, 10*time.Millisecond)
		add("a", "2", 2, 10*time.Millisecond)
		add("b", "1", 3, 10*time.Millisecond)
		add("c", "1", 1, 30*time.Millisecond)
		w.group.Wait()
		if got := strings.Join(w.order, " "); got != "a1 b1 c1 a2 b1 a1 b1 a2 a1 a1 a1 a1" {
			t.Error(got)
		}
		if len(w.turns.accounts.requests) != 0 || w.turns.Free() != 1 {
			t.Errorf("%d accounts are left, %d turns are free", len(w.turns.accounts.requests), w.turns.Free())
		}
	})
}

// Single pictures without end do not keep a request of many from going on, and it does not keep them.
func TestNobodyStarves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w := testRoom(), newWorked(3, 2)
		const each = 30 * time.Millisecond
		for _, p := range enter(t, r.Visit("a"), 20, each) {
			w.add(t, "many", p, each)
		}
		for i := range 400 { // more than three turns can do
			client := fmt.Sprint("a", i%2)
			w.add(t, "single", enter(t, r.Visit(client[:1+i%2]), 1, each)[0], each)
			time.Sleep(each/3 - time.Millisecond)
			if i == 300 {
				w.mu.Lock()
				got := strings.Count(strings.Join(w.order, " "), "many")
				w.mu.Unlock()
				if got < 8 {
					t.Errorf("%d of 20 after %d singles", got, i)
				}
			}
		}
		w.group.Wait()
		if w.waits["single"] > time.Second {
			t.Errorf("a single picture waited for %v", w.waits["single"])
		}
	})
}

// Pictures that take long to decode leave a turn for others, and take it too where nobody else comes.
func TestHeavyPicturesLeaveATurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w := New(Limits{Pictures: 1000, Bytes: mib}), newWorked(3, 2)
		heavy := func(n int) {
			places, _ := r.Visit("bombs").Enter([]Cost{{Decode: 2 * time.Second}, {Decode: 2 * time.Second}, {Decode: 2 * time.Second}}[:n])
			for _, p := range places {
				w.add(t, "heavy", p, 2*time.Second)
			}
		}
		heavy(3)
		if w.turns.Free() != 0 {
			t.Errorf("%d turns are free where nobody else has come", w.turns.Free())
		}
		w.group.Wait()
		light := func() { w.add(t, "light", enter(t, r.Visit("bombs"), 1, 30*time.Millisecond)[0], 30*time.Millisecond) }
		light()
		for range 10 {
			heavy(3)
			light()
			time.Sleep(100 * time.Millisecond)
		}
		w.group.Wait()
		if w.waits["light"] > 30*time.Millisecond {
			t.Errorf("a light picture waited for %v", w.waits["light"])
		}
	})
}

// What takes much longer than it was estimated to makes the rest of its request heavy.
func TestASurpriseMakesARequestHeavy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w := testRoom(), newWorked(3, 2)
		places := enter(t, r.Visit("a"), 12, time.Millisecond)
		for _, p := range places {
			w.add(t, "liar", p, 2*time.Second)
		}
		time.Sleep(2100 * time.Millisecond)
		w.add(t, "light", enter(t, r.Visit("a"), 1, time.Millisecond)[0], time.Millisecond)
		w.group.Wait()
		if w.waits["light"] > 2*time.Second { // those that were begun by then
			t.Errorf("a light picture waited for %v", w.waits["light"])
		}
	})
}

// Whoever stops waiting takes no turn along.
func TestTurnsOfThoseWhoLeave(t *testing.T) {
	r, turns := testRoom(), NewTurns(2, 1)
	v := r.Visit("a")
	places, _ := v.Enter(costs(100, time.Microsecond))
	var group sync.WaitGroup
	for _, p := range places {
		group.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(rand.IntN(1000))*time.Microsecond)
			defer cancel()
			if turn, err := turns.Take(ctx, p, 0); err == nil {
				time.Sleep(50 * time.Microsecond)
				turns.Give(turn)
			}
			p.Left(0)
		})
	}
	group.Wait()
	if turns.Free() != 2 || turns.Waiting() != 0 || turns.heavy != 0 || r.Use() != (Use{}) {
		t.Errorf("%d turns, %d wait, %d heavy, %+v", turns.Free(), turns.Waiting(), turns.heavy, r.Use())
	}
	if !turns.TakeFree(2) || turns.TakeFree(1) {
		t.Error("TakeFree")
	}
	turns.GiveFree(2)
}
