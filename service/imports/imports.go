// Package imports reads models as other systems pack them: a TorchServe archive, a folder of Triton's, of Hugging Face's or timm's,
// an export of Ultralytics'.
// It says where the TorchScript file is and what the packaging tells of it, and runs nothing.
package imports

import (
	"archive/zip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/vidi-vision/vidi/service/model"
	"github.com/vidi-vision/vidi/service/userfile"
)

// Source is a TorchScript file with what is known about it from around it. Fields that nothing is said of are zero.
type Source struct {
	File    string // its path
	Kind    string // what it was packed as, "" for a bare file
	Name    string
	Version string
	Labels  []model.Label
	Input   model.Input
	Said    string   // what told Labels, Input and Activation: "config.json", "" for nothing
	Notes   []string // what could not be taken over, one sentence each
	// Activation is what the packaging says that turns outputs into probabilities. The network may do it itself already.
	Activation model.Activation
	temp       *os.File // to remove; open, so that it counts as this process's
}

// Close removes what was unpacked.
func (s *Source) Close() {
	if s != nil && s.temp != nil {
		os.Remove(s.temp.Name())
		s.temp.Close()
	}
}

// Open looks at a file or folder. What has to be unpacked goes to a new file in the folder temp, which Close removes.
func Open(path, temp string) (*Source, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return openFile(path, temp)
	}
	triton, err := tritonFolder(path)
	switch {
	case err != nil:
		return nil, err
	case triton != "":
		return openTriton(triton)
	case exists(path, "config.json"), exists(path, "preprocessor_config.json"):
		return openConfigured(path)
	}
	return openOtherFolder(path)
}

// openFile looks at a file: a TorchServe archive, a TorchScript file of Ultralytics', or any other.
func openFile(path, temp string) (*Source, error) {
	f, info, err := userfile.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	source := &Source{File: path}
	reader, err := zip.NewReader(f, info.Size())
	if err != nil { // not a zip file: model.Inspect will say what it is
		return source, nil
	}
	if slices.ContainsFunc(reader.File, func(entry *zip.File) bool { return entry.Name == marManifest }) {
		return openMAR(path, reader, temp)
	}
	if err := readUltralytics(source, reader); err != nil {
		return nil, err
	}
	if source.Said == "" && exists(filepath.Dir(path), "config.json") {
		source.Notes = append(source.Notes, "the config.json beside it was not read; to have it read, add the folder")
	}
	return source, nil
}

func exists(elements ...string) bool {
	_, err := os.Stat(filepath.Join(elements...))
	return err == nil
}

// maxConfigBytes bounds the configuration files: Hugging Face's with 21,000 labels has 2 MB.
const maxConfigBytes = 16 << 20

// readConfig reads a small file; where it is absent the error is os.ErrNotExist.
func readConfig(path string) ([]byte, error) {
	f, _, err := userfile.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readBounded(f, path)
}

func readBounded(r io.Reader, name string) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxConfigBytes+1))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	if len(data) > maxConfigBytes {
		return nil, fmt.Errorf("%s has more than %d MB, which no configuration has", name, maxConfigBytes>>20)
	}
	return data, nil
}

// decode reads JSON into to, if the file is there.
func decode(path string, to any) (found bool, err error) {
	data, err := readConfig(path)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if err := json.Unmarshal(data, to); err != nil {
		return true, fmt.Errorf("%s is not the JSON that was expected: %w", path, err)
	}
	return true, nil
}

// ofTraining are files that Hugging Face's Trainer leaves beside the weights.
var ofTraining = []string{"optimizer.", "scheduler.", "scaler.", "rng_state.", "rng_state_", "training_args."}

// isOfTraining reports whether a file holds the state of a training, and no weights.
func isOfTraining(name string) bool {
	return slices.ContainsFunc(ofTraining, func(prefix string) bool { return strings.HasPrefix(name, prefix) })
}

// theOnly is the one TorchScript file of a folder. Its refusals explain the other kinds of weights that such folders hold.
func theOnly(folder, otherwise string) (string, error) {
	files, err := os.ReadDir(folder)
	if err != nil {
		return "", err
	}
	var found, weights []string
	var refusal error
	for _, file := range files {
		if isOfTraining(file.Name()) {
			continue
		}
		path := filepath.Join(folder, file.Name())
		switch strings.ToLower(filepath.Ext(path)) {
		case ".pt", ".pth", ".ts", ".torchscript", ".jit":
			if _, err := model.Inspect(path); err == nil {
				found = append(found, path)
			} else {
				refusal = err
			}
		case ".bin", ".safetensors", ".onnx", ".h5", ".msgpack":
			weights = append(weights, userfile.Printable(file.Name()))
		}
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1:
		return "", fmt.Errorf("%s holds several TorchScript files: %s. Leave one there", folder, strings.Join(found, ", "))
	case refusal != nil:
		return "", refusal
	case len(weights) > 0:
		return "", fmt.Errorf("%s holds weights without the network (%s), and no TorchScript file.\n%s", folder, strings.Join(weights, ", "), otherwise)
	}
	return "", fmt.Errorf("%s holds no TorchScript file (.pt).\n%s", folder, otherwise)
}
