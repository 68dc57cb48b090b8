package model

import (
	"archive/zip"
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// fixture is a file that tools/export/fixtures.py wrote.
func fixture(t *testing.T, name string) string {
	t.Helper()
	path := filepath.Join("..", "..", "build", "fixtures", name)
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%v; `make test-models` makes it", err)
	}
	return path
}

func TestInspectReadsTheCard(t *testing.T) {
	file, err := Inspect(fixture(t, "tiny.pt"))
	if err != nil {
		t.Fatal(err)
	}
	if file.Card == nil || len(file.Card.Labels) != 5 || file.Card.Input.Crop != 32 || file.Bytes == 0 {
		t.Errorf("found %+v", file)
	}
	file, err = Inspect(fixture(t, "bare_traced.pt"))
	if err != nil || file.Card != nil {
		t.Errorf("a bare file: %+v, %v", file, err)
	}
	if _, err = Inspect(fixture(t, "card_future_format.pt")); err == nil || !strings.Contains(err.Error(), "reads format 1") {
		t.Errorf("a card of another format: %v", err)
	}
}

func TestInspectNamesWhatAFileIs(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	archive := func(name string, entries ...string) string {
		var b bytes.Buffer
		w := zip.NewWriter(&b)
		for _, entry := range entries {
			if _, err := w.Create(entry); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return write(name, b.String())
	}
	for _, c := range []struct{ path, is, do string }{
		{fixture(t, "state_dict.pth"), "a state_dict", "load_state_dict"},
		{fixture(t, "legacy_state_dict.pth"), "torch.save in its old format", "torch.jit.trace"},
		{fixture(t, "pickled_module.pth"), "a pickled Python object (of class torch.nn.modules", "torch.jit.trace"},
		{fixture(t, "exported.pt2"), "torch.export program", "torch.jit.trace"},
		{fixture(t, "exported_new.pt2"), "torch.export program", "torch.jit.trace"},
		{fixture(t, "onnx_like.onnx"), "an ONNX model", "torch.jit.trace"},
		{fixture(t, "weights.safetensors"), "a safetensors file", "safetensors.torch.load_file"},
		{fixture(t, "garbage.pt"), "no known kind", "torch.jit.trace"},
		{fixture(t, "truncated.pt"), "a damaged or truncated archive", "again"},
		{fixture(t, "empty.pt"), "empty", "again"},
		{archive("x.mar", "MAR-INF/MANIFEST.json", "model.pt"), "a TorchServe archive", "Unzip"},
		{archive("x.zip", "photos/cat.jpg"), "a zip archive", "torch.jit.trace"},
		{archive("half.pt", "half/data.pkl", "half/code/x.py"), "incomplete", "again"},
		{write("x.h5", "\x89HDF\r\n\x1a\n"), "HDF5", "PyTorch"},
		{write("x.tflite", "\x1c\x00\x00\x00TFL3"), "TensorFlow Lite", "PyTorch"},
		{write("x.tgz", "\x1f\x8b\x08"), "compressed", "Unpack"},
		{write("lfs.pt", "version https://git-lfs.github.com/spec/v1\n"), "Git LFS pointer", "git lfs pull"},
		{write("page.pt", "<!DOCTYPE html>"), "web page", "again"},
		{write("p.pkl", "\x80\x04\x95"), "a Python pickle", "torch.jit.trace"},
	} {
		_, err := Inspect(c.path)
		var e *NotTorchScriptError
		if !errors.As(err, &e) {
			t.Errorf("%s: %v", filepath.Base(c.path), err)
			continue
		}
		if text := e.Error(); !strings.Contains(text, c.is) || !strings.Contains(e.Do, c.do) {
			t.Errorf("%s: want %q and %q in:\n%s", filepath.Base(c.path), c.is, c.do, text)
		}
	}
}

func TestInspectRefusesMissingFilesAndFolders(t *testing.T) {
	if _, err := Inspect(filepath.Join(t.TempDir(), "none.pt")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing: %v", err)
	}
	if _, err := Inspect(t.TempDir()); err == nil || !strings.Contains(err.Error(), "folder") {
		t.Errorf("folder: %v", err)
	}
}

// No byte of a file may make the look at it crash or spend much.
func FuzzInspect(f *testing.F) {
	for _, name := range []string{"tiny.pt", "state_dict.pth", "pickled_module.pth", "weights.safetensors"} {
		data, err := os.ReadFile(filepath.Join("..", "..", "build", "fixtures", name))
		if err != nil {
			f.Fatalf("%v; `make test-models` makes it", err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := inspect(bytes.NewReader(data), int64(len(data)), "fuzz.pt")
		if err == nil && file.Card != nil && file.Card.Validate() != nil {
			t.Error("an invalid card was accepted")
		}
	})
}
