package model

import (
	"bytes"
	"encoding/binary"
	"io"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/vidi-vision/vidi/service/userfile"
)

// What to do about networks of other systems.
const (
	traceOrigin = "This version runs TorchScript. Where it came from a PyTorch network, trace that in Python:\n" +
		`    torch.jit.trace(model.eval(), torch.rand(1, 3, 224, 224)).save("model.pt")`
	otherSystem = "It comes from another system than PyTorch, and vidi runs PyTorch networks. Train or take one in PyTorch, or convert it to ONNX and that to PyTorch (onnx2torch)."
)

func convertONNX(filePath string) string {
	return "ONNX files are not served yet. Best trace the PyTorch network that it came from; where there is only this file, convert it " +
		"(pip install onnx onnx2torch):\n    import onnx2torch, torch\n    model = onnx2torch.convert(" + Quoted(filePath) + ")\n" + traceLine(0)
}

// legacyMagic opens files that torch.save wrote before version 1.6: a pickle of the long 0x1950a86a20f9469cfc6c.
var legacyMagic = []byte("\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.")

// notZip says what a file is that does not begin like a zip archive.
func notZip(r io.ReaderAt, head []byte, size int64, filePath string) (is, do string) {
	starts := func(prefix string) bool { return bytes.HasPrefix(head, []byte(prefix)) }
	ending := strings.ToLower(filepath.Ext(filePath))
	mark := func(at int, text string) bool {
		return len(head) >= at+len(text) && string(head[at:at+len(text)]) == text
	}
	switch {
	case size == 0:
		return "an empty file", exportAgain
	case bytes.HasPrefix(head, legacyMagic):
		return legacyFile(r, size, filePath)
	case starts("\x80\x02"), starts("\x80\x03"), starts("\x80\x04"), starts("\x80\x05"):
		return plainPickle(r, size, filePath)
	case isSafetensors(head, size):
		load := "safetensors.torch.load_file(" + Quoted(filePath) + ")"
		return explainWeights(filePath, "a safetensors file", load, safetensorsWeights(r, size))
	case ending == ".mlmodel":
		return "a Core ML model", otherSystem
	case ending == ".onnx", starts("\x08") && (bytes.Contains(head, []byte("pytorch")) || bytes.Contains(head, []byte("onnx"))):
		return "an ONNX model", convertONNX(filePath)
	case starts("\x89HDF\r\n"):
		return "an HDF5 file (Keras)", otherSystem
	case mark(4, "TFL3"):
		return "a TensorFlow Lite model", otherSystem
	case mark(4, "ET1"):
		return "an ExecuTorch program (.pte)", "It is made for phones and cannot be turned back. " + traceOrigin
	case starts("GGUF"):
		return "a GGUF file (a language model's weights)", "vidi serves classifiers of images."
	case starts("7767517\n"):
		return "an ncnn network", otherSystem
	case starts("\x1f\x8b"), mark(257, "ustar"):
		return "a compressed or tar archive", "Unpack it and name the .pt file inside."
	case starts("version https://git-lfs"):
		return "a Git LFS pointer (the real file was not downloaded)", "Run `git lfs pull` where it came from."
	case starts("<?xml") && bytes.Contains(head, []byte("<net")):
		return "an OpenVINO network (.xml, with its weights in a .bin)", traceOrigin
	case starts("<"):
		return "an HTML or XML page", "The download went wrong: it saved a web page. Download the file again."
	case filepath.Base(filePath) == "saved_model.pb":
		return "a TensorFlow SavedModel", otherSystem
	}
	return "no known kind of model file", traceModel
}

// legacyFile is a file of torch.save before version 1.6.
func legacyFile(r io.ReaderAt, size int64, filePath string) (is, do string) {
	value := legacyValue(r, size)
	if is, do = explainPickle(filePath, "a state_dict", value); value == nil {
		is = "a file whose end is missing"
	}
	return is + ", in a file of torch.save in its old format", do
}

// plainPickle is a pickle that torch.save did not write.
func plainPickle(r io.ReaderAt, size int64, filePath string) (is, do string) {
	value, _, err := readPickle(readMost(r, size))
	if call, is := value.(*pickleCall); err == nil && is {
		return "a Python pickle (of class " + userfile.Printable(string(call.of)) + ")", traceModel
	}
	return "a Python pickle", traceModel
}

func readMost(r io.ReaderAt, size int64) []byte {
	data := make([]byte, min(size, maxPickleBytes))
	n, _ := r.ReadAt(data, 0) // less is a damaged pickle
	return data[:n]
}

// otherArchive says what a zip file is that is not PyTorch's.
func otherArchive(a archive) (is, do string) {
	if a.has("model.weights.h5") && a.has("config.json") {
		return "a Keras model (.keras)", otherSystem
	}
	var inside, arrays []string
	for name, record := range a.records {
		switch ending := path.Ext(name); {
		case IsModelFile(name) || slices.Contains([]string{".pth", ".onnx", ".safetensors", ".mar"}, ending):
			inside = append(inside, userfile.Printable(record.Name))
		case ending == ".npy":
			arrays = append(arrays, name)
		}
	}
	slices.Sort(inside)
	switch {
	case len(inside) > 0:
		return "a zip archive that holds " + strings.Join(inside[:min(3, len(inside))], ", "), "Unpack it, and add what is inside:  unzip FILE.zip"
	case a.hasFolder("com.apple.CoreML") || a.hasFolder("Data"):
		return "a Core ML package", otherSystem
	case len(arrays) > 0:
		return "a NumPy archive (.npz)", traceModel
	}
	return "a zip archive", "It holds no TorchScript. " + traceModel
}

// isSafetensors checks for a JSON header behind its little-endian length.
func isSafetensors(head []byte, size int64) bool {
	if len(head) < 10 || head[8] != '{' {
		return false
	}
	header := binary.LittleEndian.Uint64(head)
	return header >= 2 && header < 100<<20 && int64(header)+8 <= size
}
