package imports

import (
	"encoding/json"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"github.com/vidi-vision/vidi/service/model"
)

// traceHuggingFace is what makes the file that Hugging Face's folders lack.
func traceHuggingFace(folder string, size model.Crop) string {
	if size == (model.Crop{}) {
		size = model.Square(224)
	}
	return fmt.Sprintf(`Trace the network into the same folder, and add the folder again:
    import torch
    from transformers import AutoModelForImageClassification
    class Logits(torch.nn.Module):
        def __init__(self, net):
            super().__init__()
            self.net = net
        def forward(self, x):
            return self.net(pixel_values=x, return_dict=True)["logits"]
    net = Logits(AutoModelForImageClassification.from_pretrained(%s, attn_implementation="eager")).eval()
    torch.jit.trace(net, torch.rand(1, 3, %d, %d)).save(%s)`,
		model.Quoted(folder), size.Height, size.Width, model.Quoted(filepath.Join(folder, "model.pt")))
}

// side is how Hugging Face writes a size: 224, {"height": 224, "width": 224}, or {"shortest_edge": 256}.
type side struct {
	height, width, shortest int
	number                  bool // it was one number, which is in shortest
}

// crop is the size as a crop of it.
func (s side) crop() model.Crop {
	if s.shortest > 0 {
		return model.Square(s.shortest)
	}
	return model.Crop{Height: s.height, Width: s.width}
}

func (s *side) UnmarshalJSON(data []byte) error {
	var number int
	if json.Unmarshal(data, &number) == nil {
		*s = side{shortest: number, number: true}
		return nil
	}
	var fields struct {
		Height       int `json:"height"`
		Width        int `json:"width"`
		ShortestEdge int `json:"shortest_edge"`
	}
	err := json.Unmarshal(data, &fields)
	*s = side{height: fields.Height, width: fields.Width, shortest: fields.ShortestEdge}
	return err
}

// processor is preprocessor_config.json. Pointers tell "false" from "not said".
type processor struct {
	Kind          string  `json:"image_processor_type"`
	OldKind       string  `json:"feature_extractor_type"`
	DoResize      *bool   `json:"do_resize"`
	Size          side    `json:"size"`
	CropPct       float64 `json:"crop_pct"`
	DoCenterCrop  bool    `json:"do_center_crop"`
	CropSize      side    `json:"crop_size"`
	Resample      *int    `json:"resample"`
	DoRescale     *bool   `json:"do_rescale"`
	RescaleFactor float64 `json:"rescale_factor"`
	RescaleOffset bool    `json:"rescale_offset"`
	DoNormalize   *bool   `json:"do_normalize"`
	IncludeTop    *bool   `json:"include_top"`
	DoFlip        *bool   `json:"do_flip_channel_order"`
	DoPad         bool    `json:"do_pad"`
	Mean          triple  `json:"image_mean"`
	Std           triple  `json:"image_std"`
}

// triple is three numbers, or one for all channels.
type triple []float64

func (t *triple) UnmarshalJSON(data []byte) error {
	if string(data) == "null" { // as if it were not there
		return nil
	}
	var one float64
	if json.Unmarshal(data, &one) == nil {
		*t = triple{one, one, one}
		return nil
	}
	return json.Unmarshal(data, (*[]float64)(t))
}

// kind is the processor's class without its ending: "ViT", "ConvNext".
func (p processor) kind() string {
	kind := p.Kind
	if kind == "" {
		kind = p.OldKind
	}
	for _, ending := range []string{"Fast", "Pil", "ImageProcessor", "FeatureExtractor"} {
		kind = strings.TrimSuffix(kind, ending)
	}
	return kind
}

// flips reports whether the network takes blue, green, red. MobileViT's processor turns the channels unless it is told not to.
func (p processor) flips() bool {
	if p.DoFlip == nil {
		return p.kind() == "MobileViT"
	}
	return *p.DoFlip
}

// normalises reports whether mean and std are applied. MobileViT's processor knows neither.
func (p processor) normalises() bool {
	if p.DoNormalize == nil {
		return p.kind() != "MobileViT" || p.Mean != nil || p.Std != nil
	}
	return *p.DoNormalize
}

// shorterKinds are the classes for which a size that is one number is that of the shorter side; for others it is both sides.
var shorterKinds = []string{"ConvNext", "CLIP", "ChineseCLIP", "Bit", "Levit", "MobileNetV1", "MobileNetV2", "MobileViT", "PoolFormer"}

// configHuggingFace is what is used of config.json.
type configHuggingFace struct {
	ID2Label    json.RawMessage `json:"id2label"`
	ProblemType string          `json:"problem_type"`
	Timm        *timmPretrained `json:"pretrained_cfg"`
}

// openConfigured reads a model folder as save_pretrained of Hugging Face, or timm, writes it, with a traced file beside.
func openConfigured(folder string) (*Source, error) {
	path := filepath.Join(folder, "config.json")
	var config configHuggingFace
	if _, err := decode(path, &config); err != nil {
		return nil, err
	}
	absolute, err := filepath.Abs(folder)
	if err != nil {
		return nil, err
	}
	s := &Source{Name: model.NameOfFile(absolute)}
	var otherwise string
	if config.Timm != nil {
		var timm timmConfig
		if _, err := decode(path, &timm); err != nil {
			return nil, err
		}
		otherwise = traceTimm(folder, timm)
		err = timm.take(s)
	} else {
		err = openHuggingFace(s, folder, config)
		otherwise = traceHuggingFace(folder, s.Input.Crop)
	}
	// The file first: without it nothing else matters.
	file, noFile := theOnly(folder, otherwise)
	if noFile != nil {
		return nil, noFile
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", folder, err)
	}
	s.File = file
	return s, nil
}

