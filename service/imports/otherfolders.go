package imports

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/vidi-vision/vidi/service/model"
)

// openOtherFolder takes a folder of MLflow's with TorchScript inside, and says what other folders are.
func openOtherFolder(path string) (*Source, error) {
	refuse := func(is, do string) (*Source, error) { return nil, fmt.Errorf("%s is %s.\n%s", path, is, do) }
	const elsewhere = "It comes from another system than PyTorch, and vidi runs PyTorch networks. " +
		"Where it came from a PyTorch network, trace that:  torch.jit.trace(model.eval(), torch.rand(1, 3, 224, 224)).save(\"model.pt\")"
	switch {
	case exists(path, "MLmodel"):
		return openMLflow(path)
	case exists(path, "saved_model.pb"):
		return refuse("a TensorFlow SavedModel", elsewhere)
	case exists(path, "Manifest.json") && exists(path, "Data"):
		return refuse("a Core ML package", elsewhere)
	}
	files, err := os.ReadDir(path)
	if err != nil {
		return nil, err
	}
	var found []string
	for _, file := range files {
		switch name := file.Name(); {
		case strings.HasSuffix(name, ".xml") && exists(path, strings.TrimSuffix(name, ".xml")+".bin"):
			export := ""
			if exists(path, "metadata.yaml") {
				export = "\nAn Ultralytics network is exported by:  yolo export model=best.pt format=torchscript"
			}
			return refuse("an OpenVINO network ("+name+" with its weights)", elsewhere+export)
		case model.IsModelFile(name), strings.HasSuffix(name, ".pth"), strings.HasSuffix(name, ".onnx"), strings.HasSuffix(name, ".safetensors"):
			found = append(found, filepath.Join(path, name))
		}
	}
	if len(found) == 1 {
		return refuse("a folder with one model in it", "Add that:  vidi models add "+found[0])
	}
	if len(found) > 1 {
		return refuse("a folder with several models", "Add one of them:  vidi models add "+found[0])
	}
	return nil, fmt.Errorf("%s is a folder, but neither of Triton's (config.pbtxt, or 1/model.pt) nor of Hugging Face's or timm's (config.json beside a traced .pt).\n"+
		"Name the .pt file in it, with --labels FILE for the names of its classes", path)
}

// openMLflow reads what mlflow.pytorch.save_model wrote: TorchScript, or a pickled network.
func openMLflow(folder string) (*Source, error) {
	absolute, err := filepath.Abs(folder)
	if err != nil {
		return nil, err
	}
	load := fmt.Sprintf("Load it where its class is known, and trace it:\n    import mlflow.pytorch, torch\n    model = mlflow.pytorch.load_model(%q)\n"+
		"    torch.jit.trace(model.eval(), torch.rand(1, 3, 224, 224)).save(\"model.pt\")", absolute)
	file := filepath.Join(folder, "data", "model.pth")
	_, err = model.Inspect(file)
	var other *model.NotTorchScriptError
	switch {
	case errors.As(err, &other):
		return nil, fmt.Errorf("%s is an MLflow model, and its data/model.pth is %s.\n%s", folder, other.Is, load)
	case errors.Is(err, os.ErrNotExist):
		return nil, fmt.Errorf("%s is an MLflow model of another library than PyTorch (there is no data/model.pth); vidi runs PyTorch networks", folder)
	case err != nil:
		return nil, err
	}
	return &Source{File: file, Kind: "an MLflow model", Name: model.NameOfFile(absolute)}, nil
}
