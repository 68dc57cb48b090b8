package operators

import (
	"fmt"
	"slices"
	"strings"
)

// Class is what a class statement of the archive declares.
type Class struct {
	// Kind is what stands between its parentheses, if anything: Module, NamedTuple, Enum,
	// Interface, ModuleInterface.
	Kind       string
	Attributes []Attribute
	// Members are the values of an Enum, as they stand there.
	Members []string
	// State is what __setstate__ takes, nil where values are set by the attributes' names.
	State *Type

	methods map[string]string // parameters and result, without self
}

// Attribute is a value that each object of a class has.
type Attribute struct {
	Name string
	Type Type
}

// Implements reports whether the class has the interface's methods, with the same parameters and
// results.
func (c Class) Implements(wanted Class) bool {
	for name, signature := range wanted.methods {
		if own, has := c.methods[name]; !has || own != signature {
			return false
		}
	}
	return strings.HasSuffix(wanted.Kind, "Interface")
}

// readClasses reads the class statements of the archive's code, by their names in full. found is what
// keeps them from being read, or nil.
func readClasses(sources map[string]source) (classes map[string]Class, found *Finding) {
	classes = map[string]Class{}
	for _, record := range sortedKeys(sources) {
		refuse := func(line int, why string) (map[string]Class, *Finding) {
			where := fmt.Sprintf("%s, line %d", printable(record), line)
			return nil, &Finding{Where: where, Why: why}
		}
		if wrong := sources[record].wrong; wrong != nil {
			return refuse(wrong.line, wrong.why)
		}
		statements, wrong := statementsOf(sources[record].list)
		for i := 0; wrong == nil && i < len(statements); {
			var c Class
			s := statements[i]
			if c, i, wrong = readClass(statements, i); wrong != nil || !s[0].is("class") {
				continue
			}
			name := moduleOf(record) + "." + s[1].text
			if _, twice := classes[name]; twice {
				return refuse(s[0].line, "defines "+printable(name)+" twice")
			}
			classes[name] = c
		}
		if wrong != nil {
			return refuse(wrong.line, wrong.why)
		}
	}
	return classes, nil
}

// statementsOf are the lines of code. What stands between brackets belongs to the line where the
// first of them opens.
func statementsOf(list []token) (statements [][]token, wrong *noCode) {
	depth, begin := 0, 0
	for i, t := range list {
		if depth == 0 && i > begin && t.line > list[i-1].line {
			statements, begin = append(statements, list[begin:i]), i
		}
		switch {
		case t.is("("), t.is("["), t.is("{"):
			depth++
		case t.is(")"), t.is("]"), t.is("}"):
			if depth--; depth < 0 {
				return nil, &noCode{t.line, "closes a bracket that is not open"}
			}
		}
	}
	if depth > 0 {
		return nil, &noCode{list[begin].line, "opens a bracket that is not closed"}
	}
	if begin < len(list) {
		statements = append(statements, list[begin:])
	}
	return statements, nil
}

const oddClass = "is not written as PyTorch writes the statements of a class"

// readClass reads the class at statements[i], or passes over what else stands there, and returns
// the index of what follows.
func readClass(statements [][]token, i int) (c Class, next int, wrong *noCode) {
	head := statements[i]
	odd := func(s []token) (Class, int, *noCode) { return c, i, &noCode{s[0].line, oddClass} }
	for next = i + 1; next < len(statements) && statements[next][0].at > 0; next++ {
	}
	body := statements[i+1 : next]
	switch {
	case head[0].at > 0:
		return odd(head)
	case head[0].is("def"):
		return c, next, nil
	case head[0].is("op_version_set"): // of PyTorch before 1.5
		return c, next, nil
	case !head[0].is("class") || len(head) < 3 || head[1].kind != word,
		!head[len(head)-1].is(":") || len(body) == 0:
		return odd(head)
	case len(head) == 6 && head[2].is("(") && head[3].kind == word && head[4].is(")"):
		c.Kind = head[3].text
	case len(head) != 3:
		return odd(head)
	}
	c.methods = map[string]string{}
	indent, inMethod := body[0][0].at, false
	for _, s := range body {
		if s[0].at > indent && inMethod {
			continue
		}
		inMethod = s[0].is("def")
		if s[0].at != indent || !c.read(s) {
			return odd(s)
		}
	}
	if get, set := c.methods["__getstate__"], c.methods["__setstate__"]; get != "" && set != "" {
		if c.State = stateType(set); c.State == nil {
			return odd(head)
		}
	}
	return c, next, nil
}

