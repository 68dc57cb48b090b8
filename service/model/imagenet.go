package model

import (
	_ "embed"
	"fmt"
	"strings"
	"sync"
)

// imagenetTSV lists ImageNet's 1000 classes in order, groupsTSV the groups that they are in; imagenet.md says where the names
// and the groups come from.
//
//go:embed imagenet.tsv
var imagenetTSV string

//go:embed groups.tsv
var groupsTSV string

// ImageNet is the labels of ImageNet's 1000 classes in class order. The slice is shared: do not change it.
var ImageNet = sync.OnceValue(func() []Label {
	var labels []Label
	for i, cell := range rows(imagenetTSV, "imagenet.tsv", 5) {
		if cell[0] != fmt.Sprint(i) {
			panic(fmt.Sprintf("imagenet.tsv, line %d: class %s", i+2, cell[0]))
		}
		labels = append(labels, Label{Label: cell[2], WNID: cell[1], Names: map[string]string{"en": cell[2], "zh": cell[3]}})
	}
	return labels
})

// imageNetGroups is the groups of ImageNet's classes, and which of them each class is in, by its WordNet id.
var imageNetGroups = sync.OnceValues(func() ([]Group, map[string][]string) {
	var groups []Group
	for _, cell := range rows(groupsTSV, "groups.tsv", 6) {
		group := Group{Group: cell[0], Names: map[string]string{"en": cell[0], "zh": cell[1]}, Top: cell[2] == cell[0]}
		if cell[5] != "" {
			group.Like = strings.Split(cell[5], "; ")
		}
		groups = append(groups, group)
	}
	of := map[string][]string{}
	for _, cell := range rows(imagenetTSV, "imagenet.tsv", 5) {
		of[cell[1]] = strings.Split(cell[4], "; ")
	}
	return groups, of
})

// rows is a table without its header. A mistake in embedded data is one in the build, and caught by any test.
func rows(table, name string, columns int) [][]string {
	var rows [][]string
	lines := strings.Split(strings.TrimSuffix(table, "\n"), "\n")
	for i, line := range lines[1:] {
		cell := strings.Split(line, "\t")
		if len(cell) != columns {
			panic(fmt.Sprintf("%s, line %d: %q", name, i+2, line))
		}
		rows = append(rows, cell)
	}
	return rows
}
