package model

import (
	_ "embed"
	"fmt"
	"strings"
	"sync"
)

// imagenetTSV lists ImageNet's 1000 classes in order; imagenet.md says where the names come from.
//
//go:embed imagenet.tsv
var imagenetTSV string

// ImageNet is the labels of ImageNet's 1000 classes in class order. The slice is shared: do not change it.
var ImageNet = sync.OnceValue(func() []Label {
	var labels []Label
	lines := strings.Split(strings.TrimSuffix(imagenetTSV, "\n"), "\n")
	for i, line := range lines[1:] {
		cell := strings.Split(line, "\t")
		if len(cell) != 4 || cell[0] != fmt.Sprint(i) {
			panic(fmt.Sprintf("imagenet.tsv, line %d: %q", i+2, line)) // embedded data: a mistake in the build, caught by any test
		}
		labels = append(labels, Label{Label: cell[2], WNID: cell[1], Names: map[string]string{"en": cell[2], "zh": cell[3]}})
	}
	return labels
})
