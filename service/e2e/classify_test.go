package e2e

import (
	"encoding/csv"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vidi-vision/vidi/service/api"
	"github.com/vidi-vision/vidi/torchbind/torchtest"
)

const lite0 = "--model=efficientnet-lite0"

func read(t testing.TB, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestClassifyText(t *testing.T) {
	r := vidi(t, nil, "classify", lite0, torchtest.File(t, "examples/espresso.png"))
	if r.code != 0 || r.stderr != "" || !strings.Contains(r.stdout, "espresso.png  (600 × 400 png") || !strings.Contains(r.stdout, "95.7 %") {
		t.Errorf("%+v", r)
	}
	if strings.ContainsAny(r.stdout, "█\x1b") {
		t.Errorf("bars or colours went into a pipe:\n%s", r.stdout)
	}
	if r = vidi(t, nil, "classify", lite0, "--lang=zh", torchtest.File(t, "examples/espresso.png")); !strings.Contains(r.stdout, "浓缩咖啡 (espresso)") {
		t.Errorf("in Chinese: %+v", r)
	}
}

func TestClassifyJSONOfOneIsTheArticlesList(t *testing.T) {
	for _, args := range [][]string{{torchtest.File(t, "examples/espresso.png")}, {"-"}} {
		r := vidi(t, read(t, torchtest.File(t, "examples/espresso.png")), append([]string{"classify", lite0, "--format=json"}, args...)...)
		const want = `[{"label": "espresso", "confidence": 95.7}, {"label": "cup", "confidence": 1.4}, {"label": "consomme", "confidence": 0.7}]` + "\n"
		if r.code != 0 || r.stdout != want {
			t.Errorf("%v: %+v", args, r)
		}
	}
}

func TestClassifyFolderPatternAndBadFiles(t *testing.T) {
	dir := t.TempDir()
	put := func(name string, data []byte) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	put("a/one.png", read(t, torchtest.File(t, "examples/espresso.png")))
	put("a/sub/TWO.JPG", read(t, torchtest.File(t, "examples/flower.jpg")))
	put("a/broken.jpg", []byte("\xff\xd8\xff\xe0 not really"))
	put("a/notes.txt", []byte("not taken from a folder"))
	put("a/.hidden/x.png", []byte("nor this"))
	if err := os.Mkdir(filepath.Join(dir, "empty"), 0o755); err != nil {
		t.Fatal(err)
	}
	args := []string{"classify", lite0, "--top-k=1", filepath.Join(dir, "a"), filepath.Join(dir, "a", "*.png"), filepath.Join(dir, "empty"),
		filepath.Join(dir, "gone.png"), filepath.Join(dir, "*.gif"), filepath.Join(dir, "a/notes.txt")}

	r := vidi(t, nil, append(args, "--format=jsonl")...)
	want := []struct{ name, label, problem string }{
		{"broken.jpg", "", "corrupt_image"}, {"one.png", "espresso", ""}, {"TWO.JPG", "daisy", ""}, {"one.png", "espresso", ""},
		{"empty", "", "no pictures"}, {"gone.png", "", "no such file"}, {"*.gif", "", "no file matches"}, {"notes.txt", "", "unsupported_format"},
	}
	lines := strings.Split(strings.TrimSpace(r.stdout), "\n")
	if r.code != 1 || len(lines) != len(want) || !strings.Contains(r.stderr, "5 of 8 pictures could not be classified") {
		t.Fatalf("%+v", r)
	}
	for i, line := range lines {
		var got api.Result
		if err := json.Unmarshal([]byte(line), &got); err != nil {
			t.Fatal(err)
		}
		label, problem := "", ""
		if got.Error != nil {
			problem = string(got.Error.Code) + " " + got.Error.Detail
		} else {
			label = got.Predictions[0].Label
		}
		if w := want[i]; filepath.Base(got.Filename) != w.name || label != w.label || !strings.Contains(problem, w.problem) || got.Index != i {
			t.Errorf("line %d: want %+v in %s", i, w, line)
		}
	}

	var all []api.Result
	if r = vidi(t, nil, append(args, "--format=json")...); r.code != 1 || json.Unmarshal([]byte(r.stdout), &all) != nil || len(all) != len(want) {
		t.Errorf("json: code %d, %d results\n%s", r.code, len(all), r.stdout)
	}
	r = vidi(t, nil, append(args, "--format=csv")...)
	rows, err := csv.NewReader(strings.NewReader(r.stdout)).ReadAll()
	if err != nil || len(rows) != len(want)+1 || rows[2][4] != "efficientnet-lite0" || rows[2][5] != "espresso" || rows[2][7] != "95.7" || rows[1][len(rows[1])-1] != "corrupt_image" {
		t.Errorf("csv: %v, %d rows\n%s", err, len(rows), r.stdout)
	}
	r = vidi(t, nil, args...)
	if r.code != 1 || strings.Count(r.stderr, "\n") != 7 || !strings.Contains(r.stderr, "left out of folders: 1 whose names do not end like a picture's (.txt)\n") || !strings.Contains(r.stderr, "gone.png: there is no such file or folder") {
		t.Errorf("text: %+v", r)
	}
}

func TestClassifyModels(t *testing.T) {
	picture := torchtest.File(t, "examples/espresso.png")
	r := vidi(t, nil, "classify", "--model", torchtest.File(t, "build/fixtures/bare_traced.pt"), "--format=json", picture)
	if r.code != 0 || !strings.Contains(r.stdout, `"class_`) || !strings.Contains(r.stderr, "has no card: assuming ImageNet preprocessing and labels class_0 to class_9") {
		t.Errorf("a bare file: %+v", r)
	}
	for file, says := range map[string]string{
		"state_dict.pth": "torch.jit.trace", "onnx_like.onnx": "an ONNX model", "exported.pt2": "torch.export", "garbage.pt": "no known kind",
		"truncated.pt": "truncated", "pickled_module.pth": "a pickled Python object", "empty.pt": "empty", "weights.safetensors": "safetensors",
	} {
		r = vidi(t, nil, "classify", "--model", torchtest.File(t, "build/fixtures/"+file), picture)
		if r.code != 3 || r.stdout != "" || !strings.Contains(r.stderr, says) {
			t.Errorf("%s: %+v", file, r)
		}
	}
	if r = vidi(t, nil, "classify", "--models", t.TempDir(), picture); r.code != 3 || !strings.Contains(r.stderr, "make model") {
		t.Errorf("no model: %+v", r)
	}
	if r = vidi(t, nil, "classify", "--model=lion", picture); r.code != 3 || !strings.Contains(r.stderr, "there are: efficientnet-lite0, resnet18-seeded, efficientnet-lite0-int8") {
		t.Errorf("an unknown model: %+v", r)
	}
}

func TestClassifyPrecisionDecodeAndExif(t *testing.T) {
	turned := filepath.Join(t.TempDir(), "turned.jpg")
	data := read(t, torchtest.File(t, "examples/flower.jpg"))
	exif := "\xff\xe1\x00\x22Exif\x00\x00II*\x00\x08\x00\x00\x00\x01\x00\x12\x01\x03\x00\x01\x00\x00\x00\x06\x00\x00\x00\x00\x00\x00\x00"
	if err := os.WriteFile(turned, append([]byte("\xff\xd8"+exif), data[2:]...), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ flag, want string }{{"--lang=en", "(427 × 640 jpeg"}, {"--no-exif", "(640 × 427 jpeg"}} {
		if r := vidi(t, nil, "classify", lite0, c.flag, turned); r.code != 0 || !strings.Contains(r.stdout, c.want) {
			t.Errorf("%s: %+v", c.flag, r)
		}
	}
	for _, flag := range []string{"--precision=bf16", "--precision=auto", "--decode=fast", "--workers=2"} {
		if r := vidi(t, nil, "classify", lite0, flag, torchtest.File(t, "examples/espresso.png")); r.code != 0 || !strings.Contains(r.stdout, "espresso ") {
			t.Errorf("%s: %+v", flag, r)
		}
	}
}

// int8 is a model of its own: asking for it picks the quantised twin, and what cannot be is refused.
func TestClassifyInt8(t *testing.T) {
	picture := torchtest.File(t, "examples/espresso.png")
	exact := vidi(t, nil, "classify", lite0, "--format=json", picture)
	for _, args := range [][]string{
		{lite0, "--precision=int8"}, {"--precision=int8"}, {"--model=efficientnet-lite0-int8"}, {"--model=efficientnet-lite0-int8", "--precision=auto"},
		{"--model", torchtest.File(t, lite0Int8), "--precision=int8"},
	} {
		r := vidi(t, nil, append(append([]string{"classify", "--format=json"}, args...), picture)...)
		if r.code != 0 || !strings.Contains(r.stdout, `"espresso"`) || r.stdout == exact.stdout {
			t.Errorf("%v: %+v", args, r)
		}
	}
	// The answers are the same with the kernels of a CPU without VNNI, which add in 16 bits: the exporter rounds so that they fit.
	all := []string{"classify", "--model=efficientnet-lite0-int8", "--format=json", "--top-k=1000", picture}
	want := vidi(t, nil, all...)
	t.Setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
	if got := vidi(t, nil, all...); got.code != 0 || got.stdout != want.stdout {
		t.Errorf("with AVX2 kernels: code %d, %.100q, want %.100q", got.code, got.stdout, want.stdout)
	}
	os.Unsetenv("ONEDNN_MAX_CPU_ISA")
	for says, args := range map[string][]string{
		"cannot run in bf16":                {"--model=efficientnet-lite0-int8", "--precision=bf16"},
		"not quantised; int8 needs a file":  {"--model=resnet18-seeded", "--precision=int8"},
		"usually named resnet18-seeded-int": {"--model", torchtest.File(t, "build/models/resnet18-seeded.pt"), "--precision=int8"},
	} {
		if r := vidi(t, nil, append(append([]string{"classify"}, args...), picture)...); r.code != 3 || !strings.Contains(r.stderr, says) {
			t.Errorf("%v: want %q in %+v", args, says, r)
		}
	}
}

func TestWrongUseExitsWithTwo(t *testing.T) {
	for _, args := range [][]string{
		{"classify"}, {"classify", "--top-k=0", "x"}, {"classify", "--top-k=x", "x"}, {"classify", "--format=xml", "x"}, {"classify", "--precision=fp16", "x"},
		{"classify", "--workers=-1", "x"}, {"nonsense"}, {"serve", "--addr=nowhere"}, {"serve", "--max-body=-1"},
	} {
		if r := vidi(t, nil, args...); r.code != 2 || r.stdout != "" || !strings.HasPrefix(r.stderr, "vidi: ") {
			t.Errorf("%v: %+v", args, r)
		}
	}
	for _, args := range [][]string{{}, {"--help"}, {"classify", "--help"}} {
		if r := vidi(t, nil, args...); r.code != 0 || !strings.Contains(r.stdout, "Usage: vidi") {
			t.Errorf("%v: %+v", args, r)
		}
	}
}

func TestVersionAndModelsDoNotOpenLibtorch(t *testing.T) {
	// A shim that cannot be opened: whoever tries fails.
	t.Setenv("VIDI_TORCHBIND_LIBRARY", torchtest.File(t, "go.mod"))
	if r := vidi(t, nil, "version"); r.code != 0 || !strings.HasPrefix(r.stdout, "vidi ") {
		t.Errorf("version: %+v", r)
	}
	r := vidi(t, nil, "models", "--format=json")
	var models []map[string]any
	if r.code != 0 || json.Unmarshal([]byte(r.stdout), &models) != nil || len(models) != 3 || models[0]["name"] != "efficientnet-lite0" || models[0]["classes"] != 1000.0 ||
		models[2]["name"] != "efficientnet-lite0-int8" || models[2]["precision"] != "int8" || models[0]["precision"] != "fp32" {
		t.Errorf("models: %+v", r)
	}
	if r = vidi(t, nil, "version", "--verbose"); r.code != 3 {
		t.Errorf("the negative control: version --verbose opens libtorch, and did not fail: %+v", r)
	}
	if r = vidi(t, nil, "classify", lite0, torchtest.File(t, "examples/cat.png")); r.code != 3 || !strings.Contains(r.stderr, "torchbind: open") {
		t.Errorf("classify without libtorch: %+v", r)
	}
}

func TestClassifyStopsWhenNobodyReads(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	cmd := command(t, "classify", lite0, torchtest.File(t, "examples/cat.png"))
	cmd.Stdout = full
	if err := cmd.Run(); cmd.ProcessState.ExitCode() != 1 {
		t.Errorf("a full disk: %v", err)
	}
}
