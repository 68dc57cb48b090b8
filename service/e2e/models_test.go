package e2e

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vidi-vision/vidi/service/filetest"
	"github.com/vidi-vision/vidi/torchbind/torchtest"
)

func built(t *testing.T, name string) string { return torchtest.File(t, "build/fixtures/"+name) }

// vidiModels runs `vidi models` on a folder.
func vidiModels(t *testing.T, folder string, args ...string) ran {
	t.Helper()
	return vidi(t, nil, append([]string{"models", "--models", folder}, args...)...)
}

func write(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "labels")
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// From a bare file to a served model with names in two languages, and back out.
func TestModelsAddUseAndRemove(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "models")
	picture := torchtest.File(t, "examples/cat.png")
	labels := write(t, "label\tzh\ncat\t猫\ndog\t狗\nbird\t鸟\nfish\t鱼\n")
	r := vidiModels(t, folder, "add", built(t, "fixed96.pt"), "--name=pets", "--labels", labels, "--licence=MIT")
	if r.code != 0 || !strings.Contains(r.stdout, "96 × 96") || !strings.Contains(r.stdout, "4: cat, dog, bird, fish") || !strings.Contains(r.stderr, "Added pets 1") {
		t.Fatalf("%+v", r)
	}
	if r = vidi(t, nil, "classify", "--models", folder, "--lang=zh", picture); r.code != 0 || !strings.Contains(r.stdout, "狗") && !strings.Contains(r.stdout, "猫") && !strings.Contains(r.stdout, "鱼") {
		t.Errorf("classify: %+v", r)
	}
	for _, c := range []struct {
		code int
		want string
		args []string
	}{
		{1, "pets@1 is there already", []string{"add", built(t, "fixed96.pt"), "--name=pets", "--labels", labels}},
		{0, "pets still answers", []string{"add", built(t, "tiny.pt"), "--name=aaa"}},
		{0, "Added pets 2", []string{"add", built(t, "fixed96.pt"), "--name=pets", "--version=2", "--labels", labels}},
		{0, "Added pets 2", []string{"add", built(t, "fixed96.pt"), "--name=pets", "--version=2", "--labels", labels, "--force"}},
		{0, "aaa 1 answers", []string{"set-default", "aaa"}},
		{0, "aaa (default)", []string{"list"}},
		{0, "as when it was added", []string{"show", "pets@1"}},
		{1, "means several models", []string{"rm", "pets"}},
		{0, "deleted pets 1", []string{"rm", "pets@1"}},
		{0, "deleted pets 2", []string{"rm", "pets"}},
		{1, "no such model", []string{"show", "pets"}},
		{2, "--mean", []string{"add", built(t, "tiny.pt"), "--mean", "0.5"}},
		{2, "divide yours by 255", []string{"add", built(t, "tiny.pt"), "--mean", "123.7,116.3,103.5"}},
		{2, "at least 1 GiB", []string{"add", built(t, "tiny.pt"), "--memory=200MiB"}},
		{2, "--name", []string{"add", built(t, "tiny.pt"), "--name", "../up"}},
	} {
		if r = vidiModels(t, folder, c.args...); r.code != c.code || !strings.Contains(r.stdout+r.stderr, c.want) {
			t.Errorf("%v: want code %d and %q in %+v", c.args, c.code, c.want, r)
		}
	}
	left, err := os.ReadDir(folder)
	var names []string
	for _, file := range left {
		names = append(names, file.Name())
	}
	if got := strings.Join(names, " "); err != nil || got != ".lock aaa-1.pt models.json" {
		t.Errorf("left behind: %s, %v", got, err)
	}
}

