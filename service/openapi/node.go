package openapi

import (
	"fmt"
	"strings"

	"go.yaml.in/yaml/v4"
)

// node is a place in the document. It keeps the order in which things were written, which is the order to read them in;
// references and merges (<<) are followed on the way.
type node struct {
	root *yaml.Node
	at   *yaml.Node // nil where there is nothing
	name string     // what the last reference called it: "Problem"
}

// entry is one key of a mapping.
type entry struct {
	key   string
	value node
}

func parse(data []byte) (node, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil {
		return node{}, err
	}
	if doc.Kind != yaml.DocumentNode || len(doc.Content) != 1 {
		return node{}, fmt.Errorf("openapi: not one document")
	}
	return node{root: doc.Content[0], at: doc.Content[0]}, nil
}

// follow goes through aliases and references.
func (n node) follow() node {
	for n.at != nil {
		if n.at.Kind == yaml.AliasNode {
			n.at = n.at.Alias
			continue
		}
		target := ""
		if n.at.Kind == yaml.MappingNode {
			for i := 0; i+1 < len(n.at.Content); i += 2 {
				if n.at.Content[i].Value == "$ref" {
					target = n.at.Content[i+1].Value
				}
			}
		}
		if target == "" {
			break
		}
		n = node{root: n.root, at: n.root}.path(strings.Split(strings.TrimPrefix(target, "#/"), "/")...)
		n.name = target[strings.LastIndex(target, "/")+1:]
	}
	return n
}

// get is the value of a key; a node of nothing where there is none.
func (n node) get(key string) node {
	for _, e := range n.entries() {
		if e.key == key {
			return e.value.follow()
		}
	}
	return node{root: n.root}
}

func (n node) path(keys ...string) node {
	for _, key := range keys {
		n = n.get(key)
	}
	return n
}

// entries is a mapping in its order. References in its values are not followed yet: they may lead back here.
// A key of the mapping itself wins over one that is merged in.
func (n node) entries() []entry {
	n = n.follow()
	if n.at == nil || n.at.Kind != yaml.MappingNode {
		return nil
	}
	var found []entry
	place := map[string]int{}
	put := func(e entry, over bool) {
		at, known := place[e.key]
		switch {
		case !known:
			place[e.key] = len(found)
			found = append(found, e)
		case over:
			found[at] = e
		}
	}
	for i := 0; i+1 < len(n.at.Content); i += 2 {
		key, value := n.at.Content[i].Value, node{root: n.root, at: n.at.Content[i+1]}
		if key != "<<" {
			put(entry{key, value}, true)
			continue
		}
		for _, e := range value.entries() {
			put(e, false)
		}
	}
	return found
}

// items is a sequence.
func (n node) items() []node {
	n = n.follow()
	if n.at == nil || n.at.Kind != yaml.SequenceNode {
		return nil
	}
	items := make([]node, len(n.at.Content))
	for i, at := range n.at.Content {
		items[i] = node{root: n.root, at: at}.follow()
	}
	return items
}

// text is a scalar as it was written; "" for anything else.
func (n node) text() string {
	n = n.follow()
	if n.at == nil || n.at.Kind != yaml.ScalarNode {
		return ""
	}
	return n.at.Value
}
