package openapi

import (
	"bytes"
	"encoding/json"
	"strings"

	"go.yaml.in/yaml/v4"
)

// asJSON is the node as JSON with its fields in the document's order, which a Go map would lose.
func asJSON(n node) string {
	var b strings.Builder
	writeJSON(&b, n, "\n")
	return b.String()
}

func writeJSON(b *strings.Builder, n node, line string) {
	n = n.follow()
	switch {
	case n.at == nil:
		b.WriteString("null")
	case n.at.Kind == yaml.MappingNode:
		b.WriteByte('{')
		for i, e := range n.entries() {
			separate(b, i, line+"  ")
			b.WriteString(quoted(e.key) + ": ")
			writeJSON(b, e.value, line+"  ")
		}
		b.WriteString(line + "}")
	case n.at.Kind == yaml.SequenceNode:
		items := n.items()
		b.WriteByte('[')
		for i, item := range items {
			separate(b, i, line+"  ")
			writeJSON(b, item, line+"  ")
		}
		if len(items) > 0 {
			b.WriteString(line)
		}
		b.WriteByte(']')
	case n.at.ShortTag() == "!!str":
		b.WriteString(quoted(n.at.Value))
	default: // numbers, booleans and null are written alike
		b.WriteString(n.at.Value)
	}
}

func separate(b *strings.Builder, i int, line string) {
	if i > 0 {
		b.WriteByte(',')
	}
	b.WriteString(line)
}

func quoted(s string) string {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false) // the template escapes
	_ = encoder.Encode(s)        // a text always can be
	return strings.TrimSuffix(b.String(), "\n")
}
