package e2e

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/vidi-vision/vidi/torchbind/torchtest"
)

// labelled are rows of a CSV file: a file that is not there, and photographs of the repository, the rocket under a wrong name.
func labelled(t *testing.T, dir string) [][]string {
	rows := [][]string{{"file", "label"}, {filepath.Join(dir, "none.jpg"), "cup"}}
	for name, label := range map[string]string{"espresso.png": "espresso", "cat.png": "Egyptian_cat", "rocket.jpg": "alp", "flower.jpg": "daisy"} {
		rows = append(rows, []string{torchtest.File(t, "examples/"+name), label})
	}
	return rows
}

func dataset(t *testing.T, dir string, rows [][]string) string {
	t.Helper()
	set := filepath.Join(dir, "set.csv")
	f, err := os.Create(set)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(csv.NewWriter(f).WriteAll(rows), f.Close()); err != nil {
		t.Fatal(err)
	}
	return set
}

// The photographs of the repository, with a wrong label and a file that is none: the counts, the report, a second model beside the
// first, and a second run that has nothing left to do.
func TestEval(t *testing.T) {
	dir := t.TempDir()
	rows := labelled(t, dir)
	set := dataset(t, dir, rows)
	out := filepath.Join(dir, "out")
	arguments := []string{"eval", set, "--model", "efficientnet-lite0", "--against", "efficientnet-lite0-int8", "--out", out, "--format", "json"}
	r := vidi(t, nil, arguments...)
	var summary struct {
		Measures struct {
			Pictures, Failed int
			Top1             float64
			Classes          []struct{ Recall float64 }
		}
		Comparison struct{ Pictures int }
	}
	if err := json.Unmarshal([]byte(r.stdout), &summary); r.code != 0 || err != nil {
		t.Fatalf("%v: %+v", err, r)
	}
	// What `vidi classify` says of these four decides what is right.
	right := 0
	for _, row := range rows[2:] {
		first := vidi(t, nil, "classify", "--model", "efficientnet-lite0", "--top-k", "1", "--format", "json", row[0])
		if strings.Contains(first.stdout, `"`+strings.ReplaceAll(row[1], "_", " ")+`"`) {
			right++
		}
	}
	if m := summary.Measures; m.Pictures != 4 || m.Failed != 1 || m.Top1 != float64(right)/4 || right == 0 || right == 4 || len(m.Classes) != 4 || summary.Comparison.Pictures != 4 {
		t.Errorf("%d right, but the summary is %s", right, r.stdout)
	}
	page := string(read(t, filepath.Join(out, "report.html")))
	for _, want := range []string{"espresso (浓缩咖啡)", "data:image/jpeg;base64,", "none.jpg", "Beside efficientnet-lite0-int8"} {
		wantIn(t, "the report", page, want)
	}

	journals, err := filepath.Glob(filepath.Join(out, "*.jsonl"))
	if err != nil || len(journals) != 2 {
		t.Fatalf("journals %v, %v", journals, err)
	}
	before := read(t, journals[0])
	if again := vidi(t, nil, arguments...); again.code != 0 || again.stdout != r.stdout {
		t.Errorf("a second run: %+v", again)
	}
	if added := strings.Count(string(read(t, journals[0])), "\n") - strings.Count(string(before), "\n"); added != 1 {
		t.Errorf("a second run wrote %d records; only the file that is not there is tried again", added)
	}

	if r := vidi(t, nil, "eval", t.TempDir(), "--model", "efficientnet-lite0", "--out", out); r.code != 3 || !strings.Contains(r.stderr, "sub-folders named like classes") {
		t.Errorf("a folder without classes: %+v", r)
	}
}

// A new version with a temperature and a threshold: the same order of names, and other percentages. Fitting the new one
// again finds the same temperature, which shows that the outputs were recovered from its probabilities.
func TestModelsCalibrate(t *testing.T) {
	dir := t.TempDir()
	set := dataset(t, dir, labelled(t, dir))
	folder := t.TempDir()
	put(t, folder, "m.pt", read(t, torchtest.File(t, "build/models/efficientnet-lite0.pt")))
	calibrate := func(ref, version string) float64 {
		r := vidiModels(t, folder, "calibrate", ref, set, "--sure", "70", "--version", version)
		found := regexp.MustCompile(`^temperature  ([0-9.]+) .*, of 4 pictures`).FindStringSubmatch(r.stdout)
		if r.code != 0 || found == nil {
			t.Fatalf("%+v", r)
		}
		temperature, err := strconv.ParseFloat(found[1], 64)
		if err != nil {
			t.Fatal(err)
		}
		return temperature
	}
	first := calibrate("efficientnet-lite0@1", "1-calibrated")
	if again := calibrate("efficientnet-lite0@1-calibrated", "2"); math.Abs(again-first) > 2e-3 { // printed with 3 digits, of float32 logits
		t.Errorf("temperature %v, and %v of the model that has it", first, again)
	}
	answer := func(version string) (names []string, confidence float64) {
		r := vidi(t, nil, "classify", "--models", folder, "--model", "efficientnet-lite0@"+version, "--format", "jsonl", torchtest.File(t, "examples/rocket.jpg"))
		var line struct {
			Predictions []struct {
				Label      string
				Confidence float64
			}
		}
		if err := json.Unmarshal([]byte(r.stdout), &line); r.code != 0 || err != nil {
			t.Fatalf("%v: %+v", err, r)
		}
		for _, p := range line.Predictions {
			names = append(names, p.Label)
		}
		return names, line.Predictions[0].Confidence
	}
	names, confidence := answer("1")
	calibrated, other := answer("1-calibrated")
	// The wrong name makes the model look too sure of itself, so that all of its answers become less so.
	if !slices.Equal(names, calibrated) || first <= 1 || other >= confidence {
		t.Errorf("temperature %v: %v %v became %v %v", first, names, confidence, calibrated, other)
	}
	if r := vidiModels(t, folder, "show", "efficientnet-lite0@1-calibrated"); r.code != 0 || !strings.Contains(r.stdout, "not sure") || !strings.Contains(r.stdout, "temperature") {
		t.Errorf("show: %+v", r)
	}
}
