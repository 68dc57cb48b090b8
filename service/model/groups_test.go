package model

import (
	"math"
	"slices"
	"strings"
	"testing"
)

// groupOf is the index of a group and its classes.
func groupOf(t *testing.T, g Grouping, name string) (int, []int) {
	t.Helper()
	i := slices.IndexFunc(g.Groups, func(group Group) bool { return group.Group == name })
	if i < 0 {
		t.Fatalf("no group %q among %v", name, g.Groups)
	}
	return i, g.Classes[i]
}

func TestImageNetsGroups(t *testing.T) {
	g := BareCard("bare", 1000).Grouping()
	if parents, tops := len(g.Parents), len(g.Tops); parents < 30 || parents > 65 || tops > 20 {
		t.Errorf("%d groups and %d top-level groups; people want to look them over", parents, tops)
	}
	_, cats := groupOf(t, g, "cat")
	if !slices.Equal(cats, []int{281, 282, 283, 284, 285}) {
		t.Errorf("cats are %v", cats)
	}
	if _, dogs := groupOf(t, g, "dog"); len(dogs) != 118 || dogs[0] != 151 || dogs[117] != 268 {
		t.Errorf("dogs are %v", dogs)
	}
	in := make([]int, 1000)
	names := map[string]bool{}
	for i, group := range g.Groups {
		if strings.ContainsAny(group.Group, ",;:#[]{}") {
			t.Errorf("%q cannot be written into a YAML list as it is", group.Group)
		}
		if group.Display("en") != group.Group || group.Display("zh") == group.Group || names[group.Display("zh")] {
			t.Errorf("%q is %q in English and %q in Chinese", group.Group, group.Display("en"), group.Display("zh"))
		}
		names[group.Display("zh")] = true
		if len(g.Classes[i]) < 2 {
			t.Errorf("%q has only one class", group.Group)
		}
		if slices.Contains(g.Parents, i) {
			for _, class := range g.Classes[i] {
				in[class]++
			}
		}
	}
	for class, n := range in {
		if n < 1 || n > 3 {
			t.Errorf("class %d is in %d groups", class, n)
		}
	}
	// Ambiguous words, and what WordNet sees otherwise than people do.
	for name, classes := range map[string][]int{"boat": {403, 833}, "electronics": {673, 851}, "kitchen": {827, 859}, "kitchenware": {968},
		"bear": {388}, "hoofed animal or elephant": {101}, "clothing": {474, 638}, "bird": {134}, "tool or machine": {517}, "mountain": {970}, "shore": {978}} {
		for _, class := range classes {
			if _, in := groupOf(t, g, name); !slices.Contains(in, class) {
				t.Errorf("%s (%d) is not in %q", ImageNet()[class].Label, class, name)
			}
		}
	}
}

func TestACardsOwnGroupsCount(t *testing.T) {
	c := goodCard()
	c.Labels = []Label{{Label: "tabby", WNID: "n02123045", Groups: []string{"pet", "animal"}}, {Label: "rex", Groups: []string{"pet"}}, {Label: "stone"}}
	c.Groups = []Group{{Group: "animal", Names: map[string]string{"zh": "动物"}}, {Group: "unused"}}
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	g := c.Grouping()
	if len(g.Groups) != 2 || g.Groups[0].Display("zh") != "动物" || g.Groups[1].Display("zh") != "pet" ||
		!slices.Equal(g.Classes[0], []int{0}) || !slices.Equal(g.Classes[1], []int{0, 1}) {
		t.Errorf("grouped as %+v", g)
	}
	c.Groups[0].Top = true // animal holds pet; it is also the only group of the stone
	c.Labels[2].Groups = []string{"animal"}
	if g := c.Grouping(); !slices.Equal(g.Tops, []int{0}) || !slices.Equal(g.Parents, []int{0, 1}) {
		t.Errorf("a top-level group right above a class: %+v", g)
	}
	c.Labels[2].Groups = nil
	if g := c.Grouping(); !slices.Equal(g.Tops, []int{0}) || !slices.Equal(g.Parents, []int{1}) {
		t.Errorf("a top-level group: %+v", g)
	}
	c.Labels[0].Groups, c.Labels[1].Groups = nil, nil
	if g := c.Grouping(); len(g.Groups) != 2 || g.Groups[0].Display("zh") != "猫" || g.Groups[1].Display("zh") != "动物" || !slices.Equal(g.Classes[0], []int{0}) {
		t.Errorf("by WordNet's id: %+v", g)
	}
	c.Labels[0].Groups, c.Groups = []string{"pet", "pet", "", strings.Repeat("x", 65)}, []Group{{}, {Group: "a"}, {Group: "a"}}
	for _, want := range []string{`labels[0].groups names "pet" twice`, "labels[0].groups[2]", "labels[0].groups[3]", "groups[0] has", `groups[2] is "a"`} {
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not mention %q: %v", want, err)
		}
	}
}

func TestTogether(t *testing.T) {
	p := []float64{0.38, 0.1, 0.38, 0.14}
	for _, c := range []struct {
		activation Activation
		classes    []int
		want       float64
	}{
		{Softmax, []int{0, 2}, 0.76}, {Softmax, nil, 0}, {Softmax, []int{0, 1, 2, 3}, 1},
		{Sigmoid, []int{0, 1, 2}, 0.38}, // labels that do not exclude each other do not add up
		{None, []int{1, 3}, 0.24},
	} {
		if got := Together(c.activation, p, c.classes); math.Abs(got-c.want) > 1e-12 {
			t.Errorf("%s of %v: %v, want %v", c.activation, c.classes, got, c.want)
		}
	}
	if got := Together(Softmax, []float64{0.8, 0.8}, []int{0, 1}); got != 1 {
		t.Errorf("more than 1: %v", got)
	}
	// A network that ends in its own sigmoid: these are not 1 together, and do not exclude each other.
	if got := Together(None, []float64{0.8, 0.7, 0.1}, []int{0, 1}); got != 0.8 {
		t.Errorf("labels that do not exclude each other: %v", got)
	}
	g := Grouping{Groups: []Group{{Group: "g"}}, Classes: [][]int{{0, 1}}}
	if got := g.Together(None, []float64{0.8, 0.7, 0.1}); got[0] != 0.8 {
		t.Errorf("a group of such labels: %v", got)
	}
}
