package classify

import (
	"math"
	"time"

	"github.com/vidi-vision/vidi/service/api"
)

// Wire is the result as the HTTP API's JSON, which `vidi classify --format jsonl` prints too. language picks Display.
// Index, Filename and Error are the caller's to set.
func (r *Result) Wire(language string) api.Result {
	wire := api.Result{
		Width:       r.Width,
		Height:      r.Height,
		Format:      r.Format,
		Warnings:    make([]string, 0, len(r.Warnings)),
		Predictions: make([]api.Prediction, 0, len(r.Predictions)),
		Timing: api.TimingMS{
			Decode:     Milliseconds(r.Timing.Decode),
			Preprocess: Milliseconds(r.Timing.Preprocess),
			Queue:      Milliseconds(r.Timing.Queue),
			Inference:  Milliseconds(r.Timing.Inference),
		},
	}
	for _, w := range r.Warnings {
		wire.Warnings = append(wire.Warnings, string(w))
	}
	for _, p := range r.Predictions {
		wire.Predictions = append(wire.Predictions, api.Prediction{
			Label:       p.Label.Label,
			Display:     p.Label.Display(language),
			Names:       p.Label.Names,
			ClassID:     p.ClassID,
			WNID:        p.Label.WNID,
			Confidence:  p.Confidence(),
			Probability: math.Round(p.Probability*1e6) / 1e6,
		})
	}
	return wire
}

// Milliseconds is d rounded to 0.01 ms, as times appear in JSON.
func Milliseconds(d time.Duration) float64 {
	return math.Round(float64(d.Microseconds())/10) / 100
}
