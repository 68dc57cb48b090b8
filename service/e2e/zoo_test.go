package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vidi-vision/vidi/service/engine"
	"github.com/vidi-vision/vidi/torchbind/torchtest"
)

// zooAlways are compared in every run: the smallest network, with hard swishes and gates, and the one whose pictures are resized
// with the bicubic filter. The others differ from them and from ResNet-18 in nothing that has code of its own here.
var zooAlways = []string{"mobilenet-v3-small-seeded", "efficientnet-b0-seeded"}

// zooLevels is what is told of one model in the table of docs/model-zoo.md.
type zooLevels struct {
	Pictures    int     `json:"pictures"`
	Samples     float64 `json:"samples"`     // of the network's uint8 input that differ
	Logits      float64 `json:"logits"`      // the worst difference, in standard deviations
	Probability float64 `json:"probability"` // the worst difference, of 1
	Changed     int     `json:"changed"`     // first answers that lead by more than half a point and are others
}

// TestParityOfZoo holds the models of tools/export against the Python reference as TestParity does. `make zoo` runs it on all of
// them, which takes some minutes, and names the file for the table.
func TestParityOfZoo(t *testing.T) {
	file, names := os.Getenv("VIDI_ZOO_FILE"), zooAlways
	if file != "" {
		paths, err := filepath.Glob(filepath.Join(filepath.Dir(torchtest.File(t, "build/zoo/efficientnet-b0-seeded.pt")), "*.pt"))
		if err != nil || len(paths) < 7 {
			t.Fatalf("build/zoo has %d models, want at least seven (%v)", len(paths), err)
		}
		names = nil
		for _, path := range paths {
			names = append(names, strings.TrimSuffix(filepath.Base(path), ".pt"))
		}
	}
	pictures, all := photographs(t), map[string]zooLevels{}
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			torchtest.NoLeaks(t)
			minDeviation := 0.5 // a trained network's logits are what they are
			if strings.HasSuffix(name, "-seeded") {
				minDeviation = 1
			}
			path := torchtest.File(t, "build/zoo/"+name+".pt")
			// In fp32 alone: bfloat16's rounding grows with depth where the weights are random, and nothing has taught margins.
			levels := compareWithReference(t, openClassifier(t, path, engine.FP32), pictures, runReference(t, path, nil, pictures), minDeviation)
			printLevels(t, name, levels)
			all[name] = zooLevels{Pictures: levels[1].pictures, Samples: levels[1].worst, Logits: levels[2].worst, Probability: levels[3].worst, Changed: levels[4].failed}
		})
	}
	if file == "" || t.Failed() {
		return
	}
	data, err := json.MarshalIndent(all, "", "  ")
	if err == nil {
		err = os.WriteFile(file, data, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}
