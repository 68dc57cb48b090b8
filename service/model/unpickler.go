package model

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/vidi-vision/vidi/service/operators"
	"github.com/vidi-vision/vidi/service/userfile"
)

// libtorch's own reader of pickles (torch/csrc/jit/serialization/unpickler.cpp) believes most of
// what a pickle says. What is here reads the same instructions into the same values, and refuses
// whatever PyTorch does not write into networks.

// These lie on the stack only.
type (
	pickleFunction string // a class or function by its name
	pickleNew      struct{ class string }
	pickleHooks    struct{} // an OrderedDict: the hooks of a tensor, which has none
)

// unpickler reads one pickle of an archive.
type unpickler struct {
	pickleMachine
	tensors tensorReader
	types   map[string]*operators.Type
	classes map[string]bool // the names of classes that it makes objects of
}

// oddPickle is why a pickle is refused.
type oddPickle string

func odd(format string, values ...any) {
	panic(oddPickle(fmt.Sprintf(format, values...)))
}

// unpickle reads the pickle in the record of that name; data.pkl's storages are below data/.
// classes are those that it makes objects of, trap is what is wrong with it, or "".
func (a archive) unpickle(name string, data []byte) (value any, classes []string, trap string) {
	m := &unpickler{
		pickleMachine: *newPickleMachine(data),
		tensors:       tensorReader{archive: a, folder: strings.TrimSuffix(name, ".pkl")},
		types:         map[string]*operators.Type{}, classes: map[string]bool{},
	}
	value, trap = m.read()
	if trap != "" {
		return nil, nil, fmt.Sprintf("a damaged archive: its record %q %s", name, trap)
	}
	return value, slices.Sorted(maps.Keys(m.classes)), ""
}

func (m *unpickler) read() (value any, trap string) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case oddPickle:
			value, trap = nil, string(r)
		default: // a stack that is too short, or data that end: bounds are checked by Go
			value, trap = nil, fmt.Sprintf("is damaged at byte %d", m.at)
		}
	}()
	if string(m.take(2)) != "\x80\x02" {
		return nil, "is no pickle of protocol 2"
	}
	for range maxPickleSteps {
		if m.step() {
			if len(m.stack) != 1 || m.at != len(m.data) {
				return nil, fmt.Sprintf("has several values, or does not end at byte %d", m.at)
			}
			return m.value(m.pop()), ""
		}
	}
	return nil, fmt.Sprintf("has more than %d steps", maxPickleSteps)
}

// value is v, which must be a value.
func (m *unpickler) value(v any) any {
	if m.hold([]any{v}).parts {
		odd("uses as a value what is none, before byte %d", m.at)
	}
	return v
}

// above is what lies above the uppermost mark.
func (m *unpickler) above() (values []any, of nested) {
	values = slices.Clone(m.popMark())
	return values, m.hold(values)
}

// hold is what something holds that holds the values.
func (m *unpickler) hold(values []any) nested {
	n := nested{deep: 1, many: 1}
	for _, v := range values {
		within := nested{many: 1}
		switch v := v.(type) {
		case *networkTuple:
			within = v.nested
		case *networkList:
			within = v.nested
		case *networkDict:
			within = v.nested
		case *networkObject:
			within = v.nested
		case pickleFunction, pickleNew, pickleHooks, pickledStorage:
			within.parts = true
		case pickleMark:
			odd("ends a part that has not begun, before byte %d", m.at)
		}
		n.deep, n.many = max(n.deep, within.deep+1), n.many+within.many
		n.parts = n.parts || within.parts
		if n.deep > deepestValue || n.many > mostValues {
			odd("has a value that is nested deeper than %d times, or holds more than %d others",
				deepestValue, mostValues)
		}
	}
	return n
}

