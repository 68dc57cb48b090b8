package model

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vidi-vision/vidi/torchbind/torchtest"
)

// pickledFiles makes the files of tools/export/pickled.py.
func pickledFiles(t *testing.T) (files map[string]string) {
	t.Helper()
	folder := t.TempDir()
	python := torchtest.File(t, "build/venv/bin/python")
	script := torchtest.File(t, "tools/export/pickled.py")
	if out, err := exec.Command(python, script, "--out", folder).CombinedOutput(); err != nil {
		t.Fatalf("the files were not made: %v\n%s", err, out)
	}
	paths, err := filepath.Glob(filepath.Join(folder, "*.pt"))
	if err != nil || len(paths) < 30 {
		t.Fatalf("%d files were made (%v)", len(paths), err)
	}
	files = map[string]string{}
	for _, path := range paths {
		files[NameOfFile(path)] = path
	}
	return files
}

// lies are what is wrong with the files of tools/export/pickled.py whose names begin with lies-.
var lies = map[string]string{
	"storage-short":     `has a storage of 60 bytes in the record "data/0", which has 4`,
	"storage-number":    `has a storage of 4398046511104 bytes in the record "data/0", which has 60`,
	"storage-negative":  "has a storage of -1 numbers",
	"storage-missing":   `in the record "data/9", which the archive does not have`,
	"storage-of-bytes":  `has a storage of 120 bytes in the record "data/0", which has 60`,
	"offset":            "from number 8589934592 on, which is not within the 15 numbers",
	"offset-negative":   "from number -8589934592 on",
	"sizes":             "has a tensor of sizes [5 65280]",
	"sizes-too-large":   "has a tensor of sizes [8589934592 8589934592]",
	"sizes-negative":    "has a tensor of sizes [-5 3]",
	"strides":           "strides [8589934592 1]",
	"strides-too-large": "strides [4611686018427387904 1]",
	"strides-negative":  "strides [-8589934592 1]",
	"strides-few":       "has a tensor of 2 sizes and 1 strides",
	"device":            "on another device",
	"function":          `"data.pkl" names os.system, which PyTorch does not write`,
	"sparse":            "names torch._utils._rebuild_sparse_tensor",
	"class":             "at .one an object of __torch__.Other, where the code declares __torch__.One",
	"no-class":          "at .one an object of __torch__.elsewhere.One",
	"attribute-missing": "at .one.c nothing, where the code declares Tensor",
	"int-for-tensor":    "at .one.c an int, where the code declares Tensor",
	"text-for-float":    "at .scale a str, where the code declares float",
	"float-for-object":  "at .other a float, where the code declares __torch__.Other",
	"tuple-short":       "at .sides a tuple of 2, where the code declares Tuple[int, int, int]",
	"tuple-long":        "at .sides a tuple of 4",
	"tuple-deep":        "nested deeper than 100 times",
	"list":              "at .numbers[2] None, where the code declares int",
	"list-of-others":    "at .numbers a List[float], where the code declares List[int]",
	"list-in-itself":    "uses a value that is not complete",
	"place":             "keeps a value as the 2147483647th where it has kept 0",
	"instruction":       "has the instruction 0x32 at byte",
	"half-an-item":      "not in pairs",
	"behind-its-end":    "does not end at byte",
	"source":            `"code/__torch__.py.debug_pkl" is not written as PyTorch writes`,
}

// libtorch believes most of what these say: it reads behind the end of storages and objects, or crashes.
func TestPicklesThatLieAreRefused(t *testing.T) {
	seen := map[string]bool{}
	for name, path := range pickledFiles(t) {
		file, err := Inspect(path)
		lie, does := strings.CutPrefix(name, "lies-")
		if !does {
			if err != nil || len(file.Unlisted) != 0 {
				t.Errorf("%s, as PyTorch wrote it: %v", name, err)
			}
			continue
		}
		seen[lie] = true
		want, known := lies[lie]
		var refused *NotTorchScriptError
		if !known || !errors.As(err, &refused) || !strings.Contains(refused.Is, want) {
			t.Errorf("%s: %v, want %q", lie, err, want)
		} else if len(refused.Is) > 400 || refused.Do != exportAgain {
			t.Errorf("%s: %s", lie, refused)
		}
	}
	if len(seen) != len(lies) {
		t.Errorf("%d files that lie, want %d", len(seen), len(lies))
	}
}

// notNetworks are the fixtures that are refused, for other reasons.
const notNetworks = " card_future_format empty garbage truncated "

// Every other model that is made here is taken.
func TestRealPicklesAreRead(t *testing.T) {
	read := 0
	for _, folder := range []string{"build/fixtures", "build/models", "build/zoo"} {
		files, err := filepath.Glob(filepath.Join(torchtest.File(t, folder), "*.pt"))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range files {
			if strings.Contains(notNetworks, " "+NameOfFile(path)+" ") {
				continue
			}
			if _, err := Inspect(path); err != nil {
				t.Error(err)
			}
			read++
		}
	}
	if read < 35 {
		t.Errorf("only %d models were looked at", read)
	}
}

// No pickle makes the reader crash, and what it takes is within its bounds.
func FuzzUnpickle(f *testing.F) {
	for _, name := range []string{"tiny.pt", "bare_traced.pt", "half.pt", "embedding.pt"} {
		whole, err := os.ReadFile(fixture(f, name))
		if err != nil {
			f.Fatal(err)
		}
		a, trap := openArchive(bytes.NewReader(whole), int64(len(whole)))
		if trap != "" {
			f.Fatal(trap)
		}
		for record := range a.records {
			if !strings.Contains(record, ".pkl") && !strings.HasSuffix(record, ".debug_pkl") {
				continue
			}
			data, err := readEntry(a.records[record], maxPickleBytes)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
		}
	}
	f.Add([]byte(noAttributes))
	f.Fuzz(func(t *testing.T, data []byte) {
		value, _, trap := archive{size: 1 << 20}.unpickle("data.pkl", data)
		if trap != "" {
			return
		}
		checkNetwork(map[string]any{"data.pkl": value, "constants.pkl": value}, nil, 3)
		new(debugRecord).read(value)
		if holds, is := value.(*networkTuple); is && (holds.deep > deepestValue || holds.parts) {
			t.Errorf("a value of depth %d was taken", holds.deep)
		}
	})
}
