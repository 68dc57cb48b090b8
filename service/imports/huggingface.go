package imports

import (
	"encoding/json"
	"fmt"
	"math"
	"path/filepath"

	"github.com/vidi-vision/vidi/service/model"
)

const traceHuggingFace = `Trace the network into the same folder, and add the folder again:
    import torch
    from transformers import AutoModelForImageClassification
    class Logits(torch.nn.Module):
        def __init__(self, net):
            super().__init__()
            self.net = net
        def forward(self, x):
            return self.net(pixel_values=x).logits
    net = Logits(AutoModelForImageClassification.from_pretrained(".")).eval()
    torch.jit.trace(net, torch.rand(1, 3, 224, 224)).save("model.pt")`

// side is how Hugging Face writes a size: 224, {"height": 224, "width": 224}, or {"shortest_edge": 256}.
type side struct {
	height, width, shortest int
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
		s.shortest = number
		return nil
	}
	var fields struct {
		Height       int `json:"height"`
		Width        int `json:"width"`
		ShortestEdge int `json:"shortest_edge"`
	}
	err := json.Unmarshal(data, &fields)
	s.height, s.width, s.shortest = fields.Height, fields.Width, fields.ShortestEdge
	return err
}

// processor is preprocessor_config.json. Pointers tell "false" from "not said".
type processor struct {
	DoResize      *bool     `json:"do_resize"`
	Size          side      `json:"size"`
	CropPct       float64   `json:"crop_pct"`
	DoCenterCrop  bool      `json:"do_center_crop"`
	CropSize      side      `json:"crop_size"`
	Resample      *int      `json:"resample"`
	DoRescale     *bool     `json:"do_rescale"`
	RescaleFactor float64   `json:"rescale_factor"`
	RescaleOffset bool      `json:"rescale_offset"`
	DoNormalize   *bool     `json:"do_normalize"`
	Mean          []float64 `json:"image_mean"`
	Std           []float64 `json:"image_std"`
}

// openHuggingFace reads a model folder as save_pretrained writes it, with a traced file beside.
func openHuggingFace(folder string) (*Source, error) {
	file, err := theOnly(folder, traceHuggingFace)
	if err != nil {
		return nil, err
	}
	absolute, err := filepath.Abs(folder)
	if err != nil {
		return nil, err
	}
	s := &Source{File: file, Kind: "a Hugging Face folder", Name: model.NameOfFile(absolute)}
	var config struct {
		ID2Label json.RawMessage `json:"id2label"`
	}
	if _, err := decode(filepath.Join(folder, "config.json"), &config); err != nil {
		return nil, err
	}
	if len(config.ID2Label) > 0 {
		if s.Labels, err = model.ParseLabels(config.ID2Label); err != nil {
			return nil, fmt.Errorf("%s: id2label: %w", filepath.Join(folder, "config.json"), err)
		}
	}
	var p processor
	path := filepath.Join(folder, "preprocessor_config.json")
	found, err := decode(path, &p)
	if err != nil {
		return nil, err
	}
	if !found {
		s.Notes = append(s.Notes, "there is no preprocessor_config.json: ImageNet's preprocessing is assumed")
		return s, nil
	}
	if err := p.input(s); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return s, nil
}

// input translates the processor's steps into torchvision's.
func (p processor) input(s *Source) error {
	size := max(p.Size.shortest, p.Size.height)
	in := &s.Input
	switch {
	case p.CropPct > 0 && p.CropPct <= 1 && size < 384: // ConvNeXt's way
		in.Resize, in.Crop = model.ShorterSide(int(float64(size)/p.CropPct)), model.Square(size)
	case p.DoCenterCrop && p.CropPct == 0:
		in.Resize, in.Crop = model.ShorterSide(p.Size.shortest), p.CropSize.crop()
		if p.Size.height > 0 {
			in.Resize = model.Squeeze(p.Size.height, p.Size.width)
		}
	case size > 0:
		in.Crop = p.Size.crop()
		in.Resize = model.Squeeze(in.Height(), in.Width())
	}
	if height, width := in.Resize.Smallest(); height < in.Height() || width < in.Width() {
		return fmt.Errorf("size is %v, below crop_size %v: it pads, which vidi does not", in.Resize, in.Crop)
	}
	if p.DoResize != nil && !*p.DoResize {
		s.Notes = append(s.Notes, "it does not resize pictures; vidi resizes every one")
	}
	in.Interpolation = "bilinear"
	if p.Resample != nil && *p.Resample != 2 {
		in.Interpolation = "bicubic"
		if *p.Resample != 3 {
			s.Notes = append(s.Notes, fmt.Sprintf("resample %d (Pillow's number) is not offered; bicubic is taken, which is nearest", *p.Resample))
		}
	}
	return p.normalise(in)
}

// normalise turns (value × factor − offset − mean) / std, for values from 0 to 255, into mean and std for values from 0 to 1.
func (p processor) normalise(in *model.Input) error {
	mean, std := []float64{0, 0, 0}, []float64{1, 1, 1}
	if p.DoNormalize == nil || *p.DoNormalize {
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
	for i := range 3 {
		in.Mean[i], in.Std[i] = float32((mean[i]+offset)/scale), float32(std[i]/scale)
	}
	return nil
}
