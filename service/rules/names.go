package rules

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

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
		n.groups[g.Group] = part{label: g.Group, names: g.Names, like: g.Like, classes: grouping.Classes[i], group: true}
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
	switch like, exact := similar(wanted.text, all); {
	case isOther && exact: // a plane is a tool, and for most people an aircraft
		m.add(wanted.line, "%q is a %s, not a %s; write it into %ss, or did you mean the %s %s?",
			wanted.text, otherKind, kind, otherKind, kind, either(like))
	case isOther:
		m.add(wanted.line, "%q is a %s, not a %s; write it into %ss", wanted.text, otherKind, kind, otherKind)
	case len(like) > 0:
		m.add(wanted.line, "there is no %s %.80q; did you mean %s?", kind, wanted.text, either(like))
	case len(all) == 0:
		m.add(wanted.line, "there is no %s %.80q: this model has no %ss", kind, wanted.text, kind)
	default:
		m.add(wanted.line, "there is no %s %.80q; `vidi rules names` lists them", kind, wanted.text)
	}
}

func either(names []string) string { return strings.Join(names, " or ") }

// SimilarGroups is up to three quoted names of the model's groups that somebody may have meant.
func SimilarGroups(card model.Card, wanted string) []string {
	var all []part
	for _, group := range namesOf(card).groups {
		all = append(all, group)
	}
	like, _ := similar(wanted, all)
	return like
}

// similar is up to three quoted labels that somebody may have meant: those with that name in another
// language, in other letters or in other words, which is exact, or else those that differ in few letters.
func similar(wanted string, among []part) (labels []string, exact bool) {
	const most = 3
	wanted = strings.ToLower(strings.TrimSpace(wanted))
	limit := spelling.Tolerance(wanted)
	type candidate struct {
		label    string
		distance int
	}
	var found []candidate
	for _, p := range among {
		if d := p.distance(wanted, limit); d <= limit {
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
	for _, c := range found[:min(most, len(found))] {
		labels = append(labels, fmt.Sprintf("%q", c.label))
	}
	return labels, len(found) > 0 && found[0].distance == 0
}

// slipFrom is how many letters a word must have for a wrong one to be a slip: catt is not cart.
// Chinese words are shorter.
func slipFrom(word string) int {
	if word != "" && word[0] < utf8.RuneSelf {
		return 5
	}
	return 3
}

// distance is the edit distance between what somebody wrote, in lower case, and the nearest word
// for this part; more than limit is limit + 1. A group may also be called by one of the things that
// its name lists: truck, of "truck or bus".
func (p *part) distance(wanted string, limit int) int {
	least := spelling.Distance(wanted, strings.ToLower(p.label), limit)
	words := slices.Collect(maps.Values(p.names))
	if p.group {
		words = append(words, p.like...)
		for _, name := range append(words[:len(words):len(words)], p.label) {
			words = append(words, listed.Split(name, -1)...)
		}
	}
	slip := p.group && utf8.RuneCountInString(wanted) >= slipFrom(wanted)
	for _, word := range words {
		word = strings.ToLower(word)
		switch {
		case word == wanted || p.group && plural(word) == wanted:
			return 0
		case slip && utf8.RuneCountInString(word) >= slipFrom(word):
			least = min(least, spelling.Distance(wanted, word, limit))
		}
	}
	return least
}

func plural(word string) string {
	for _, end := range []string{"s", "x", "ch", "sh"} {
		if strings.HasSuffix(word, end) {
			return word + "es"
		}
	}
	return word + "s"
}

// listed is what stands between the things that a group's name lists.
var listed = regexp.MustCompile(` or | and |[、与和]|等`)

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
