package model

import (
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/vidi-vision/vidi/service/userfile"
)

// Every recipe is Python that runs as it stands, but for what its comments ask to fill in. It works with PyTorch 1.13 and later.

// Quoted is a path as Python writes texts, and absolute, so that a recipe runs in any folder. Control characters are escaped.
func Quoted(path string) string {
	if absolute, err := filepath.Abs(path); err == nil {
		path = absolute
	}
	return pythonText(path)
}

// pythonText is a text in Python's source: Go's escapes are Python's, too.
func pythonText(text string) string { return strconv.Quote(text) }

func traceLine(size int64) string {
	if size == 0 {
		size = 224
	}
	return fmt.Sprintf("    torch.jit.trace(model.eval(), torch.rand(1, 3, %d, %d)).save(\"model.pt\")", size, size)
}

// traceModel is for whoever has the network in Python.
var traceModel = "Trace the network in the Python program that has it, with its own input size, and add that file:\n" + traceLine(0)

// explainWeights says whose weights a file holds, and how to make a model of them. format is how they were written: "a state_dict".
func explainWeights(path, format, load string, w weights) (is, do string) {
	a := w.recognise()
	is = format
	switch {
	case a != nil && a.classes > 0:
		is += fmt.Sprintf(" of %s with %d classes", a.name, a.classes)
	case a != nil:
		is += " of " + a.name
	}
	is += " (weights without the network)"
	if a != nil && a.build == "" {
		return is, "Weights alone cannot run. In the folder that save_pretrained wrote, with its config.json, they can be traced:  vidi models add FOLDER  says how."
	}
	library, build, note := "torchvision", "torchvision.models.resnet18()", "    # put your own network here"
	size := int64(0)
	if a != nil {
		library, build, note, size = a.imports, a.build, "", a.size
	}
	within := ""
	for _, key := range w.within {
		within += "[" + pythonText(key) + "]"
	}
	lines := []string{
		"Weights alone cannot run. Build the network in Python, load them, and trace it:",
		"    import torch, " + library,
		"    model = " + build + note,
		"    state = " + load + within,
	}
	if strings.HasPrefix(load, "safetensors") {
		lines = slices.Insert(lines, 2, "    import safetensors.torch")
	}
	if w.prefix != "" {
		lines = append(lines, fmt.Sprintf("    state = {name[%d:]: tensor for name, tensor in state.items()}    # without %s", len(w.prefix), w.prefix))
	}
	return is, strings.Join(append(lines, "    model.load_state_dict(state)", traceLine(size)), "\n")
}

func loadPickle(path string, weightsOnly bool) string {
	return fmt.Sprintf("torch.load(%s, map_location=\"cpu\", weights_only=%s)", Quoted(path), python(weightsOnly))
}

// explainPickle says what a file of torch.save is, by its value: weights, or Python objects.
func explainPickle(path, format string, value any) (is, do string) {
	w := pickledWeights(value)
	class := ""
	if len(w.foreign) > 0 {
		class = w.foreign[0]
	}
	for _, foreign := range w.foreign {
		if strings.HasPrefix(foreign, "ultralytics.nn.") || strings.HasPrefix(foreign, "models.yolo.") {
			return ultralyticsCheckpoint(path, foreign)
		}
	}
	if w.whole != "" {
		class = string(w.whole)
	}
	switch {
	case strings.HasPrefix(class, "fastai."):
		return fmt.Sprintf("a fastai learner (of class %s)", userfile.Printable(class)), "Trace its network, and add that with the names of its classes:\n" +
			"    import torch\n    from fastai.vision.all import load_learner\n    learn = load_learner(" + Quoted(path) + ")\n" +
			"    model = learn.model\n" + traceLine(0) +
			"\n    open(\"labels.txt\", \"w\").write(\"\\n\".join(learn.dls.vocab))\n" +
			"    # vidi models add model.pt --labels labels.txt, and with Resize(224, method=\"squish\") --resize 224,224"
	case w.whole != "" || class != "" && len(w.shapes) == 0:
		parallel := ""
		if strings.HasSuffix(class, "DataParallel") {
			parallel = ".module"
		}
		return fmt.Sprintf("a pickled Python object (of class %s)", userfile.Printable(class)),
			"It runs only inside a Python program that has that class. There, load it, and trace it:\n    import torch\n" +
				"    model = " + loadPickle(path, false) + parallel + "\n" + traceLine(0)
	case len(w.shapes) == 0:
		return format, traceModel
	}
	// PyTorch 1.13's loader of weights alone knows no numbers, which checkpoints hold beside them.
	return explainWeights(path, format, loadPickle(path, len(w.foreign) == 0 && len(w.within) == 0), w)
}

// ultralyticsCheckpoint is best.pt, as training leaves it.
func ultralyticsCheckpoint(path, class string) (is, do string) {
	is = fmt.Sprintf("a checkpoint of Ultralytics' (%s)", userfile.Printable(class))
	switch {
	case !strings.HasSuffix(class, "ClassificationModel"):
		do = "vidi serves classifiers; this is a network for another task. One for classification is exported by\n" +
			"    yolo export model=yolo11n-cls.pt format=torchscript"
	case strings.HasPrefix(class, "models.yolo."): // YOLOv5
		do = "Export it in YOLOv5's folder, and add the file that this writes:\n" +
			"    python export.py --include torchscript --weights " + Quoted(path)
	default:
		do = "Export it, and add the file that this writes:\n    yolo export format=torchscript model=" + Quoted(path)
	}
	return is, do
}
