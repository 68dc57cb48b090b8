package operators

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// header is what an exporter writes around a forward.
const header = `class M(Module):
  __parameters__ = []
  __buffers__ = []
  training : bool
  __annotations__["0"] = __torch__.Part
  def forward(self: __torch__.M,
    x: Tensor) -> Tensor:
`

// findings are what [Examine] has against the code.
func findings(c Code) []Finding {
	found, _, _ := Examine(c)
	return found
}

func check(body string) []Finding {
	return findings(Code{Sources: map[string][]byte{
		"code/__torch__.py": []byte(header + "    " + body + "\nclass Part(Module):\n  def run(self, x: Tensor) -> Tensor:\n    return x\n"),
	}})
}

func TestWhatComputesIsAllowed(t *testing.T) {
	for _, body := range []string{
		"return torch.conv2d(x, self.weight, None, [1, 1], [0, 0])",
		`_0 = getattr(self, "0")` + "\n    return (_0).run(torch.add_(x, x, alpha=1), )",
		"_0 = uninitialized(Tensor)\n    return unchecked_cast(Tensor, _0)",
		`ops.prim.RaiseException("torch.save \"is\" only a word", "builtins.RuntimeError")`,
		"return ops.quantized.conv2d_relu(x, self._packed_params, 0.5, 1.5e-05)",
		"w : __torch__.torch.classes.quantized.Conv2dPackedParamsBase = self.p",
		"return torch.to(CONSTANTS.c0, dtype=6, layout=0, device=torch.device(\"cpu\"))",
		"y = fork(__torch__.M.forward, self, x)\n    return torch.wait(y)",
		"torch.warn(\"slow\", 2)",
		"return x.T",
		"y = annotate(List[__torch__.Part], [])",
		"return torch.mul(x, -inf)",
		"return torch.select(x[..., 0], 0, 1)[0, ..., 1]",
	} {
		if found := check(body); found != nil {
			t.Errorf("%s\nfound %v", body, found)
		}
	}
}

// Each body reaches an operator that is not on the list, or might, in one more spelling.
func TestEverySpellingIsFound(t *testing.T) {
	for _, c := range []struct{ body, name, why string }{
		{`torch.save(x, "/tmp/x")`, "torch.save", "files"},
		{`ops.aten.save(x, "/tmp/x")`, "ops.aten.save", "files"},
		{`ops . aten . save(x, "/tmp/x")`, "ops.aten.save", "files"},
		{"y = (torch\n    .save(x, \"/tmp/x\"))", "torch.save", "files"},
		{"s = torch.save", "torch.save", "files"},
		{"t = torch\n    t.save(x, \"/tmp/x\")", "torch", "stands without"},
		{"t = ops.aten\n    t.save(x, \"/tmp/x\")", "ops", "stands without"},
		{"t = ops", "ops", "stands without"},
		{`torch.autograd.save(x, "/tmp/x")`, "torch.autograd", "no operator"},
		{`ops.quantized.autograd.save(x, "/tmp/x")`, "ops.quantized.autograd", "no operator"},
		{`ops.prim.Print(x)`, "ops.prim.Print", "prints"},
		{`ops.aten._print(x)`, "ops.aten._print", "prints"},
		{`print(x)`, "print", "prints"},
		{"if x is None:\n      ...\n    y = x", "...", "no exporter"},
		{"torch.fused_moving_avg_obs_fake_quant(x, x, x, x, x, x, x, 1., 0, 255, 0)", "torch.fused_moving_avg_obs_fake_quant", "sizes"},
		{"y = torch._reshape_alias(x, [1], [1])", "torch._reshape_alias", "internal"},
		{`y = "a".ljust(1000000000)`, "ljust", "length"},
		{"p = print\n    p(x)", "print", "prints"},
		{`x.save("/tmp/x")`, "save", "files"},
		{`torch.relu(x).save("/tmp/x")`, "save", "files"},
		{`(self.weight).save("/tmp/x")`, "save", "files"},
		{`y = "passwd".from_file(False, 5)`, "from_file", "files"},
		{`[x][0].save("/tmp/x")`, "save", "files"},
		{`1.5 .save("/tmp/x")`, "save", "files"},
		{`torch.conv2d.save("/tmp/x")`, "save", "files"},
		{`CONSTANTS.c0.save("/tmp/x")`, "save", "files"},
		{`self.save("/tmp/x")`, "save", "files"},
		{`getattr(x, "save")("/tmp/x")`, "save", "files"},
		{`getattr(x, "\163ave")("/tmp/x")`, "getattr", "do not write"},
		{`getattr(x, "sa" "ve")("/tmp/x")`, "getattr", "do not write"},
		{`getattr(getattr(self, "0"), "save")("/tmp/x")`, "save", "files"},
		{`getattr(torch, "save")(x, "/tmp/x")`, "getattr", "do not write"},
		{`getattr(ops.aten, "save")(x, "/tmp/x")`, "getattr", "do not write"},
		{`getattr(__torch__.torch, "classes").xnnpack`, "getattr", "do not write"},
		{"g = getattr\n    g(x, \"save\")", "getattr", "do not write"},
		{`fork(torch.save, x, "/tmp/x")`, "torch.save", "files"},
		{`y = torch.from_file("/etc/passwd", False, 5)`, "torch.from_file", "files"},
		{"torch.manual_seed(1)", "torch.manual_seed", "random"},
		{"torch.set_(x, x)", "torch.set_", "storage"},
		{"x.resize_([1000])", "resize_", "storage"},
		{"y = id(x)", "id", "addresses"},
		{"y = ops.c10d.allreduce_(x)", "ops.c10d.allreduce_", "tensor operators"},
		{"y = ops.nowhere.thing(x)", "ops.nowhere.thing", "no operator"},
		{"y = torch.not_an_operator(x)", "torch.not_an_operator", "no operator"},
		{"y = __torch__.torch.classes.xnnpack.Conv2dOpContext(x)", "__torch__.torch.classes.xnnpack.Conv2dOpContext", "C++"},
		{"y = __torch__.torch.classes.dist_rpc.WorkerInfo(\"a\", 1)", "__torch__.torch.classes.dist_rpc.WorkerInfo", "C++"},
		{"n = __torch__.torch\n    y = n.classes.xnnpack.Conv2dOpContext(x)", "__torch__.torch", "no class"},
		{"n = __torch__", "__torch__", "no class"},
		{"y = __torch__.Part.run.save(x)", "save", "files"},
		{"y = unchecked_cast(__torch__.Part, self)", "unchecked_cast", "another class"},
		{"y = unchecked_cast(List[__torch__.Part], self)", "unchecked_cast", "another class"},
		{"c = unchecked_cast", "unchecked_cast", "do not write"},
		{"import __torch__.Part", "import", "exporters"},
		{"pass # type: (Tensor) -> Tensor", "", `'#'`},
		{"y = x # a comment", "", `'#'`},
		{"torch.\\\n    save(x)", "", `'\\'`},
		{"y = 'save'", "", `'\''`},
		{`y = """` + "\n" + `torch.save(x) """`, "", "three quotes"},
		{"y = \"open\n", "", "does not end"},
		{"y = \"open\\\n\"", "", "does not end"},
		{"tørch.save(x)", "", "character"},
		{"y = torch.ｓave(x)", "", "character"},
		{"y = 1.save(x)", "", "runs into a name"},
		{"y = 0x1.save(x)", "", "runs into a name"},
		{"y = x;torch.save(x)", "", `';'`},
		{"y = x\vtorch", "", "character"},
		{"y = x\x00", "", "character"},
	} {
		found := check(c.body)
		var right bool
		for _, f := range found {
			right = right || f.Name == c.name && strings.Contains(f.Why, c.why) && strings.HasPrefix(f.Where, "code/__torch__.py, line ")
		}
		if !right {
			t.Errorf("%q\nfound %v, want %q because of %q", c.body, found, c.name, c.why)
		}
	}
}