func (m *unpickler) step() (last bool) {
	op := m.take(1)[0]
	if m.plain(op) {
		return false
	}
	switch op {
	case '.':
		return true
	case 0x8a:
		if m.number(1) != 8 {
			odd("has a number of another length than 8 bytes before byte %d", m.at)
		}
		m.push(int64(m.number(8)))
	case 'N':
		m.push(nil)
	case 0x88, 0x89:
		m.push(op == 0x88)
	case ')':
		m.push(&networkTuple{nested: m.hold(nil)})
	case 0x85, 0x86, 0x87:
		n := len(m.stack) - int(op-0x84)
		items := slices.Clone(m.stack[n:])
		m.stack = m.stack[:n]
		m.push(&networkTuple{m.hold(items), items})
	case 't':
		items, of := m.above()
		m.push(&networkTuple{of, items})
	case ']':
		m.push(&networkList{})
	case '}':
		m.push(&networkDict{})
	case 'e':
		items, of := m.above()
		m.fill(items, of)
	case 'u':
		items, of := m.above()
		m.setItems(items, of)
	case 'c':
		module := m.line()
		m.push(m.function(module, m.line()))
	case 'R':
		args := m.pop()
		m.push(m.call(m.pop(), args))
	case 0x81: // NEWOBJ
		args, _ := m.pop().(*networkTuple)
		class, is := m.pop().(pickleFunction)
		if args == nil || len(args.items) > 0 || !is || !isClass(string(class)) {
			odd("makes an object in another way than PyTorch, before byte %d", m.at)
		}
		m.push(pickleNew{string(class)})
	case 'b':
		m.build()
	case 'q':
		m.keep(m.number(1))
	case 'r':
		m.keep(m.number(4))
	case 'h':
		m.push(m.recall(m.number(1)))
	case 'j':
		m.push(m.recall(m.number(4)))
	case 'Q':
		args, _ := m.pop().(*networkTuple)
		m.push(m.tensors.storage(args))
	default:
		odd("has the instruction 0x%02x at byte %d, which PyTorch does not write into networks",
			op, m.at-1)
	}
	return false
}

// keep is BINPUT. PyTorch counts; libtorch makes room for as many values as the number says.
func (m *unpickler) keep(place uint64) {
	if place > uint64(len(m.memo)) {
		odd("keeps a value as the %dth where it has kept %d", place, len(m.memo))
	}
	if _, is := m.top().(pickleMark); is {
		odd("keeps what is no value, before byte %d", m.at)
	}
	m.remember(place)
}

// recall is BINGET. A list or dictionary that is not filled yet could hold itself.
func (m *unpickler) recall(place uint64) any {
	v, kept := m.memo[place]
	list, isList := v.(*networkList)
	dict, isDict := v.(*networkDict)
	_, isNew := v.(pickleNew)
	if !kept || isNew || isList && !list.complete || isDict && !dict.complete {
		odd("uses a value that is not complete, before byte %d", m.at)
	}
	return v
}

// fill puts items into the list on the stack, once.
func (m *unpickler) fill(items []any, of nested) {
	list, is := m.top().(*networkList)
	if !is || list.complete {
		odd("puts values into what is no new list, before byte %d", m.at)
	}
	if of.parts {
		odd("puts into a list what is no value, before byte %d", m.at)
	}
	list.items, list.nested, list.complete = items, of, true
}

// setItems puts keys and values into the dictionary on the stack, once.
func (m *unpickler) setItems(items []any, of nested) {
	dict, is := m.top().(*networkDict)
	if !is || dict.complete || len(items)%2 != 0 || of.parts {
		odd("puts values into what is no new dictionary, or not in pairs, before byte %d", m.at)
	}
	for i := 0; i < len(items); i += 2 {
		switch items[i].(type) {
		case string, int64, float64, bool, complex128, *networkTensor:
		default:
			odd("has a key in a dictionary that is none, before byte %d", m.at)
		}
		dict.keys = append(dict.keys, items[i])
		dict.values = append(dict.values, items[i+1])
	}
	dict.nested, dict.complete = of, true
}

func isClass(name string) bool { return strings.HasPrefix(name, "__torch__.") }

// function is a class or function, which must be one of those that PyTorch writes into networks.
func (m *unpickler) function(module, name string) pickleFunction {
	full := module + "." + name
	if len(full) > maxPickleName || strings.ContainsFunc(full, notInNames) {
		odd("names a class or function that is no name of one, before byte %d", m.at)
	}
	if isClass(full) {
		m.classes[full] = true
		return pickleFunction(full)
	}
	if _, is := storageTypes[full]; !is && !pickleFunctions[full] {
		odd("names %s, which PyTorch does not write into networks", full)
	}
	return pickleFunction(full)
}

