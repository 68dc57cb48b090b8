package operators

import (
	"fmt"
	"strings"
)

// Code is what an archive holds, by the names of its records below the top folder: "code/__torch__/resnet.py".
type Code struct {
	// Sources are the records with code.
	Sources map[string][]byte
	// Classes are the names of the classes in the pickles, by the pickle's record.
	Classes map[string][]string
}

// mostFindings bounds what is told of one file.
const mostFindings = 20

// Examine finds what in the code is not known to compute and nothing else. No finding means that libtorch
// can be given the file. It also reads the classes of the code, by their names in full; unread is what
// keeps them from being read, or nil.
func Examine(c Code) (found []Finding, classes map[string]Class, unread *Finding) {
	sources := map[string]source{}
	for name, text := range c.Sources {
		list, wrong := tokens(text)
		sources[name] = source{list, wrong}
	}
	classes, unread = readClasses(sources)
	return checkSources(sources, c.Classes), classes, unread
}

// source is a record's code.
type source struct {
	list  []token
	wrong *noCode // why there is no list
}

func checkSources(sources map[string]source, pickled map[string][]string) []Finding {
	k := checker{declared: map[string]bool{}}
	lists := map[string][]token{}
	names := sortedKeys(sources)
	for _, name := range names {
		if wrong := sources[name].wrong; wrong != nil {
			k.add("", name, wrong.line, wrong.why)
			continue
		}
		lists[name] = sources[name].list
		k.declare(name, lists[name])
	}
	for _, name := range names {
		k.record, k.list = name, lists[name]
		k.check()
	}
	k.checkLoading(names, lists)
	for _, name := range sortedKeys(pickled) {
		for _, class := range pickled[name] {
			if strings.HasPrefix(class+".", CustomClasses) && !classes[class] {
				k.add(class, name, 0, notClass)
			}
		}
	}
	return k.findings
}

type checker struct {
	declared map[string]bool // the classes and functions of the archive, in full
	record   string
	list     []token
	findings []Finding
}

func (k *checker) add(name, record string, line int, why string) {
	if len(k.findings) == mostFindings {
		return
	}
	where := printable(record)
	if line > 0 {
		where = fmt.Sprintf("%s, line %d", where, line)
	}
	k.findings = append(k.findings, Finding{Name: printable(name), Where: where, Why: why})
}

// declare notes the classes and functions that a record defines. libtorch looks for __torch__.a.B in code/__torch__/a.py.
func (k *checker) declare(record string, list []token) {
	module := moduleOf(record)
	for i := 0; i+1 < len(list); i++ {
		if (list[i].is("class") || list[i].is("def")) && list[i+1].kind == word {
			k.declared[module+"."+list[i+1].text] = true
		}
	}
}

// moduleOf is the name of what a record defines: __torch__.a of code/__torch__/a.py.
func moduleOf(record string) string {
	return strings.ReplaceAll(strings.TrimSuffix(strings.TrimPrefix(record, "code/"), ".py"), "/", ".")
}

// at is the token at i, or none.
func (k *checker) at(i int) token {
	if i < 0 || i >= len(k.list) {
		return token{}
	}
	return k.list[i]
}

// isIndex reports whether the token at i stands alone between brackets or commas.
func (k *checker) isIndex(i int) bool {
	before, after := k.at(i-1), k.at(i+1)
	return (before.is("[") || before.is(",")) && (after.is(",") || after.is("]"))
}

