package rules

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/vidi-vision/vidi/service/model"
	"github.com/vidi-vision/vidi/service/spelling"
)

// names is what a model calls things.
type names struct {
	labels, groups map[string]part
}

func namesOf(card model.Card) names {
	n := names{labels: map[string]part{}, groups: map[string]part{}}
	for class, l := range card.Labels {
		n.labels[l.Label] = part{label: l.Label, names: l.Names, classes: []int{class}}
	}
	grouping := card.Grouping()
	for i, g := range grouping.Groups {
		n.groups[g.Group] = part{label: g.Group, names: g.Names, classes: grouping.Classes[i]}
	}
	return n
}

func (n *names) bind(c *condition) boundCondition {
	b := boundCondition{condition: c}
	add := func(of map[string]part, list []name) {
		for _, name := range list {
			if p, ok := of[name.text]; ok {
				b.parts = append(b.parts, p)
				b.classes = append(b.classes, p.classes...)
			}
		}
	}
	add(n.groups, c.groups)
	add(n.labels, c.labels)
	slices.Sort(b.classes)
	b.classes = slices.Compact(b.classes) // a label may be in one of the groups, too
	return b
}

// Check reports every name that none of the models knows, with the line it is in and, where there is one, a name that is like it.
func (r *Rules) Check(cards ...model.Card) error {
	known := make([]names, len(cards))
	for i, card := range cards {
		known[i] = namesOf(card)
	}
	var mistakes mistakes
	for _, rule := range r.rules {
		for _, c := range rule.when {
			for _, name := range c.labels {
				mistakes.unknown(name, "label", known, func(n names) (this, other map[string]part) { return n.labels, n.groups })
			}
			for _, name := range c.groups {
				mistakes.unknown(name, "group", known, func(n names) (this, other map[string]part) { return n.groups, n.labels })
			}
		}
	}
	return mistakes.err()
}

// unknown adds a mistake if no model has the name among its labels, or groups: kind says which.
func (m *mistakes) unknown(wanted name, kind string, known []names, pick func(names) (this, other map[string]part)) {
	otherKind := map[string]string{"label": "group", "group": "label"}[kind]
	isOther := false
	var all []part
	for _, n := range known {
		this, other := pick(n)
		if _, ok := this[wanted.text]; ok {
			return
		}
		if _, ok := other[wanted.text]; ok {
			isOther = true
		}
		for _, p := range this {
			all = append(all, p)
		}
	}
	switch like := similar(wanted.text, all); {
	case isOther:
		m.add(wanted.line, "%q is a %s, not a %s; write it into %ss", wanted.text, otherKind, kind, otherKind)
	case len(like) > 0:
		m.add(wanted.line, "there is no %s %.80q; did you mean %s?", kind, wanted.text, strings.Join(like, " or "))
	case len(all) == 0:
		m.add(wanted.line, "there is no %s %.80q: this model has no %ss", kind, wanted.text, kind)
	default:
		m.add(wanted.line, "there is no %s %.80q; `vidi rules names` lists them", kind, wanted.text)
	}
}

// similar is up to three labels that somebody may have meant: those with that name in another language or in other letters, or
// else those that differ in few letters.
func similar(wanted string, among []part) []string {
	const most = 3
	wanted = strings.ToLower(wanted)
	limit := spelling.Tolerance(wanted)
	type candidate struct {
		label    string
		distance int
	}
	var found []candidate
	for _, p := range among {
		d := spelling.Distance(wanted, strings.ToLower(p.label), limit)
		for _, name := range p.names {
			if strings.EqualFold(name, wanted) {
				d = 0
			}
		}
		if d <= limit {
			found = append(found, candidate{p.label, d})
		}
	}
	slices.SortFunc(found, func(a, b candidate) int {
		if a.distance != b.distance {
			return a.distance - b.distance
		}
		return strings.Compare(a.label, b.label)
	})
	found = slices.Compact(found) // several models may have it
	if i := slices.IndexFunc(found, func(c candidate) bool { return c.distance > 0 }); i > 0 {
		found = found[:i] // what is the same but for its spelling
	}
	labels := make([]string, 0, most)
	for _, c := range found[:min(most, len(found))] {
		labels = append(labels, fmt.Sprintf("%q", c.label))
	}
	return labels
}

// mistakes collects what is wrong with a file, by line.
type mistakes []mistake

type mistake struct {
	line int
	text string
}

// mostMistakes bounds what is reported: who mends twenty finds the rest.
const mostMistakes = 20

func (m *mistakes) add(line int, format string, args ...any) {
	*m = append(*m, mistake{line, fmt.Sprintf(format, args...)})
}

func (m mistakes) err() error {
	if len(m) == 0 {
		return nil
	}
	slices.SortStableFunc(m, func(a, b mistake) int { return a.line - b.line })
	var lines []string
	for _, mistake := range m[:min(len(m), mostMistakes)] {
		lines = append(lines, fmt.Sprintf("line %d: %s", mistake.line, mistake.text))
	}
	if more := len(m) - mostMistakes; more > 0 {
		lines = append(lines, fmt.Sprintf("and %d more", more))
	}
	return errors.New(strings.Join(lines, "\n"))
}
