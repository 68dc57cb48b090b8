package imports

import (
	"encoding/json"
	"fmt"
	"math"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/vidi-vision/vidi/service/model"
)

// timmConfig is config.json as timm writes it beside weights.
type timmConfig struct {
	Architecture string            `json:"architecture"`
	LabelNames   json.RawMessage   `json:"label_names"`        // a list, or an object from number to name
	Labels       json.RawMessage   `json:"labels"`             // what that was called before
	Descriptions map[string]string `json:"label_descriptions"` // of these names
	Pretrained   *timmPretrained   `json:"pretrained_cfg"`
}

// timmPretrained is how the network was validated. What is absent has timm's defaults.
type timmPretrained struct {
	InputSize     []int           `json:"input_size"` // channels, height, width
	Interpolation string          `json:"interpolation"`
	CropPct       float64         `json:"crop_pct"`
	CropMode      string          `json:"crop_mode"`
	Mean          *model.Channels `json:"mean"`
	Std           *model.Channels `json:"std"`
}

// take takes over what timm's config.json says.
func (c timmConfig) take(s *Source) error {
	s.Kind, s.Said = "a timm folder", "config.json, which timm wrote"
	if c.Architecture != "" {
		s.Name = model.NameOfFile(c.Architecture)
	}
	if err := c.Pretrained.input(&s.Input); err != nil {
		return err
	}
	names := c.LabelNames
	if len(names) == 0 {
		names = c.Labels
	}
	if len(names) == 0 || string(names) == "null" {
		return nil
	}
	labels, err := model.ParseLabels(names)
	if err != nil {
		return fmt.Errorf("label_names: %w", err)
	}
	s.Labels = described(labels, c.Descriptions)
	return nil
}

var wordNetID = regexp.MustCompile(`^n\d{8}$`)

// described replaces names that are ids by their descriptions.
func described(labels []model.Label, descriptions map[string]string) []model.Label {
	taken := map[string]bool{}
	for i := range labels {
		l := &labels[i]
		id := l.Label
		if wordNetID.MatchString(id) {
			l.WNID = id
		}
		if text := strings.TrimSpace(descriptions[id]); text != "" {
			l.Label = text
		}
		if taken[l.Label] {
			l.Label = fmt.Sprintf("%s (%d)", l.Label, i)
		}
		taken[l.Label] = true
	}
	return labels
}

// input is timm's transform for evaluation (timm.data.create_transform) in torchvision's terms.
func (p *timmPretrained) input(in *model.Input) error {
	size := p.InputSize
	if len(size) == 0 {
		size = []int{3, 224, 224}
	}
	if len(size) != 3 || size[0] != 3 || size[1] < 1 || size[2] < 1 {
		return fmt.Errorf("input_size is %v; vidi gives images of three channels, [3, height, width]", size)
	}
	*in = model.ImageNetInput()
	in.Crop = model.Crop{Height: size[1], Width: size[2]}
	if p.Mean != nil {
		in.Mean = *p.Mean
	}
	if p.Std != nil {
		in.Std = *p.Std
	}
	in.Interpolation = "bicubic"
	if p.Interpolation != "" {
		in.Interpolation = p.Interpolation
	}
	if !slices.Contains(model.Interpolations, in.Interpolation) {
		return fmt.Errorf("interpolation %q is none of Pillow's filters", in.Interpolation)
	}
	share := 0.875
	if p.CropPct > 0 {
		share = p.CropPct
	}
	height, width := int(math.Floor(float64(size[1])/share)), int(math.Floor(float64(size[2])/share))
	switch {
	case p.CropMode == "squash":
		in.Resize = model.Squeeze(height, width)
	case p.CropMode == "border":
		return fmt.Errorf("crop_mode is \"border\": it fills the edges up with a colour, which vidi does not. " +
			"Say how to do without:  vidi models add FILE.pt --resize H,W")
	case height != width:
		return fmt.Errorf("crop_mode is %q with an input of %v: it keeps the proportions of an image for an input that is "+
			"not square, which vidi does not. Say how to do without:  vidi models add FILE.pt --resize H,W", p.CropMode, in.Crop)
	default:
		in.Resize = model.ShorterSide(height)
	}
	if height < in.Height() || width < in.Width() {
		return fmt.Errorf("crop_pct is %g, above 1: it fills the edges up with black, which vidi does not", share)
	}
	return nil
}

// traceTimm is what makes the file that timm's folders lack.
func traceTimm(folder string, c timmConfig) string {
	size := []int{3, 224, 224}
	if c.Pretrained != nil && len(c.Pretrained.InputSize) == 3 {
		size = c.Pretrained.InputSize
	}
	return fmt.Sprintf(`Trace the network into the same folder, and add the folder again:
    import timm, torch
    model = timm.create_model("local-dir:" + %s, pretrained=True, exportable=True).eval()
    torch.jit.trace(model, torch.rand(1, %d, %d, %d)).save(%s)`,
		model.Quoted(folder), size[0], size[1], size[2], model.Quoted(filepath.Join(folder, "model.pt")))
}