// What libtorch runs while it reads the file has to end by itself, and to be the same each time.
func TestWhatRunsWhileLoading(t *testing.T) {
	const begin, helper = "  def __setstate__(self: __torch__.M, state: int) -> NoneType:\n    ", "  def help(self: __torch__.M) -> int:\n    "
	doubling := "    return 1\n"
	for i := range 12 {
		doubling += fmt.Sprintf("  def f%d(self: __torch__.M) -> int:\n    return (self).f%d() + (self).f%d()\n", i, i+1, i+1)
	}
	for _, c := range []struct{ code, name, why string }{
		{begin + "while True:\n      pass\n", "while", "loop"},
		{begin + "for i in range(state):\n      pass\n", "for", "loop"},
		{begin + "_1 = (self).help()\n" + helper + "while True:\n      pass\n", "while", "loop"},
		{begin + "_1 = getattr(self, \"help\")()\n" + helper + "while True:\n      pass\n", "while", "loop"},
		{begin + "_1 = __torch__.M.help(self)\n" + helper + "while True:\n      pass\n", "while", "loop"},
		{begin + "self.n = len(self)\n  def __len__(self: __torch__.M) -> int:\n    while True:\n      pass\n", "while", "loop"},
		{begin + "f = fork(__torch__.M.help, self)\n" + helper + "return 1\n", "fork", "thread"},
		{begin + "self.n = torch.rand([1])\n", "rand", "another result"},
		{begin + "self.n = torch.empty([1])\n", "empty", "another result"},
		{begin + "self.n = self + self\n  def __add__(self: __torch__.M, o: __torch__.M) -> int:\n    return 1\n", "__add__", "without being called"},
		{begin + "_1 = (self).help()\n" + helper + "return (self).help()\n", "help", "itself"},
		{begin + "_1 = __torch__.M(1)\n  def __init__(self: __torch__.M, n: int) -> NoneType:\n    self.m = __torch__.M(n)\n", "__init__", "itself"},
		{begin + "_1 = (self).f0()\n" + "  def f12(self: __torch__.M) -> int:\n" + doubling, "f2", "1000 calls"},
	} {
		found := findings(Code{Sources: map[string][]byte{"code/__torch__.py": []byte("class M(Module):\n" + c.code)}})
		if !slices.ContainsFunc(found, func(f Finding) bool { return f.Name == c.name && strings.Contains(f.Why, c.why) }) {
			t.Errorf("%s\nfound %v, want %s", c.code, found, c.name)
		}
		// The same is allowed where a budget of time holds.
		later := strings.ReplaceAll(c.code, "__setstate__", "forward")
		if found := findings(Code{Sources: map[string][]byte{"code/__torch__.py": []byte("class M(Module):\n" + later)}}); found != nil {
			t.Errorf("%s\nfound %v", later, found)
		}
	}
	quantised := begin + "self.n = state\n    _1 = (self).set_weight(state)\n  def set_weight(self: __torch__.M, n: int) -> NoneType:\n" +
		"    self.p = ops.quantized.conv2d_prepack(self.w, None, [1, 1], [0, 0], [1, 1], 1)\n"
	if found := findings(Code{Sources: map[string][]byte{"code/__torch__.py": []byte("class M(Module):\n" + quantised)}}); found != nil {
		t.Errorf("a quantised layer: %v", found)
	}
}

