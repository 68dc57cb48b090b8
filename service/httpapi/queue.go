package httpapi

import (
	"math"
	"sync"
	"time"

	"github.com/vidi-vision/vidi/service/api"
)

// queue bounds what is in the server at one time: pictures that wait or are being worked on, and bytes of uploads. A request
// beyond that is refused at once, with a guess when to come again: who is told to wait can go elsewhere, who is kept cannot.
//
// Pictures count from the moment their request has arrived as a whole, and bytes as they arrive, so slow senders take little of
// either, whatever they announce.
type queue struct {
	mu          sync.Mutex
	maxPictures int
	maxBytes    int64
	pictures    int
	bytes       int64
	// seconds that a worker needs for a picture, as a moving average; 0 before the first
	perPicture float64
}

// full reports whether another picture would be refused now. It is asked before a body is read.
func (q *queue) full() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.pictures >= q.maxPictures || q.bytes >= q.maxBytes
}

// enter lets in n pictures, or says no. A request with more pictures than there is room for at all may come in when it is the
// only one.
func (q *queue) enter(n int) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.pictures > 0 && q.pictures+n > q.maxPictures {
		return false
	}
	q.pictures += n
	return true
}

// leave lets out one picture; took is how long a worker had it, 0 if none did.
func (q *queue) leave(took time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.pictures--
	if took > 0 {
		const weight = 0.05 // of the newest: the last twenty pictures or so count
		if q.perPicture == 0 {
			q.perPicture = took.Seconds()
		}
		q.perPicture += weight * (took.Seconds() - q.perPicture)
	}
}

// take asks for room for n more bytes of an upload.
func (q *queue) take(n int64) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.bytes > 0 && q.bytes+n > q.maxBytes {
		return false
	}
	q.bytes += n
	return true
}

func (q *queue) give(n int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.bytes -= n
}

// Length is how many pictures wait or are being worked on.
func (q *queue) length() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.pictures
}

// maxRetryAfter is the longest that anyone is told to wait, in seconds: guesses over longer times are worth nothing.
const maxRetryAfter = 60

// refusal says when to come again: when the pictures that are here now should be done.
func (q *queue) refusal(workers int) *failure {
	q.mu.Lock()
	defer q.mu.Unlock()
	f := fail(api.QueueFull, "the server has as much work as it takes at one time (%d pictures, %s of uploads); try again in a moment", q.pictures, size(q.bytes))
	wait := float64(q.pictures) * q.perPicture / float64(max(workers, 1))
	f.retryAfter = int(min(max(math.Ceil(wait), 1), maxRetryAfter))
	return f
}
