package bench

import (
	"fmt"
	"strings"
)

// Plan is the best settings that were measured, in the first precision. Another precision changes the answers, so that choice
// is left to people; the plan says what it would bring.
type Plan struct {
	Precision    string
	Workers      int
	Threads      int     // of each worker
	ThreadsAlone int     // of a picture that has the machine to itself
	Rate         float64 // pictures a second with the workers
	Alone        float64 // ms of one inference with ThreadsAlone
	Other        string  // the fastest other precision that was measured, "" for none
	OtherRate    float64 // its pictures a second
	model        string
}

// worthIt is how much faster a setting must be to be preferred to one measured before it: less is noise.
const worthIt = 1.05

// Best is the best plan found.
func (r *Report) Best() Plan {
	plan := Plan{model: r.Model}
	for _, t := range r.Throughputs {
		if plan.Precision == "" {
			plan.Precision = t.Precision
		}
		switch {
		case t.Precision != plan.Precision:
			if t.Rate > plan.OtherRate {
				plan.Other, plan.OtherRate = t.Precision, t.Rate
			}
		case t.Rate > plan.Rate*worthIt:
			plan.Workers, plan.Threads, plan.Rate = t.Workers, t.Threads, t.Rate
		}
	}
	for _, i := range r.Inference {
		if i.Precision == plan.Precision && i.Batch == 1 && (plan.Alone == 0 || i.Median*worthIt < plan.Alone) {
			plan.ThreadsAlone, plan.Alone = i.Threads, i.Median
		}
	}
	return plan
}

// String is for people.
func (p Plan) String() string {
	s := fmt.Sprintf("Best here in %s: --workers %d --threads %d (%.1f pictures/s), --threads-alone %d (%.1f ms an inference).",
		p.Precision, p.Workers, p.Threads, p.Rate, p.ThreadsAlone, p.Alone)
	if p.OtherRate > p.Rate*worthIt {
		s += fmt.Sprintf("\n--precision %s would give %.1f times the pictures a second; docs/parity.md says how its answers differ.", p.Other, p.OtherRate/p.Rate)
	}
	return s
}

// Environment is the plan as environment variables of `vidi serve`, for a shell, systemd, or docker's env_file.
func (p Plan) Environment() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Measured by vidi bench with %s: %.1f pictures/s, %.1f ms for an inference alone.\n", p.model, p.Rate, p.Alone)
	fmt.Fprintf(&b, "VIDI_PRECISION=%s\nVIDI_WORKERS=%d\nVIDI_THREADS=%d\nVIDI_THREADS_ALONE=%d\n", p.Precision, p.Workers, p.Threads, p.ThreadsAlone)
	return b.String()
}
