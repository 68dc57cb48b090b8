package model

import (
	"encoding/json"
)

// UltralyticsConfig is the record of an archive, below its top folder, that Ultralytics' exporter writes.
const UltralyticsConfig = "extra/config.txt"

// Ultralytics is what that record says. Versions before 8 (YOLOv5) wrote only shape, stride and names.
type Ultralytics struct {
	Task      string          `json:"task"`  // "classify", "detect", …; "" before version 8
	ImageSize json.RawMessage `json:"imgsz"` // [height, width], or a number
	Shape     []int           `json:"shape"` // of the input
	Names     json.RawMessage `json:"names"`
}

// ParseUltralytics reads the record; ok is false where another program wrote it.
func ParseUltralytics(data []byte) (u Ultralytics, ok bool) {
	err := json.Unmarshal(data, &u)
	return u, err == nil && (u.Task != "" || len(u.Shape) > 0)
}

// Input is how Ultralytics prepares an image for a classifier of that size. The size is zero where it is not said.
func (u Ultralytics) Input() Input {
	in := Presets["ultralytics"]
	in.Crop = u.size()
	if in.Crop.Height != in.Crop.Width { // its Resize takes both sides then
		in.Resize = Squeeze(1, 1)
	}
	if in.Crop != (Crop{}) {
		in = in.At(in.Crop)
	}
	if u.Task == "" { // YOLOv5 normalises
		imagenet := ImageNetInput()
		in.Mean, in.Std = imagenet.Mean, imagenet.Std
	}
	return in
}

func (u Ultralytics) size() (crop Crop) {
	if json.Unmarshal(u.ImageSize, &crop) == nil {
		return crop
	}
	var sides []int
	if json.Unmarshal(u.ImageSize, &sides) == nil && len(sides) == 1 {
		return Square(sides[0])
	}
	if len(u.Shape) == 4 {
		return Crop{Height: u.Shape[2], Width: u.Shape[3]}
	}
	return Crop{}
}

// ultralyticsCard is the card of a classifier that says everything in that record; nil for other files.
func (a archive) ultralyticsCard(filePath string) *Card {
	entry := a.records[UltralyticsConfig]
	if entry == nil {
		return nil
	}
	data, err := readEntry(entry, maxCardBytes)
	if err != nil {
		return nil // CheckRecords says that it is damaged
	}
	u, ok := ParseUltralytics(data)
	if !ok || u.Task != "classify" {
		return nil
	}
	labels, err := ParseLabels(u.Names)
	if err != nil {
		return nil
	}
	card := Card{
		Format: 1, Task: "classification", Name: NameOfFile(filePath), Version: bareVersion,
		Description: "an export of Ultralytics', without a card", Activation: None, Input: u.Input(), Labels: labels,
	}
	if card.Validate() != nil {
		return nil
	}
	return &card
}
