package model

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/vidi-vision/vidi/service/userfile"
)

// NotTorchScriptError says what a file is instead of a TorchScript model, and what its owner can do. libtorch's own answer
// would be "PytorchStreamReader failed locating file constants.pkl", or a crash.
type NotTorchScriptError struct {
	Path string
	Is   string // what the file is: "a state_dict (weights without the network)"
	Do   string // what to do about it; may have several lines
}

// Error is both sentences.
func (e *NotTorchScriptError) Error() string {
	return fmt.Sprintf("%s is %s, not a TorchScript model.\n%s", e.Path, e.Is, e.Do)
}

const (
	exportModule = `Trace the network and save that:
    model.eval()
    torch.jit.trace(model, torch.rand(1, 3, 224, 224)).save("model.pt")`
	exportWeights = `Weights alone cannot run. Build the network in Python, load them, and trace it:
    model = torchvision.models.resnet18()            # or your own class
    model.load_state_dict(torch.load("weights.pth"))
    model.eval()
    torch.jit.trace(model, torch.rand(1, 3, 224, 224)).save("model.pt")`
	exportAgain = `Copy or export it again; ` + "`sha256sum`" + ` on both sides shows whether a copy is whole.`
)

// File is what the look at a TorchScript file showed, without loading it.
type File struct {
	Path   string
	Bytes  int64
	Card   *Card // nil for a bare file
	Origin Origin
}

// maxCardBytes bounds the card: 1000 labels with two names take 100 KB.
const maxCardBytes = 16 << 20

// Inspect looks inside the file at filePath, which must be a TorchScript archive; for anything else the error is a
// [*NotTorchScriptError] that names what it is. No code of the model runs, and libtorch is not needed.
func Inspect(filePath string) (*File, error) {
	if info, err := os.Stat(filePath); err == nil && info.IsDir() {
		return nil, fmt.Errorf("%s is a folder; name the .pt file in it", filePath)
	}
	f, info, err := userfile.Open(filePath)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return inspect(f, info.Size(), filePath)
}

// inspect looks at the size bytes of r. filePath is for messages.
func inspect(r io.ReaderAt, size int64, filePath string) (*File, error) {
	refuse := func(is, do string) (*File, error) { return nil, &NotTorchScriptError{Path: filePath, Is: is, Do: do} }
	head := make([]byte, 512)
	n, err := r.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	head = head[:n]
	if !bytes.HasPrefix(head, []byte("PK\x03\x04")) {
		return refuse(notZip(head, size, filePath))
	}
	a, trap := openArchive(r, size)
	if trap != "" {
		return refuse(trap, exportAgain)
	}
	return inspectArchive(a, filePath, refuse)
}

func inspectArchive(a archive, filePath string, refuse func(is, do string) (*File, error)) (*File, error) {
	switch {
	case a.has("MANIFEST.json"): // in the folder MAR-INF
		return refuse("a TorchServe archive (.mar)", "`vidi models add` takes it as it is. Unzip it to use the TorchScript file (.pt) inside.")
	case a.has("serialized_exported_program.json", "models/model.json", "archive_format"):
		return refuse("a torch.export program (.pt2)", "This version runs TorchScript. "+exportModule)
	case a.has("data.pkl") && !a.hasFolder("code"):
		is, do := pickled(a.records["data.pkl"])
		return refuse(is, do)
	case !a.has("data.pkl", "constants.pkl"):
		return refuse("a zip archive", "It holds no TorchScript. "+exportModule)
	case !a.has("constants.pkl"):
		return refuse("an incomplete TorchScript archive (no constants.pkl)", exportAgain)
	case !a.has("data.pkl"):
		return refuse("an incomplete TorchScript archive (no data.pkl)", exportAgain)
	}
	file := &File{Path: filePath, Bytes: a.size}
	var trap string
	if file.Origin, trap = a.origin(); trap != "" {
		return refuse(trap, exportAgain)
	}
	if entry := a.records["extra/"+CardFile]; entry != nil {
		data, err := readEntry(entry, maxCardBytes)
		if err != nil {
			return refuse("a damaged archive: its card cannot be read", exportAgain)
		}
		card, err := ParseCard(data)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", filePath, err)
		}
		file.Card = &card
	}
	return file, nil
}

