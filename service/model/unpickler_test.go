package model

import (
	"fmt"
	"strings"
	"testing"

	"github.com/vidi-vision/vidi/service/operators"
)

func tupleOf(items ...any) *networkTuple { return &networkTuple{items: items} }

func listOf(of string, items ...any) *networkList {
	t := mustType(of)
	return &networkList{of: &t, items: items, complete: true}
}

// refusal is why f refuses, or "".
func refusal(f func()) (why string) {
	defer func() {
		if r := recover(); r != nil {
			why = string(r.(oddPickle))
		}
	}()
	f()
	return ""
}

func numbersOf(numbers []int64) *networkTuple {
	t := tupleOf()
	for _, n := range numbers {
		t.items = append(t.items, n)
	}
	return t
}

func TestTensorsLieWithinTheirStorage(t *testing.T) {
	const large = mostNumbers
	for _, c := range []struct {
		offset         int64
		sizes, strides []int64
		good           bool
	}{
		{0, nil, nil, true}, {9, nil, nil, true}, {10, nil, nil, false}, {-1, nil, nil, false},
		{0, []int64{10}, []int64{1}, true}, {0, []int64{11}, []int64{1}, false},
		{1, []int64{10}, []int64{1}, false}, {0, []int64{5}, []int64{2}, true},
		{1, []int64{5}, []int64{2}, true}, {2, []int64{5}, []int64{2}, false},
		{0, []int64{2, 5}, []int64{5, 1}, true}, {0, []int64{5, 2}, []int64{1, 5}, true},
		{0, []int64{2, 6}, []int64{5, 1}, false},
		{0, []int64{1000, 3}, []int64{0, 1}, true},           // expanded
		{0, []int64{1, 3}, []int64{large, 1}, true},          // the stride of one number is not used
		{10, []int64{0}, []int64{1}, true},                   // without numbers, behind the last
		{0, []int64{0, 5}, []int64{5, 1}, true},              //
		{11, []int64{0}, []int64{1}, false},                  //
		{0, []int64{2}, []int64{-1}, false},                  //
		{0, []int64{-2}, []int64{1}, false},                  //
		{0, []int64{1 << 33, 1 << 33}, []int64{0, 0}, false}, // sums and products that would overflow
		{0, []int64{1 << 62, 4}, []int64{0, 0}, false},
		{0, []int64{3}, []int64{1 << 62}, false}, {0, []int64{1 << 40, 2}, []int64{1 << 40, 1}, false},
		{0, []int64{0, 1 << 62, 1 << 62}, []int64{0, 0, 0}, false},
		{0, []int64{2, 2}, []int64{1}, false},
	} {
		s := pickledStorage{"data/0", "torch.FloatStorage", 10}
		why := refusal(func() { s.within(c.offset, numbersOf(c.sizes), numbersOf(c.strides)) })
		if (why == "") != c.good {
			t.Errorf("%v: %q", c, why)
		}
	}
	text := tupleOf("1")
	s := pickledStorage{"data/0", "torch.FloatStorage", 10}
	if refusal(func() { s.within(0, text, text) }) == "" {
		t.Error("a text was taken for a size")
	}
}

