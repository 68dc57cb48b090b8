package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vidi-vision/vidi/torchbind/torchtest"
)

// What no file says is assumed with a note each, and a preset, or an option, takes the note away.
func TestModelsAddSaysWhatItAssumes(t *testing.T) {
	folder := t.TempDir()
	const mean, std, filter, size, resize, softmax, names = "ImageNet's, 0.485, 0.456, 0.406", "ImageNet's, 0.229", "bilinear is assumed",
		"of any size", "a shorter side of 256 is assumed", "softmax is assumed", "class_0 to class_"
	for _, c := range []struct {
		args    []string
		says    []string
		silent  []string
		printed string
	}{
		{[]string{built(t, "bare_traced.pt")}, []string{mean, std, filter, size, resize, softmax, names}, nil, "softmax"},
		{[]string{built(t, "bare_traced.pt"), "--preset=half", "--crop=96", "--activation=sigmoid"}, []string{names},
			[]string{mean, std, filter, size, resize, softmax}, "the whole image, squeezed, bilinear, mean 0.5, 0.5, 0.5"},
		{[]string{built(t, "bare_traced.pt"), "--mean=0,0,0", "--resize=64,80", "--crop=64,80", "--interpolation=lanczos"},
			[]string{std, softmax, names}, []string{mean, filter, size, resize}, "64 × 80 out of the whole image, squeezed, lanczos, mean 0, 0, 0"},
		{[]string{built(t, "takes_bytes.pt")}, []string{"values from 0 to 255", resize}, []string{mean, std}, "std 0.003922"},
		{[]string{built(t, "embedding.pt")}, []string{"512 outputs and no labels: is that an embedding"}, nil, "class_0"},
		{[]string{built(t, "fixed128x64.pt")}, []string{"128 × 64 out of the whole image, squeezed is assumed"}, []string{size}, "128 × 64"},
		{[]string{built(t, "softmax.pt")}, []string{"probabilities already"}, []string{softmax}, "none"},
		{[]string{built(t, "tiny.pt")}, nil, []string{"note:"}, "softmax"}, // its card says everything
	} {
		r := vidiModels(t, folder, append([]string{"add", "--force"}, c.args...)...)
		if r.code != 0 || !strings.Contains(r.stdout, c.printed) {
			t.Errorf("%v: want %q in %+v", c.args, c.printed, r)
		}
		for _, want := range c.says {
			if !strings.Contains(r.stderr, want) {
				t.Errorf("%v: no %q in\n%s", c.args, want, r.stderr)
			}
		}
		for _, unwanted := range c.silent {
			if strings.Contains(r.stderr, unwanted) {
				t.Errorf("%v: there is %q in\n%s", c.args, unwanted, r.stderr)
			}
		}
	}
}

// Folders and files of other systems are named, with what to do.
func TestModelsAddNamesOtherSystems(t *testing.T) {
	dir := t.TempDir()
	put := func(name string, content []byte) {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	read := func(name string) []byte {
		data, err := os.ReadFile(built(t, name))
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	put("mlflow/MLmodel", []byte("flavors:\n  pytorch:\n"))
	put("mlflow/data/model.pth", read("pickled_module.pth"))
	put("mlflow-script/MLmodel", []byte("flavors:\n  pytorch:\n"))
	put("mlflow-script/data/model.pth", read("bare_traced.pt"))
	put("mlflow-trees/MLmodel", []byte("flavors:\n  sklearn:\n"))
	put("saved/saved_model.pb", []byte{8, 1})
	put("apple.mlpackage/Manifest.json", []byte("{}"))
	put("apple.mlpackage/Data/x", nil)
	put("yolo_openvino_model/yolo.xml", []byte("<?xml version=\"1.0\"?><net>"))
	put("yolo_openvino_model/yolo.bin", nil)
	put("yolo_openvino_model/metadata.yaml", nil)
	put("one/model.pt", read("bare_traced.pt"))
	put("nothing/readme.txt", nil)
	for name, want := range map[string][2]string{
		"mlflow":              {"an MLflow model, and its data/model.pth is a pickled Python object", "mlflow.pytorch.load_model"},
		"mlflow-trees":        {"of another library", "PyTorch"},
		"saved":               {"a TensorFlow SavedModel", "torch.jit.trace"},
		"apple.mlpackage":     {"a Core ML package", "torch.jit.trace"},
		"yolo_openvino_model": {"an OpenVINO network (yolo.xml", "yolo export model=best.pt format=torchscript"},
		"one":                 {"one model in it", "one/model.pt"},
		"nothing":             {"config.json beside a traced .pt", "--labels"},
	} {
		r := vidiModels(t, filepath.Join(dir, "models"), "add", filepath.Join(dir, name))
		if r.code != 1 || !strings.Contains(r.stderr, want[0]) || !strings.Contains(r.stderr, want[1]) {
			t.Errorf("%s: want %q in %+v", name, want, r)
		}
	}
	if r := vidiModels(t, filepath.Join(dir, "models"), "add", filepath.Join(dir, "mlflow-script")); r.code != 0 || !strings.Contains(r.stderr, "Added mlflow-script 1") {
		t.Errorf("TorchScript of MLflow's: %+v", r)
	}
}

// The files that were brought with wrong preprocessing or advice.
func TestModelsAddTakesTheCases(t *testing.T) {
	folder := t.TempDir()
	r := vidiModels(t, folder, "add", shared(t, "cases/models/model_ultralytics_like.torchscript"))
	for _, want := range []string{"model_ultralytics_like 1", "224 × 224 out of a shorter side of 224", "mean 0, 0, 0, std 1, 1, 1", "activation  none", "3: cat, dog, neither"} {
		if r.code != 0 || !strings.Contains(r.stdout, want) {
			t.Errorf("want %q in %+v", want, r)
		}
	}
	if strings.Contains(r.stderr, "assumed") || !strings.Contains(r.stderr, "extra/config.txt") {
		t.Errorf("everything is known: %s", r.stderr)
	}
	if r := vidiModels(t, folder, "add", shared(t, "cases/models/model_half_helper_method.pt")); r.code == 0 || !strings.Contains(r.stderr, "model.float()") {
		t.Errorf("16-bit weights: %+v", r)
	}
	// The file answers as well without being added.
	image := torchtest.File(t, "examples/cat.png")
	added := vidi(t, nil, "classify", "--models", folder, "--model", "model_ultralytics_like", "--format=csv", image)
	bare := vidi(t, nil, "classify", "--model", shared(t, "cases/models/model_ultralytics_like.torchscript"), "--format=csv", image)
	if added.code != 0 || !strings.Contains(added.stdout, "neither") || bare.stdout != added.stdout || strings.Contains(bare.stderr, "assum") {
		t.Errorf("added: %+v\nas it is: %+v", added, bare)
	}
}
