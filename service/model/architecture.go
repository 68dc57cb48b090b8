package model

import (
	"fmt"
	"slices"
	"strings"
)

// architecture is a network that weights are recognised as.
type architecture struct {
	name    string // "torchvision's resnet18"
	build   string // the Python expression that builds it: "torchvision.models.resnet18(num_classes=7)"
	imports string // what that needs: "torchvision"
	classes int64  // 0 if they do not tell
	size    int64  // pixels a side of the input that it was made for
}

// recognise names the network that tensors of these names and shapes belong to; nil for none that is known here.
func (w weights) recognise() *architecture {
	for _, family := range []func(weights) *architecture{
		resNet, mobileNet, efficientNet, plainFeatures, denseNet, convNeXt, visionTransformer, swin, regNet, others,
		timmEfficientNet, timmViT, timmConvNeXt, timmSwin, lukemelas, huggingFace,
	} {
		if a := family(w); a != nil {
			return a
		}
	}
	return nil
}

// has reports whether there are tensors of all these names.
func (w weights) has(names ...string) bool {
	return !slices.ContainsFunc(names, func(name string) bool { return w.shapes[name] == nil })
}

// side is the shape's number at that place, 0 if there is none.
func (w weights) side(name string, place int) int64 {
	if shape := w.shapes[name]; place < len(shape) {
		return shape[place]
	}
	return 0
}

// count is how many numbers follow one another from 0 (or 1) on in names that begin like that: "layer1." has layer1.0 to layer1.2.
func (w weights) count(prefix string) int {
	largest := -1
	for name := range w.shapes {
		if rest, found := strings.CutPrefix(name, prefix); found {
			n, digits := 0, 0
			for digits < len(rest) && digits < 4 && rest[digits] >= '0' && rest[digits] <= '9' {
				n = n*10 + int(rest[digits]-'0')
				digits++
			}
			if digits > 0 {
				largest = max(largest, n)
			}
		}
	}
	return largest + 1
}

// torchvision is a network of that library, whose last layer is head.
func (w weights) torchvision(name, head string, size int64) *architecture {
	if name == "" {
		return nil
	}
	classes := w.side(head, 0)
	return &architecture{
		name: "torchvision's " + name, imports: "torchvision", classes: classes, size: size,
		build: fmt.Sprintf("torchvision.models.%s(num_classes=%d)", name, classes),
	}
}

func (w weights) timm(name, head string, size int64) *architecture {
	if name == "" {
		return nil
	}
	classes := w.side(head, 0)
	return &architecture{
		name: "timm's " + name, imports: "timm", classes: classes, size: size,
		build: fmt.Sprintf("timm.create_model(%q, num_classes=%d, exportable=True)", name, classes),
	}
}

func resNet(w weights) *architecture {
	if !w.has("conv1.weight", "layer1.0.conv1.weight", "fc.weight") || w.side("conv1.weight", 2) != 7 {
		return nil
	}
	blocks := fmt.Sprint(w.count("layer1."), w.count("layer2."), w.count("layer3."), w.count("layer4."))
	kind := "basic"
	if w.has("layer1.0.conv3.weight") {
		kind = fmt.Sprint(w.side("layer1.0.conv2.weight", 0), "x", w.side("layer1.0.conv2.weight", 1))
	}
	return w.torchvision(map[string]string{
		"basic 2 2 2 2": "resnet18", "basic 3 4 6 3": "resnet34",
		"64x64 3 4 6 3": "resnet50", "64x64 3 4 23 3": "resnet101", "64x64 3 8 36 3": "resnet152",
		"128x4 3 4 6 3": "resnext50_32x4d", "256x8 3 4 23 3": "resnext101_32x8d", "256x4 3 4 23 3": "resnext101_64x4d",
		"128x128 3 4 6 3": "wide_resnet50_2", "128x128 3 4 23 3": "wide_resnet101_2",
	}[kind+" "+blocks], "fc.weight", 224)
}

func mobileNet(w weights) *architecture {
	switch {
	case w.has("features.18.0.weight", "classifier.1.weight", "features.1.conv.0.0.weight"):
		return w.torchvision("mobilenet_v2", "classifier.1.weight", 224)
	case w.has("classifier.0.weight", "classifier.3.weight", "features.16.0.weight", "features.1.block.0.0.weight"):
		return w.torchvision("mobilenet_v3_large", "classifier.3.weight", 224)
	case w.has("classifier.0.weight", "classifier.3.weight", "features.12.0.weight", "features.1.block.0.0.weight"):
		return w.torchvision("mobilenet_v3_small", "classifier.3.weight", 224)
	}
	return nil
}