func TestQuantisersFitTheirTensors(t *testing.T) {
	row := func(typeName string, sizes ...int64) *networkTensor { return &networkTensor{typeName, sizes} }
	tensor, channel := pickleFunction("torch.per_tensor_affine"), pickleFunction("torch.per_channel_affine")
	scales, zeros := row("torch.DoubleStorage", 3), row("torch.LongStorage", 3)
	for _, c := range []struct {
		quantiser *networkTuple
		good      bool
	}{
		{tupleOf(tensor, 0.5, int64(127)), true}, {tupleOf(tensor, 0.5, int64(128)), false},
		{tupleOf(tensor, 0.0, int64(0)), false}, {tupleOf(tensor, int64(1), int64(0)), false},
		{tupleOf(tensor, 0.5), false}, {tupleOf(channel, 0.5, int64(0)), false}, {tupleOf(), false},
		{tupleOf(channel, scales, zeros, int64(0)), true},
		{tupleOf(channel, scales, zeros, int64(1)), false}, // has 4 channels
		{tupleOf(channel, scales, zeros, int64(2)), false},
		{tupleOf(channel, scales, zeros, int64(-1)), false},
		{tupleOf(channel, row("torch.DoubleStorage", 2), zeros, int64(0)), false},
		{tupleOf(channel, scales, row("torch.LongStorage", 1, 3), int64(0)), false},
		{tupleOf(channel, row("torch.ByteStorage", 3), zeros, int64(0)), false},
		{tupleOf(tensor, scales, zeros, int64(0)), false},
	} {
		args := []any{
			pickledStorage{"data/0", "torch.QInt8Storage", 12}, int64(0), tupleOf(int64(3), int64(4)),
			tupleOf(int64(4), int64(1)), c.quantiser, false, pickleHooks{},
		}
		why := refusal(func() { new(tensorReader).quantised(args) })
		if (why == "") != c.good {
			t.Errorf("%v: %q", c.quantiser.items, why)
		}
		if refusal(func() { new(tensorReader).tensor(append(args[:4:4], args[5:]...)) }) == "" {
			t.Error("quantised numbers were taken for others")
		}
	}
}

const typedClasses = `class M(Module):
  a : Tensor
class Other(Module):
  a : Tensor
  def forward(self: __torch__.Other, x: Tensor) -> Tensor:
    return x
class P(NamedTuple):
  a : int
  b : str
class C(Enum):
  RED = 1
  BLUE = "b"
  HALF = 0.5
class I(ModuleInterface):
  def forward(self, x: Tensor) -> Tensor:
    pass
`

