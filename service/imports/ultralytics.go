package imports

import (
	"archive/zip"
	"fmt"
	"path"
	"strings"

	"github.com/vidi-vision/vidi/service/model"
)

// readUltralytics takes over what Ultralytics' exporter wrote into the archive, if it did.
func readUltralytics(s *Source, reader *zip.Reader) error {
	var entry *zip.File
	for _, file := range reader.File {
		if _, below, _ := strings.Cut(path.Clean(file.Name), "/"); below == model.UltralyticsConfig {
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
	data, err := readBounded(content, model.UltralyticsConfig)
	if err != nil {
		return nil //nolint:nilerr // as above
	}
	config, ok := model.ParseUltralytics(data)
	if !ok {
		return nil // the record of another program
	}
	if config.Task != "" && config.Task != "classify" {
		return fmt.Errorf("%s is an Ultralytics network for the task %q; vidi serves classifiers, whose task is \"classify\".\n"+
			"Train or take one of these (yolo11n-cls.pt and its like), and export it:  yolo export model=best.pt format=torchscript",
			s.File, config.Task)
	}
	if len(config.Names) > 0 {
		if s.Labels, err = model.ParseLabels(config.Names); err != nil {
			return fmt.Errorf("%s: names in its %s: %w", s.File, model.UltralyticsConfig, err)
		}
	}
	s.Kind, s.Said = "an Ultralytics export", "its "+model.UltralyticsConfig+", which Ultralytics wrote"
	s.Input, s.Activation = config.Input(), model.None
	if config.Task == "" { // YOLOv5 leaves the softmax to others
		s.Activation = ""
		s.Notes = append(s.Notes, "it is of YOLOv5's time, whose classifiers take ImageNet's mean and std, "+
			"and whose images are resized by OpenCV: answers differ a little")
	}
	return nil
}
