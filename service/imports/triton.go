package imports

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/vidi-vision/vidi/service/model"
	"github.com/vidi-vision/vidi/service/userfile"
)

// tritonSchema is the part of Triton's model_config.proto that is read here. Enumerations are declared as text is written: their
// values as names.
const tritonSchema = `
name: "triton.proto" syntax: "proto3"
enum_type { name: "DataType" value { name: "TYPE_INVALID" number: 0 } value { name: "TYPE_BOOL" number: 1 } value { name: "TYPE_UINT8" number: 2 }
  value { name: "TYPE_UINT16" number: 3 } value { name: "TYPE_UINT32" number: 4 } value { name: "TYPE_UINT64" number: 5 } value { name: "TYPE_INT8" number: 6 }
  value { name: "TYPE_INT16" number: 7 } value { name: "TYPE_INT32" number: 8 } value { name: "TYPE_INT64" number: 9 } value { name: "TYPE_FP16" number: 10 }
  value { name: "TYPE_FP32" number: 11 } value { name: "TYPE_FP64" number: 12 } value { name: "TYPE_STRING" number: 13 } value { name: "TYPE_BF16" number: 14 } }
message_type { name: "Input"
  field { name: "data_type" number: 2 type: TYPE_ENUM type_name: "DataType" label: LABEL_OPTIONAL }
  field { name: "dims" number: 4 type: TYPE_INT64 label: LABEL_REPEATED } }
message_type { name: "Output"
  field { name: "dims" number: 3 type: TYPE_INT64 label: LABEL_REPEATED }
  field { name: "label_filename" number: 4 type: TYPE_STRING label: LABEL_OPTIONAL } }
message_type { name: "ModelConfig"
  field { name: "name" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL }
  field { name: "platform" number: 2 type: TYPE_STRING label: LABEL_OPTIONAL }
  field { name: "backend" number: 17 type: TYPE_STRING label: LABEL_OPTIONAL }
  field { name: "default_model_filename" number: 8 type: TYPE_STRING label: LABEL_OPTIONAL }
  field { name: "input" number: 5 type: TYPE_MESSAGE type_name: "Input" label: LABEL_REPEATED }
  field { name: "output" number: 6 type: TYPE_MESSAGE type_name: "Output" label: LABEL_REPEATED } }
`

var tritonConfig = sync.OnceValue(func() protoreflect.MessageDescriptor {
	var file descriptorpb.FileDescriptorProto
	if err := prototext.Unmarshal([]byte(tritonSchema), &file); err != nil {
		panic(err) // the constant above is wrong: any test finds it
	}
	compiled, err := protodesc.NewFile(&file, nil)
	if err != nil {
		panic(err)
	}
	return compiled.Messages().ByName("ModelConfig")
})

// triton is config.pbtxt. Its numbers are texts in protobuf's JSON.
type triton struct {
	Name, Platform, Backend string
	DefaultModelFilename    string
	Input                   []struct {
		DataType string
		Dims     []string
	}
	Output []struct {
		Dims          []string
		LabelFilename string
	}
}

// maxTritonBrackets bounds how deep a configuration can be: the parser calls itself for each bracket, as often as there are any. Real
// ones have dozens.
const maxTritonBrackets = 10_000

