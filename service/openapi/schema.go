package openapi

import (
	"slices"
	"strings"
)

// schema is an object with its fields.
type schema struct {
	Name, Description string
	Fields            []field
}

// field is a parameter, a header or a property.
type field struct {
	Name, Description string
	Type              kind
	Default           string
	Required          bool
}

// kind says what a value may be: "list of " + "Result", or "whole number, 1 or more".
type kind struct {
	Text string
	Link string // the schema it is of; "" where Text says it all
}

func readParameter(n node) field {
	s := n.get("schema")
	return field{
		Name: n.get("name").text(), Description: n.get("description").text(), Type: kindOf(s),
		Default: s.get("default").text(), Required: n.get("required").text() == "true",
	}
}

func properties(n node) []field {
	var required []string
	for _, name := range n.get("required").items() {
		required = append(required, name.text())
	}
	var fields []field
	for _, e := range n.get("properties").entries() {
		fields = append(fields, field{
			Name: e.key, Description: e.value.get("description").text(), Type: kindOf(e.value),
			Default: e.value.get("default").text(), Required: slices.Contains(required, e.key),
		})
	}
	return fields
}

// names of JSON's types, in words.
var names = map[string]string{"integer": "whole number", "number": "number", "boolean": "true or false", "string": "text", "object": "object", "null": "null"}

func kindOf(n node) kind {
	n = n.follow()
	if len(n.get("properties").entries()) > 0 && n.name != "" {
		return kind{Link: n.name}
	}
	if options := n.get("oneOf").items(); len(options) > 0 {
		return either(options)
	}
	if options := n.get("enum").items(); len(options) > 0 {
		texts := make([]string, len(options))
		for i, option := range options {
			texts[i] = option.text()
		}
		return kind{Text: strings.Join(texts, ", ")}
	}
	switch {
	case n.get("type").text() == "array":
		of := kindOf(n.get("items"))
		return kind{Text: "list of " + of.Text, Link: of.Link}
	case n.get("format").text() == "binary":
		return kind{Text: "file"}
	case n.name == "Base64":
		return kind{Text: "base64"}
	case n.get("type").text() == "object" && len(n.get("properties").entries()) > 0:
		var fields []string
		for _, e := range n.get("properties").entries() {
			fields = append(fields, e.key)
		}
		return kind{Text: "object with " + strings.Join(fields, ", ")}
	}
	return kind{Text: names[n.get("type").text()] + bounds(n)}
}

func either(options []node) kind {
	var k kind
	var texts []string
	for _, option := range options {
		of := kindOf(option)
		if of.Link != "" {
			k.Link = of.Link
		} else {
			texts = append(texts, of.Text)
		}
	}
	k.Text = strings.Join(texts, " or ")
	if k.Link != "" {
		k.Text += " or "
	}
	return k
}

func bounds(n node) string {
	low, high := n.get("minimum").text(), n.get("maximum").text()
	switch {
	case low != "" && high != "":
		return ", " + low + " to " + high
	case low != "":
		return ", " + low + " or more"
	}
	return ""
}