func efficientNet(w weights) *architecture {
	if !w.has("features.1.0.block.0.0.weight", "features.0.0.weight", "classifier.1.weight") {
		return nil
	}
	last := w.side("classifier.1.weight", 1)
	first := w.side("features.0.0.weight", 0)
	second := w.count("features.1.")
	name, size := "", int64(224)
	switch {
	case w.side("features.7.0.weight", 1) == 256 && first == 24:
		name, size = "efficientnet_v2_s", 384
	case w.side("features.8.0.weight", 1) == 512 && first == 24:
		name, size = "efficientnet_v2_m", 480
	case w.side("features.8.0.weight", 1) == 640 && first == 32:
		name, size = "efficientnet_v2_l", 480
	case last == 1280 && second == 1:
		name = "efficientnet_b0"
	case last == 1280 && second == 2:
		name, size = "efficientnet_b1", 240
	default:
		for i, width := range []int64{1408, 1536, 1792, 2048, 2304, 2560} {
			if last == width {
				name, size = fmt.Sprintf("efficientnet_b%d", i+2), []int64{288, 300, 380, 456, 528, 600}[i]
			}
		}
	}
	return w.torchvision(name, "classifier.1.weight", size)
}

// plainFeatures are networks that are one list of layers: VGG, AlexNet, SqueezeNet.
func plainFeatures(w weights) *architecture {
	switch {
	case w.has("features.0.weight", "classifier.6.weight") && w.side("features.0.weight", 2) == 11:
		return w.torchvision("alexnet", "classifier.6.weight", 224)
	case w.has("features.0.weight", "classifier.6.weight"):
		convolutions, normalised := 0, ""
		for name, shape := range w.shapes {
			if strings.HasPrefix(name, "features.") && len(shape) == 4 {
				convolutions++
			}
			if strings.HasSuffix(name, "running_mean") {
				normalised = "_bn"
			}
		}
		if !slices.Contains([]int{8, 10, 13, 16}, convolutions) {
			return nil
		}
		return w.torchvision(fmt.Sprintf("vgg%d%s", convolutions+3, normalised), "classifier.6.weight", 224)
	case w.has("features.3.squeeze.weight", "classifier.1.weight") && w.side("features.0.weight", 0) == 96:
		return w.torchvision("squeezenet1_0", "classifier.1.weight", 224)
	case w.has("features.3.squeeze.weight", "classifier.1.weight"):
		return w.torchvision("squeezenet1_1", "classifier.1.weight", 224)
	}
	return nil
}

func denseNet(w weights) *architecture {
	if !w.has("features.denseblock1.denselayer1.norm1.weight", "classifier.weight") {
		return nil
	}
	name := map[int64]string{1024: "densenet121", 2208: "densenet161", 1664: "densenet169", 1920: "densenet201"}
	return w.torchvision(name[w.side("classifier.weight", 1)], "classifier.weight", 224)
}

func convNeXt(w weights) *architecture {
	if !w.has("features.1.0.block.0.weight", "features.1.0.layer_scale", "classifier.2.weight") {
		return nil
	}
	name := map[string]string{
		"768 9": "convnext_tiny", "768 27": "convnext_small", "1024 27": "convnext_base", "1536 27": "convnext_large",
	}
	width, depth := w.side("classifier.2.weight", 1), w.count("features.5.")
	return w.torchvision(name[fmt.Sprint(width, depth)], "classifier.2.weight", 224)
}

func visionTransformer(w weights) *architecture {
	if !w.has("conv_proj.weight", "encoder.layers.encoder_layer_0.ln_1.weight", "heads.head.weight") {
		return nil
	}
	patch := w.side("conv_proj.weight", 2)
	name := map[string]string{
		"768 16": "vit_b_16", "768 32": "vit_b_32", "1024 16": "vit_l_16", "1024 32": "vit_l_32", "1280 14": "vit_h_14",
	}[fmt.Sprint(w.side("conv_proj.weight", 0), patch)]
	a := w.torchvision(name, "heads.head.weight", squareRoot(w.side("encoder.pos_embedding", 1)-1)*patch)
	if a != nil && a.size != 224 {
		a.build = strings.Replace(a.build, ")", fmt.Sprintf(", image_size=%d)", a.size), 1)
	}
	return a
}

func swin(w weights) *architecture {
	if !w.has("features.0.0.weight", "features.1.0.attn.qkv.weight", "head.weight") {
		return nil
	}
	kind := map[string]string{"96 6": "t", "96 18": "s", "128 18": "b"}[fmt.Sprint(w.side("features.0.0.weight", 0), w.count("features.5."))]
	if kind == "" {
		return nil
	}
	if w.has("features.1.0.attn.cpb_mlp.0.weight") {
		return w.torchvision("swin_v2_"+kind, "head.weight", 256)
	}
	return w.torchvision("swin_"+kind, "head.weight", 224)
}

