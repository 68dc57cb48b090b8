package classify

import (
	"math"
	"time"

	"github.com/vidi-vision/vidi/service/api"
	"github.com/vidi-vision/vidi/service/rules"
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
			Probability: millionths(p.Probability),
		})
	}
	wire.Parents, wire.TopGroups = wireParents(r.Parents, language), wireParents(r.TopGroups, language)
	wire.Tags = wireTags(r.Tags, language)
	return wire
}

func millionths(probability float64) float64 { return math.Round(probability*1e6) / 1e6 }

// wireParents is nil where the groups were not asked for.
func wireParents(parents []Parent, language string) []api.Parent {
	if parents == nil {
		return nil
	}
	wire := make([]api.Parent, 0, len(parents))
	for _, p := range parents {
		wire = append(wire, api.Parent{
			Label:       p.Group.Group,
			Display:     p.Group.Display(language),
			Names:       p.Group.Names,
			Confidence:  p.Confidence(),
			Probability: millionths(p.Probability),
		})
	}
	return wire
}

// wireTags is nil where there are no rules, and empty where none of them holds.
func wireTags(tags []rules.Tag, language string) []api.Tag {
	if tags == nil {
		return nil
	}
	wire := make([]api.Tag, 0, len(tags))
	for _, t := range tags {
		tag := api.Tag{Tag: t.Tag, Action: t.Action, Because: make([]api.Reason, 0, len(t.Because))}
		for _, r := range t.Because {
			tag.Because = append(tag.Because, api.Reason{
				Label: r.Label, Display: r.Display(language), Names: r.Names, Percent: math.Round(r.Percent*10) / 10,
				AtLeast: threshold(r.AtLeast), Below: threshold(r.Below),
			})
		}
		wire = append(wire, tag)
	}
	return wire
}

func threshold(percent float64) *float64 {
	if math.IsNaN(percent) {
		return nil
	}
	return &percent
}

// Milliseconds is d rounded to 0.01 ms, as times appear in JSON.
func Milliseconds(d time.Duration) float64 {
	return math.Round(float64(d.Microseconds())/10) / 100
}