// What does not fit is refused with the next step, and leaves nothing behind.
func TestModelsAddRefuses(t *testing.T) {
	folder := t.TempDir()
	for _, c := range []struct {
		want []string
		args []string
	}{
		{[]string{"5 outputs, but there are 3 labels", "--labels FILE"}, []string{built(t, "card_three_labels.pt")}},
		{[]string{"4 outputs, but there are 5 labels", "heading"}, []string{built(t, "fixed96.pt"), "--labels", write(t, "name\na\nb\nc\nd")}},
		{[]string{"class 1 is empty"}, []string{built(t, "fixed96.pt"), "--labels", write(t, "a\n\nc\nd")}},
		{[]string{"outputs are probabilities already", "--activation none"}, []string{built(t, "softmax_twice.pt")}},
		{[]string{"not all from 0 to 1"}, []string{built(t, "tiny.pt"), "--activation=none"}},
		{[]string{"cannot compute a picture of 224 × 224, but one of 96 × 96"}, []string{built(t, "fixed96.pt"), "--crop=224"}},
		{[]string{"NaN or infinity"}, []string{built(t, "nan.pt")}},
		{[]string{"not done in 3s"}, []string{built(t, "hangs.pt"), "--timeout=3s"}},
		{[]string{"a state_dict", "torch.jit.trace"}, []string{built(t, "state_dict.pth")}},
		{[]string{"no such file"}, []string{filepath.Join(folder, "none.pt")}},
		{[]string{"is a folder, but neither"}, []string{t.TempDir()}},
		{[]string{"of memory that it may take", "--memory"}, []string{built(t, "hungry.pt"), "--memory=1GiB"}},
	} {
		r := vidiModels(t, folder, append([]string{"add"}, c.args...)...)
		for _, want := range c.want {
			if r.code != 1 || r.stdout != "" || !strings.Contains(r.stderr, want) {
				t.Errorf("%v: want %q in %+v", c.args, want, r)
			}
		}
	}
	if left, err := os.ReadDir(folder); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// A model of another packaging is one command.
func TestModelsAddImports(t *testing.T) {
	folder := t.TempDir()
	network := string(read(t, built(t, "fixed96.pt")))
	const labels = `{"0": ["n1", "cat"], "1": ["n2", "dog"], "2": ["n3", "bird"], "3": ["n4", "fish"]}`
	dir := func(name string, files map[string]string) string {
		return filetest.Tree(t, filepath.Join(t.TempDir(), name), files)
	}
	mar := filetest.Zip(t, map[string]string{"m.pt": network, "index_to_name.json": labels,
		"MAR-INF/MANIFEST.json": `{"model": {"modelName": "served", "serializedFile": "m.pt", "handler": "image_classifier", "modelVersion": "1.5"}}`})
	for _, c := range []struct{ source, want, resize string }{
		{filepath.Join(dir("shelter", map[string]string{"shelter.mar": mar}), "shelter.mar"), "served 1.5", "shorter side of 110"},
		{dir("triton", map[string]string{"1/model.pt": network, "labels.txt": "cat\ndog\nbird\nfish\n",
			"config.pbtxt": `platform: "pytorch_libtorch" input [ { dims: [3, 96, 96] } ] output [ { dims: [4] label_filename: "labels.txt" } ]`}), "triton 1", "shorter side of 110"},
		{dir("hugging", map[string]string{"model.pt": network, "config.json": `{"id2label": {"0": "cat", "1": "dog", "2": "bird", "3": "fish"}}`,
			"preprocessor_config.json": `{"size": 96, "do_center_crop": true, "crop_size": 96, "resample": 3, "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}`}), "hugging 1", "the whole image, squeezed, bicubic, mean 0.5"},
	} {
		if r := vidiModels(t, folder, "add", c.source); r.code != 0 || !strings.Contains(r.stdout, c.want) || !strings.Contains(r.stdout, "cat, dog, bird, fish") || !strings.Contains(r.stdout, c.resize) {
			t.Errorf("%s: %+v", c.source, r)
		}
	}
}

// The card goes into the file, and the network stays what it was: Python's torch reads both, and gives the same logits to the bit.
func TestModelsAddKeepsTheNetwork(t *testing.T) {
	folder := t.TempDir()
	source := torchtest.File(t, "build/models/efficientnet-lite0.pt")
	if r := vidiModels(t, folder, "add", source, "--version=7"); r.code != 0 || !strings.Contains(r.stdout, "espresso 88.6 %") {
		t.Fatalf("%+v", r)
	}
	added := filepath.Join(folder, "efficientnet-lite0-7.pt")
	out, err := exec.Command(python(t), "-c", `
import json, sys, torch
extra = {"vidi.json": ""}
a, b = torch.jit.load(sys.argv[1]), torch.jit.load(sys.argv[2], _extra_files=extra)
x = torch.randn(2, 3, 224, 224)
with torch.no_grad():
    print(json.loads(extra["vidi.json"])["version"], torch.equal(a(x), b(x)), a(x).std().item() > 0.5)`, source, added).CombinedOutput()
	if err != nil || strings.TrimSpace(string(out)) != "7 True True" {
		t.Errorf("Python: %s, %v", out, err)
	}
	if r := vidiModels(t, folder, "verify"); r.code != 0 || !strings.Contains(r.stdout, "the same file, and the same answer") {
		t.Errorf("verify: %+v", r)
	}
	var facts struct {
		SHA256 string `json:"sha256"`
		When   string `json:"sha256_when_added"`
		Card   struct {
			Trial struct {
				Golden []struct {
					Label       string
					Probability float64
				}
			}
		}
	}
	r := vidiModels(t, folder, "show", "efficientnet-lite0", "--format=json")
	if r.code != 0 || json.Unmarshal([]byte(r.stdout), &facts) != nil || facts.SHA256 == "" || facts.SHA256 != facts.When || facts.Card.Trial.Golden[0].Label != "espresso" {
		t.Errorf("show: %+v", r)
	}

	// One changed bit, and neither the server nor anybody else takes it.
	data := read(t, added)
	data[len(data)/2] ^= 1
	if err := os.WriteFile(added, data, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"models", "verify", "--models", folder}, {"classify", "--models", folder, torchtest.File(t, "examples/cat.png")}, {"serve", "--addr=127.0.0.1:0", "--models", folder}} {
		if r := vidi(t, nil, args...); r.code == 0 || !strings.Contains(r.stdout+r.stderr, "is not the file that was added") {
			t.Errorf("%v: %+v", args, r)
		}
	}
}