// openHuggingFace takes over config.json and preprocessor_config.json.
func openHuggingFace(s *Source, folder string, config configHuggingFace) (err error) {
	s.Kind, s.Said = "a Hugging Face folder", "config.json"
	// As their pipeline for image classification does it.
	s.Activation = model.Softmax
	if config.ProblemType == "multi_label_classification" {
		s.Activation = model.Sigmoid
	}
	if len(config.ID2Label) > 0 {
		if s.Labels, err = model.ParseLabels(config.ID2Label); err != nil {
			return fmt.Errorf("config.json: id2label: %w", err)
		}
		if len(s.Labels) == 1 {
			s.Activation = model.Sigmoid
		}
	}
	var p processor
	found, err := decode(filepath.Join(folder, "preprocessor_config.json"), &p)
	if err != nil {
		return err
	}
	if !found {
		s.Notes = append(s.Notes, "there is no preprocessor_config.json, so nothing says how images are prepared")
		return nil
	}
	s.Said = "preprocessor_config.json and config.json"
	if err := p.input(s); err != nil {
		return fmt.Errorf("preprocessor_config.json: %w", err)
	}
	return nil
}

// input translates the processor's steps into torchvision's.
func (p processor) input(s *Source) error {
	kind := p.kind()
	switch {
	case kind == "ImageGPT":
		return fmt.Errorf("its processor turns images into words of %s; vidi gives numbers for red, green and blue", kind)
	case p.flips():
		return fmt.Errorf("do_flip_channel_order is true: the network takes blue, green, red. Turn them inside the network that you trace, " +
			"and set it to false here:  return self.net(pixel_values=x.flip(1), return_dict=True)[\"logits\"]")
	}
	in := &s.Input
	size := p.Size
	if size.number && !slices.Contains(shorterKinds, kind) && p.CropPct == 0 {
		size = side{height: size.shortest, width: size.shortest}
	}
	convNext := kind == "ConvNext" || p.CropPct > 0
	share := p.CropPct
	if share == 0 {
		share = 224.0 / 256
	}
	shorter := max(size.shortest, size.height)
	switch {
	case convNext && share <= 1 && shorter > 0 && (shorter < 384 || kind == "PoolFormer"):
		in.Resize, in.Crop = model.ShorterSide(int(float64(shorter)/share)), model.Square(shorter)
	case convNext && shorter > 0:
		in.Resize, in.Crop = model.Squeeze(shorter, shorter), model.Square(shorter)
	case size.shortest > 0:
		in.Resize, in.Crop = model.ShorterSide(size.shortest), size.crop()
		if kind == "Levit" {
			in.Resize = model.ShorterSide(int(256.0 / 224 * float64(size.shortest)))
		}
	case size.height > 0:
		in.Resize, in.Crop = model.Squeeze(size.height, size.width), size.crop()
	}
	if p.DoCenterCrop && !convNext && p.CropSize != (side{}) {
		in.Crop = p.CropSize.crop()
	}
	if in.Resize.Shorter > 0 && !convNext && !p.DoCenterCrop {
		s.Notes = append(s.Notes, "it does not crop: Hugging Face gives the network images of all proportions, vidi the square in the middle")
	}
	if height, width := in.Resize.Smallest(); height < in.Height() || width < in.Width() {
		return fmt.Errorf("size is %v, below crop_size %v: it pads, which vidi does not", in.Resize, in.Crop)
	}
	in.CropOffset = model.CropFloor
	if height, width := in.Resize.Smallest(); in.Resize.Squeezes() && height == in.Height() && width == in.Width() {
		in.CropOffset = "" // nothing is cropped
	}
	if p.DoResize != nil && !*p.DoResize {
		s.Notes = append(s.Notes, "it does not resize images; vidi resizes every one")
	}
	if p.DoPad {
		s.Notes = append(s.Notes, "it pads images; vidi does not")
	}
	if err := p.interpolation(in); err != nil {
		return err
	}
	return p.normalise(in)
}

// resamples are Pillow's numbers.
var resamples = []string{"nearest", "lanczos", "bilinear", "bicubic", "box", "hamming"}

func (p processor) interpolation(in *model.Input) error {
	if p.Resample == nil {
		return nil
	}
	if *p.Resample < 0 || *p.Resample >= len(resamples) {
		return fmt.Errorf("resample is %d; Pillow's filters are 0 to %d", *p.Resample, len(resamples)-1)
	}
	in.Interpolation = resamples[*p.Resample]
	return nil
}

// normalise turns (value × factor − offset − mean) / std, for values from 0 to 255, into mean and std for values from 0 to 1.
func (p processor) normalise(in *model.Input) error {
	mean, std := triple{0, 0, 0}, triple{1, 1, 1}
	if p.normalises() {
		mean, std = p.Mean, p.Std
		if len(mean) != 3 || len(std) != 3 {
			return fmt.Errorf("image_mean and image_std must have three numbers each; they have %d and %d", len(mean), len(std))
		}
	}
	scale, offset := 1.0, 0.0 // of values from 0 to 1
	if p.DoRescale != nil && !*p.DoRescale {
		scale = 255
	} else if p.RescaleFactor > 0 {
		scale = p.RescaleFactor * 255
	}
	if p.RescaleOffset {
		offset = 1
	}
	if math.Abs(scale-1) < 1e-6 { // 1/255, as people write it
		scale = 1
	}
	// EfficientNet's processor divides by std once more, unless it is told not to.
	twice := p.kind() == "EfficientNet" && (p.IncludeTop == nil || *p.IncludeTop)
	for i := range 3 {
		in.Mean[i], in.Std[i] = float32((mean[i]+offset)/scale), float32(std[i]/scale)
		if twice {
			in.Std[i] = float32(std[i] * std[i] / scale)
		}
	}
	return nil
}
