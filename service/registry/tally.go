package registry

import (
	"math"
	"slices"
	"sync"
	"time"

	"github.com/vidi-vision/vidi/service/classify"
)

// tally is what a shadow's answers are like beside the stable version's.
type tally struct {
	since time.Time

	mu                        sync.Mutex
	agreed, differed          uint64
	failed, dropped           uint64
	difference                float64 // sum
	inference, inferenceThere time.Duration
	timedThere                uint64 // pictures in inferenceThere
	last                      []Difference
}

// keptDifferences is how many are kept of the answers that differ, the last ones.
const keptDifferences = 20

// Comparison is how a shadow's answers compare with the stable version's.
type Comparison struct {
	Version    string    `json:"version"`
	Against    string    `json:"against"`
	Percent    float64   `json:"percent"` // of the requests
	Since      time.Time `json:"since"`
	Pictures   uint64    `json:"pictures"`   // that both have answered
	Agreed     uint64    `json:"agreed"`     // the most likely name is the same
	Failed     uint64    `json:"failed"`     // that only the stable version could answer
	Dropped    uint64    `json:"dropped"`    // because every worker was busy
	Agreement  *float64  `json:"agreement"`  // percent; null without a picture
	Difference *float64  `json:"difference"` // mean of |p − p'|, 0–1, p being the probability of the stable version's answer
	// The mean times of inference, on one worker. The stable version's is null where every picture had all cores to itself, whose times
	// cannot be compared.
	InferenceMS       *float64     `json:"inference_ms"`
	StableInferenceMS *float64     `json:"stable_inference_ms"`
	Last              []Difference `json:"differences"` // the last ones, the newest first; never null

	seconds, difference float64 // sums
}

// Seconds is the sum of the shadow's times of inference, for a counter.
func (c *Comparison) Seconds() float64 { return c.seconds }

// DifferenceSum is the sum behind Difference, for a counter.
func (c *Comparison) DifferenceSum() float64 { return c.difference }

// Difference is one picture that two versions call by different names. The picture itself is not kept.
type Difference struct {
	Time      time.Time `json:"time"`
	RequestID string    `json:"request_id"`
	Stable    Named     `json:"stable"`
	Shadow    Named     `json:"shadow"`
}

// Named is the most likely name.
type Named struct {
	Label       string  `json:"label"`
	Probability float64 `json:"probability"` // 0–1
}

func (t *tally) fail() { t.mu.Lock(); t.failed++; t.mu.Unlock() }
func (t *tally) drop() { t.mu.Lock(); t.dropped++; t.mu.Unlock() }

// compare counts a picture that both have answered. Classes are compared by their names, since two versions may number them
// differently; one that the shadow does not have has probability 0 there.
func (t *tally) compare(j job, result *classify.Result) {
	own := 0.0
	for _, p := range result.Predictions {
		if p.Label.Label == j.stable.label {
			own = p.Probability
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.difference += math.Abs(own - j.stable.probability)
	t.inference += result.Timing.Inference
	if !j.stable.alone {
		t.inferenceThere += j.stable.inference
		t.timedThere++
	}
	if result.Best.Label.Label == j.stable.label {
		t.agreed++
		return
	}
	t.differed++
	if len(t.last) == keptDifferences {
		t.last = slices.Delete(t.last, 0, 1)
	}
	t.last = append(t.last, Difference{Time: time.Now().Truncate(time.Millisecond), RequestID: j.requestID,
		Stable: Named{j.stable.label, round(j.stable.probability)}, Shadow: Named{result.Best.Label.Label, round(result.Best.Probability)}})
}

func (s *shadow) comparison() *Comparison {
	t := &s.tally
	t.mu.Lock()
	defer t.mu.Unlock()
	c := &Comparison{Version: s.version.card.Version, Against: s.stable.card.Version, Percent: s.share, Since: t.since.Truncate(time.Second),
		Pictures: t.agreed + t.differed, Agreed: t.agreed, Failed: t.failed, Dropped: t.dropped,
		Last: make([]Difference, 0, len(t.last)), seconds: t.inference.Seconds(), difference: t.difference}
	if n := float64(c.Pictures); n > 0 {
		c.Agreement = pointer(100 * float64(c.Agreed) / n)
		c.Difference = pointer(t.difference / n)
		c.InferenceMS = pointer(1000 * t.inference.Seconds() / n)
	}
	if t.timedThere > 0 {
		c.StableInferenceMS = pointer(1000 * t.inferenceThere.Seconds() / float64(t.timedThere))
	}
	c.Last = append(c.Last, t.last...)
	slices.Reverse(c.Last)
	return c
}

func round(f float64) float64 { return math.Round(f*1e4) / 1e4 }

func pointer(f float64) *float64 { f = round(f); return &f }