func readEntry(entry *zip.File, limit int64) ([]byte, error) {
	r, err := entry.Open()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	data, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = fmt.Errorf("larger than %d bytes", limit)
	}
	return data, err
}

// pickled tells a state_dict from a pickled module by the classes that the pickle names. A state_dict needs only tensors
// and dictionaries. Nothing is unpickled.
func pickled(entry *zip.File) (is, do string) {
	data, err := readEntry(entry, 64<<20)
	if err != nil {
		return "a damaged archive", exportAgain
	}
	// A class is written as GLOBAL "module\nname\n" (opcode 'c').
	for len(data) > 0 {
		at := bytes.IndexByte(data, 'c')
		if at < 0 {
			break
		}
		data = data[at+1:]
		module, more, ok := identifierLine(data)
		name, behind, ok2 := identifierLine(more)
		if !ok || !ok2 {
			continue
		}
		if !isTensorModule(module) {
			return fmt.Sprintf("a pickled Python object (of class %s.%s)", module, name),
				"It runs only inside the Python program that defines that class. There, load it, and trace it:\n" +
					`    model = torch.load("model.pth")` + exportModule[strings.Index(exportModule, "\n"):]
		}
		data = behind
	}
	return "a state_dict (weights without the network)", exportWeights
}

// identifierLine is the dotted Python name that data begins with and the bytes behind its newline.
func identifierLine(data []byte) (name string, behind []byte, ok bool) {
	const longest = 200
	end := bytes.IndexByte(data[:min(len(data), longest)], '\n')
	if end <= 0 {
		return "", nil, false
	}
	for i, c := range data[:end] {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_'
		if !letter && (i == 0 || c != '.' && (c < '0' || c > '9')) {
			return "", nil, false
		}
	}
	return string(data[:end]), data[end+1:], true
}

func isTensorModule(module string) bool {
	switch module {
	case "collections", "torch", "torch._utils", "torch.storage", "torch._tensor", "numpy", "numpy.core.multiarray", "_codecs":
		return true
	}
	return false
}

// legacyMagic opens files that torch.save wrote before version 1.6: a pickle of the long 0x1950a86a20f9469cfc6c.
var legacyMagic = []byte("\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.")

// notZip says what a file is that does not begin like a zip archive.
func notZip(head []byte, size int64, filePath string) (is, do string) {
	starts := func(prefix string) bool { return bytes.HasPrefix(head, []byte(prefix)) }
	onnx := "This version runs TorchScript. Where the ONNX file came from a PyTorch network, trace that instead. " + exportModule
	switch {
	case size == 0:
		return "empty", exportAgain
	case bytes.HasPrefix(head, legacyMagic):
		return "a file of torch.save in its old format (weights or a pickled module)", exportWeights
	case starts("\x80\x02"), starts("\x80\x03"), starts("\x80\x04"), starts("\x80\x05"):
		return "a Python pickle", exportModule
	case isSafetensors(head, size):
		return "a safetensors file (weights without the network)", strings.Replace(exportWeights, `torch.load("weights.pth")`, `safetensors.torch.load_file("weights.safetensors")`, 1)
	case strings.HasSuffix(strings.ToLower(filePath), ".onnx"), starts("\x08") && bytes.Contains(head, []byte("pytorch")):
		return "an ONNX model", onnx
	case starts("\x89HDF\r\n"):
		return "an HDF5 file (Keras)", "vidi runs PyTorch networks only. " + exportModule
	case len(head) >= 8 && string(head[4:8]) == "TFL3":
		return "a TensorFlow Lite model", "vidi runs PyTorch networks only. " + exportModule
	case starts("\x1f\x8b"), len(head) > 262 && string(head[257:262]) == "ustar":
		return "a compressed or tar archive", "Unpack it and name the .pt file inside."
	case starts("version https://git-lfs"):
		return "a Git LFS pointer (the real file was not downloaded)", "Run `git lfs pull` where it came from."
	case starts("<"):
		return "an HTML or XML page", "The download went wrong: it saved a web page. Download the file again."
	}
	return "no known kind of model file", exportModule
}

// isSafetensors checks for a JSON header behind its little-endian length.
func isSafetensors(head []byte, size int64) bool {
	if len(head) < 10 || head[8] != '{' {
		return false
	}
	header := binary.LittleEndian.Uint64(head)
	return header >= 2 && header < 100<<20 && int64(header)+8 <= size
}