// A namespace that is taken for one of the archive's own classes would lead to those in C++.
func TestNamespacesAreNoClasses(t *testing.T) {
	for _, defined := range []string{
		"class torch(Interface):\n  pass\n", "def torch(x: Tensor) -> Tensor:\n  return x\n", "class A(Module):\n  def torch(self) -> None:\n    pass\n",
	} {
		found := findings(Code{Sources: map[string][]byte{
			"code/__torch__.py":       []byte(defined + "def f(x: Tensor) -> Tensor:\n  n = __torch__.torch\n  return n.classes.xnnpack.LinearOpContext(x)\n"),
			"code/__torch__/torch.py": []byte("class classes(Interface):\n  pass\n"),
		}})
		if len(found) != 1 || found[0].Name != "__torch__.torch" {
			t.Errorf("%s: found %v", defined, found)
		}
	}
}

func TestTheLineIsThatOfTheName(t *testing.T) {
	found := check("y = (torch\n\n    .relu(x))\n    torch.save(y, \"/tmp/x\")")
	if len(found) != 1 || found[0].String() != "torch.save (code/__torch__.py, line 11) reads or writes files" {
		t.Errorf("found %v", found)
	}
}

func TestClassesOfPicklesAreLookedAt(t *testing.T) {
	for name, want := range map[string]bool{
		"__torch__.M": true,
		"__torch__.torch.classes.quantized.Conv2dPackedParamsBase": true,
		"__torch__.torch.classes.xnnpack.LinearOpContext":          false,
		"__torch__.torch.classes":                                  false,
	} {
		found := findings(Code{Classes: map[string][]string{"data.pkl": {name}}})
		if (found == nil) != want {
			t.Errorf("%s: found %v", name, found)
		}
	}
}

func TestFindingsAreBoundedAndPrintable(t *testing.T) {
	found := check(strings.Repeat("torch.save(x)\n    ", 1000))
	if len(found) != mostFindings {
		t.Errorf("%d findings", len(found))
	}
	found = findings(Code{Classes: map[string][]string{"data\x1b[31m.pkl": {customClasses + ".\x1b]" + strings.Repeat("x", 1000)}}})
	if text := found[0].String(); len(text) > 400 || strings.ContainsAny(text, "\x1b\n") ||
		!strings.Contains(text, `data\x1b[31m.pkl`) {
		t.Errorf("%q", text)
	}
	if text := printable("a" + strings.Repeat("é", 100)); text != "a"+strings.Repeat("é", 59)+"…" {
		t.Errorf("%q", text)
	}
}

func TestTheListsAreApart(t *testing.T) {
	if len(allowed) < 1000 || len(refused) < 500 {
		t.Fatalf("%d and %d names", len(allowed), len(refused))
	}
	for name := range allowed {
		if _, both := refused[name]; both || !strings.Contains(name, "::") {
			t.Errorf("%s is on both lists, or no name", name)
		}
	}
	for _, name := range []string{"aten::save", "aten::from_file", "prim::Print", "aten::_print", "aten::set_", "aten::manual_seed", "prim::id"} {
		if refused[name] == "" {
			t.Errorf("%s is not refused", name)
		}
	}
}

func FuzzCheck(f *testing.F) {
	f.Add([]byte(header + "    return getattr(x, \"a\").b(1.5e-05, [\"\\\"\"])\n"))
	f.Fuzz(func(t *testing.T, code []byte) {
		list, wrong := tokens(code)
		found := findings(Code{Sources: map[string][]byte{"code/__torch__.py": code}})
		if wrong != nil && found == nil {
			t.Error("what is not understood was not found")
		}
		for _, token := range list {
			if token.kind == word && token.text == "print" && found == nil && !strings.Contains(string(code), ".") &&
				!strings.Contains(string(code), "def") && !strings.Contains(string(code), "class") {
				t.Error("print was not found")
			}
		}
	})
}
