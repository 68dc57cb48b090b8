package telemetry

import (
	"math"
	"sync"
	"time"

	"github.com/vidi-vision/vidi/service/classify"
)

// stageNames are a picture's stages, in the order of classify.Timing.
var stageNames = [...]string{"decode", "preprocess", "queue", "inference"}

// kept is how many seconds the window looks back: five minutes, in some 230 KB however much happens in them.
const kept = 300

// window is the last minutes, second by second. The second that is not over yet is in it too.
type window struct {
	clock func() time.Time

	mu      sync.Mutex
	seconds [kept + 1]second // by Unix time modulo its length
}

// second is what happened within one.
type second struct {
	unix                      int64
	answered, refused, failed uint32    // predictions: below 400, below 500, and the rest
	latency                   latencies // from the end of the upload
	uploads                   latencies
	pictures                  uint32
	stages                    [len(stageNames)]time.Duration // sums over the pictures
	sample                    sample
}

// sample is what was seen at one moment of the second.
type sample struct {
	inFlight, waiting, busy int
	resident                int64
}

func newWindow(clock func() time.Time) *window { return &window{clock: clock} }

// now is the running second, emptied when it begins. The lock must be held.
func (w *window) now() *second {
	unix := w.clock().Unix()
	s := &w.seconds[unix%int64(len(w.seconds))]
	if s.unix != unix {
		*s = second{unix: unix}
	}
	return s
}

// at is the second of that time, and whether it is known.
func (w *window) at(unix int64) (*second, bool) {
	if unix < 0 {
		return nil, false
	}
	s := &w.seconds[unix%int64(len(w.seconds))]
	return s, s.unix == unix
}

func (w *window) request(e Ended) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.now()
	switch {
	case e.Status < 400:
		s.answered++
	case e.Status < 500:
		s.refused++
	default:
		s.failed++
	}
	if !e.Cut {
		s.latency.add(e.Took - e.Upload)
	}
	if e.Uploaded {
		s.uploads.add(e.Upload)
	}
}

func (w *window) picture(t classify.Timing) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.now()
	s.pictures++
	for i, d := range [...]time.Duration{t.Decode, t.Preprocess, t.Queue, t.Inference} {
		s.stages[i] += d
	}
}

func (w *window) sampled(seen sample) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now().sample = seen
}

// latencies is a histogram whose buckets grow by 2^¼ each, so that a quantile is at most 9 % off: 0.1 ms to 170 s.
type latencies [latencyBuckets]uint32

const (
	latencyBuckets  = 84
	latencyLeast    = 100 * time.Microsecond
	bucketsPerTwice = 4
)

func (l *latencies) add(d time.Duration) {
	i := 0
	if d > latencyLeast {
		i = 1 + int(bucketsPerTwice*math.Log2(float64(d)/float64(latencyLeast)))
	}
	l[min(i, latencyBuckets-1)]++
}

func (l *latencies) merge(other *latencies) {
	for i, n := range other {
		l[i] += n
	}
}

func (l *latencies) count() (n int) {
	for _, c := range l {
		n += int(c)
	}
	return n
}

// quantile is in milliseconds: the middle, by factor, of the bucket that holds it; nil without a request.
func (l *latencies) quantile(q float64) *float64 {
	rank := int(math.Ceil(q * float64(l.count())))
	if rank == 0 {
		return nil
	}
	for i, n := range l {
		if rank -= int(n); rank <= 0 {
			ms := latencyLeast.Seconds() * 1000 * math.Exp2((float64(i)-0.5)/bucketsPerTwice)
			return &ms
		}
	}
	return nil // not reached: the ranks end with the count
}
