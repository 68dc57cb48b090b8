// Package operators reads the code in a TorchScript archive, before libtorch sees any of it, and finds every operator that it names.
// A TorchScript file is a program in a part of Python. What it can do beyond computing is done by operators: torch.save writes files,
// print prints. Those that only compute are listed in allowed.txt; whatever else the code names, or cannot be understood, is a
// [Finding].
//
// libtorch decides what a name means (torch/csrc/jit/serialization/import_source.cpp, frontend/ir_emitter.cpp and sugared_value.cpp of
// version 2.7): torch.X and the method X of any value are the operator aten::X, ops.A.X is A::X, getattr(v, "X") is v.X, a few names
// such as print are built in, and __torch__.A.B is a class or function of the archive or one that is registered in C++. So it is enough
// to look at names, wherever they stand, as long as no name can be had in another way: torch, ops and __torch__ may not be assigned,
// strings in getattr may hold no escapes, and so on. What exporters never write is refused.
//
// The list does not keep an operator from being wrong: one that libtorch computes with an error in memory is allowed.
package operators

import (
	_ "embed"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/vidi-vision/vidi/service/userfile"
)

// allowed.txt and refused.txt are what tools/operators/operators.py makes of libtorch's own list.
var (
	//go:embed allowed.txt
	allowedText string
	//go:embed refused.txt
	refusedText string
	allowed     = readAllowed()
	refused     = readRefused()
)

func readAllowed() map[string]bool {
	names := map[string]bool{}
	for name := range strings.Lines(allowedText) {
		names[strings.TrimSpace(name)] = true
	}
	return names
}

func readRefused() map[string]string {
	reasons := map[string]string{}
	for line := range strings.Lines(refusedText) {
		name, why, _ := strings.Cut(strings.TrimSpace(line), "\t")
		reasons[name] = why
	}
	return reasons
}

// Finding is something in an archive that is not known to compute and nothing else.
type Finding struct {
	// Name is what the file names: "torch.save", "print", a class; "" where the code itself is not understood.
	Name string
	// Where is the record of the archive, with a line for code: "code/__torch__.py, line 12".
	Where string
	// Why is the end of the sentence "NAME …".
	Why string
}

// String is a sentence without its end: "torch.save (code/__torch__.py, line 12) reads or writes files".
func (f Finding) String() string {
	if f.Name == "" {
		return f.Where + " " + f.Why
	}
	return f.Name + " (" + f.Where + ") " + f.Why
}

const unknown = "is no operator that this version knows"

// look says why an operator, "aten::save", may not be used, or "".
func look(symbol string) string {
	if allowed[symbol] {
		return ""
	}
	if why, known := refused[symbol]; known {
		return why
	}
	return unknown
}

// builtIn are the names that mean an operator by themselves, and are not of computing alone.
var builtIn = map[string]string{
	"print":     "prints",
	"awaitable": refused["prim::awaitable_wait"],
	"hash":      refused["aten::hash"],
	"id":        refused["prim::id"],
}

// classes are those of libtorch, written in C++, that hold packed weights: quantised networks have them.
var classes = map[string]bool{
	"__torch__.torch.classes.quantized.Conv2dPackedParamsBase": true,
	"__torch__.torch.classes.quantized.Conv3dPackedParamsBase": true,
	"__torch__.torch.classes.quantized.LinearPackedParamsBase": true,
}

// CustomClasses is what the names of classes in C++ begin with.
const CustomClasses = customClasses + "."

const customClasses = "__torch__.torch.classes"

const notClass = "is a class in C++ that is not on the list"

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// printable is a name out of a file as it may be shown: short, and without control characters.
func printable(name string) string {
	const longest = 120
	if len(name) <= longest {
		return userfile.Printable(name)
	}
	end := longest
	for end > longest-utf8.UTFMax && !utf8.RuneStart(name[end]) { // not within a character
		end--
	}
	return userfile.Printable(name[:end]) + "…"
}
