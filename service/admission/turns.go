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
//
// With its turn a picture gets the memory that it is decoded in, see [Turns.BoundMemory]. So nobody
// has a turn and waits for memory, or has memory and waits for a turn.
type Turns struct {
	mu        sync.Mutex
	all, free int
	memory    memory
	mostHeavy int
	heavy     int       // turns of heavy pictures
	light     time.Time // when the last light picture came
	waiting   []*waiter // in the order in which they came
	accounts  accounts
}

type waiter struct {
	place *Place
	heavy bool
	bytes int64
	lot   lot           // what it got of the memory
	ready chan struct{} // closed when it has a turn
}

// NewTurns returns so many turns, for so many workers, which are fewer.
func NewTurns(turns, workers int) *Turns {
	return &Turns{all: turns, free: turns, mostHeavy: max(1, workers-1), memory: unbounded()}
}

// BoundMemory says how many bytes all pictures that have turns may be decoded in together. Without
// it there is no bound.
func (t *Turns) BoundMemory(bytes int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.memory.bound(bytes)
	t.dispatch()
}

// Turn is the right to work on a picture. Give it back.
type Turn struct {
	// Waited is how long the turn's picture has waited for something while it had it. It is not
	// charged for.
	Waited time.Duration

	place *Place
	heavy bool
	lot   lot
	begun time.Time
}

// Take waits for a turn, and for so many bytes to decode in, until ctx ends, whose error it then returns.
func (t *Turns) Take(ctx context.Context, place *Place, bytes int64) (Turn, error) {
	if err := ctx.Err(); err != nil {
		return Turn{}, err
	}
	w := &waiter{place: place, heavy: place.isHeavy(), bytes: bytes, ready: make(chan struct{})}
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
			t.dispatch() // others may have waited for the memory that it was to get
			t.mu.Unlock()
			return Turn{}, ctx.Err()
		}
		t.mu.Unlock()
	}
	turn := Turn{place: place, heavy: w.heavy, lot: w.lot, begun: time.Now()}
	if err := ctx.Err(); err != nil { // both had come: no work for the dead
		t.Give(turn)
		return Turn{}, err
	}
	place.work()
	return turn, nil
}

// TakeIdle takes a turn and memory for work that can be left out: only where nobody waits, and one
// more turn is free for whoever comes.
func (t *Turns) TakeIdle(bytes int64) (Turn, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	const withOneLeft = 2
	if len(t.waiting) > 0 || t.free < withOneLeft || !t.memory.has(bytes) {
		return Turn{}, false
	}
	t.free--
	return Turn{lot: t.memory.take(bytes), begun: time.Now()}, true
}

// Decoded gives the turn's memory back, as [Turns.Give] does.
func (t *Turns) Decoded(turn *Turn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.memory.give(turn.lot)
	turn.lot = lot{}
	t.dispatch()
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

// Give gives a turn back. What the picture was worked on for longer than was estimated is charged now.
func (t *Turns) Give(turn Turn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.memory.give(turn.lot)
	if p := turn.place; p != nil {
		took := time.Since(turn.begun) - turn.Waited
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
		w.lot = t.memory.take(w.bytes)
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
	heavies := t.heavy < t.mostHeavy || time.Since(t.light) > lightTime
	at := t.least(func(w *waiter) bool { return !w.heavy || heavies })
	if at >= 0 && !t.memory.has(t.waiting[at].bytes) {
		// What becomes free is for that one: small pictures without end would keep a large one
		// from ever getting it. But they have some of their own.
		at = t.least(func(w *waiter) bool { return (!w.heavy || heavies) && t.memory.hasSmall(w.bytes) })
	}
	return at
}

// least is the index of who has used the least, of those who may; the first of several, -1 for nobody. t is locked.
func (t *Turns) least(may func(*waiter) bool) int {
	const none = -1
	found, least := none, [2]float64{}
	for i, w := range t.waiting {
		if !may(w) {
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
