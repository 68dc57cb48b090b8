package e2e

import (
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vidi-vision/vidi/service/engine"
	"github.com/vidi-vision/vidi/service/model"
	"github.com/vidi-vision/vidi/service/preprocess"
	"github.com/vidi-vision/vidi/torchbind/torchtest"
)

const (
	// networkProbability is how far probabilities may be from Python's. Both compute in fp32, with other
	// kernels: 1e-6 to 2e-5 was seen, the most in transformers, whose softmax rounds, too.
	networkProbability = 1e-4
	// networkPhotographs are compared for each network.
	networkPhotographs = 5
	// networkSlower is how much slower than the best engine the chosen one may be: what is preferred on a tie
	// costs 5 %, and the figures of a busy machine are off by some more.
	networkSlower = 1.1
)

// The networks that people bring, of torchvision and timm, are added by one command, answer as in Python,
// and run with the fastest engine. A sixth of them is tried at a time, another one each day; VIDI_NETWORKS is
// "all", or a name.
func TestNetworksThatPeopleBring(t *testing.T) {
	torchtest.NoLeaks(t)
	// Debian's torch multiplies matrices with a BLAS ten times slower than OpenBLAS, which is taken where it
	// was fetched, with kernels that are right on every CPU.
	t.Setenv("LD_LIBRARY_PATH", filepath.Join(filepath.Dir(torchtest.File(t, "go.mod")), "build/openblas"))
	t.Setenv("OPENBLAS_CORETYPE", "Haswell")
	pictures := photographs(t)[:networkPhotographs]
	names, left := chosenNetworks(t, pythonNetworks(t, "--list"))
	t.Logf("tried: %s", strings.Join(names, ", "))
	t.Logf("left out, VIDI_NETWORKS=all tries them: %s", strings.Join(left, ", "))
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			begun := time.Now()
			dir := t.TempDir()
			pythonNetworks(t, name, "--out", dir)
			folder := filepath.Join(dir, "models")
			added := vidi(t, nil, "models", "add", filepath.Join(dir, name+".pt"), "--models", folder)
			if added.code != 0 {
				t.Fatalf("it was not added:\n%s", added.stderr)
			}
			path := filepath.Join(folder, name+"-1.pt")
			file, err := model.Inspect(path)
			if err != nil {
				t.Fatal(err)
			}
			trial := file.Card.Trial
			if trial == nil || !trial.Engine.Valid() {
				t.Fatalf("its card names no engine: %+v", trial)
			}
			for _, other := range trial.Engines {
				if other.Failure == "" && trial.Milliseconds > networkSlower*other.Milliseconds {
					t.Errorf("%s was chosen at %.1f ms, but %s", trial.Engine, trial.Milliseconds, other)
				}
			}
			off := compareProbabilities(t, path, pictures, 2)
			t.Logf("%v, %d × %d; probabilities off by %.1e; %.0f s", trial.Engines, file.Card.Input.Height(), file.Card.Input.Width(), off, time.Since(begun).Seconds())
		})
	}
}

// compareProbabilities returns by how much the probabilities differ from Python's, and fails where that is too
// much, another class is first, or fewer classes than classesAtLeast come first.
func compareProbabilities(t *testing.T, path string, pictures []string, classesAtLeast int) float64 {
	want := runReference(t, path, nil, pictures)
	c := openClassifier(t, path, engine.FP32)
	card, worst, classes := c.Card(), 0.0, map[int]bool{}
	for _, name := range pictures {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		ref := want[name]
		all, err := model.Probabilities(card.Activation, card.Temperature, ref.logits)
		if err != nil {
			t.Fatal(err)
		}
		logits, err := c.Engine().Infer(t.Context(), ref.input)
		if err != nil {
			t.Fatal(err)
		}
		got, err := model.Probabilities(card.Activation, card.Temperature, logits)
		if err != nil {
			t.Fatal(err)
		}
		for i := range all {
			worst = math.Max(worst, math.Abs(got[i]-all[i]))
		}
		result := c.Card().Labels[model.TopK(got, 1)[0]].Label
		if first := classifyBytes(t, c, data, preprocess.Options{}).Predictions[0]; first.Label.Label != result {
			t.Errorf("%s: %s end to end, %s from the reference's input", filepath.Base(name), first.Label.Label, result)
		}
		if margin(ref) > networkProbability && model.TopK(got, 1)[0] != ref.TopK[0].ClassID {
			t.Errorf("%s: %s, Python says %s", filepath.Base(name), result, ref.TopK[0].Label)
		}
		classes[ref.TopK[0].ClassID] = true
	}
	if !(worst <= networkProbability) {
		t.Errorf("probabilities differ from Python's by up to %g, more than %g", worst, networkProbability)
	}
	if len(classes) < classesAtLeast {
		t.Error("every photograph gets the same answer, which proves too little")
	}
	return worst
}

// chosenNetworks are those to try now, and the others.
func chosenNetworks(t *testing.T, list string) (chosen, left []string) {
	wanted := os.Getenv("VIDI_NETWORKS")
	share := today(6)
	for i, line := range strings.Split(strings.TrimSpace(list), "\n") {
		name, _, _ := strings.Cut(line, " ")
		switch {
		case wanted == "all", wanted == name, wanted == "" && i%6 == share:
			chosen = append(chosen, name)
		default:
			left = append(left, name)
		}
	}
	if len(chosen) == 0 {
		t.Fatalf("VIDI_NETWORKS is %q; use all, or one of %s", wanted, strings.Join(left, ", "))
	}
	return chosen, left
}

// pythonNetworks runs tools/networks.
func pythonNetworks(t *testing.T, args ...string) string {
	t.Helper()
	root := filepath.Dir(torchtest.File(t, "go.mod"))
	interpreter := filepath.Join(root, "build/networks-venv/bin/python")
	if _, err := os.Stat(interpreter); err != nil {
		missing(t, "there is no build/networks-venv with timm; `make build/networks-venv` makes it")
	}
	cmd := exec.Command(interpreter, append([]string{filepath.Join(root, "tools/networks/networks.py")}, args...)...)
	cmd.Stderr = os.Stderr
	output, err := cmd.Output()
	if err != nil {
		t.Fatalf("making the network: %v\n%s", err, output)
	}
	return string(output)
}