// check goes through the record's names.
func (k *checker) check() {
	for i := 0; i < len(k.list); i++ {
		t := k.list[i]
		if t.is("...") && !k.isIndex(i) {
			k.add("...", k.record, t.line, "stands where no exporter writes it")
		}
		if t.kind != word {
			continue
		}
		found := func(name, why string) {
			if why != "" {
				k.add(name, k.record, t.line, why)
			}
		}
		if k.at(i - 1).is(".") {
			found(t.text, lookAttribute(t.text))
			continue
		}
		if k.at(i-1).is("def") || k.at(i-1).is("class") { // found as __torch__.A.B, or as a method, only
			continue
		}
		chain, end := k.chain(i)
		switch t.text {
		case "torch":
			if len(chain) < 2 {
				found(t.text, "stands without an operator")
			} else {
				found("torch."+chain[1], look("aten::"+chain[1]))
				i += 2
			}
		case "ops":
			if len(chain) < 3 {
				found(t.text, "stands without an operator")
			} else {
				found("ops."+chain[1]+"."+chain[2], look(chain[1]+"::"+chain[2]))
				i += 4
			}
		case "__torch__":
			k.checkPath(chain, t.line)
			i = end
		case "CONSTANTS":
			if len(chain) < 2 {
				found(t.text, "stands without a constant")
			}
		case "getattr":
			found(k.checkGetattr(i))
		case "unchecked_cast":
			found(k.checkCast(i))
		case "import", "from", "global":
			found(t.text, "is not what exporters write")
		default:
			found(t.text, builtIn[t.text])
		}
	}
}

// chain is the words at i that are joined by dots, and the index of the last.
func (k *checker) chain(i int) (words []string, last int) {
	words = []string{k.list[i].text}
	for k.at(i+1).is(".") && k.at(i+2).kind == word && i+2 < len(k.list) {
		i += 2
		words = append(words, k.list[i].text)
	}
	return words, i
}

// lookAttribute says why a value may not be asked for the attribute or method of that name, or "".
func lookAttribute(name string) string {
	symbol := "aten::" + name
	if allowed[symbol] {
		return ""
	}
	return refused[symbol] // what is no operator is an attribute of the archive's own classes, or nothing
}

// checkPath looks at __torch__.A.B: it must begin with a class or function of the archive, or with a class in C++ that is allowed. The
// attributes that follow are looked at as those of any value.
func (k *checker) checkPath(chain []string, line int) {
	for n := 2; n <= len(chain); n++ {
		path := strings.Join(chain[:n], ".")
		// What leads to the classes in C++ is none of the archive's, whatever it defines: an interface of that name would be passed over.
		custom := strings.HasPrefix(path+".", customClasses+".") || strings.HasPrefix(customClasses+".", path+".")
		if !classes[path] && (custom || !k.declared[path]) {
			continue
		}
		for _, name := range chain[n:] {
			if why := lookAttribute(name); why != "" {
				k.add(name, k.record, line, why)
			}
		}
		return
	}
	why := "is no class or function of the archive"
	if strings.HasPrefix(strings.Join(chain, ".")+".", customClasses+".") {
		why = notClass
	}
	k.add(strings.Join(chain, "."), k.record, line, why)
}

// checkGetattr looks at getattr(a.b, "name").
func (k *checker) checkGetattr(i int) (name, why string) {
	const odd = "is used in a way that exporters do not write"
	if !k.at(i + 1).is("(") {
		return "getattr", odd
	}
	for depth, j := 1, i+2; j < len(k.list); j++ {
		switch t := k.list[j]; {
		case t.is("("), t.is("["), t.is("{"):
			depth++
		case t.is(")"), t.is("]"), t.is("}"):
			if depth--; depth == 0 {
				return "getattr", odd
			}
		case t.is("__torch__"), t.is("torch"), t.is("ops"):
			return "getattr", odd
		case t.is(",") && depth == 1:
			name := k.at(j + 1)
			if name.kind != text || j+1 >= len(k.list) || strings.Contains(name.text, `\`) || !k.at(j+2).is(")") && !k.at(j+2).is(",") {
				return "getattr", odd
			}
			return name.text, lookAttribute(name.text)
		}
	}
	return "getattr", odd
}

// checkCast looks at unchecked_cast(Type, value): of an object, it would have libtorch read its fields by another class's places.
func (k *checker) checkCast(i int) (name, why string) {
	if !k.at(i + 1).is("(") {
		return "unchecked_cast", "is used in a way that exporters do not write"
	}
	for depth, j := 1, i+2; j < len(k.list); j++ {
		switch t := k.list[j]; {
		case t.is("("), t.is("["):
			depth++
		case t.is(")"), t.is("]"):
			depth--
		case t.is("__torch__"):
			return "unchecked_cast", "takes an object for one of another class"
		}
		if depth == 0 || depth == 1 && k.list[j].is(",") {
			break
		}
	}
	return "unchecked_cast", ""
}
