package model

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/vidi-vision/vidi/service/operators"
	"github.com/vidi-vision/vidi/service/userfile"
)

// libtorch takes whatever value a pickle has for an attribute, and compiled code then reads it as
// what the class declares: an object of another class by the places of its own, past its end where
// it has fewer. So values are held against the declared types.

// typeChecker holds the values of one archive against the classes in its code.
type typeChecker struct {
	classes    map[string]operators.Class
	untagged   bool // before format 3 lists do not say of what, and libtorch takes what is declared
	sound      map[any]bool
	interfaces map[[2]string]bool // of a class and an interface: whether it implements it
	steps      int
}

// mostChecks bounds the work: a long list of one tuple is looked at for each place.
const mostChecks = 20_000_000

// customStates are what libtorch's own classes for packed weights are made of.
var customStates = map[string][]operators.Type{
	"__torch__.torch.classes.quantized.Conv2dPackedParamsBase": convolutionStates,
	"__torch__.torch.classes.quantized.Conv3dPackedParamsBase": convolutionStates,
	"__torch__.torch.classes.quantized.LinearPackedParamsBase": {
		mustType("Tuple[Tensor, Optional[Tensor]]"),
	},
}

var convolutionStates = []operators.Type{
	mustType("Tuple[str, List[Tensor], List[Optional[Tensor]]]"),
	mustType("Tuple[str, List[Tensor], List[Tensor]]"),
	mustType("Tuple[int, List[int], List[Optional[Tensor]]]"),
}

func mustType(text string) operators.Type {
	t, ok := operators.ParseType(text)
	if !ok {
		panic(text)
	}
	return t
}

// mismatch is a value that is not what is declared: the path to it, and what is wrong there.
type mismatch struct {
	path, why string
	value     any
	declared  *operators.Type // of the value, where that is wrong
}

func (w *mismatch) in(place string) *mismatch {
	if len(w.path) < 200 {
		w.path = place + w.path
	}
	return w
}

// String is the end of a sentence: "has as .fc.weight an int, where the code declares Tensor".
func (w *mismatch) String() string {
	path := ""
	if w.path != "" {
		path = "at " + userfile.Printable(w.path) + " "
	}
	if w.declared != nil {
		return fmt.Sprintf("has %s%s, where the code declares %.200s",
			path, kindOf(w.value), userfile.Printable(w.declared.String()))
	}
	return "has " + path + w.why
}

func wrong(format string, values ...any) *mismatch {
	return &mismatch{why: fmt.Sprintf(format, values...)}
}

func other(v any, t operators.Type) *mismatch { return &mismatch{value: v, declared: &t} }

// checkNetwork says what is wrong with the values of the two pickles, by the classes, or "".
func checkNetwork(pickles map[string]any, classes map[string]operators.Class, format int) string {
	c := &typeChecker{
		classes: classes, untagged: format < 3,
		sound: map[any]bool{}, interfaces: map[[2]string]bool{},
	}
	for _, name := range []string{"constants.pkl", "data.pkl"} {
		w := c.check(pickles[name])
		switch v := pickles[name].(type) {
		case *networkTuple:
			if name != "constants.pkl" {
				w = wrong("a tuple instead of a network")
			}
		case *networkObject:
			if name != "data.pkl" || classes[v.class].Kind != "Module" {
				w = wrong("an object that is no module")
			}
		default:
			w = wrong("%s instead of a network or constants", kindOf(v))
		}
		if w != nil {
			return fmt.Sprintf("a damaged archive: its record %q %s", name, w)
		}
	}
	return ""
}

// check holds a value against itself: its lists, dictionaries and objects say what they hold.
func (c *typeChecker) check(v any) *mismatch {
	switch v := v.(type) {
	case *networkTuple:
		if c.sound[v] {
			return nil
		}
		for i, item := range v.items {
			if w := c.check(item); w != nil {
				return w.in(fmt.Sprintf("[%d]", i))
			}
		}
		c.sound[v] = true
	case *networkList:
		if v.of != nil {
			return c.fits(v, *v.of)
		} else if !c.untagged {
			return wrong("a list that does not say of what")
		}
	case *networkDict:
		if v.of != nil {
			return c.fits(v, *v.of)
		} else if !c.untagged {
			return wrong("a dictionary that does not say of what")
		}
	case *networkEnum:
		return c.fits(v, operators.Type{Name: v.class})
	case *networkObject:
		return c.checkObject(v)
	}
	return nil
}

func (c *typeChecker) checkObject(v *networkObject) (w *mismatch) {
	if c.sound[v] {
		return nil
	}
	class, known := c.classes[v.class]
	switch {
	case strings.HasPrefix(v.class, operators.CustomClasses):
		w = c.checkCustom(v)
	case !known || class.Kind != "" && class.Kind != "Module":
		w = wrong("an object of %s, which is no class of the archive's code", v.class)
	case class.State != nil:
		w = c.fits(v.state, *class.State)
	default:
		w = c.checkAttributes(v, class)
	}
	c.sound[v] = w == nil
	return w
}

func (c *typeChecker) checkAttributes(v *networkObject, class operators.Class) *mismatch {
	state, is := v.state.(*networkDict)
	if !is {
		return wrong("an object without attributes")
	}
	values := map[any]any{}
	for i, key := range state.keys {
		values[key] = state.values[i]
	}
	for _, attribute := range class.Attributes {
		value, has := values[attribute.Name]
		if !has {
			return other(absent{}, attribute.Type).in("." + attribute.Name)
		}
		if w := c.fits(value, attribute.Type); w != nil {
			return w.in("." + attribute.Name)
		}
	}
	return nil
}