func parseTriton(data []byte) (config triton, err error) {
	brackets := 0
	for _, open := range []string{"{", "<", "["} {
		brackets += bytes.Count(data, []byte(open))
	}
	if brackets > maxTritonBrackets {
		return config, fmt.Errorf("it has %d brackets; %d are the most", brackets, maxTritonBrackets)
	}
	message := dynamicpb.NewMessage(tritonConfig())
	if err := (prototext.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(data, message); err != nil {
		return config, err
	}
	text, err := protojson.Marshal(message)
	if err != nil {
		return config, err
	}
	return config, json.Unmarshal(text, &config)
}

// tritonFolder is the model's folder if path is one, or a repository of one; "" if it is something else.
func tritonFolder(path string) (string, error) {
	if exists(path, "config.pbtxt") || newestVersion(path) != "" {
		return path, nil
	}
	folders, err := os.ReadDir(path)
	if err != nil {
		return "", err
	}
	var found []string
	for _, folder := range folders {
		if inside := filepath.Join(path, folder.Name()); folder.IsDir() && (exists(inside, "config.pbtxt") || newestVersion(inside) != "") {
			found = append(found, inside)
		}
	}
	switch len(found) {
	case 0:
		return "", nil
	case 1:
		return found[0], nil
	}
	return "", fmt.Errorf("%s is a model repository of Triton's; name one of its models: %s", path, strings.Join(found, ", "))
}

// newestVersion is the folder with the highest number, "" if there is none that holds a file for us.
func newestVersion(folder string) string {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return ""
	}
	newest, highest := "", 0
	for _, e := range entries {
		if n, err := strconv.Atoi(e.Name()); err == nil && e.IsDir() && n > highest {
			files, _ := os.ReadDir(filepath.Join(folder, e.Name()))
			if slices.ContainsFunc(files, func(f os.DirEntry) bool { return model.IsModelFile(f.Name()) }) {
				newest, highest = e.Name(), n
			}
		}
	}
	return newest
}

func openTriton(folder string) (*Source, error) {
	path := filepath.Join(folder, "config.pbtxt")
	data, err := readConfig(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	config, err := parseTriton(data)
	if err != nil {
		return nil, fmt.Errorf("%s is not a model configuration of Triton's: %w", path, err)
	}
	if platform := config.Platform + config.Backend; platform != "" && !slices.Contains([]string{"pytorch_libtorch", "pytorch", "pytorch_libtorchpytorch"}, platform) {
		return nil, fmt.Errorf("%s is a model for %s, not for PyTorch (pytorch_libtorch).\n"+
			"Trace the PyTorch network that it came from:  torch.jit.trace(model.eval(), torch.rand(1, 3, 224, 224)).save(\"model.pt\")", folder, userfile.Printable(platform))
	}
	version := newestVersion(folder)
	name := "model.pt"
	if config.DefaultModelFilename != "" {
		name = filepath.Base(config.DefaultModelFilename)
	}
	file := filepath.Join(folder, version, name)
	if version == "" || !exists(file) {
		return nil, fmt.Errorf("%s has no version folder with a %s in it, such as %s",
			folder, userfile.Printable(name), userfile.Printable(filepath.Join(folder, "1", name)))
	}
	absolute, err := filepath.Abs(folder)
	if err != nil {
		return nil, err
	}
	s := &Source{File: file, Kind: "a Triton model folder", Name: model.NameOfFile(absolute), Version: version}
	if config.Name != "" {
		s.Name = model.NameOfFile(config.Name)
	}
	if len(data) > 0 {
		s.Said = "config.pbtxt"
	}
	if len(config.Input) > 0 {
		if s.Input.Crop, err = tritonSize(config.Input[0].Dims); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
	}
	if len(config.Output) > 0 && config.Output[0].LabelFilename != "" {
		// The base name alone: what it names lies in the folder.
		if s.Labels, err = model.ReadLabels(filepath.Join(folder, filepath.Base(config.Output[0].LabelFilename))); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// tritonSize is the input's size from its dims, [3, 224, 224] or [1, 3, 224, 224]; zero where they leave it open, as -1.
func tritonSize(dims []string) (size model.Crop, err error) {
	if len(dims) == 4 {
		dims = dims[1:]
	}
	if len(dims) != 3 || dims[0] != "3" {
		return size, fmt.Errorf("its input has dims %q; a classifier here takes [3, height, width], colours first", dims)
	}
	size.Height, _ = strconv.Atoi(dims[1])
	size.Width, _ = strconv.Atoi(dims[2])
	if size.Height < 1 || size.Width < 1 {
		return model.Crop{}, nil
	}
	return size, nil
}
