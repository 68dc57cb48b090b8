package admission

import (
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// Limits bound a [Room].
type Limits struct {
	Pictures int   // that wait or are worked on
	Bytes    int64 // of uploads and answers
	// Deadline is the longest that a picture may take from its upload to its answer. Work that all workers together could not
	// do in that time is not let in; 0 does without that bound.
	Deadline time.Duration
}

// Room bounds what is in the server at one time. All methods are safe for concurrent use.
//
// Pictures count from the moment their request has arrived as a whole, and bytes as they arrive, so slow senders take little of
// either, whatever they announce.
type Room struct {
	limits  Limits
	mu      sync.Mutex
	workers int
	use     Use
	clients map[string]*client
	typical float64 // seconds of CPU time that a picture takes, as a moving average; 0 before the first
}

// Use is what is in a room.
type Use struct {
	Pictures int
	Work     time.Duration // estimated CPU time of these pictures
	Bytes    int64
}

// client is somebody with visits in the room.
type client struct {
	name    string
	visits  map[*Visit]struct{}
	bytes   int64
	waiting time.Duration // estimated CPU time of its pictures that wait
}

// New returns an empty room of one worker.
func New(l Limits) *Room { return &Room{limits: l, workers: 1, clients: map[string]*client{}} }

// SetWorkers says how many pictures are worked on at the same time.
func (r *Room) SetWorkers(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.workers = max(n, 1)
}

// Use is a snapshot of what is in the room.
func (r *Room) Use() Use {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.use
}

// MaxRetryAfter is the longest that anyone is told to wait, in seconds: guesses over longer times are worth nothing.
const MaxRetryAfter = 60

// RetryAfter is when to come again, in seconds: when the pictures that are here now should be done.
func (r *Room) RetryAfter() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	wait := r.use.Work.Seconds() / float64(r.workers)
	return int(min(max(math.Ceil(wait), 1), MaxRetryAfter))
}

// Visit is one request's part of a room: the bytes that it holds and its pictures. Leave must follow; its other methods are
// for one goroutine, but for Take and Give, and for the places' own.
type Visit struct {
	room   *Room
	client *client
	bytes  int64
	pace   pace
	stop   func()        // ends the transfer under way; nil while there is none
	ended  bool          // the transfer gave way to another
	places []*Place      // that wait, in order
	work   time.Duration // of the places that wait
	heavy  atomic.Bool   // one of its pictures took far longer than it was estimated to
}

// Visit lets a request of a client in, which has nothing yet.
func (r *Room) Visit(of string) *Visit {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.clients[of]
	if c == nil {
		c = &client{name: of, visits: map[*Visit]struct{}{}}
		r.clients[of] = c
	}
	v := &Visit{room: r, client: c}
	c.visits[v] = struct{}{}
	return v
}

// Leave gives back all that the visit has. Its places must have been left.
func (v *Visit) Leave() {
	r := v.room
	r.mu.Lock()
	defer r.mu.Unlock()
	v.hold(-v.bytes)
	v.stop = nil
	delete(v.client.visits, v)
	if len(v.client.visits) == 0 {
		delete(r.clients, v.client.name)
	}
}

// hold adds to the bytes that the visit holds. The room is locked.
func (v *Visit) hold(n int64) {
	v.bytes += n
	v.client.bytes += n
	v.room.use.Bytes += n
}

// Begin tells that a transfer begins, which stop ends at once, whatever it waits for. stop must not wait, nor use the room: it is
// locked, so that stop is not called once End has returned. Begin returns when the transfer is too slow if
// nothing moves until then.
func (v *Visit) Begin(stop func()) time.Time {
	v.room.mu.Lock()
	defer v.room.mu.Unlock()
	v.stop = stop
	v.pace.begin(time.Now())
	return v.pace.until
}

// Moved counts bytes of the transfer, and returns when it is too slow if nothing moves until then.
func (v *Visit) Moved(n int64) time.Time {
	v.room.mu.Lock()
	defer v.room.mu.Unlock()
	v.pace.move(n, time.Now())
	return v.pace.until
}

// End tells that the transfer has ended: from now on it cannot give way.
func (v *Visit) End() {
	v.room.mu.Lock()
	defer v.room.mu.Unlock()
	v.stop = nil
}

// Ended reports whether the transfer had to give way to another. It holds nothing any more then.
func (v *Visit) Ended() bool {
	v.room.mu.Lock()
	defer v.room.mu.Unlock()
	return v.ended
}

// Take asks for room for n more bytes, for which slow transfers give way; the reason is "" if there is some. A visit that has
// given way itself gets none.
func (v *Visit) Take(n int64) Reason {
	r := v.room
	r.mu.Lock()
	defer r.mu.Unlock()
	for now := time.Now(); ; {
		if v.ended {
			return GaveWay
		}
		reason := v.lacks(n)
		if reason == "" {
			v.hold(n)
			return ""
		}
		slow := r.slowest(v, reason == Share, now)
		if slow == nil {
			return reason
		}
		slow.stop()
		slow.ended, slow.stop = true, nil
		slow.hold(-slow.bytes)
	}
}

// Give gives n bytes back.
func (v *Visit) Give(n int64) {
	v.room.mu.Lock()
	defer v.room.mu.Unlock()
	if !v.ended { // all was given back already
		v.hold(-n)
	}
}

// lacks says why there is no room for n more bytes of the visit. The room is locked.
func (v *Visit) lacks(n int64) Reason {
	const small = 256 // parts of the room: less is not weighed against what it leaves
	r, limit := v.room, v.room.limits.Bytes
	left := limit - r.use.Bytes - n
	switch {
	case r.use.Bytes == 0: // alone a request may be larger than the room
		return ""
	case left < 0:
		return Memory
	case r.use.Bytes == v.bytes:
		return ""
	}
	share := limit / 2
	if r.use.Bytes == v.client.bytes {
		share = limit - limit/8
	}
	leaves := share - v.client.bytes - n
	switch mine := v.bytes + n; {
	case leaves < 0, mine > limit/small && mine > leaves:
		return Share
	case mine > limit/small && mine > left:
		return Memory
	}
	return ""
}

// slowest finds the slowest transfer that is slow at all and not v's, of v's client only or of all. The room is locked.
func (r *Room) slowest(v *Visit, ofClient bool, now time.Time) (found *Visit) {
	most := slowAfter.Seconds()
	for _, c := range r.clients {
		if ofClient && c != v.client {
			continue
		}
		for other := range c.visits {
			if other == v || other.stop == nil || other.bytes == 0 || other.pace.young(now) {
				continue
			}
			if slowness := other.pace.slowness(other.bytes, now); slowness > most {
				found, most = other, slowness
			}
		}
	}
	return found
}
