package openapi

import (
	"fmt"
	"html"
)

// kind says what a value may be: a link to a schema, a name that is the same in every language, or words around others.
type kind interface {
	html(t translate) string
}

type (
	link string
	name string
	// words is an English text; each %s in it stands for a kind.
	words struct {
		text  string
		kinds []kind
	}
)

func (l link) html(translate) string {
	target := html.EscapeString(string(l))
	return `<a href="#schema-` + target + `">` + target + `</a>`
}

func (n name) html(translate) string { return html.EscapeString(string(n)) }

func (w words) html(t translate) string {
	parts := make([]any, len(w.kinds))
	for i, k := range w.kinds {
		parts[i] = k.html(t)
	}
	return fmt.Sprintf(html.EscapeString(t(w.text)), parts...)
}

func say(text string, kinds ...kind) kind { return words{text, kinds} }

// join puts the kinds into text, which takes two: "a or b", then "a or b" and c.
func join(text string, kinds []kind) kind {
	joined := kinds[0]
	for _, k := range kinds[1:] {
		joined = say(text, joined, k)
	}
	return joined
}

// types is JSON's types in words.
var types = map[string]kind{
	"integer": say("whole number"), "number": say("number"), "boolean": say("true or false"), "string": say("text"),
	"object": say("object"), "null": name("null"),
}

func kindOf(n node) kind {
	n = n.follow()
	fields := n.get("properties").entries()
	if len(fields) > 0 && n.name != "" {
		return link(n.name)
	}
	if options := n.get("oneOf").items(); len(options) > 0 {
		return join("%s or %s", each(options, kindOf))
	}
	if options := n.get("anyOf").items(); len(options) > 0 { // the first is the usual one
		return kindOf(options[0])
	}
	if options := n.get("enum").items(); len(options) > 0 {
		return join("%s or %s", each(options, func(option node) kind { return name(option.text()) }))
	}
	switch {
	case n.get("type").text() == "array":
		of := kindOf(n.get("items"))
		if _, isObject := of.(link); isObject {
			return say("list of %s objects", of)
		}
		return say("list of %s", of)
	case n.get("format").text() == "binary":
		return say("file")
	case n.name == "Base64":
		return say("base64")
	case n.get("type").text() == "object" && len(fields) > 0:
		return say("object with %s", join("%s, %s", each(fields, func(e entry) kind { return name(e.key) })))
	}
	return bounded(n)
}

func each[T any](items []T, kindOf func(T) kind) []kind {
	kinds := make([]kind, len(items))
	for i, item := range items {
		kinds[i] = kindOf(item)
	}
	return kinds
}

func bounded(n node) kind {
	of, low, high := types[n.get("type").text()], n.get("minimum").text(), n.get("maximum").text()
	switch {
	case of == nil:
		return name("")
	case low != "" && high != "":
		return say("%s, %s to %s", of, name(low), name(high))
	case low != "":
		return say("%s, %s or more", of, name(low))
	}
	return of
}
