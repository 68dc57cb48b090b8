package model

import (
	"encoding/binary"
	"encoding/json"
	"io"
	"slices"
	"strings"
)

// weights are the names and shapes of tensors, of a file that holds no network.
type weights struct {
	shapes  map[string][]int64
	within  []string     // the keys that lead to them in the file's dictionary: "state_dict"
	prefix  string       // what each name began with: "module."
	foreign []string     // classes that the file names besides those of tensors
	whole   pickleGlobal // the class of the network that the file holds, "" if it holds weights
}

// maxPickleBytes bounds what is read of a pickle. The weights lie outside it.
const maxPickleBytes = 64 << 20

// pickledWeights looks for tensors in a pickle's value: the dictionary that holds the most of them counts.
func pickledWeights(value any) weights {
	search := weightSearch{seen: map[any]bool{}, states: map[*pickleDict]bool{}}
	search.look(value, nil, 0)
	w := search.best
	w.foreign, w.whole = search.foreign, search.whole
	w.strip()
	return w
}

type weightSearch struct {
	best    weights
	foreign []string
	whole   pickleGlobal
	seen    map[any]bool         // dictionaries and objects may hold each other
	states  map[*pickleDict]bool // states of objects that were asked for their modules: many objects may share one
}

// maxNesting bounds how deep dictionaries and objects, each counted, may lie in one another.
const maxNesting = 8

func (s *weightSearch) look(value any, path []string, depth int) {
	if depth > maxNesting {
		return
	}
	switch v := value.(type) {
	case *pickleDict:
		if s.seen[v] {
			return
		}
		s.seen[v] = true
		shapes := map[string][]int64{}
		for i, key := range v.keys {
			if shape, is := tensorShape(v.values[i]); is {
				shapes[key] = shape
			} else {
				s.look(v.values[i], append(slices.Clone(path), key), depth+1)
			}
		}
		if len(shapes) > len(s.best.shapes) {
			s.best.shapes, s.best.within = shapes, path
		}
	case *pickleCall:
		if s.seen[v] {
			return
		}
		s.seen[v] = true
		module, _, _ := cutLast(string(v.of))
		if !isTensorModule(module) {
			s.foreign = append(s.foreign, string(v.of))
			if s.whole == "" && s.isNetwork(v) {
				s.whole = v.of
			}
			return
		}
		s.look(v.state, path, depth+1)
	}
}

// isNetwork reports whether an object is a torch.nn.Module: these have parameters and modules. Each state counts once.
func (s *weightSearch) isNetwork(v *pickleCall) bool {
	state, is := v.state.(*pickleDict)
	if !is || s.states[state] {
		return false
	}
	s.states[state] = true
	return slices.Contains(state.keys, "_modules")
}

func cutLast(s string) (before, after string, found bool) {
	if i := strings.LastIndexByte(s, '.'); i >= 0 {
		return s[:i], s[i+1:], true
	}
	return "", s, false
}

// maxDimensions bounds the shape of a tensor: weights of classifiers have up to five.
const maxDimensions = 16

// tensorShape is the shape of a tensor or a parameter, in the forms that PyTorch pickles them.
func tensorShape(value any) ([]int64, bool) {
	call, is := value.(*pickleCall)
	if is && call.of == "torch._utils._rebuild_parameter" && len(call.args) > 0 {
		call, is = call.args[0].(*pickleCall) // a tensor, and never a parameter again
	}
	if !is {
		return nil, false
	}
	switch call.of {
	case "torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_tensor", "torch._utils._rebuild_tensor_v3":
		if len(call.args) > 2 {
			sides, _ := call.args[2].(pickleTuple)
			if len(sides) > maxDimensions {
				return nil, false
			}
			shape := make([]int64, len(sides))
			for i, side := range sides {
				shape[i], _ = side.(int64)
			}
			return shape, true
		}
	}
	return nil, false
}

// prefixes are what programs that wrap networks put before the names of tensors.
var prefixes = []string{"module.", "model.", "_orig_mod.", "net.", "network.", "backbone."}

// maxPrefixes bounds how many of them are taken away: a name may be millions of them.
const maxPrefixes = 8

// strip takes away what stands before each name, as long as there is such.
func (w *weights) strip() {
	taken := 0
	for again := true; again && len(w.shapes) > 0; {
		again = false
		for _, prefix := range prefixes {
			all := true
			for name := range w.shapes {
				all = all && strings.HasPrefix(name, prefix)
			}
			if all && taken < maxPrefixes {
				taken++
				w.prefix += prefix
				stripped := make(map[string][]int64, len(w.shapes))
				for name, shape := range w.shapes {
					stripped[strings.TrimPrefix(name, prefix)] = shape
				}
				w.shapes, again = stripped, true
			}
		}
	}
}

// legacyValue reads a file of torch.save in its old format: some pickles one after the other, of which the fourth is the value.
func legacyValue(r io.ReaderAt, size int64) any {
	data := readMost(r, size)
	for range 3 {
		_, length, err := readPickle(data)
		if err != nil {
			return nil
		}
		data = data[length:]
	}
	value, _, _ := readPickle(data)
	return value
}

// safetensorsWeights reads a file's header, which is JSON behind its length.
func safetensorsWeights(r io.ReaderAt, size int64) weights {
	var length [8]byte
	if _, err := r.ReadAt(length[:], 0); err != nil {
		return weights{}
	}
	n := binary.LittleEndian.Uint64(length[:])
	if n > maxPickleBytes || int64(n)+8 > size {
		return weights{}
	}
	header := make([]byte, n)
	if _, err := r.ReadAt(header, 8); err != nil {
		return weights{}
	}
	var entries map[string]struct {
		Shape []int64 `json:"shape"`
	}
	if json.Unmarshal(header, &entries) != nil {
		return weights{}
	}
	delete(entries, "__metadata__")
	w := weights{shapes: make(map[string][]int64, len(entries))}
	for name, entry := range entries {
		w.shapes[name] = entry.Shape
	}
	w.strip()
	return w
}
