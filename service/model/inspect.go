package model

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/vidi-vision/vidi/service/operators"
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
	return fmt.Sprintf("%s is %s, not a TorchScript model.\n%s", userfile.Printable(e.Path), e.Is, e.Do)
}

const exportAgain = `Copy or export it again; ` + "`sha256sum`" + ` on both sides shows whether a copy is whole.`

// File is what the look at a TorchScript file showed, without loading it.
type File struct {
	Path     string
	Bytes    int64
	Identity Identity
	Card     *Card // nil for a bare file
	Stated   bool  // the card is what another program's record says, and not the file's own
	Origin   Origin
	// Unlisted is what the file's code names that is not on the list of package operators: see [File.Permit].
	Unlisted []operators.Finding
}

// CardOrBare is the file's card, or the one assumed for a file without one, of so many outputs.
func (f *File) CardOrBare(outputs int) Card {
	if f.Card != nil {
		return *f.Card
	}
	return BareCard(NameOfFile(f.Path), outputs)
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
	file, err := inspect(f, info.Size(), filePath)
	if err != nil {
		return nil, err
	}
	file.Identity = identityOf(info)
	if info, err = f.Stat(); err != nil {
		return nil, err
	}
	return file, file.Is(info)
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
		return refuse(notZip(r, head, size, filePath))
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
		return refuse("a torch.export program (.pt2)", "This version runs TorchScript. Trace what it holds:\n    import torch\n"+
			"    program = torch.export.load("+Quoted(filePath)+")\n    model = program.module()\n"+
			strings.Replace(traceLine(0), "model.eval()", "model", 1))
	case a.has("data.pkl") && !a.hasFolder("code"):
		return refuse(pickled(a.records["data.pkl"], filePath))
	case !a.has("data.pkl", "constants.pkl"):
		return refuse(otherArchive(a))
	case !a.has("constants.pkl"):
		return refuse("an incomplete TorchScript archive (no constants.pkl)", exportAgain)
	case !a.has("data.pkl"):
		return refuse("an incomplete TorchScript archive (no data.pkl)", exportAgain)
	}
	file := &File{Path: filePath, Bytes: a.size}
	program, trap := a.program()
	if trap != "" {
		return refuse(trap, exportAgain)
	}
	if file.Origin, trap = a.origin(program); trap != "" {
		return refuse(trap, exportAgain)
	}
	if file.Unlisted, trap = a.unlisted(program, file.Origin.Format); trap != "" {
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
	} else if file.Card = a.ultralyticsCard(filePath); file.Card != nil {
		file.Stated = true
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

// pickled tells a state_dict from a pickled module. Nothing is unpickled.
func pickled(entry *zip.File, filePath string) (is, do string) {
	data, err := readEntry(entry, maxPickleBytes)
	if err != nil {
		return "a damaged archive", exportAgain
	}
	value, _, err := readPickle(data)
	if err != nil {
		return "a damaged archive", exportAgain
	}
	return explainPickle(filePath, "a state_dict", value)
}

func isTensorModule(module string) bool {
	switch module {
	case "collections", "torch", "torch._utils", "torch.storage", "torch._tensor", "torch.nn.parameter", "torch.torch_version",
		"numpy", "numpy.core.multiarray", "numpy._core.multiarray", "_codecs":
		return true
	}
	return false
}
