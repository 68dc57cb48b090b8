package operators

import "strings"

// Type is a type as TorchScript writes it: Tensor, Dict[str, List[int]], __torch__.A.
type Type struct {
	Name string
	Of   []Type // what stands between its brackets
}

// String is the type as libtorch writes it.
func (t Type) String() string {
	var b strings.Builder
	t.write(&b)
	return b.String()
}

func (t Type) write(b *strings.Builder) {
	b.WriteString(t.Name)
	if t.Name == "Tuple" && len(t.Of) == 0 {
		b.WriteString("[()]")
	}
	before := "["
	for _, of := range t.Of {
		b.WriteString(before)
		of.write(b)
		before = ", "
	}
	if len(t.Of) > 0 {
		b.WriteString("]")
	}
}

// Equal reports whether both are written in the same way.
func (t Type) Equal(other Type) bool {
	if t.Name != other.Name || len(t.Of) != len(other.Of) {
		return false
	}
	for i := range t.Of {
		if !t.Of[i].Equal(other.Of[i]) {
			return false
		}
	}
	return true
}

// ParseType reads a type.
func ParseType(source string) (t Type, ok bool) {
	list, wrong := tokens([]byte(source))
	if wrong != nil {
		return t, false
	}
	t, rest, ok := readType(list, 0)
	return t, ok && len(rest) == 0
}

// deepestType bounds how often types may be nested.
const deepestType = 32

// readType reads the type at the beginning of list.
func readType(list []token, depth int) (t Type, rest []token, ok bool) {
	if len(list) == 0 || list[0].kind != word || depth > deepestType {
		return t, nil, false
	}
	var name strings.Builder
	name.WriteString(list[0].text)
	for list = list[1:]; len(list) > 1 && list[0].is(".") && list[1].kind == word; list = list[2:] {
		name.WriteString("." + list[1].text)
	}
	t.Name = name.String()
	if len(list) == 0 || !list[0].is("[") {
		return t, list, t.Name != "Tuple"
	}
	if len(list) > 3 && list[1].is("(") && list[2].is(")") && list[3].is("]") {
		return t, list[4:], t.Name == "Tuple"
	}
	for {
		var of Type
		if of, list, ok = readType(list[1:], depth+1); !ok || len(list) == 0 {
			return t, nil, false
		}
		t.Of = append(t.Of, of)
		switch {
		case list[0].is("]"):
			return t, list[1:], t.wellMade()
		case !list[0].is(","):
			return t, nil, false
		}
	}
}

// wellMade reports whether there are as many types between the brackets as the name takes.
func (t Type) wellMade() bool {
	switch t.Name {
	case "List", "Optional", "Future", "Await", "RRef":
		return len(t.Of) == 1
	case "Dict":
		return len(t.Of) == 2
	case "Tuple", "Union":
		return true
	}
	return false
}
