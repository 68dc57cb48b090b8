package eval

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/vidi-vision/vidi/service/model"
	"github.com/vidi-vision/vidi/service/spelling"
)

// classNames finds classes by what people call them.
type classNames struct {
	classes map[string]int
	missed  map[string]bool
}

func newClassNames(labels []model.Label) *classNames {
	n := &classNames{classes: map[string]int{}, missed: map[string]bool{}}
	// The label itself comes first: a name that is one class's label and another's translation means the former.
	names := []func(class int, l model.Label) string{
		func(_ int, l model.Label) string { return l.Label },
		func(_ int, l model.Label) string { return l.WNID },
		func(_ int, l model.Label) string { return l.Names["en"] },
		func(_ int, l model.Label) string { return l.Names["zh"] },
		func(class int, _ model.Label) string { return fmt.Sprintf("class_%d", class) },
	}
	for _, name := range names {
		for class, label := range labels {
			key := normal(name(class, label))
			if _, taken := n.classes[key]; key != "" && !taken {
				n.classes[key] = class
			}
		}
	}
	return n
}

// normal is a name as folders spell it: case, and what stands between words, make no difference.
func normal(name string) string {
	return strings.Join(strings.FieldsFunc(strings.ToLower(name), func(r rune) bool { return r == ' ' || r == '_' || r == '-' }), " ")
}

func (n *classNames) find(name string) (class int, known bool) {
	class, known = n.classes[normal(name)]
	if !known {
		n.missed[name] = true
	}
	return class, known
}

// unknown is the names that were looked for in vain, in order.
func (n *classNames) unknown() []UnknownLabel {
	var all []UnknownLabel
	for _, name := range slices.Sorted(maps.Keys(n.missed)) {
		all = append(all, UnknownLabel{Name: name, Near: n.near(normal(name))})
	}
	return all
}

// near is the known name that takes the fewest changes of letters to get to, if few; "" otherwise.
func (n *classNames) near(name string) string {
	limit, nearest := spelling.Tolerance(name), ""
	for _, known := range slices.Sorted(maps.Keys(n.classes)) {
		if distance := spelling.Distance(name, known, limit); distance <= limit {
			limit, nearest = distance-1, known // only what is nearer counts from now on
		}
	}
	return nearest
}
