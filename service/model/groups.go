package model

import (
	"errors"
	"math"
	"slices"
)

// Group is what several classes are kinds of: cat, where the classes are tabby, tiger cat and others.
type Group struct {
	Group string            `json:"group"` // the unique English id
	Names map[string]string `json:"names,omitempty"`

	// Top marks a top-level group: animal, where other groups are cat and dog.
	// Its classes name it after the others.
	Top bool `json:"top,omitempty"`

	// Like are other words that people write for it, in English and Chinese: lizard, where the
	// group is "other reptile".
	Like []string `json:"-"`
}

// Display is the name in the language, "en" or "zh", or the id where there is none.
func (g Group) Display(language string) string { return display(g.Group, g.Names, language) }

// Grouping is the groups of a model, and the classes in each.
type Grouping struct {
	Groups  []Group
	Classes [][]int // by group, ascending

	// Parents and Tops are indices into Groups. Tops are the top-level groups. Parents are the
	// groups right above the classes: all the others, and the top-level ones that a class names first.
	Parents, Tops []int
}

// Grouping is how the model's classes are grouped: as its labels say. Where none says anything, classes that have the WordNet
// id of one of ImageNet's are in the groups of that one. Groups come in the order of the card's list, then of the labels.
func (c Card) Grouping() Grouping {
	known, of := c.Groups, func(l Label) []string { return l.Groups }
	if !slices.ContainsFunc(c.Labels, func(l Label) bool { return len(l.Groups) > 0 }) {
		groups, byID := imageNetGroups()
		known, of = groups, func(l Label) []string { return byID[l.WNID] }
	}
	var g Grouping
	at := map[string]int{}
	place := func(group Group) int {
		i, ok := at[group.Group]
		if !ok {
			i = len(g.Groups)
			at[group.Group] = i
			g.Groups, g.Classes = append(g.Groups, group), append(g.Classes, nil)
		}
		return i
	}
	for _, group := range known {
		place(group)
	}
	first := map[string]bool{}
	for class, label := range c.Labels {
		for j, name := range of(label) {
			i := place(Group{Group: name})
			g.Classes[i] = append(g.Classes[i], class)
			first[name] = first[name] || j == 0
		}
	}
	for i := len(g.Groups) - 1; i >= 0; i-- { // groups that no class of this model is in
		if len(g.Classes[i]) == 0 {
			g.Groups, g.Classes = slices.Delete(g.Groups, i, i+1), slices.Delete(g.Classes, i, i+1)
		}
	}
	for i, group := range g.Groups {
		if group.Top {
			g.Tops = append(g.Tops, i)
		}
		if !group.Top || first[group.Group] {
			g.Parents = append(g.Parents, i)
		}
	}
	return g
}

// Together is the probability that a picture shows one of the classes, each of which is named once, given those of all
// classes. Of classes that exclude each other it is the sum. Labels under a sigmoid do not exclude each other, and how they go
// together is not known: it is at least that of the likeliest, and that is the answer.
func Together(activation Activation, p []float64, classes []int) float64 {
	return together(exclusive(activation, p), p, classes)
}

func together(exclusive bool, p []float64, classes []int) float64 {
	together := 0.0
	for _, class := range classes {
		if exclusive {
			together += p[class]
		} else {
			together = max(together, p[class])
		}
	}
	return min(together, 1) // 1000 summands round
}

// exclusive reports whether exactly one of all classes holds, so that their probabilities p are 1 together. A network that ends in
// its own activation may have either kind.
func exclusive(activation Activation, p []float64) bool {
	if activation != None {
		return activation == Softmax
	}
	sum := 0.0
	for _, v := range p {
		sum += v
	}
	const rounding = 0.01 // of a thousand bfloat16 or float16 numbers
	return math.Abs(sum-1) <= rounding
}

// Together is the probability of each group.
func (g Grouping) Together(activation Activation, p []float64) []float64 {
	probabilities, one := make([]float64, len(g.Groups)), exclusive(activation, p)
	for i, classes := range g.Classes {
		probabilities[i] = together(one, p, classes)
	}
	return probabilities
}

// maxGroupName bounds a group's name: it is to be shown, and to be written into rules.
const maxGroupName = 64

func (c Card) checkGroups(check func(ok bool, format string, args ...any)) {
	named := map[string]bool{}
	for i, g := range c.Groups {
		check(g.Group != "" && len(g.Group) <= maxGroupName, "groups[%d] has the name %.80q; use 1 to %d bytes", i, g.Group, maxGroupName)
		if err := errors.Join(checkText(g.Group, maxGroupName), checkNames(g.Names)); err != nil {
			check(false, "groups[%d] %w", i, err)
		}
		check(!named[g.Group] || g.Group == "", "groups[%d] is %q, which is there already", i, g.Group)
		named[g.Group] = true
	}
	for i, l := range c.Labels {
		for j, name := range l.Groups {
			check(name != "" && len(name) <= maxGroupName, "labels[%d].groups[%d] is %.80q; use 1 to %d bytes", i, j, name, maxGroupName)
			if err := checkText(name, maxGroupName); err != nil {
				check(false, "labels[%d].groups[%d] %w", i, j, err)
			}
			check(!slices.Contains(l.Groups[:j], name), "labels[%d].groups names %q twice", i, name)
		}
	}
}
