package e2e

import (
	"bytes"
	"image"
	"image/png"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vidi-vision/vidi/torchbind/torchtest"
)

// Small networks that an earlier vidi refused, misread, or died of. Each is served as it is, and added. Half of
// them are compared with Python at a time, the other half on the next day.
func TestCasesOfModels(t *testing.T) {
	folder := shared(t, "cases/models")
	espresso := read(t, torchtest.File(t, "examples/espresso.png"))
	for i, c := range []struct {
		file    string
		refusal string // of `models add`; "" if it is taken
	}{
		{"model_f_max_pool2d.pt", ""},
		{"model_scripted_loop.pt", ""},
		{"model_layer_norm_no_weight.pt", ""},
		{"model_output_n_c_1_1.pt", ""},
		{"model_scripted_helper_error_kills_server.pt", ""},
		{"model_ultralytics_like.torchscript", ""},
		{"model_half_helper_method.pt", "Its weights are in 16 bits. Export it in 32: model.float()"},
	} {
		t.Run(c.file, func(t *testing.T) {
			models, path := t.TempDir(), filepath.Join(folder, c.file)
			added := vidi(t, nil, "models", "add", path, "--models", models, "--name", "it")
			if c.refusal != "" {
				if added.code != 1 || !strings.Contains(added.stderr, c.refusal) {
					t.Errorf("exit code %d:\n%s", added.code, added.stderr)
				}
				return
			}
			if added.code != 0 {
				t.Fatalf("refused:\n%s", added.stderr)
			}
			s := start(t, "--models", models, "--model", "it").ready(t)
			if code, body := s.post(t, "image/png", espresso); code != 200 || !strings.Contains(string(body), `"probability"`) {
				t.Errorf("served: %d %s", code, body)
			}
			switch {
			case c.file == "model_output_n_c_1_1.pt", c.file == "model_ultralytics_like.torchscript":
				t.Log("not compared: Python's side knows no such network")
			case i%2 != today(2):
				t.Log("compared with Python tomorrow")
			default:
				off := compareProbabilities(t, filepath.Join(models, "it-1.pt"), photographs(t)[:networkPhotographs], 1)
				t.Logf("probabilities off by %.1e", off)
			}
		})
	}
}

// An operator that throws inside a helper method of a scripted network ended the process, where libtorch
// followed pointers into methods that freezing had removed. It costs one answer, with every engine.
func TestAnErrorInAHelperMethodCostsOneAnswer(t *testing.T) {
	espresso := read(t, torchtest.File(t, "examples/espresso.png"))
	for _, c := range []struct{ model, image string }{
		{filepath.Join(shared(t, "cases/models"), "model_scripted_helper_error_kills_server.pt"), filepath.Join(shared(t, "cases/images"), "red.png")},
		{torchtest.File(t, "build/fixtures/throws_in_helper.pt"), ""},
	} {
		for _, precision := range []string{"fp32", "bf16"} {
			s := start(t, "--model", c.model, "--precision", precision).ready(t)
			bad := white(t)
			if c.image != "" {
				bad = read(t, c.image)
			}
			for range 4 { // while it is recorded, compiled, and afterwards; on one worker and on all threads
				if code, body := s.post(t, "image/png", bad); code != 500 || !strings.Contains(string(body), "inference_failed") {
					t.Errorf("%s in %s: %d %s", filepath.Base(c.model), precision, code, body)
				}
				if code, body := s.post(t, "image/png", espresso); code != 200 {
					t.Errorf("%s in %s, then: %d %s", filepath.Base(c.model), precision, code, body)
				}
			}
			if s.gone() {
				t.Fatalf("the server has ended:\n%s", s.stderr)
			}
		}
	}
}

// white is a white image.
func white(t *testing.T) []byte {
	t.Helper()
	img := image.NewGray(image.Rect(0, 0, 64, 64))
	for i := range img.Pix {
		img.Pix[i] = 255
	}
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