// lists are what modules say of their attributes; they give none a type.
var lists = []string{
	"__parameters__", "__buffers__", "__annotations__", "__forward_hooks__",
	"__forward_pre_hooks__",
}

// read reads one statement of the class.
func (c *Class) read(s []token) bool {
	name, of := "", 0
	switch {
	case s[0].is("def"):
		return c.readMethod(s)
	case len(s) == 1 && s[0].is("pass"):
		return true
	case len(s) > 2 && s[0].kind == word && s[1].is(":"):
		name, of = s[0].text, 2
	case len(s) > 5 && s[0].is("__annotations__") && s[1].is("[") && s[2].kind == text &&
		s[3].is("]") && s[4].is("="):
		name, of = s[2].text, 5
	case len(s) > 2 && s[0].kind == word && s[1].is("=") && c.Kind == "Enum":
		c.Members = append(c.Members, joined(s[2:]))
		return true
	default:
		return len(s) > 2 && s[1].is("=") && slices.Contains(lists, s[0].text)
	}
	if s[of].is("Final") { // a constant of the class, which no pickle holds
		return true
	}
	t, rest, ok := readType(s[of:], 0)
	hasDefault := len(rest) > 0 && rest[0].is("=") && c.Kind == "NamedTuple"
	if !ok || len(rest) > 0 && !hasDefault || strings.Contains(name, `\`) {
		return false
	}
	if slices.ContainsFunc(c.Attributes, func(a Attribute) bool { return a.Name == name }) {
		return false
	}
	c.Attributes = append(c.Attributes, Attribute{name, t})
	return true
}

// readMethod keeps what a method takes, but for the object itself, and what it returns, from
// def name(self: T, x: Tensor) -> Tensor:
func (c *Class) readMethod(s []token) bool {
	if len(s) < 6 || s[1].kind != word || !s[2].is("(") || s[3].kind != word {
		return false
	}
	i, depth := 4, 0
	for ; i < len(s) && (depth > 0 || !s[i].is(",") && !s[i].is(")")); i++ { // the type of self
		if s[i].is("[") {
			depth++
		} else if s[i].is("]") {
			depth--
		}
	}
	if _, twice := c.methods[s[1].text]; twice || i >= len(s) {
		return false
	}
	if s[i].is(",") {
		i++
	}
	c.methods[s[1].text] = joined(s[i:])
	return true
}

// joined is tokens as one text that is the same for the same tokens.
func joined(list []token) string {
	var b strings.Builder
	for i, t := range list {
		switch {
		case t.kind == text:
			b.WriteString(`"` + t.text + `"`)
		case i > 0 && t.kind != sign && list[i-1].kind != sign:
			b.WriteString(" " + t.text)
		default:
			b.WriteString(t.text)
		}
	}
	return b.String()
}

// stateType is the type of the one parameter in "state:Tensor)->NoneType:", or nil.
func stateType(signature string) *Type {
	list, wrong := tokens([]byte(signature))
	if wrong != nil || len(list) < 3 || !list[1].is(":") {
		return nil
	}
	t, rest, ok := readType(list[2:], 0)
	if !ok || len(rest) == 0 || !rest[0].is(")") {
		return nil
	}
	return &t
}
