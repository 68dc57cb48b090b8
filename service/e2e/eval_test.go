package e2e

import (
	"encoding/csv"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vidi-vision/vidi/torchbind/torchtest"
)

// The photographs of the repository, with a wrong label and a file that is none: the counts, the report, a second model beside the
// first, and a second run that has nothing left to do.
func TestEval(t *testing.T) {
	dir := t.TempDir()
	rows := [][]string{{"file", "label"}, {filepath.Join(dir, "none.jpg"), "cup"}}
	for name, label := range map[string]string{"espresso.png": "espresso", "cat.png": "Egyptian_cat", "rocket.jpg": "alp", "flower.jpg": "daisy"} {
		rows = append(rows, []string{torchtest.File(t, "examples/"+name), label})
	}
	set := filepath.Join(dir, "set.csv")
	f, err := os.Create(set)
	if err != nil {
		t.Fatal(err)
	}
	if err := csv.NewWriter(f).WriteAll(rows); err != nil {
		t.Fatal(err)
	}
	f.Close()
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