func regNet(w weights) *architecture {
	if !w.has("trunk_output.block1.block1-0.f.a.0.weight", "fc.weight") {
		return nil
	}
	names := map[int64]string{
		400: "x_400mf", 672: "x_800mf", 912: "x_1_6gf", 1008: "x_3_2gf", 1920: "x_8gf", 2048: "x_16gf", 2520: "x_32gf",
	}
	if w.has("trunk_output.block1.block1-0.f.se.fc1.weight") {
		names = map[int64]string{
			440: "y_400mf", 784: "y_800mf", 888: "y_1_6gf", 1512: "y_3_2gf", 2016: "y_8gf", 3024: "y_16gf", 3712: "y_32gf",
		}
	}
	name := names[w.side("fc.weight", 1)]
	if name == "" {
		return nil
	}
	return w.torchvision("regnet_"+name, "fc.weight", 224)
}

func others(w weights) *architecture {
	switch {
	case w.has("inception3a.branch1.conv.weight", "fc.weight"):
		a := w.torchvision("googlenet", "fc.weight", 224)
		a.build = strings.Replace(a.build, ")", fmt.Sprintf(", aux_logits=%s, init_weights=False)", python(w.has("aux1.fc1.weight"))), 1)
		return a
	case w.has("Mixed_5b.branch1x1.conv.weight", "fc.weight"):
		a := w.torchvision("inception_v3", "fc.weight", 299)
		a.build = strings.Replace(a.build, ")", fmt.Sprintf(", aux_logits=%s, init_weights=False)", python(w.has("AuxLogits.fc.weight"))), 1)
		return a
	case w.has("stage2.0.branch2.0.weight", "conv5.0.weight", "fc.weight"):
		name := map[int64]string{
			24: "shufflenet_v2_x0_5", 58: "shufflenet_v2_x1_0", 88: "shufflenet_v2_x1_5", 122: "shufflenet_v2_x2_0",
		}[w.side("stage2.0.branch2.0.weight", 0)]
		return w.torchvision(name, "fc.weight", 224)
	case w.has("layers.0.weight", "layers.8.0.layers.0.weight", "classifier.1.weight"):
		name := map[int64]string{16: "mnasnet0_5", 32: "mnasnet1_0"}[w.side("layers.0.weight", 0)]
		return w.torchvision(name, "classifier.1.weight", 224)
	}
	return nil
}

func python(b bool) string {
	if b {
		return "True"
	}
	return "False"
}

func timmEfficientNet(w weights) *architecture {
	if !w.has("conv_stem.weight", "blocks.0.0.conv_dw.weight", "classifier.weight") {
		return nil
	}
	var blocks []int
	for i := range 8 { // more stages than any of these has
		if n := w.count(fmt.Sprintf("blocks.%d.", i)); n > 0 {
			blocks = append(blocks, n)
		}
	}
	attention := "plain"
	if w.has("blocks.0.0.se.conv_reduce.weight") {
		attention = "se"
	} else if w.has("blocks.2.0.se.conv_reduce.weight") {
		attention = "late se"
	}
	// The width of the last convolution, what goes into it, and the kernel of the third stage: tinynet, mnasnet and others
	// have the names of these networks' tensors too.
	shape := fmt.Sprint(w.side("conv_head.weight", 0), " ", w.side("conv_head.weight", 1), " ", w.side("blocks.2.0.conv_dw.weight", 2))
	known := map[string]struct {
		name string
		size int64
	}{
		"plain [1 2 3 4 3 3 1] 1280 320 3":   {"mobilenetv2_100", 224},
		"late se [1 2 3 4 2 3 1] 1280 960 5": {"mobilenetv3_large_100", 224},
		"se [1 2 3 2 3 1] 1024 576 5":        {"mobilenetv3_small_100", 224},
		"plain [1 2 2 3 3 4 1] 1280 320 5":   {"efficientnet_lite0", 224},
		"se [1 2 2 3 3 4 1] 1280 320 5":      {"efficientnet_b0", 224},
		"se [2 3 3 4 4 5 2] 1280 320 5":      {"efficientnet_b1", 240},
		"se [2 3 3 4 4 5 2] 1408 352 5":      {"efficientnet_b2", 256},
		"se [2 3 3 5 5 6 2] 1536 384 5":      {"efficientnet_b3", 288},
		"se [2 4 4 6 6 8 2] 1792 448 5":      {"efficientnet_b4", 320},
	}[fmt.Sprint(attention, " ", blocks, " ", shape)]
	return w.timm(known.name, "classifier.weight", known.size)
}