func notInNames(r rune) bool {
	isLetter := 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z'
	return !isLetter && r != '_' && r != '.' && (r < '0' || '9' < r)
}

// pickleFunctions are what libtorch makes values with, but for sparse tensors, whose indices it
// would believe, and for those that only Python writes.
var pickleFunctions = map[string]bool{
	"torch._utils._rebuild_tensor_v2":        true,
	"torch._utils._rebuild_qtensor":          true,
	"torch.per_tensor_affine":                true,
	"torch.per_channel_affine":               true,
	"torch.per_channel_affine_float_qparams": true,
	"collections.OrderedDict":                true,
	"torch.device":                           true,
	"builtins.complex":                       true,
	"torch.jit._pickle.restore_type_tag":     true,
	"torch.jit._pickle.build_intlist":        true,
	"torch.jit._pickle.build_tensorlist":     true,
	"torch.jit._pickle.build_doublelist":     true,
	"torch.jit._pickle.build_boollist":       true,
}

var (
	intList   = mustType("List[int]")
	listTypes = map[pickleFunction]operators.Type{
		"torch.jit._pickle.build_intlist":    intList,
		"torch.jit._pickle.build_tensorlist": mustType("List[Tensor]"),
		"torch.jit._pickle.build_doublelist": mustType("List[float]"),
		"torch.jit._pickle.build_boollist":   mustType("List[bool]"),
	}
)

// call is what a function makes of its arguments.
func (m *unpickler) call(of, with any) any {
	function, _ := of.(pickleFunction)
	if isClass(string(function)) { // an Enum
		return &networkEnum{string(function), m.value(with)}
	}
	tuple, is := with.(*networkTuple)
	if !is {
		odd("calls what is no function, or without arguments, before byte %d", m.at)
	}
	args := tuple.items
	switch function {
	case "torch._utils._rebuild_tensor_v2":
		return m.tensors.tensor(args)
	case "torch._utils._rebuild_qtensor":
		return m.tensors.quantised(args)
	case "collections.OrderedDict":
		if len(args) == 0 {
			return pickleHooks{}
		}
	case "torch.device":
		if len(args) == 1 && isDevice(args[0]) {
			return networkDevice{}
		}
	case "builtins.complex":
		if len(args) == 2 {
			re, isRe := args[0].(float64)
			im, isIm := args[1].(float64)
			if isRe && isIm {
				return complex(re, im)
			}
		}
	case "torch.jit._pickle.restore_type_tag":
		if len(args) == 2 {
			if name, is := args[1].(string); is {
				return m.tag(args[0], m.typeOf(name))
			}
		}
	default:
		if t, is := listTypes[function]; is && len(args) == 1 {
			return m.tag(args[0], &t)
		}
	}
	odd("calls %s with other arguments than PyTorch, before byte %d", function, m.at)
	return nil
}

// longestType bounds the types that lists and dictionaries say they are of, in bytes.
const longestType = 4096

func (m *unpickler) typeOf(name string) *operators.Type {
	if t := m.types[name]; t != nil {
		return t
	}
	t, ok := operators.ParseType(name[:min(len(name), longestType)])
	if !ok || len(name) > longestType {
		odd("names a type that is none: %s", userfile.Printable(fmt.Sprintf("%.80q", name)))
	}
	m.types[name] = &t
	return &t
}

// tag says of which type a list or dictionary is, once.
func (m *unpickler) tag(v any, t *operators.Type) any {
	switch v := v.(type) {
	case *networkList:
		if t.Name == "List" && v.of == nil && v.complete {
			v.of = t
			return v
		}
	case *networkDict:
		if t.Name == "Dict" && v.of == nil && v.complete {
			v.of = t
			return v
		}
	}
	odd("says of a value that it is a %s, which it is not, before byte %d", t, m.at)
	return nil
}

// build gives a new object its state.
func (m *unpickler) build() {
	state := m.value(m.pop())
	object, is := m.pop().(pickleNew)
	if !is {
		odd("gives a state to what is no new object, before byte %d", m.at)
	}
	m.push(&networkObject{m.hold([]any{state}), object.class, state})
}
