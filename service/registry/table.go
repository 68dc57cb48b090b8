package registry

import (
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/vidi-vision/vidi/service/model"
)

// table is which names there are and what they mean. It is never changed: a change makes a new one.
type table struct {
	lines []*line // the first one's name is the default
}

// line is what one name means.
type line struct {
	name    string
	stable  *version
	canary  *version // nil for none
	percent float64  // of the requests that the canary answers
	shadow  *shadow  // nil for none
	beside  []*version
	before  string // the version that was stable before; "" for none
}

func (t *table) line(name string) *line {
	for _, l := range t.lines {
		if l.name == name {
			return l
		}
	}
	return nil
}

// with is a copy in which l has taken its name's place, or comes last.
func (t *table) with(l *line) *table {
	lines := slices.Clone(t.lines)
	for i := range lines {
		if lines[i].name == l.name {
			lines[i] = l
			return &table{lines}
		}
	}
	return &table{append(lines, l)}
}

func (t *table) without(name string) *table {
	return &table{slices.DeleteFunc(slices.Clone(t.lines), func(l *line) bool { return l.name == name })}
}

func (t *table) versions() (all []*version) {
	for _, l := range t.lines {
		all = append(all, l.versions()...)
	}
	return all
}

func (t *table) has(v *version) bool { return slices.Contains(t.versions(), v) }

func (t *table) shadows(s *shadow) bool {
	return slices.ContainsFunc(t.lines, func(l *line) bool { return l.shadow == s })
}

// versions is each loaded version once, the stable one first.
func (l *line) versions() []*version {
	all := []*version{l.stable}
	add := func(v *version) {
		if v != nil && !slices.Contains(all, v) {
			all = append(all, v)
		}
	}
	add(l.canary)
	if l.shadow != nil {
		add(l.shadow.version)
	}
	for _, v := range l.beside {
		add(v)
	}
	return all
}

// find is the loaded version of that number; nil for none.
func (l *line) find(number string) *version {
	for _, v := range l.versions() {
		if v.card.Version == number {
			return v
		}
	}
	return nil
}

// roles is what a version is to its name: "stable", "canary", "shadow", or nothing.
func (l *line) roles(v *version) []string {
	roles := []string{}
	if v == l.stable {
		roles = append(roles, model.Stable)
	}
	if v == l.canary {
		roles = append(roles, model.Canary)
	}
	if l.shadow != nil && v == l.shadow.version {
		roles = append(roles, "shadow")
	}
	return roles
}

// choose is the version that ref means: NAME, NAME@VERSION, NAME@stable, NAME@canary, or "" for the default; nil if there is
// none. Where only the name is given, the canary has its share.
func (t *table) choose(ref string) (*line, *version) {
	if len(t.lines) == 0 {
		return nil, nil
	}
	name, which, exact := strings.Cut(ref, "@")
	l := t.lines[0]
	if ref != "" {
		if l = t.line(name); l == nil {
			return nil, nil
		}
	}
	switch {
	case exact && which == model.Stable:
		return l, l.stable
	case exact && which == model.Canary:
		return l, l.canary
	case exact:
		return l, l.find(which)
	case l.canary != nil && rand.Float64()*100 < l.percent:
		return l, l.canary
	}
	return l, l.stable
}

// available lists what a request can name.
func (t *table) available() string {
	var names []string
	for _, l := range t.lines {
		names = append(names, l.name)
		for _, v := range l.versions() {
			names = append(names, model.Ref(l.name, v.card.Version))
		}
	}
	return strings.Join(names, ", ")
}

func (t *table) missing(ref string) error {
	return refuse(NotFound, "model %q is not served here; there are: %s", ref, t.available())
}
