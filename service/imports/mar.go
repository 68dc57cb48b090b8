package imports

import (
	"archive/zip"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path"

	"github.com/vidi-vision/vidi/service/model"
	"github.com/vidi-vision/vidi/service/userfile"
)

const marManifest = "MAR-INF/MANIFEST.json"

// What a model in an archive may unpack to.
const (
	maxModelBytes = 16 << 30
	maxRatio      = 100 // weights hardly compress
)

// openMAR takes the TorchScript file out of a TorchServe archive. Entries are looked up by name and written to a file of our own
// naming, so that no path in the archive means anything.
func openMAR(archive string, reader *zip.Reader, temp string) (*Source, error) {
	entries := make(map[string]*zip.File, len(reader.File))
	for _, entry := range reader.File {
		entries[path.Clean(entry.Name)] = entry
	}
	small := func(name string) ([]byte, error) {
		content, err := entries[name].Open()
		if err != nil {
			return nil, fmt.Errorf("%s: its %s cannot be read: %w", archive, name, err)
		}
		defer content.Close()
		return readBounded(content, name)
	}
	data, err := small(marManifest)
	if err != nil {
		return nil, err
	}
	var manifest struct {
		Model struct {
			ModelName, ModelVersion, SerializedFile, ModelFile, Handler string
		}
	}
	if err := json.Unmarshal(data, &manifest); err != nil {
		return nil, fmt.Errorf("%s: its manifest is not valid JSON: %w", archive, err)
	}
	m := manifest.Model
	entry := entries[path.Clean(m.SerializedFile)]
	switch {
	case m.ModelFile != "":
		return nil, fmt.Errorf("%s is a TorchServe archive in eager mode: weights and a Python class (%s), not TorchScript.\n"+
			"Trace the network in Python, and add that:  torch.jit.trace(model.eval(), torch.rand(1, 3, 224, 224)).save(\"model.pt\")", archive, userfile.Printable(m.ModelFile))
	case m.SerializedFile == "" || entry == nil:
		return nil, fmt.Errorf("%s is a TorchServe archive without the file that its manifest names (serializedFile is %q); archive it again", archive, m.SerializedFile)
	case entry.UncompressedSize64 > maxModelBytes || entry.UncompressedSize64 > entry.CompressedSize64*maxRatio+1<<20:
		return nil, fmt.Errorf("%s: its %s claims to unpack from %d to %d bytes, which no model does", archive, userfile.Printable(m.SerializedFile), entry.CompressedSize64, entry.UncompressedSize64)
	}
	source := &Source{Kind: "a TorchServe archive", Name: model.NameOfFile(m.ModelName), Version: m.ModelVersion}
	if m.ModelName == "" {
		source.Name = model.NameOfFile(archive)
	}
	if entries["index_to_name.json"] != nil {
		names, err := small("index_to_name.json")
		if err != nil {
			return nil, err
		}
		if source.Labels, err = model.ParseLabels(names); err != nil {
			return nil, fmt.Errorf("%s: index_to_name.json: %w", archive, err)
		}
	}
	// TorchServe's own handler prepares images as torchvision does for ImageNet.
	if m.Handler == "image_classifier" {
		source.Said, source.Activation = "TorchServe's handler image_classifier", model.Softmax
		source.Input = model.Presets["imagenet"] // its 256 and 224 are found by trying, or what the network takes instead
	} else if m.Handler != "" {
		source.Notes = append(source.Notes, fmt.Sprintf("the archive's handler, %s, is a Python program: if it prepares pictures in a way of its own, give --resize, --crop, --mean and --std", userfile.Printable(m.Handler)))
	}
	if source.temp, err = unpack(entry, temp); err != nil {
		return nil, fmt.Errorf("%s: unpacking %s: %w", archive, userfile.Printable(m.SerializedFile), err)
	}
	source.File = source.temp.Name()
	return source, nil
}

// unpack writes an entry to a draft in the folder temp, which stays open.
func unpack(entry *zip.File, temp string) (*os.File, error) {
	content, err := entry.Open()
	if err != nil {
		return nil, err
	}
	defer content.Close()
	file, err := model.Folder(temp).DraftFile()
	if err != nil {
		return nil, err
	}
	// The reader ends it where it says too little.
	if _, err := io.Copy(file, io.LimitReader(content, int64(entry.UncompressedSize64)+1)); err != nil {
		os.Remove(file.Name())
		file.Close()
		return nil, err
	}
	return file, nil
}
