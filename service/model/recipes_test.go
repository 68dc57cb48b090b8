package model

import (
	"compress/gzip"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vidi-vision/vidi/torchbind/torchtest"
)

// Weights of every classifier of torchvision's, and the ways to pickle them, are recognised, and the Python that the message has
// makes a TorchScript file of them.
func TestWeightsAreNamedAndRecipesRun(t *testing.T) {
	dir := t.TempDir()
	python := torchtest.File(t, "build/venv/bin/python")
	if out, err := exec.Command(python, "testdata/make_weights.py", dir).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	text, err := os.ReadFile(filepath.Join(dir, "expected.json"))
	if err != nil {
		t.Fatal(err)
	}
	var expected map[string]struct {
		Contains string
		Run      bool
	}
	if err := json.Unmarshal(text, &expected); err != nil || len(expected) < 60 {
		t.Fatalf("%d files: %v", len(expected), err)
	}
	ran := 0
	for name, want := range expected {
		_, err := Inspect(filepath.Join(dir, name))
		var refusal *NotTorchScriptError
		if !errors.As(err, &refusal) || !strings.Contains(err.Error(), want.Contains) {
			t.Errorf("%s: want %q in: %v", name, want.Contains, err)
			continue
		}
		if want.Run {
			ran++
			runRecipe(t, python, name, refusal.Do)
		}
	}
	if ran < 10 {
		t.Errorf("only %d recipes were run", ran)
	}
}

// runRecipe runs the indented lines of a refusal, and wants the TorchScript file that they are to write.
func runRecipe(t *testing.T, python, name, advice string) {
	t.Helper()
	var recipe []string
	for line := range strings.Lines(advice) {
		if code, indented := strings.CutPrefix(line, "    "); indented {
			recipe = append(recipe, code)
		}
	}
	folder := t.TempDir()
	run := exec.Command(python, "-W", "ignore", "-c", strings.Join(recipe, ""))
	run.Dir = folder
	if out, err := run.CombinedOutput(); err != nil {
		t.Errorf("%s: the recipe does not run: %v\n%s\n%s", name, err, advice, out)
		return
	}
	if _, err := Inspect(filepath.Join(folder, "model.pt")); err != nil {
		t.Errorf("%s: the recipe wrote: %v", name, err)
	}
}

// testdata/make_timm_shapes.py wrote the shapes.
func TestTimmWeightsAreNamed(t *testing.T) {
	file, err := os.Open("testdata/timm_shapes.json.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	unpacked, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	var all map[string]map[string][]int64
	if err := json.NewDecoder(unpacked).Decode(&all); err != nil || len(all) < 29 {
		t.Fatalf("%d networks: %v", len(all), err)
	}
	others := []string{
		"mobilenetv2_050", "mnasnet_100", "semnasnet_100", "spnasnet_100", "tinynet_a", "tinynet_b", "mobilenetv3_large_075",
		"efficientnet_lite1", "lcnet_100", "tf_mobilenetv3_large_minimal_100",
	}
	for _, name := range others {
		if a := (weights{shapes: all[name]}).recognise(); len(all[name]) == 0 || a != nil {
			t.Errorf("%s of %d tensors is taken for %+v", name, len(all[name]), a)
		}
	}
	for name, shapes := range all {
		if slices.Contains(others, name) {
			continue
		}
		a := weights{shapes: shapes}.recognise()
		if a == nil || a.name != "timm's "+name || a.classes != 7 || !strings.Contains(a.build, `"`+name+`"`) {
			t.Errorf("%s is taken for %+v", name, a)
		}
	}
}

func TestOtherWeightsAreNamed(t *testing.T) {
	for _, c := range []struct {
		shapes map[string][]int64
		want   string
	}{
		{map[string][]int64{"vit.embeddings.cls_token": {1, 1, 64}, "classifier.weight": {5, 64}}, "a vit classifier of Hugging Face's transformers"},
		{map[string][]int64{"_conv_stem.weight": {32}, "_blocks.0._depthwise_conv.weight": {32}, "_blocks.15._bn2.weight": {1}, "_fc.weight": {3, 1280}}, "efficientnet_pytorch's efficientnet-b0"},
		{map[string][]int64{"net.0.weight": {32, 3}}, ""},
		// Widths and sizes that no network of torchvision's or timm's has.
		{map[string][]int64{
			"conv_proj.weight": {640, 3, 14, 14}, "encoder.layers.encoder_layer_0.ln_1.weight": {640}, "heads.head.weight": {5, 640},
			"encoder.pos_embedding": {1, 257, 640},
		}, ""},
		{map[string][]int64{"stage2.0.branch2.0.weight": {30, 24}, "conv5.0.weight": {512}, "fc.weight": {5, 512}}, ""},
		{map[string][]int64{
			"patch_embed.proj.weight": {192, 3, 8, 8}, "blocks.0.attn.qkv.weight": {576, 192}, "head.weight": {5, 192},
			"pos_embed": {1, 65, 192}, "cls_token": {1, 1, 192},
		}, ""},
		{nil, ""},
	} {
		got := ""
		if a := (weights{shapes: c.shapes}).recognise(); a != nil {
			got = a.name
		}
		if got != c.want {
			t.Errorf("%v is taken for %q, not %q", c.shapes, got, c.want)
		}
	}
}

func TestUltralyticsCheckpointsAreNamed(t *testing.T) {
	for class, want := range map[string]string{
		"ultralytics.nn.tasks\nClassificationModel": "yolo export format=torchscript model=",
		"ultralytics.nn.tasks\nDetectionModel":      "another task",
		"models.yolo\nClassificationModel":          "export.py",
		"fastai.learner\nLearner":                   "load_learner",
	} {
		value, _, err := readPickle([]byte("\x80\x02}X\x05\x00\x00\x00modelc" + class + "\n)\x81s."))
		if err != nil {
			t.Fatal(err)
		}
		if _, do := explainPickle("best.pt", "a state_dict", value); !strings.Contains(do, want) {
			t.Errorf("%s: want %q in %q", class, want, do)
		}
	}
}

// No pickle makes the reader crash, or spend more than its steps.
func FuzzPickle(f *testing.F) {
	f.Add([]byte("\x80\x02}q\x00(X\x01\x00\x00\x00ac__main__\nA\n)\x81u."))
	f.Add([]byte("\x80\x02]q\x00h\x00a."))
	f.Add([]byte("\x80\x02(((t0222\x85\x86."))
	f.Add([]byte(cyclicPickle))
	f.Fuzz(func(t *testing.T, data []byte) {
		if value, length, err := readPickle(data); err == nil {
			if length > len(data) {
				t.Errorf("it ends at %d of %d", length, len(data))
			}
			explainPickle("x", "a state_dict", value)
		}
	})
}
