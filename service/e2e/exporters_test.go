package e2e

import (
	"encoding/json"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/vidi-vision/vidi/torchbind/torchtest"
)

// TestExportsOfOtherLibrariesAnswerAsTheyDo adds what Ultralytics, timm and Hugging Face write, without a flag, and compares the
// answers with those of their own preprocessing. Where it is not used to the letter, the network sees another image: ImageNet's in
// place of the right one moves the probabilities by tenths.
func TestExportsOfOtherLibrariesAnswerAsTheyDo(t *testing.T) {
	images, err := filepath.Glob(torchtest.File(t, "examples") + "/*.[jp][pn]g")
	if err != nil || len(images) < 8 {
		t.Fatalf("%d example photographs: %v", len(images), err)
	}
	folder := t.TempDir()
	make := exec.Command(python(t), append([]string{"testdata/exporters.py", folder,
		torchtest.File(t, "build/models/efficientnet-lite0.pt")}, images...)...)
	make.Stderr = os.Stderr
	if err := make.Run(); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(folder, "expected.json"))
	if err != nil {
		t.Fatal(err)
	}
	var expected map[string]struct {
		Add     string
		Answers [][][3]any // of each image: class, label, probability
	}
	if err := json.Unmarshal(text, &expected); err != nil || len(expected) < 8 {
		t.Fatalf("%d exports: %v", len(expected), err)
	}
	models := filepath.Join(folder, "models")
	for name, export := range expected {
		if r := vidiModels(t, models, "add", "--name", name, export.Add); r.code != 0 {
			t.Errorf("%s is not added: %s", name, r.stderr)
			continue
		}
		r := vidi(t, nil, append([]string{"classify", "--models", models, "--model", name, "--format=json", "--top-k=1000"}, images...)...)
		var results []struct {
			Predictions []struct {
				ClassID     int `json:"class_id"`
				Label       string
				Probability float64
			}
		}
		if err := json.Unmarshal([]byte(r.stdout), &results); err != nil || len(results) != len(images) {
			t.Errorf("%s: %v in %+v", name, err, r)
			continue
		}
		for i, answer := range export.Answers {
			got := map[int]float64{}
			for _, p := range results[i].Predictions {
				got[p.ClassID] = p.Probability
			}
			first := results[i].Predictions[0]
			if first.Label != answer[0][1].(string) {
				t.Errorf("%s, %s: %s, but Python says %v", name, filepath.Base(images[i]), first.Label, answer[0])
			}
			for _, want := range answer {
				if p := got[int(want[0].(float64))]; math.Abs(p-want[2].(float64)) > 1e-3 { // fp32 sums in another order
					t.Errorf("%s, %s: %v has %.4f, but Python says %.4f", name, filepath.Base(images[i]), want[1], p, want[2])
				}
			}
		}
	}
}
