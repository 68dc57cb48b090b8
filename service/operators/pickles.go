package operators

import (
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/vidi-vision/vidi/service/userfile"
)

// globals are what libtorch's own reader of pickles makes values with; it knows no others but classes (serialization/unpickler.cpp).
var globals = map[string]bool{
	"torch._utils._rebuild_tensor_v2": true, "torch._utils._rebuild_qtensor": true, "torch._utils._rebuild_parameter": true,
	"torch.per_tensor_affine": true, "torch.per_channel_affine": true, "torch.qint8": true, "torch.quint8": true, "torch.qint32": true,
	"torch.device": true, "torch.jit._pickle.restore_type_tag": true, "torch.jit._pickle.build_intlist": true,
	"torch.jit._pickle.build_tensorlist": true, "torch.jit._pickle.build_doublelist": true, "torch.jit._pickle.build_boollist": true,
	"torch.jit._pickle.build_tensor_from_id": true, "collections.OrderedDict": true, "builtins.complex": true,
	"torch.FloatStorage": true, "torch.DoubleStorage": true, "torch.HalfStorage": true, "torch.BFloat16Storage": true,
	"torch.LongStorage": true, "torch.IntStorage": true, "torch.ShortStorage": true, "torch.CharStorage": true, "torch.ByteStorage": true,
	"torch.BoolStorage": true, "torch.QInt8Storage": true, "torch.QUInt8Storage": true, "torch.QInt32Storage": true,
	"torch.ComplexFloatStorage": true, "torch.ComplexDoubleStorage": true,
}

// lookGlobal says why a pickle may not name that class or function, or "".
func lookGlobal(name string) string {
	switch {
	case strings.HasPrefix(name+".", customClasses+"."):
		if !classes[name] {
			return notClass
		}
	case !strings.HasPrefix(name, "__torch__.") && !globals[name]:
		return "is no class that exporters write into a network"
	}
	return ""
}

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
