package openapi

import "slices"

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