// timmViTs are the networks of that kind that timm has.
var timmViTs = []string{
	"vit_tiny_patch16_224", "vit_tiny_patch16_384",
	"vit_small_patch8_224", "vit_small_patch16_224", "vit_small_patch16_384", "vit_small_patch32_224", "vit_small_patch32_384",
	"vit_base_patch8_224", "vit_base_patch16_224", "vit_base_patch16_384", "vit_base_patch32_224", "vit_base_patch32_384",
	"vit_large_patch14_224", "vit_large_patch16_224", "vit_large_patch16_384", "vit_large_patch32_224", "vit_large_patch32_384",
	"deit_tiny_distilled_patch16_224", "deit_small_distilled_patch16_224",
	"deit_base_distilled_patch16_224", "deit_base_distilled_patch16_384",
}

func timmViT(w weights) *architecture {
	if !w.has("patch_embed.proj.weight", "blocks.0.attn.qkv.weight", "head.weight", "pos_embed", "cls_token") {
		return nil
	}
	kind := map[int64]string{192: "tiny", 384: "small", 768: "base", 1024: "large"}[w.side("pos_embed", 2)]
	patch := w.side("patch_embed.proj.weight", 2)
	if kind == "" || patch == 0 {
		return nil
	}
	tokens := int64(1)
	family := "vit_%s_patch%d_%d"
	if w.has("dist_token") {
		tokens, family = 2, "deit_%s_distilled_patch%d_%d"
	}
	size := squareRoot(w.side("pos_embed", 1)-tokens) * patch
	name := fmt.Sprintf(family, kind, patch, size)
	if !slices.Contains(timmViTs, name) {
		return nil
	}
	return w.timm(name, "head.weight", size)
}

func timmConvNeXt(w weights) *architecture {
	if !w.has("stem.0.weight", "stages.0.blocks.0.conv_dw.weight", "head.fc.weight") {
		return nil
	}
	kind := map[string]string{
		"320 6": "atto", "384 6": "femto", "512 6": "pico", "640 8": "nano", "768 9": "tiny", "768 27": "small", "1024 27": "base", "1536 27": "large",
	}[fmt.Sprint(w.side("head.fc.weight", 1), w.count("stages.2.blocks."))]
	if kind == "" {
		return nil
	}
	if w.has("stages.0.blocks.0.mlp.grn.weight") {
		return w.timm("convnextv2_"+kind, "head.fc.weight", 224)
	}
	return w.timm("convnext_"+kind, "head.fc.weight", 224)
}

func timmSwin(w weights) *architecture {
	if !w.has("patch_embed.proj.weight", "layers.0.blocks.0.attn.relative_position_bias_table", "head.fc.weight") {
		return nil
	}
	kind := map[string]string{"96 6": "tiny", "96 18": "small", "128 18": "base"}[fmt.Sprint(w.side("patch_embed.proj.weight", 0), w.count("layers.2.blocks."))]
	if kind == "" {
		return nil
	}
	return w.timm("swin_"+kind+"_patch4_window7_224", "head.fc.weight", 224)
}

// lukemelas is the package efficientnet_pytorch.
func lukemelas(w weights) *architecture {
	if !w.has("_conv_stem.weight", "_blocks.0._depthwise_conv.weight", "_fc.weight") {
		return nil
	}
	for i, width := range []int64{1280, 1280, 1408, 1536, 1792, 2048, 2304, 2560} {
		if w.side("_fc.weight", 1) == width && (i > 1 || w.count("_blocks.") == []int{16, 23}[i]) {
			classes := w.side("_fc.weight", 0)
			name := fmt.Sprintf("efficientnet-b%d", i)
			return &architecture{
				name: "efficientnet_pytorch's " + name, imports: "efficientnet_pytorch", classes: classes, size: []int64{224, 240, 260, 300, 380, 456, 528, 600}[i],
				build: fmt.Sprintf("efficientnet_pytorch.EfficientNet.from_name(%q, num_classes=%d)", name, classes),
			}
		}
	}
	return nil
}

// huggingFace are the networks of transformers, whose tensors begin with the kind's name. They are built from config.json.
func huggingFace(w weights) *architecture {
	for _, kind := range []string{
		"vit", "deit", "beit", "swin", "swinv2", "convnext", "convnextv2", "resnet", "regnet", "mobilenet_v1", "mobilenet_v2", "mobilevit",
		"efficientnet", "dinov2", "levit", "cvt", "focalnet", "pvt", "poolformer", "bit", "van", "data2vec_vision", "efficientformer",
	} {
		for name := range w.shapes {
			if strings.HasPrefix(name, kind+".embeddings.") || strings.HasPrefix(name, kind+".embedder.") || strings.HasPrefix(name, kind+".encoder.") {
				return &architecture{name: fmt.Sprintf("a %s classifier of Hugging Face's transformers", kind), classes: w.side("classifier.weight", 0)}
			}
		}
	}
	return nil
}

func squareRoot(n int64) int64 {
	root := int64(0)
	for (root+1)*(root+1) <= n && root < maxSide {
		root++
	}
	return root
}
