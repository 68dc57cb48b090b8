package e2e

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vidi-vision/vidi/torchbind/torchtest"
)

// A file whose pickles say what its records and its code do not have is refused before libtorch is
// given it, where it would crash or answer with what else lies in memory. Values of every kind that
// PyTorch writes are taken, and the networks that have them answer.
func TestPicklesThatLie(t *testing.T) {
	folder := t.TempDir()
	python := torchtest.File(t, "build/venv/bin/python")
	script := torchtest.File(t, "tools/export/pickled.py")
	if out, err := exec.Command(python, script, "--out", folder).CombinedOutput(); err != nil {
		t.Fatalf("the models were not made: %v\n%s", err, out)
	}
	picture := torchtest.File(t, "examples/cat.png")
	for name, want := range map[string]string{
		"real-values": "class_", "real-packed": "class_", "real-frozen": "class_", "real-small": "class_",
		"lies-class":         "where the code declares __torch__.One",
		"lies-storage-short": `in the record "data/0", which has 4`,
		"lies-tuple-deep":    "nested deeper than",
		"lies-source":        "is not written as PyTorch writes where code came from",
	} {
		ran := vidi(t, nil, "classify", "-m", filepath.Join(folder, name+".pt"), picture)
		good := strings.HasPrefix(name, "real-")
		if output := ran.stdout + ran.stderr; (ran.code == 0) != good || !strings.Contains(output, want) ||
			strings.Contains(output, "crashed") {
			t.Errorf("%s: code %d, want %q in\n%s", name, ran.code, want, output)
		}
	}
}
