package admission

import (
	"math"
	"time"
)

const (
	// MinPace is how many bytes a second a transfer must move, on average over a sliding PaceTime: low enough for a phone on a
	// bad line, high enough that one that stopped is noticed.
	MinPace = 2 << 10
	// PaceTime is also how long a transfer may stand still.
	PaceTime = 10 * time.Second

	// A transfer is slow where what it holds is more than what moves in slowAfter, at the rate of the last rateTime or so. Only
	// slow ones give way.
	slowAfter = 5 * time.Second
	rateTime  = time.Second
)

// pace watches a transfer. It is a bucket of time: standing still empties it, bytes that move fill it.
type pace struct {
	begun time.Time
	until time.Time // when the transfer is too slow, if nothing moves until then
	moved float64   // bytes, those of long ago less and less
	last  time.Time // when moved was true
}

func (p *pace) begin(now time.Time) { *p = pace{begun: now, until: now.Add(PaceTime), last: now} }

// young reports whether the transfer has just begun, so that its rate is not known.
func (p *pace) young(now time.Time) bool { return now.Sub(p.begun) < rateTime }

func (p *pace) move(n int64, now time.Time) {
	p.moved = p.lately(now) + float64(n)
	p.last = now
	p.until = p.until.Add(time.Duration(float64(n) / MinPace * float64(time.Second)))
	if full := now.Add(PaceTime); p.until.After(full) {
		p.until = full
	}
}

// lately is about how many bytes moved in the last rateTime.
func (p *pace) lately(now time.Time) float64 {
	return p.moved * math.Exp(-now.Sub(p.last).Seconds()/rateTime.Seconds())
}

// slowness is how many seconds it would take to move so many bytes at the rate of now.
func (p *pace) slowness(bytes int64, now time.Time) float64 {
	return float64(bytes) / (p.lately(now) + 1) * rateTime.Seconds()
}
