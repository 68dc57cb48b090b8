package model

// Presets are the preprocessing that families of networks were trained with, by the names that
// `vidi models add --preset` takes. A resize of one pixel means: as small as the crop allows.
var Presets = map[string]Input{
	// torchvision's classifiers: the shorter side becomes 256 for a crop of 224.
	"imagenet": {Interpolation: "bilinear", Mean: ImageNetInput().Mean, Std: ImageNetInput().Std},
	// Vision transformers of Hugging Face: the whole image, values from -1 to 1.
	"half": {Resize: Squeeze(1, 1), Interpolation: "bilinear", Mean: Channels{0.5, 0.5, 0.5}, Std: Channels{0.5, 0.5, 0.5}},
	// YOLO classifiers: values from 0 to 1.
	"ultralytics": {Resize: ShorterSide(1), Interpolation: "bilinear", Std: Channels{1, 1, 1}},
	// load_img and preprocess_input of keras.applications' MobileNet, Inception and Xception.
	"keras": {Resize: Squeeze(1, 1), Interpolation: "nearest", Mean: Channels{0.5, 0.5, 0.5}, Std: Channels{0.5, 0.5, 0.5}},
	// OpenAI's CLIP and what was trained from it.
	"clip": {
		Resize: ShorterSide(1), Interpolation: "bicubic",
		Mean: Channels{0.48145466, 0.4578275, 0.40821073}, Std: Channels{0.26862954, 0.26130258, 0.27577711},
	},
}
