package admission

import (
	"context"
	"slices"
	"sync"
	"time"
)

const (
	// heavyDecode is from where on a picture's estimated decoding counts as heavy.
	heavyDecode = 250 * time.Millisecond
	// surprise is how many times as long as estimated, and heavyDecode, a picture may take before the rest of its request counts as heavy.
	surprise = 2
	// lightTime is how long after a light picture one turn is kept for the next.
	lightTime = time.Minute
)

// Turns gives out the right to work on a picture, so many at a time. Where pictures wait, the next is of the client that has used
// the least CPU time, and of its requests that which has used the least. All methods are safe for concurrent use.
//
// Pictures that take long to decode never have all turns: a decoder of lossless WebP cannot be interrupted, and with one in each turn
// everybody else would wait for seconds. Where nothing else has come for a minute, they may.
type Turns struct {
	mu        sync.Mutex
	all, free int
	mostHeavy int
	heavy     int       // turns of heavy pictures
	light     time.Time // when the last light picture came
	waiting   []*waiter // in the order in which they came
	accounts  accounts
}

type waiter struct {
	place *Place
	heavy bool
	ready chan struct{} // closed when it has a turn
}

// NewTurns returns so many turns, for so many workers, which are fewer.
func NewTurns(turns, workers int) *Turns {
	return &Turns{all: turns, free: turns, mostHeavy: max(1, workers-1)}
}

// Turn is the right to work on a picture. Give it back.
type Turn struct {
	place *Place
	heavy bool
	begun time.Time
}

// Take waits for a turn until ctx ends, whose error it then returns.
func (t *Turns) Take(ctx context.Context, place *Place) (Turn, error) {
	if err := ctx.Err(); err != nil {
		return Turn{}, err
	}
	w := &waiter{place: place, heavy: place.isHeavy(), ready: make(chan struct{})}
	t.mu.Lock()
	if !w.heavy {
		t.light = time.Now()
	}
	t.waiting = append(t.waiting, w)
	t.dispatch()
	t.mu.Unlock()
	select {
	case <-w.ready:
	case <-ctx.Done():
		t.mu.Lock()
		at := slices.Index(t.waiting, w)
		if at >= 0 {
			t.waiting = slices.Delete(t.waiting, at, at+1)
			t.mu.Unlock()
			return Turn{}, ctx.Err()
		}
		t.mu.Unlock()
	}
	turn := Turn{place: place, heavy: w.heavy, begun: time.Now()}
	if err := ctx.Err(); err != nil { // both had come: no work for the dead
		t.Give(turn)
		return Turn{}, err
	}
	place.work()
	return turn, nil
}

// TakeFree takes so many turns if nobody waits for them, or none; GiveFree gives them back.
func (t *Turns) TakeFree(count int) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.waiting) > 0 || t.free < count {
		return false
	}
	t.free -= count
	return true
}

// GiveFree gives turns back that TakeFree took.
func (t *Turns) GiveFree(count int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.free += count
	t.dispatch()
}

// Give gives a turn back. What the picture took longer than it was estimated to is charged now.
func (t *Turns) Give(turn Turn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if p := turn.place; p != nil {
		took := time.Since(turn.begun)
		if took > p.cost {
			t.accounts.charge(p, took-p.cost)
		}
		if took > surprise*max(p.cost, heavyDecode) {
			p.visit.heavy.Store(true)
		}
	}
	if turn.heavy {
		t.heavy--
	}
	t.free++
	t.dispatch()
}

// Free is how many turns nobody has.
func (t *Turns) Free() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.free
}

// Waiting is how many pictures wait for a turn.
func (t *Turns) Waiting() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.waiting)
}

// dispatch gives the free turns to those who wait. t is locked.
func (t *Turns) dispatch() {
	for t.free > 0 && len(t.waiting) > 0 {
		at := t.next()
		if at < 0 {
			return
		}
		w := t.waiting[at]
		t.waiting = slices.Delete(t.waiting, at, at+1)
		t.free--
		if w.heavy {
			t.heavy++
		}
		if w.place != nil {
			t.accounts.serve(w.place, t.waiting)
		}
		close(w.ready)
	}
	if t.free == t.all && len(t.waiting) == 0 {
		t.accounts.forget()
	}
}

// next is the index of who gets the next turn, -1 if nobody may. t is locked.
func (t *Turns) next() int {
	const none = -1
	heavies := t.heavy < t.mostHeavy || time.Since(t.light) > lightTime
	found, least := none, [2]float64{}
	for i, w := range t.waiting {
		if w.heavy && !heavies {
			continue
		}
		var used [2]float64
		if w.place != nil {
			used = t.accounts.used(w.place)
		}
		if found == none || slices.Compare(used[:], least[:]) < 0 {
			found, least = i, used
		}
	}
	return found
}
