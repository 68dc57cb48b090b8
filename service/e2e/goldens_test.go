package e2e

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"math"
	"os"
	"testing"

	"github.com/vidi-vision/vidi/service/engine"
	"github.com/vidi-vision/vidi/service/preprocess"
	"github.com/vidi-vision/vidi/torchbind/torchtest"
)

// golden is what the reference said of one picture when testdata/make_goldens.py was run.
type golden struct {
	Width       int
	Height      int
	InputSHA256 string `json:"input_sha256"`
	Deviation   float64
	Top         [2]float64      // class, confidence
	Logits      map[int]float64 // some of them
}

// The same comparison as TestParity, for machines without the Python reference.
func TestGoldens(t *testing.T) {
	torchtest.NoLeaks(t)
	data, err := os.ReadFile("testdata/goldens.json")
	if err != nil {
		t.Fatal(err)
	}
	var all map[string]json.RawMessage
	if err := json.Unmarshal(data, &all); err != nil {
		t.Fatal(err)
	}
	for file, minDeviation := range models {
		name := file[:len(file)-len(".pt")]
		var goldens map[string]golden
		if err := json.Unmarshal(all[name], &goldens); err != nil || len(goldens) != 8 {
			t.Fatalf("%s: %d goldens, want 8 (%v)", name, len(goldens), err)
		}
		c := openClassifier(t, torchtest.File(t, "build/models/"+file), engine.FP32)
		preparer, err := preprocess.New(preprocess.DefaultLimits())
		if err != nil {
			t.Fatal(err)
		}
		spec := preprocess.SpecFor(c.Card().Input)
		worst, classes := 0.0, map[float64]bool{}
		for picture, want := range goldens {
			data, err := os.ReadFile(torchtest.File(t, "examples/"+picture))
			if err != nil {
				t.Fatal(err)
			}
			got, err := preparer.Prepare(context.Background(), data, spec, preprocess.Options{})
			if err != nil {
				t.Fatal(err)
			}
			if sum := sha256.Sum256(got.RGB); hex.EncodeToString(sum[:]) != want.InputSHA256 || got.Width != want.Width || got.Height != want.Height {
				t.Errorf("%s, %s: the network's input is not the reference's", name, picture)
			}
			alone, shared := inferBothWays(t, c.Engine(), got.RGB)
			if want.Deviation < minDeviation || len(want.Logits) < 20 {
				t.Errorf("%s, %s: this golden proves too little", name, picture)
			}
			for class, value := range want.Logits {
				worst = math.Max(worst, math.Abs(float64(alone[class])-value)/want.Deviation)
				worst = math.Max(worst, math.Abs(float64(shared[class])-value)/want.Deviation)
			}
			answer := classifyBytes(t, c, data, preprocess.Options{}).Predictions[0]
			if float64(answer.ClassID) != want.Top[0] || math.Abs(answer.Confidence()-want.Top[1]) > 100*maxProbabilityError {
				t.Errorf("%s, %s: %d with %.1f %%, want %v", name, picture, answer.ClassID, answer.Confidence(), want.Top)
			}
			classes[want.Top[0]] = true
		}
		t.Logf("%s: logits are off by at most %.2g standard deviations (bound %g), %d classes", name, worst, maxLogitError, len(classes))
		if !(worst <= maxLogitError) {
			t.Errorf("%s: logits are off by %g standard deviations, more than %g", name, worst, maxLogitError)
		}
		if len(classes) < 5 { // of eight photographs
			t.Errorf("%s: the goldens have only %d different answers", name, len(classes))
		}
	}
}

// inferBothWays infers with both of the engine's modules: as a picture that has the machine to itself, and as one among others.
func inferBothWays(t *testing.T, e *engine.Engine, rgb []byte) (alone, shared []float32) {
	t.Helper()
	if _, err := e.WaitAlone(context.Background()); err != nil {
		t.Fatal(err)
	}
	alone, err := e.Infer(context.Background(), rgb)
	if err != nil {
		t.Fatal(err)
	}
	if e.Plan().Workers < 2 {
		return alone, alone
	}
	other, err := e.Begin(context.Background(), nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer other.End()
	if shared, err = e.Infer(context.Background(), rgb); err != nil {
		t.Fatal(err)
	}
	return alone, shared
}
