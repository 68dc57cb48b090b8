package httpapi

import "time"

// patience is until when a connection waits for its other end, which moves on while bytes move.
type patience struct {
	set   func(time.Time) error // tells the connection; its error, that it cannot wait, means nothing
	end   time.Time             // of all waiting; zero is never
	until time.Time             // what was set last
}

// patienceStep is how much later the end must be to be set anew.
const patienceStep = time.Second

// extend lets the connection wait until then, but not beyond the end.
func (p *patience) extend(until time.Time) {
	if !p.end.IsZero() && p.end.Before(until) {
		until = p.end
	}
	if until.Sub(p.until) > patienceStep {
		p.until = until
		_ = p.set(until)
	}
}

// stop ends the waiting at once.
func (p *patience) stop() { _ = p.set(time.Unix(1, 0)) }
