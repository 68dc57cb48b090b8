// Package rules turns what a model says about a picture into tags of the user's own: a rules file names labels, groups and
// measures with thresholds, and a tag with an action word for pictures that meet them. docs/rules.md describes the file.
//
// [Parse] reads a file, without knowing any model; [Rules.Check] looks its names up in the cards of models; [Rules.Bind] makes
// the [Set] for one model, which tells a picture's tags. A [Book] is a file that may change while it is in use.
package rules

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/vidi-vision/vidi/service/model"
)

// Rules is a rules file. It does not change.
type Rules struct{ rules []rule }

// Count is how many rules there are.
func (r *Rules) Count() int { return len(r.rules) }

type rule struct {
	tag, action string
	when        []condition // all must hold
}

// Measure is what a condition compares, in percent.
type measure string

const (
	together   measure = ""           // the probability of its labels and groups together
	brightness measure = "brightness" // Brightness
	best       measure = "best"       // the probability of the likeliest label
)

var measures = []string{string(brightness), string(best)}

var measureNames = map[measure]map[string]string{
	brightness: {"en": "brightness", "zh": "亮度"},
	best:       {"en": "likeliest answer", "zh": "最可能的答案"},
}

type condition struct {
	measure        measure
	labels, groups []name
	atLeast, below float64 // percent; NaN where the file does not say
}

// name is a label's or a group's, and where it is written.
type name struct {
	text string
	line int
}

// holds reports whether percent is within the thresholds.
func (c *condition) holds(percent float64) bool {
	return !(percent < c.atLeast) && !(percent >= c.below) // comparisons with NaN are false
}

// Picture is what is known about a picture that was classified.
type Picture struct {
	Probabilities []float64 // by class
	Brightness    float64   // percent; only needed where Set.NeedsBrightness
}

// Tag is a tag that a picture gets.
type Tag struct {
	Tag     string
	Action  string   // "" where the rule has none
	Because []Reason // one for each condition of the rule
}

// Reason is a condition that holds.
type Reason struct {
	Label   string            // what was compared: names of labels and groups, or a measure
	Names   map[string]string // the same for people, by language
	Percent float64
	AtLeast float64 // NaN where the rule does not say
	Below   float64 // NaN where the rule does not say
}

// Set is the rules as they apply to one model. It does not change, and is safe for concurrent use.
type Set struct {
	source     *Rules
	activation model.Activation
	rules      []bound
}

type bound struct {
	*rule
	when []boundCondition
}

type boundCondition struct {
	*condition
	classes []int  // of all its labels and groups, each once
	parts   []part // of which they are made
}

// part is one label or group that a condition names.
type part struct {
	label   string
	names   map[string]string
	classes []int
	group   bool
	like    []string // other words for the group
}

// Bind is the rules for the model with the card. Names that it does not know are left out; a condition of which it knows none
// never holds.
func (r *Rules) Bind(card model.Card) *Set {
	known := namesOf(card)
	s := &Set{source: r, activation: card.Activation}
	for i := range r.rules {
		b := bound{rule: &r.rules[i]}
		for j := range b.rule.when {
			b.when = append(b.when, known.bind(&b.rule.when[j]))
		}
		s.rules = append(s.rules, b)
	}
	return s
}

// NeedsBrightness reports whether a rule asks how bright pictures are.
func (s *Set) NeedsBrightness() bool {
	return slices.ContainsFunc(s.rules, func(b bound) bool {
		return slices.ContainsFunc(b.when, func(c boundCondition) bool { return c.measure == brightness })
	})
}

// Tags is the picture's tags in the order of the file, each once: of several rules that give the same tag, the first that holds
// counts. It is empty, not nil, where no rule holds.
func (s *Set) Tags(p Picture) []Tag {
	tags := []Tag{}
	for _, b := range s.rules {
		if slices.ContainsFunc(tags, func(t Tag) bool { return t.Tag == b.tag }) {
			continue
		}
		because := make([]Reason, 0, len(b.when))
		for i := range b.when {
			reason, ok := s.reason(&b.when[i], p)
			if !ok {
				break
			}
			because = append(because, reason)
		}
		if len(because) == len(b.when) {
			tags = append(tags, Tag{Tag: b.tag, Action: b.action, Because: because})
		}
	}
	return tags
}

// reason is why the condition holds, if it does.
func (s *Set) reason(c *boundCondition, p Picture) (Reason, bool) {
	r := Reason{Label: string(c.measure), Names: measureNames[c.measure], AtLeast: c.atLeast, Below: c.below}
	switch c.measure {
	case brightness:
		r.Percent = p.Brightness
	case best:
		r.Percent = 100 * slices.Max(p.Probabilities)
	default:
		if len(c.parts) == 0 {
			return Reason{}, false
		}
		r.Percent = 100 * model.Together(s.activation, p.Probabilities, c.classes)
	}
	if !c.holds(r.Percent) {
		return Reason{}, false
	}
	if c.measure == together {
		r.Label, r.Names = s.describe(c, p)
	}
	return r, true
}

// mostNamed is how many labels and groups a reason names.
const mostNamed = 3

// describe names the labels and groups of a condition that weigh most in this picture.
func (s *Set) describe(c *boundCondition, p Picture) (label string, names map[string]string) {
	weights := make([]float64, len(c.parts))
	for i, part := range c.parts {
		weights[i] = model.Together(s.activation, p.Probabilities, part.classes)
	}
	top := model.TopK(weights, mostNamed)
	for len(top) > 1 && weights[top[len(top)-1]] < 0.0005 { // 0.0 % says nothing
		top = top[:len(top)-1]
	}
	list := func(separator string, of func(part) string) string {
		texts := make([]string, len(top))
		for i, n := range top {
			texts[i] = of(c.parts[n])
		}
		text := strings.Join(texts, separator)
		if len(top) < len(c.parts) {
			text += separator + "…"
		}
		return text
	}
	display := func(language string) func(part) string {
		return func(p part) string { return model.Label{Label: p.label, Names: p.names}.Display(language) }
	}
	return list(", ", func(p part) string { return p.label }),
		map[string]string{"en": list(", ", display("en")), "zh": list("、", display("zh"))}
}

// Display is what was compared, in the language, "en" or "zh".
func (r Reason) Display(language string) string {
	return model.Label{Label: r.Label, Names: r.Names}.Display(language)
}

// Text is the reason in one line: cat 93.1 % ≥ 50 %.
func (r Reason) Text(language string) string {
	text := fmt.Sprintf("%s %.1f %%", r.Display(language), r.Percent)
	if !math.IsNaN(r.AtLeast) {
		text += fmt.Sprintf(" ≥ %g %%", r.AtLeast)
	}
	if !math.IsNaN(r.Below) {
		text += fmt.Sprintf(" < %g %%", r.Below)
	}
	return text
}

// Brightness is the mean luma of a picture in percent: of black 0, of white 100. rgb is rows of RGB, three bytes a pixel. Luma is
// 0.299 R + 0.587 G + 0.114 B of the bytes as they are (ITU-R BT.601), which is also Pillow's grey.
func Brightness(rgb []byte) float64 {
	var r, g, b uint64
	for i := 0; i+2 < len(rgb); i += 3 {
		r, g, b = r+uint64(rgb[i]), g+uint64(rgb[i+1]), b+uint64(rgb[i+2])
	}
	pixels := len(rgb) / 3
	if pixels == 0 {
		return 0
	}
	return float64(299*r+587*g+114*b) / float64(pixels) / 255 / 10
}
