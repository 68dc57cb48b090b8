package registry

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vidi-vision/vidi/service/classify"
	"github.com/vidi-vision/vidi/service/preprocess"
)

// shadow is a version that looks at what the stable one has answered.
type shadow struct {
	version *version
	stable  *version // what it is compared with
	share   float64  // percent of the requests
	ended   atomic.Bool
	tally   tally
}

func newShadow(v, stable *version, share float64) *shadow {
	return &shadow{version: v, stable: stable, share: share, tally: tally{since: time.Now()}}
}

func (s *shadow) end() { s.ended.Store(true) }

// answer is what is compared of a result.
type answer struct {
	label       string
	probability float64
	inference   time.Duration
	alone       bool // with all cores: its time cannot be compared
}

func answerOf(r *classify.Result) answer {
	return answer{label: r.Best.Label.Label, probability: r.Best.Probability, inference: r.Timing.Inference, alone: r.Alone}
}

// job is a picture for a shadow.
type job struct {
	shadow    *shadow
	data      []byte
	image     preprocess.Options
	stable    answer
	requestID string
}

// shadowQueue is the pictures that wait for shadows. There are few, because they keep uploads in memory that clients are done
// with; more are dropped, and counted.
type shadowQueue struct {
	mu    sync.Mutex
	jobs  chan job
	bytes int64 // of the jobs that wait or are being done
	ended bool  // nobody takes jobs any more
}

const (
	maxShadowJobs  = 16
	maxShadowBytes = 32 << 20
	shadowPatience = 5 * time.Second      // that a picture waits for a worker
	shadowPause    = 2 * time.Millisecond // between two looks for one
)

func newShadowQueue() *shadowQueue { return &shadowQueue{jobs: make(chan job, maxShadowJobs)} }

// offer takes the job, or drops it. It never waits for one to be done.
func (q *shadowQueue) offer(j job) {
	if j.shadow.ended.Load() || !j.shadow.version.acquire() {
		return
	}
	if !q.put(j) {
		j.shadow.version.release()
		j.shadow.tally.drop()
	}
}

func (q *shadowQueue) put(j job) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	size := int64(len(j.data))
	if q.ended || q.bytes+size > maxShadowBytes {
		return false
	}
	select {
	case q.jobs <- j:
		q.bytes += size
		return true
	default:
		return false
	}
}

// work does one picture at a time, until ctx ends: so shadows never have more than one worker.
func (q *shadowQueue) work(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			q.end()
			return
		case j := <-q.jobs:
			j.look(ctx)
			q.done(j)
		}
	}
}

func (q *shadowQueue) done(j job) {
	q.mu.Lock()
	q.bytes -= int64(len(j.data))
	q.mu.Unlock()
	j.shadow.version.release()
}

// end lets go of what waits, and takes nothing more: a job that nobody does would keep its version for ever.
func (q *shadowQueue) end() {
	q.mu.Lock()
	q.ended = true
	q.mu.Unlock()
	for {
		select {
		case j := <-q.jobs:
			q.done(j)
		default:
			return
		}
	}
}

// look asks the shadow, as soon as a worker is idle.
func (j job) look(ctx context.Context) {
	s := j.shadow
	for deadline := time.Now().Add(shadowPatience); !s.ended.Load(); {
		// All classes: the probability of the stable version's answer is among them.
		result, err := s.version.ClassifyIdle(ctx, j.data, classify.Options{TopK: len(s.version.card.Labels), Image: j.image})
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			s.tally.compare(j, result)
			return
		case !errors.Is(err, classify.ErrBusy):
			s.tally.fail()
			return
		case time.Now().After(deadline):
			s.tally.drop()
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(shadowPause):
		}
	}
}
