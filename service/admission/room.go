// Package admission owns what is in the server at one time. A request beyond that is refused at once, with a guess when to come
// again: who is told to wait can go elsewhere, who is kept cannot.
package admission

import (
	"math"
	"sync"
	"time"
)

// Limits bound a [Room].
type Limits struct {
	Pictures int   // that wait or are worked on
	Bytes    int64 // of uploads
}

// Room bounds what is in the server at one time: pictures that wait or are being worked on, and bytes of uploads.
//
// Pictures count from the moment their request has arrived as a whole, and bytes as they arrive, so slow senders take little of
// either, whatever they announce. All methods are safe for concurrent use.
type Room struct {
	limits   Limits
	mu       sync.Mutex
	pictures int
	bytes    int64
	// seconds that a worker needs for a picture, as a moving average; 0 before the first
	perPicture float64
}

// New returns an empty room.
func New(l Limits) *Room { return &Room{limits: l} }

// Full reports whether another picture would be refused now. It is asked before a body is read.
func (r *Room) Full() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.pictures >= r.limits.Pictures || r.bytes >= r.limits.Bytes
}

// Enter lets in n pictures, or says no. A request with more pictures than there is room for at all may come in when it is the
// only one.
func (r *Room) Enter(n int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.pictures > 0 && r.pictures+n > r.limits.Pictures {
		return false
	}
	r.pictures += n
	return true
}

// Leave lets out one picture; took is how long a worker had it, 0 if none did.
func (r *Room) Leave(took time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pictures--
	if took > 0 {
		const weight = 0.05 // of the newest: the last twenty pictures or so count
		if r.perPicture == 0 {
			r.perPicture = took.Seconds()
		}
		r.perPicture += weight * (took.Seconds() - r.perPicture)
	}
}

// Take asks for room for n more bytes of an upload.
func (r *Room) Take(n int64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.bytes > 0 && r.bytes+n > r.limits.Bytes {
		return false
	}
	r.bytes += n
	return true
}

// Give gives n bytes of room back.
func (r *Room) Give(n int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.bytes -= n
}

// Use is what is in the room.
type Use struct {
	Pictures int
	Bytes    int64
}

// Use is a snapshot of what is in the room.
func (r *Room) Use() Use {
	r.mu.Lock()
	defer r.mu.Unlock()
	return Use{r.pictures, r.bytes}
}

// MaxRetryAfter is the longest that anyone is told to wait, in seconds: guesses over longer times are worth nothing.
const MaxRetryAfter = 60

// RetryAfter is when to come again, in seconds: when the pictures that are here now should be done.
func (r *Room) RetryAfter(workers int) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	wait := float64(r.pictures) * r.perPicture / float64(max(workers, 1))
	return int(min(max(math.Ceil(wait), 1), MaxRetryAfter))
}
