package model

import (
	"archive/zip"
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vidi-vision/vidi/service/filetest"
	"github.com/vidi-vision/vidi/torchbind/torchtest"
)

// fixture is a file that tools/export/fixtures.py wrote.
func fixture(t testing.TB, name string) string { return torchtest.File(t, "build/fixtures/"+name) }

func TestInspectReadsTheCard(t *testing.T) {
	file, err := Inspect(fixture(t, "tiny.pt"))
	if err != nil {
		t.Fatal(err)
	}
	if file.Card == nil || len(file.Card.Labels) != 5 || file.Card.Input.Crop != Square(32) || file.Bytes == 0 {
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
	versioned := func(name, version string) string {
		return write(name, filetest.Zip(t, map[string]string{"x/data.pkl": "", "x/constants.pkl": "", "x/code/x.py": "", "x/version": version}))
	}
	for _, c := range []struct{ path, is, do string }{
		{fixture(t, "state_dict.pth"), "a state_dict", "load_state_dict"},
		{fixture(t, "legacy_state_dict.pth"), "torch.save in its old format", "weights_only=True"},
		{fixture(t, "pickled_module.pth"), "a pickled Python object (of class torch.nn.modules", "weights_only=False"},
		{fixture(t, "exported.pt2"), "torch.export program", "torch.jit.trace"},
		{fixture(t, "exported_new.pt2"), "torch.export program", "torch.jit.trace"},
		{fixture(t, "onnx_like.onnx"), "an ONNX model", "torch.jit.trace"},
		{fixture(t, "weights.safetensors"), "a safetensors file", "safetensors.torch.load_file"},
		{fixture(t, "garbage.pt"), "no known kind", "torch.jit.trace"},
		{fixture(t, "truncated.pt"), "a damaged or truncated archive", "again"},
		{fixture(t, "empty.pt"), "empty", "again"},
		{archive("x.mar", "MAR-INF/MANIFEST.json", "model.pt"), "a TorchServe archive", "Unzip"},
		{archive("x.zip", "photos/cat.jpg"), "a zip archive", "torch.jit.trace"},
		{versioned("new.pt", "11\n"), "a PyTorch newer than this version can read", "again"},
		{versioned("odd.pt", "three"), "its version is", "again"},
		{archive("twice.pt", "x/data.pkl", "x/data.pkl"), "two records named", "again"},
		{bomb(t, dir), "claims to unpack", "again"},
		{archive("half.pt", "half/data.pkl", "half/code/x.py"), "incomplete", "again"},
		{write("x.h5", "\x89HDF\r\n\x1a\n"), "HDF5", "PyTorch"},
		{write("x.tflite", "\x1c\x00\x00\x00TFL3"), "TensorFlow Lite", "PyTorch"},
		{write("x.tgz", "\x1f\x8b\x08"), "compressed", "Unpack"},
		{write("lfs.pt", "version https://git-lfs.github.com/spec/v1\n"), "Git LFS pointer", "git lfs pull"},
		{write("page.pt", "<!DOCTYPE html>"), "web page", "again"},
		{write("p.pkl", "\x80\x04\x95"), "a Python pickle", "torch.jit.trace"},
		{write("forest.pkl", "\x80\x02csklearn.ensemble\nForest\n)\x81."), "a Python pickle (of class sklearn.ensemble.Forest)", "torch.jit.trace"},
		{write("x.mlmodel", "\x08\x05\x12\x20"), "a Core ML model", "PyTorch"},
		{write("x.pte", "\x1c\x00\x00\x00ET12"), "an ExecuTorch program", "torch.jit.trace"},
		{write("x.gguf", "GGUF\x03"), "a GGUF file", "images"},
		{write("x.param", "7767517\n1 2\n"), "an ncnn network", "PyTorch"},
		{write("saved_model.pb", "\x08\x01"), "a TensorFlow SavedModel", "PyTorch"},
		{write("x.xml", "<?xml version=\"1.0\"?>\n<net name=\"m\" version=\"11\">"), "an OpenVINO network", "torch.jit.trace"},
		{archive("x.keras", "metadata.json", "config.json", "model.weights.h5"), "a Keras model (.keras)", "PyTorch"},
		{archive("x.mlpackage.zip", "Manifest.json", "Data/com.apple.CoreML/model.mlmodel"), "a Core ML package", "PyTorch"},
		{archive("x.npz", "arr_0.npy"), "a NumPy archive", "torch.jit.trace"},
		{archive("pets.zip", "pets/model.pt", "pets/labels.txt"), "that holds pets/model.pt", "unzip"},
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

// bomb is a file of some kilobytes whose one record says that it unpacks to 2.2 GB.
func bomb(t *testing.T, dir string) string {
	t.Helper()
	path := filepath.Join(dir, "bomb.pt")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w := zip.NewWriter(f)
	record, err := w.CreateRaw(&zip.FileHeader{Name: "x/data.pkl", Method: zip.Deflate, CompressedSize64: 4096, UncompressedSize64: 2_200_000_000})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := record.Write(make([]byte, 4096)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestInspectTellsWhoWroteIt(t *testing.T) {
	file, err := Inspect(fixture(t, "tiny.pt"))
	if err != nil || file.Origin.Format < 3 || file.Origin.Format > 10 || file.Origin.PyTorch == "" || file.Origin.Bytes || file.Origin.Half || file.Origin.CUDA || file.Origin.Quantised {
		t.Errorf("tiny.pt: %+v, %v", file, err)
	}
	if file, err = Inspect(fixture(t, "half.pt")); err != nil || !file.Origin.Half {
		t.Errorf("half.pt: %+v, %v", file, err)
	}
	if file, err = Inspect(fixture(t, "takes_bytes.pt")); err != nil || !file.Origin.Bytes {
		t.Errorf("takes_bytes.pt: %+v, %v", file, err)
	}
	if file, err = Inspect(fixture(t, "../models/efficientnet-lite0-int8.pt")); err != nil || !file.Origin.Quantised {
		t.Errorf("the quantised model: %+v, %v", file, err)
	}
}

// A changed bit anywhere in the records is found, though libtorch would not notice it.
func TestCheckRecords(t *testing.T) {
	whole, err := os.ReadFile(fixture(t, "tiny.pt"))
	if err != nil {
		t.Fatal(err)
	}
	if err := checkRecords(bytes.NewReader(whole), int64(len(whole)), "x.pt"); err != nil {
		t.Fatal(err)
	}
	reader, err := zip.NewReader(bytes.NewReader(whole), int64(len(whole)))
	if err != nil {
		t.Fatal(err)
	}
	for _, record := range reader.File {
		offset, err := record.DataOffset()
		if err != nil {
			t.Fatal(err)
		}
		if record.UncompressedSize64 == 0 {
			continue
		}
		mutant := bytes.Clone(whole)
		mutant[offset+int64(record.UncompressedSize64)/2] ^= 4
		if err := checkRecords(bytes.NewReader(mutant), int64(len(mutant)), "x.pt"); err == nil || !strings.Contains(err.Error(), record.Name) {
			t.Errorf("%s: %v", record.Name, err)
		}
	}
	// The directory's name of a record, and not the record's own, is another.
	mutant := bytes.Clone(whole)
	at := bytes.LastIndex(mutant, []byte("extra/vidi.json"))
	copy(mutant[at:], "extra/sidi.json")
	if err := checkRecords(bytes.NewReader(mutant), int64(len(mutant)), "x.pt"); err == nil || !strings.Contains(err.Error(), "another one where it lies") {
		t.Errorf("renamed in the directory: %v", err)
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
		data, err := os.ReadFile(fixture(f, name))
		if err != nil {
			f.Fatal(err)
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
