package operators

import (
	"strings"
	"testing"
)

const everyClass = `class M(Module):
  __parameters__ = ["weight", ]
  __buffers__ = []
  weight : Tensor
  pairs : Dict[str, List[Tuple[int, Optional[Tensor]]]]
  nothing : Tuple[()]
  __annotations__["0"] = __torch__.a.M
  stride : Final[Tuple[int, int]] = (1, 1)
  def forward(self: __torch__.M,
    x: Tensor) -> Tensor:
    weight : Tensor = self.weight
    return x
  def __getstate__(self: __torch__.M) -> Tuple[Tensor, bool]:
    return (self.weight, False)
  def __setstate__(other: __torch__.M,
    state: Tuple[Tensor, bool]) -> NoneType:
    return None
class P(NamedTuple):
  a : Tensor
  n : int=3
class C(Enum):
  RED = 1
  BLUE = "b"
class I(ModuleInterface):
  def forward(self, x: Tensor) -> Tensor:
    pass
class J(ModuleInterface):
  def forward(self, x: int) -> Tensor:
    pass
class Empty:
  pass
def f(x: Tensor) -> Tensor:
  return x
`

func TestClassesAreRead(t *testing.T) {
	_, classes, found := Examine(Code{Sources: map[string][]byte{"code/__torch__/a.py": []byte(everyClass)}})
	if found != nil || len(classes) != 6 {
		t.Fatalf("%d classes, %v", len(classes), found)
	}
	m := classes["__torch__.a.M"]
	var attributes []string
	for _, a := range m.Attributes {
		attributes = append(attributes, a.Name+" : "+a.Type.String())
	}
	want := "weight : Tensor; pairs : Dict[str, List[Tuple[int, Optional[Tensor]]]]; " +
		"nothing : Tuple[()]; 0 : __torch__.a.M"
	if got := strings.Join(attributes, "; "); m.Kind != "Module" || got != want {
		t.Errorf("%s with %s", m.Kind, got)
	}
	if m.State == nil || m.State.String() != "Tuple[Tensor, bool]" {
		t.Errorf("its state is %v", m.State)
	}
	if p := classes["__torch__.a.P"]; p.Kind != "NamedTuple" || len(p.Attributes) != 2 {
		t.Errorf("%+v", p)
	}
	if c := classes["__torch__.a.C"]; strings.Join(c.Members, " ") != `1 "b"` {
		t.Errorf("%+v", c)
	}
	i, j := classes["__torch__.a.I"], classes["__torch__.a.J"]
	if !m.Implements(i) || m.Implements(j) || i.Implements(m) {
		t.Error("interfaces are not told from classes that lack their methods")
	}
}

// What is not written as PyTorch writes it might be read in another way by libtorch.
func TestOddClassesAreRefused(t *testing.T) {
	for _, source := range []string{
		"class M(Module):\n", "class M(Module): a : int\n", "class M(Module, Other):\n  a : int\n",
		"class M(Module):\n  a : int\n    b : int\n", "class M(Module):\n  a : int\n b : int\n",
		"class M(Module):\n  a : int\n  a : Tensor\n", "class M(Module):\n  a : List\n  a = 1\n",
		"class M(Module):\n  a : Tuple\n", "class M(Module):\n  a : Dict[int]\n",
		"class M(Module):\n  a : Tensor[int]\n", "class M(Module):\n  a : Tensor = 1\n",
		"class M(Module):\n  a : List[int\n", "class M(Module):\n  a : int)\n",
		"class M(Module):\n  __annotations__[\"\\x61\"] = int\n", "  a : int\n", "a : int\n",
		"class M(Module):\n  __annotations__[a] = int\n", "class M(Module):\n  if a : int\n",
		"class M(Module):\n  a : " + strings.Repeat("List[", 100) + "int" + strings.Repeat("]", 100),
		"class M(Module):\n  a : int\nclass M(Module):\n  a : Tensor\n",
		"class M(Module):\n  def f(self) -> int:\n    return 1\n  def f(self) -> int:\n    return 2\n",
		"class M(Module):\n  def __getstate__(self) -> int:\n    return 1\n" +
			"  def __setstate__(self) -> None:\n    return 2\n",
	} {
		if _, _, found := Examine(Code{Sources: map[string][]byte{"code/__torch__.py": []byte(source)}}); found == nil {
			t.Errorf("it was read:\n%s", source)
		} else if !strings.HasPrefix(found.Where, "code/__torch__.py, line ") || found.Why == "" {
			t.Errorf("%+v", found)
		}
	}
}

func TestTypesAreReadAndWritten(t *testing.T) {
	for _, text := range []string{
		"Tensor", "Tuple[()]", "Dict[int, Tuple[int, str]]", "List[Optional[__torch__.a.B]]", "Union[int, str]",
	} {
		typ, ok := ParseType(text)
		if again, _ := ParseType(typ.String()); !ok || typ.String() != text || !again.Equal(typ) {
			t.Errorf("%s: %v %s", text, ok, typ)
		}
	}
	for _, text := range []string{"", "List[]", "List[int, int]", "List[int]]", "int int", "Tuple[(]", "."} {
		if _, ok := ParseType(text); ok {
			t.Errorf("%q was read", text)
		}
	}
	one, _ := ParseType("List[int]")
	other, _ := ParseType("List[float]")
	if one.Equal(other) {
		t.Errorf("%s is %s", one, other)
	}
}