func TestValuesFitTheirTypes(t *testing.T) {
	_, classes, found := operators.Examine(operators.Code{Sources: map[string][]byte{"code/__torch__.py": []byte(typedClasses)}})
	if found != nil {
		t.Fatal(found)
	}
	tensor := &networkTensor{"torch.FloatStorage", []int64{1}}
	object := func(class string) *networkObject {
		state := &networkDict{keys: []any{"a"}, values: []any{tensor}}
		return &networkObject{class: "__torch__." + class, state: state}
	}
	dict := mustType("Dict[str, int]")
	dictOf := func(key, value any) *networkDict {
		return &networkDict{of: &dict, keys: []any{key}, values: []any{value}}
	}
	weight := &networkTensor{"torch.QInt8Storage", []int64{4, 3, 1, 1}}
	packed := func(version any, config string, numbers int64, optional ...any) *networkObject {
		tensors := listOf("List[Tensor]", &networkTensor{config, []int64{numbers}}, weight)
		return &networkObject{
			class: "__torch__.torch.classes.quantized.Conv2dPackedParamsBase",
			state: tupleOf(version, tensors, listOf("List[Optional[Tensor]]", optional...)),
		}
	}
	const packedName, short = "__torch__.torch.classes.quantized.Conv2dPackedParamsBase", "torch.ShortStorage"
	for _, c := range []struct {
		value any
		of    string
		good  bool
	}{
		{tensor, "Tensor", true}, {int64(1), "Tensor", false}, {nil, "Tensor", false},
		{tensor, "int", false}, {true, "int", false}, {int64(1), "float", false}, {1.0, "float", true},
		{true, "bool", true}, {"a", "str", true}, {1i, "complex", true}, {nil, "NoneType", true},
		{int64(1), "NoneType", false}, {nil, "Optional[int]", true}, {int64(1), "Optional[int]", true},
		{"a", "Optional[int]", false}, {"a", "Union[int, str]", true}, {1.0, "Union[int, str]", false},
		{1.0, "number", true}, {"a", "number", false}, {networkDevice{}, "Device", true},
		{listOf("List[int]", int64(1)), "List[int]", true}, {listOf("List[int]"), "List[str]", false},
		{listOf("List[int]", int64(1), nil), "List[int]", false},
		{listOf("List[int]", nil), "Any", false}, {listOf("List[int]", nil), "Union[List[int], Any]", false},
		{&networkList{complete: true}, "List[int]", false}, {&networkList{complete: true}, "Any", false},
		{dictOf("a", int64(1)), "Dict[str, int]", true}, {dictOf(int64(1), int64(1)), "Dict[str, int]", false},
		{dictOf("a", "b"), "Dict[str, int]", false}, {dictOf("a", int64(1)), "Dict[int, int]", false},
		{tupleOf(int64(1), "a"), "Tuple[int, str]", true}, {tupleOf(int64(1)), "Tuple[int, str]", false},
		{tupleOf(), "Tuple[()]", true}, {tupleOf(int64(1), "a"), "__torch__.P", true},
		{tupleOf("a", "a"), "__torch__.P", false}, {tupleOf(int64(1)), "__torch__.P", false},
		{object("M"), "__torch__.M", true}, {object("Other"), "__torch__.M", false},
		{object("Other"), "__torch__.I", true}, {object("M"), "__torch__.I", false},
		{object("P"), "__torch__.P", false}, {object("Nowhere"), "Any", false},
		{&networkEnum{"__torch__.C", int64(1)}, "__torch__.C", true},
		{&networkEnum{"__torch__.C", "b"}, "__torch__.C", true},
		{&networkEnum{"__torch__.C", 0.5}, "__torch__.C", true},
		{&networkEnum{"__torch__.C", int64(2)}, "__torch__.C", false},
		{&networkEnum{"__torch__.C", 1.0}, "__torch__.C", false},
		{&networkEnum{"__torch__.M", int64(1)}, "Any", false},
		{packed("2", short, 11, nil), packedName, true}, {packed("2", short, 11), packedName, true},
		{packed("2", short, 3, nil), packedName, false}, {packed("1", short, 11, nil), packedName, false},
		{packed("2", "torch.LongStorage", 11, nil), packedName, false},
		{packed(int64(3), short, 11, nil), packedName, false},
		{tensor, packedName, false}, {tensor, "Future[Tensor]", false}, {tensor, "__torch__.Nowhere", false},
	} {
		checker := &typeChecker{classes: classes, sound: map[any]bool{}, interfaces: map[[2]string]bool{}}
		if w := checker.fits(c.value, mustType(c.of)); (w == nil) != c.good {
			t.Errorf("%s as %s: %v", kindOf(c.value), c.of, w)
		}
	}
	untagged := &typeChecker{untagged: true, sound: map[any]bool{}}
	list := &networkList{complete: true, items: []any{int64(1)}}
	if w := untagged.fits(list, mustType("List[int]")); w != nil {
		t.Errorf("as before format 3: %s", w)
	}
	if untagged.fits(list, mustType("List[str]")) == nil {
		t.Error("a list is of two types")
	}
}

