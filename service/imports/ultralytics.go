package imports

import (
	"archive/zip"
	"encoding/json"
	"fmt"
	"path"
	"strings"

	"github.com/vidi-vision/vidi/service/model"
)

// ultralyticsConfig is the record that Ultralytics' exporter puts into a TorchScript file.
const ultralyticsConfig = "extra/config.txt"

// ultralytics is its content. Versions before 8 (YOLOv5) wrote only shape, stride and names.
type ultralytics struct {
	Description string          `json:"description"`
	Task        string          `json:"task"`
	ImageSize   json.RawMessage `json:"imgsz"` // [height, width], or a number
	Shape       []int           `json:"shape"` // of the input
	Names       json.RawMessage `json:"names"`
	Batch       int             `json:"batch"`
}

// readUltralytics takes over what Ultralytics' exporter wrote into the archive, if it did.
func readUltralytics(s *Source, reader *zip.Reader) error {
	var entry *zip.File
	for _, file := range reader.File {
		if _, below, _ := strings.Cut(path.Clean(file.Name), "/"); below == ultralyticsConfig {
			entry = file
		}
	}
	if entry == nil {
		return nil
	}
	content, err := entry.Open()
	if err != nil {
		return nil //nolint:nilerr // a damaged record: model.CheckRecords says so
	}
	defer content.Close()
	data, err := readBounded(content, ultralyticsConfig)
	if err != nil {
		return nil //nolint:nilerr // as above
	}
	var config ultralytics
	if json.Unmarshal(data, &config) != nil || config.Task == "" && len(config.Shape) == 0 {
		return nil // the record of another program
	}
	if config.Task != "" && config.Task != "classify" {
		return fmt.Errorf("%s is an Ultralytics network for the task %q; vidi serves classifiers, whose task is \"classify\".\n"+
			"Train or take one of these (yolo11n-cls.pt and its like), and export it:  yolo export model=best.pt format=torchscript",
			s.File, config.Task)
	}
	if len(config.Names) > 0 {
		if s.Labels, err = model.ParseLabels(config.Names); err != nil {
			return fmt.Errorf("%s: names in its %s: %w", s.File, ultralyticsConfig, err)
		}
	}
	s.Kind, s.Said = "an Ultralytics export", "its "+ultralyticsConfig+", which Ultralytics wrote"
	s.Input, s.Activation = model.Presets["ultralytics"], model.None
	s.Input.Crop = config.size()
	if s.Input.Crop.Height != s.Input.Crop.Width { // Resize takes both sides then
		s.Input.Resize = model.Squeeze(1, 1)
	}
	if s.Input.Crop != (model.Crop{}) {
		s.Input = s.Input.At(s.Input.Crop)
	}
	if config.Task == "" { // YOLOv5 normalises, and leaves the softmax to others
		imagenet := model.ImageNetInput()
		s.Input.Mean, s.Input.Std, s.Activation = imagenet.Mean, imagenet.Std, ""
		s.Notes = append(s.Notes, "it is of YOLOv5's time, whose classifiers take ImageNet's mean and std, "+
			"and whose images are resized by OpenCV: answers differ a little")
	}
	return nil
}

// size is the input's size, zero where it is not said.
func (c ultralytics) size() (crop model.Crop) {
	var sides []int
	if json.Unmarshal(c.ImageSize, &crop) == nil {
		return crop
	}
	if json.Unmarshal(c.ImageSize, &sides) == nil && len(sides) == 1 {
		return model.Square(sides[0])
	}
	if n := len(c.Shape); n == 4 {
		return model.Crop{Height: c.Shape[2], Width: c.Shape[3]}
	}
	return model.Crop{}
}