// checkCustom looks at an object of a class in C++.
func (c *typeChecker) checkCustom(v *networkObject) *mismatch {
	states, known := customStates[v.class]
	if !known { // a finding of package operators, so that somebody trusts the file
		return c.check(v.state)
	}
	for _, state := range states {
		if c.fits(v.state, state) == nil && packed(v.state.(*networkTuple).items) {
			return nil
		}
	}
	return wrong("a %s that is made of something else than libtorch takes for one", v.class)
}

// packed looks at what libtorch takes out of packed weights without looking.
func packed(state []any) bool {
	switch first := state[0].(type) {
	case string:
		tensors, others := state[1].(*networkList).items, state[2].(*networkList).items
		if first != "2" || len(tensors) != 2 || len(others) > 1 {
			return false
		}
		dimensions := int64(len(tensors[1].(*networkTensor).sizes)) - 2
		return tensors[0].(*networkTensor).isRow(3+4*dimensions, "torch.ShortStorage")
	case int64:
		return first == 3 && len(state[2].(*networkList).items) == 3
	case *networkTensor:
		return len(first.sizes) == 2
	}
	return false
}

// fits holds a value against a type.
func (c *typeChecker) fits(v any, t operators.Type) *mismatch {
	if c.steps++; c.steps > mostChecks {
		return wrong("one of more than %d values", mostChecks)
	}
	is := false
	switch t.Name {
	case "Any":
		return c.check(v)
	case "Optional":
		if v == nil {
			return nil
		}
		return c.fits(v, t.Of[0])
	case "Union":
		is = slices.ContainsFunc(t.Of, func(of operators.Type) bool {
			return c.fits(v, of) == nil
		})
	case "List":
		if list, isList := v.(*networkList); isList {
			return c.fitsList(list, t)
		}
	case "Dict":
		if dict, isDict := v.(*networkDict); isDict {
			return c.fitsDict(dict, t)
		}
	case "Tuple":
		if tuple, isTuple := v.(*networkTuple); isTuple && len(tuple.items) == len(t.Of) {
			for i, item := range tuple.items {
				if w := c.fits(item, t.Of[i]); w != nil {
					return w.in(fmt.Sprintf("[%d]", i))
				}
			}
			return nil
		}
	case "Tensor":
		_, is = v.(*networkTensor)
	case "int":
		_, is = v.(int64)
	case "float":
		_, is = v.(float64)
	case "bool":
		_, is = v.(bool)
	case "str":
		_, is = v.(string)
	case "complex":
		_, is = v.(complex128)
	case "number", "Scalar":
		switch v.(type) {
		case int64, float64, complex128:
			is = true
		}
	case "NoneType", "None":
		is = v == nil
	case "Device":
		_, is = v.(networkDevice)
	default:
		return c.fitsClass(v, t.Name)
	}
	if !is {
		return other(v, t)
	}
	return nil
}

// isTagged reports whether a list or dictionary says that it is of type t. In old formats it says nothing,
// and becomes one.
func (c *typeChecker) isTagged(of **operators.Type, t operators.Type) bool {
	if *of == nil && c.untagged {
		*of = &t
	}
	return *of != nil && (*of).Equal(t)
}

func (c *typeChecker) fitsList(v *networkList, t operators.Type) *mismatch {
	if !c.isTagged(&v.of, t) {
		return other(v, t)
	}
	if c.sound[v] {
		return nil
	}
	for i, item := range v.items {
		if w := c.fits(item, t.Of[0]); w != nil {
			return w.in(fmt.Sprintf("[%d]", i))
		}
	}
	c.sound[v] = true
	return nil
}

func (c *typeChecker) fitsDict(v *networkDict, t operators.Type) *mismatch {
	if !c.isTagged(&v.of, t) {
		return other(v, t)
	}
	if c.sound[v] {
		return nil
	}
	for i := range v.keys {
		if w := c.fits(v.keys[i], t.Of[0]); w != nil {
			return w.in(" (a key)")
		}
		if w := c.fits(v.values[i], t.Of[1]); w != nil {
			return w.in(fmt.Sprintf("[%.40q]", fmt.Sprint(v.keys[i])))
		}
	}
	c.sound[v] = true
	return nil
}

// fitsClass holds a value against a class of the archive, or one in C++.
func (c *typeChecker) fitsClass(v any, name string) *mismatch {
	class := c.classes[name]
	switch v := v.(type) {
	case *networkTuple:
		if class.Kind == "NamedTuple" && len(v.items) == len(class.Attributes) {
			for i, attribute := range class.Attributes {
				if w := c.fits(v.items[i], attribute.Type); w != nil {
					return w.in("." + attribute.Name)
				}
			}
			return nil
		}
	case *networkEnum:
		if v.class == name && class.Kind == "Enum" && isMember(class, v.value) {
			return nil
		}
	case *networkObject:
		if v.class == name || c.implements(v.class, name) {
			return c.checkObject(v)
		}
	}
	return other(v, operators.Type{Name: name})
}

func (c *typeChecker) implements(class, wanted string) bool {
	pair := [2]string{class, wanted}
	is, known := c.interfaces[pair]
	if !known {
		is = c.classes[class].Implements(c.classes[wanted])
		c.interfaces[pair] = is
	}
	return is
}

// isMember reports whether an Enum has a member of the value. libtorch pushes nothing for another.
func isMember(class operators.Class, value any) bool {
	return slices.ContainsFunc(class.Members, func(member string) bool {
		switch v := value.(type) {
		case int64:
			return member == strconv.FormatInt(v, 10)
		case string:
			return member == strconv.Quote(v)
		case float64:
			number, err := strconv.ParseFloat(member, 64)
			return err == nil && number == v && strings.ContainsAny(member, ".e")
		}
		return false
	})
}
