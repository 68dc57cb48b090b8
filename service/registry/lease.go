package registry

import (
	"context"
	"math/rand/v2"
	"sync"

	"github.com/vidi-vision/vidi/service/admission"
	"github.com/vidi-vision/vidi/service/classify"
	"github.com/vidi-vision/vidi/service/model"
)

// Lease is the right to use one version, for one request: however many pictures it has, one version answers them all.
// Release it. Classify is safe for concurrent use.
type Lease struct {
	version   *version
	shadow    *shadow // which sees this request's pictures too; nil for none
	queue     *shadowQueue
	requestID string

	mu   sync.Mutex
	seen []job // for the shadow, once the answer is given
}

// Pick leases the version that ref means: NAME, NAME@VERSION, NAME@stable, NAME@canary, or "" for the default. The error, for the
// client, says that there is none, and what there is. requestID is kept where the shadow's answer differs.
func (r *Registry) Pick(ref, requestID string) (*Lease, error) {
	for {
		t := r.table.Load()
		l, v := t.choose(ref)
		if v == nil {
			return nil, t.missing(ref)
		}
		if !v.acquire() {
			continue // it was exchanged and closed since: the new table is there
		}
		lease := &Lease{version: v, queue: r.shadows, requestID: requestID}
		if s := l.shadow; s != nil && v == l.stable && rand.Float64()*100 < s.share {
			lease.shadow = s
		}
		return lease, nil
	}
}

// Card is the version's card.
func (l *Lease) Card() model.Card { return l.version.card }

// Cost is the version's own.
func (l *Lease) Cost(data []byte, o classify.Options) admission.Cost { return l.version.Cost(data, o) }

// Classify is the version's own.
func (l *Lease) Classify(ctx context.Context, data []byte, o classify.Options) (*classify.Result, error) {
	result, err := l.version.Classify(ctx, data, o)
	if err == nil && l.shadow != nil {
		l.mu.Lock()
		l.seen = append(l.seen, job{shadow: l.shadow, data: data, image: o.Image, stable: answerOf(result), requestID: l.requestID})
		l.mu.Unlock()
	}
	return result, err
}

// Release ends the lease, once the answer was given. The pictures go to the shadow now, so their bytes must not be changed
// afterwards.
func (l *Lease) Release() {
	for _, j := range l.seen {
		l.queue.offer(j)
	}
	l.version.release()
}