// Ctrl-C during the trial ends both processes, and leaves nothing.
func TestModelsAddInterrupted(t *testing.T) {
	folder := t.TempDir()
	cmd := command(t, "models", "--models", folder, "add", built(t, "hangs.pt"))
	stderr := &lockedBuffer{}
	cmd.Stderr = stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); !strings.Contains(stderr.String(), "input size"); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the trial does not begin: %s", stderr)
		}
	}
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	_ = cmd.Wait()
	if cmd.ProcessState.ExitCode() != 1 || !strings.Contains(stderr.String(), "nothing was added") || time.Since(begun) > 10*time.Second {
		t.Errorf("code %d after %v: %s", cmd.ProcessState.ExitCode(), time.Since(begun), stderr)
	}
	if left, err := os.ReadDir(folder); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// A server is not started with a file that would end or hang it; the reason is one line and the exit code is 3.
func TestServeRefusesAModelThatCrashes(t *testing.T) {
	crashing := filepath.Join(t.TempDir(), "crashes.pt")
	in, err := zip.OpenReader(built(t, "tiny.pt"))
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, f := range in.File {
		content, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		var data bytes.Buffer
		if _, err := data.ReadFrom(content); err != nil {
			t.Fatal(err)
		}
		text := data.String()
		if strings.HasSuffix(f.Name, ".py") { // libtorch's parser recurses until its stack ends
			text = strings.Replace(text, "return ", "return "+strings.Repeat("(", 300_000)+"1"+strings.Repeat(")", 300_000)+" + ", 1)
		}
		record, err := w.CreateHeader(&zip.FileHeader{Name: f.Name, Method: zip.Store})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := record.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(crashing, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"serve", "--addr=127.0.0.1:0", "--model", crashing}, {"classify", "--model", crashing, torchtest.File(t, "examples/cat.png")}} {
		r := vidi(t, nil, args...)
		if r.code != 3 || !strings.Contains(r.stderr, "libtorch crashed (segmentation fault) while it was being loaded") || strings.Contains(r.stderr, "goroutine") {
			t.Errorf("%v: code %d, %.2000s", args, r.code, r.stderr)
		}
	}
}