func TestDebugRecordsStayWithinTheirTexts(t *testing.T) {
	texts := tupleOf("file.py", "one line\n")
	source := func(pieces *networkList, file int64) *networkTuple { return tupleOf(pieces, file, int64(7)) }
	line := func(source *networkTuple, begin, end int64) *networkTuple {
		return tupleOf(int64(0), tupleOf(source, begin, end), int64(0))
	}
	record := func(lines ...any) *networkTuple { return tupleOf(withTexts, texts, tupleOf(lines...)) }
	good := source(listOf("List[int]", int64(1), int64(1)), 0)
	old := tupleOf("one line\n", nil, int64(7))
	for name, c := range map[string]struct {
		value any
		good  bool
	}{
		"good":                       {record(line(good, 3, 18), line(good, 0, 0)), true},
		"empty":                      {tupleOf(), true},
		"without a source":           {record(line(source(listOf("List[int]"), 0), 0, 1)), true},
		"as PyTorch 1.10 wrote it":   {tupleOf(line(old, 0, 4)), true},
		"… with a number":            {tupleOf(tupleOf(int64(0), int64(0), tupleOf(old, int64(0), int64(1)))), true},
		"a piece behind the last":    {record(line(source(listOf("List[int]", int64(2)), 0), 0, 1)), false},
		"a piece before the first":   {record(line(source(listOf("List[int]", int64(-1)), 0), 0, 1)), false},
		"a piece that is no number":  {record(line(source(listOf("List[int]", "1"), 0), 0, 1)), false},
		"a list of other things":     {record(line(source(listOf("List[float]", int64(1)), 0), 0, 1)), false},
		"a file behind the last":     {record(line(source(listOf("List[int]"), 2), 0, 1)), false},
		"a place behind the text":    {record(line(good, 19, 20)), false},
		"an end before its begin":    {record(line(good, 5, 4)), false},
		"a place before the text":    {record(line(good, -1, 4)), false},
		"a line of two":              {record(tupleOf(int64(0), int64(0))), false},
		"a text that is none":        {tupleOf(withTexts, tupleOf(int64(1)), tupleOf()), false},
		"nothing behind its name":    {tupleOf(withTexts), false},
		"no tuple":                   {"a", false},
		"a source where texts are":   {record(line(old, 0, 4)), false},
		"the same source many times": {record(line(good, 0, 1), line(good, 0, 1), line(good, 0, 1)), true},
	} {
		if new(debugRecord).read(c.value) != c.good {
			t.Errorf("%s: %v", name, !c.good)
		}
	}
}

// Little pickles cannot stand for values that take libtorch, or this reader, for ever.
func TestPicklesThatGrowAreRefused(t *testing.T) {
	const storage = "X\x07\x00\x00\x00storageq\x00ctorch\nByteStorage\nq\x01" +
		"X\x01\x00\x00\x000q\x02X\x03\x00\x00\x00cpuq\x03"
	const named = "(h\x00h\x01h\x02h\x03J\x00\x00\x10\x00tQ" // 1 MB
	longest := longestType + 1
	long := "X" + string([]byte{byte(longest), byte(longest >> 8), 0, 0}) + strings.Repeat("L", longest)
	a := archiveWith(t, map[string]string{"data/0": strings.Repeat("x", 1<<20)})
	for name, c := range map[string]struct{ pickle, want string }{
		"doubled tuples": {")q\x00" + strings.Repeat("h\x00\x86q\x00", 60), "holds more than"},
		"a long type":    {"ctorch.jit._pickle\nrestore_type_tag\n](e" + long + "\x86R", "a type that is none"},
		"a storage":      {"(" + storage + strings.Repeat(named, 200) + "t", "names its storages so often"},
	} {
		within(t, name, func() {
			_, _, trap := a.unpickle("data.pkl", []byte("\x80\x02"+c.pickle+"."))
			if trap == "" || !strings.Contains(trap, c.want) {
				t.Errorf("%s: %q", name, trap)
			}
		})
	}
	one := tupleOf()
	for range 10_000 {
		one.items = append(one.items, nil)
	}
	list := listOf("List[int]")
	types := strings.TrimSuffix(strings.Repeat("Optional[int], ", len(one.items)), ", ")
	of := mustType(fmt.Sprintf("List[Tuple[%s]]", types))
	list.of = &of
	for range 100_000 {
		list.items = append(list.items, one)
	}
	within(t, "one tuple in many places", func() {
		checker := &typeChecker{sound: map[any]bool{}}
		if w := checker.fits(list, of); w == nil || !strings.Contains(w.String(), "more than") {
			t.Errorf("a list of many: %v", w)
		}
	})
}

// archiveWith is an archive of these records, below its one folder.
func archiveWith(t *testing.T, records map[string]string) archive {
	t.Helper()
	var entries []entry
	for name, content := range records {
		entries = append(entries, entry{"x/" + name, content})
	}
	data := archiveOf(t, entries)
	a, trap := openArchive(strings.NewReader(string(data)), int64(len(data)))
	if trap != "" {
		t.Fatal(trap)
	}
	return a
}
