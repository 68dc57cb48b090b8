package imports

import (
	"archive/zip"
	"bytes"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vidi-vision/vidi/service/filetest"
	"github.com/vidi-vision/vidi/service/model"
	"github.com/vidi-vision/vidi/torchbind/torchtest"
)

// tiny stands for a TorchScript file in the maps of the tests; filled has its bytes.
const tiny = "tiny"

func filled(t *testing.T, files map[string]string) map[string]string {
	t.Helper()
	data, err := os.ReadFile(torchtest.File(t, "build/fixtures/bare_traced.pt"))
	if err != nil {
		t.Fatal(err)
	}
	full := maps.Clone(files)
	for name, content := range full {
		if content == tiny {
			full[name] = string(data)
		}
	}
	return full
}

func folder(t *testing.T, name string, files map[string]string) string {
	t.Helper()
	return filetest.Tree(t, filepath.Join(t.TempDir(), name), filled(t, files))
}

func archive(t *testing.T, files map[string]string) string {
	t.Helper()
	return filepath.Join(folder(t, "", map[string]string{"pets.mar": filetest.Zip(t, filled(t, files))}), "pets.mar")
}

func open(t *testing.T, path string) *Source {
	t.Helper()
	s, err := Open(path, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	if _, err := model.Inspect(s.File); err != nil {
		t.Errorf("%s: %v", path, err)
	}
	return s
}

const manifest = `{"createdOn": "01/02/2024", "runtime": "python", "archiverVersion": "0.12.0",
	"model": {"modelName": "pets", "serializedFile": "pets.pt", "handler": "image_classifier", "modelVersion": "1.0"}}`

func TestTorchServeArchive(t *testing.T) {
	s := open(t, archive(t, map[string]string{marManifest: manifest, "pets.pt": tiny, "index_to_name.json": `{"0": ["n1", "cat"], "1": ["n2", "dog"]}`}))
	if s.Name != "pets" || s.Version != "1.0" || len(s.Labels) != 2 || s.Labels[1].Label != "dog" || len(s.Notes) != 0 {
		t.Errorf("%+v", s)
	}
	temp := s.File
	s.Close()
	if _, err := os.Stat(temp); !os.IsNotExist(err) {
		t.Errorf("left behind: %v", err)
	}
	s = open(t, archive(t, map[string]string{marManifest: strings.Replace(manifest, "image_classifier", "my_handler.py", 1), "pets.pt": tiny}))
	if len(s.Notes) != 1 || !strings.Contains(s.Notes[0], "my_handler.py") {
		t.Errorf("%+v", s)
	}
	s = open(t, archive(t, map[string]string{marManifest: strings.Replace(manifest, "image_classifier", `\u001b]0;x\u0007`, 1), "pets.pt": tiny}))
	if len(s.Notes) != 1 || !strings.Contains(s.Notes[0], `\x1b]0;x\a`) {
		t.Errorf("%q", s.Notes)
	}
}

// No name in an archive is ever a path here, and nothing unpacks to more than a model could.
func TestHostileArchives(t *testing.T) {
	for _, c := range []struct {
		files map[string]string
		want  string
	}{
		{map[string]string{marManifest: strings.Replace(manifest, "pets.pt", "../../../../etc/passwd", 1), "pets.pt": tiny}, "without the file that its manifest names"},
		{map[string]string{marManifest: strings.Replace(manifest, "pets.pt", "/etc/passwd", 1), "pets.pt": tiny}, "without the file"},
		{map[string]string{marManifest: strings.Replace(manifest, "pets.pt", "", 1)}, "without the file"},
		{map[string]string{marManifest: "{"}, "not valid JSON"},
		{map[string]string{marManifest: strings.Repeat(" ", maxConfigBytes+1)}, "which no configuration has"},
		{map[string]string{marManifest: strings.Replace(manifest, `"handler"`, `"modelFile": "net.py", "handler"`, 1), "pets.pt": tiny}, "eager mode"},
		{map[string]string{marManifest: manifest, "pets.pt": strings.Repeat("\x00", 64<<20)}, "claims to unpack"},
		{map[string]string{marManifest: manifest, "pets.pt": tiny, "index_to_name.json": `{"a": "cat"}`}, "index_to_name.json"},
	} {
		temp := t.TempDir()
		s, err := Open(archive(t, c.files), temp)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("want %q in: %v (%+v)", c.want, err, s)
		}
		if left, _ := os.ReadDir(temp); len(left) != 0 {
			t.Errorf("%s: left behind %v", c.want, left)
		}
	}
	// An entry that climbs out of the archive is unpacked under a name of ours, inside the folder that was given.
	climbing := archive(t, map[string]string{marManifest: strings.Replace(manifest, "pets.pt", "../up.pt", 1), "../up.pt": tiny})
	temp := filepath.Join(t.TempDir(), "in")
	if err := os.Mkdir(temp, 0o755); err != nil {
		t.Fatal(err)
	}
	s, err := Open(climbing, temp)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if filepath.Dir(s.File) != temp {
		t.Errorf("unpacked to %s", s.File)
	}
}

const pbtxt = `
# The classifier of the shelter.
name: "pets"
platform: "pytorch_libtorch"
max_batch_size: 8
input [ { name: "INPUT__0" data_type: TYPE_FP32 format: FORMAT_NCHW dims: [ 3, 96, 96 ] } ]
output [ { name: "OUTPUT__0", data_type: TYPE_FP32, dims: [ 2 ], label_filename: "labels.txt" } ]
instance_group [ { count: 2 kind: KIND_CPU } ]
dynamic_batching { preferred_batch_size: [ 4, 8 ] max_queue_delay_microseconds: 100 }
parameters: { key: "INFERENCE_MODE" value: { string_value: "true" } }
`

func TestTritonFolder(t *testing.T) {
	dir := folder(t, "shelter", map[string]string{"config.pbtxt": pbtxt, "1/model.pt": "old", "3/model.pt": tiny, "x/model.pt": "no", "labels.txt": "cat\ndog\n"})
	s := open(t, dir)
	if s.Name != "pets" || s.Version != "3" || s.Input.Crop != model.Square(96) || len(s.Labels) != 2 || s.Said != "config.pbtxt" || s.Input.Std != (model.Channels{}) {
		t.Errorf("%+v", s)
	}
	if s = open(t, folder(t, "repository [1]", map[string]string{"pets/1/model.pt": tiny})); s.Name != "pets" || s.Version != "1" || s.Input.Crop != (model.Crop{}) {
		t.Errorf("a repository of one without a configuration: %+v", s)
	}
	for _, c := range []struct {
		files map[string]string
		want  string
	}{
		{map[string]string{"a/1/model.pt": tiny, "b/1/model.pt": tiny}, "name one of its models"},
		{map[string]string{"config.pbtxt": pbtxt}, "no version folder"},
		{map[string]string{"config.pbtxt": strings.Replace(pbtxt, "pytorch_libtorch", "onnxruntime_onnx", 1), "1/model.onnx": "x"}, "onnxruntime_onnx"},
		{map[string]string{"config.pbtxt": strings.Replace(pbtxt, "pytorch_libtorch", "a\x1b[2J", 1), "1/model.pt": tiny}, `a model for a\x1b[2J,`},
		{map[string]string{"config.pbtxt": pbtxt + "default_model_filename: \"\x1b[2J\"\n", "1/model.pt": tiny}, `with a \x1b[2J in it`},
		{map[string]string{"config.pbtxt": "name: [", "1/model.pt": tiny}, "config.pbtxt"},
		{map[string]string{"config.pbtxt": strings.Replace(pbtxt, "3, 96, 96", "96, 96, 3", 1), "1/model.pt": tiny, "labels.txt": "a"}, "colours first"},
		{map[string]string{"config.pbtxt": pbtxt, "1/model.pt": tiny}, "labels.txt"},
		{map[string]string{"config.pbtxt": strings.Replace(pbtxt, "labels.txt", "../../secret", 1), "1/model.pt": tiny}, "shelter/secret"},
	} {
		if s, err := Open(folder(t, "shelter", c.files), t.TempDir()); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("want %q in: %v (%+v)", c.want, err, s)
		}
	}
}

func TestHuggingFaceFolder(t *testing.T) {
	const labels = `{"model_type": "vit", "id2label": {"0": "cat", "1": "dog"}}`
	for processor, want := range map[string]string{
		// ViT's own: 224 × 224 without a crop, half and half.
		`{"do_resize": true, "size": {"height": 224, "width": 224}, "resample": 2, "do_rescale": true, "rescale_factor": 0.00392156862745098, "do_normalize": true, "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}`: "224 × 224 224 bilinear 0.5 0.5 0",
		// DeiT, in the older form: plain numbers.
		`{"do_center_crop": true, "crop_size": 224, "size": 256, "resample": 3, "do_normalize": true, "image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}`: "256 × 256 224 bicubic 0.485 0.229 0",
		// ResNet and ConvNeXt: a share of the picture.
		`{"crop_pct": 0.875, "size": {"shortest_edge": 224}, "resample": 3, "image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}`: "256 224 bicubic 0.485 0.229 0",
		`{"crop_pct": 0.875, "size": {"shortest_edge": 384}, "resample": 3, "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}`:             "384 × 384 384 bicubic 0.5 0.5 0",
		// MobileNetV2: a crop out of a shorter side.
		`{"do_center_crop": true, "crop_size": {"height": 224, "width": 224}, "size": {"shortest_edge": 256}, "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}`: "256 224  0.5 0.5 0",
		// CLIP and BiT take a number for the shorter side; Levit more of it.
		`{"feature_extractor_type": "CLIPFeatureExtractor", "do_center_crop": true, "crop_size": 224, "size": 224, "resample": 3, "image_mean": 0.5, "image_std": 0.25}`:                                      "224 224 bicubic 0.5 0.25 0",
		`{"image_processor_type": "LevitImageProcessor", "do_center_crop": true, "crop_size": {"height": 224, "width": 224}, "size": {"shortest_edge": 224}, "resample": 1, "image_mean": 0, "image_std": 1}`: "256 224 lanczos 0 1 0",
		// EfficientNet's divides by std twice, unless it is for features.
		`{"image_processor_type": "EfficientNetImageProcessor", "size": {"height": 96, "width": 96}, "resample": 0, "image_mean": 0.5, "image_std": 0.5}`:                       "96 × 96 96 nearest 0.5 0.25 0",
		`{"image_processor_type": "EfficientNetImageProcessor", "size": {"height": 96, "width": 96}, "resample": 4, "image_mean": 0.5, "image_std": 0.5, "include_top": false}`: "96 × 96 96 box 0.5 0.5 0",
		// Without a crop the network sees images of all proportions.
		`{"image_processor_type": "BitImageProcessor", "size": {"shortest_edge": 224}, "resample": 5, "image_mean": 0.5, "image_std": 0.5}`: "224 224 hamming 0.5 0.5 1",
		// Not square.
		`{"size": {"height": 100, "width": 200}, "resample": 2, "image_mean": 0, "image_std": 1}`: "100 × 200 100 bilinear 0 1 0",
		// MobileViT's does not normalise. These are its fields, with the channels turned inside the network.
		`{"crop_size": 64, "do_center_crop": true, "do_flip_channel_order": false, "feature_extractor_type": "MobileViTFeatureExtractor", "resample": 2, "size": 72}`: "72 64 bilinear 0 1 0",
		`{"crop_size": {"height": 64, "width": 64}, "do_center_crop": true, "do_flip_channel_order": false, "do_normalize": null, "image_mean": null, "image_std": null,
			"image_processor_type": "MobileViTImageProcessorFast", "resample": 2, "size": {"shortest_edge": 72}, "do_rescale": true, "rescale_factor": 0.00392156862745098}`: "72 64 bilinear 0 1 0",
		// Values from 0 to 255, and from -1 to 1.
		`{"size": 64, "do_center_crop": true, "crop_size": 64, "do_rescale": false, "image_mean": [127.5, 127.5, 127.5], "image_std": [127.5, 127.5, 127.5]}`: "64 × 64 64  0.5 0.5 0",
		`{"size": 64, "do_center_crop": true, "crop_size": 64, "rescale_factor": 0.00784313725490196, "rescale_offset": true, "do_normalize": false}`:         "64 × 64 64  0.5 0.5 0",
	} {
		s := open(t, folder(t, "pets", map[string]string{"config.json": labels, "preprocessor_config.json": processor, "model.pt": tiny}))
		got := fmt.Sprintf("%v %d %s %.4g %.4g %d", s.Input.Resize, s.Input.Height(), s.Input.Interpolation, s.Input.Mean[0], s.Input.Std[0], len(s.Notes))
		if got != want || s.Name != "pets" || len(s.Labels) != 2 || math.Abs(float64(s.Input.Std[2])) > 1 {
			t.Errorf("%s:\ngot  %s %+v\nwant %s", processor, got, s.Notes, want)
		}
	}
	s := open(t, folder(t, "pets", map[string]string{"config.json": labels, "traced.pth": tiny, "pytorch_model.bin": "x"}))
	if len(s.Notes) != 1 || s.Input.Crop != (model.Crop{}) {
		t.Errorf("without a preprocessor: %+v", s)
	}
	for _, c := range []struct {
		files map[string]string
		want  string
	}{
		{map[string]string{"config.json": labels, "model.safetensors": "x"}, "AutoModelForImageClassification"},
		{map[string]string{"config.json": labels}, "holds no TorchScript file"},
		// What Trainer leaves beside the weights.
		{map[string]string{
			"config.json": labels, "model.safetensors": "x", "optimizer.pt": "\x80\x02", "scheduler.pt": "\x80\x02",
			"rng_state.pth": "\x80\x02", "training_args.bin": "x",
		}, "weights without the network (model.safetensors), and no TorchScript file.\nTrace the network"},
		{map[string]string{"config.json": labels, "a.pt": tiny, "b.pt": tiny}, "several TorchScript files"},
		{map[string]string{"config.json": labels, "a.pt": "\x80\x02"}, "a Python pickle"},
		{map[string]string{"config.json": "{", "a.pt": tiny}, "config.json"},
		{map[string]string{"config.json": `{"id2label": {"x": "cat"}}`, "a.pt": tiny}, "id2label"},
		{map[string]string{"preprocessor_config.json": `{"size": 224, "image_mean": [0.5]}`, "a.pt": tiny}, "three numbers"},
		{map[string]string{"preprocessor_config.json": `{"size": 224}`, "a.pt": tiny}, "three numbers"},
		{map[string]string{"preprocessor_config.json": `{"feature_extractor_type": "MobileViTFeatureExtractor", "size": 288}`, "a.pt": tiny}, "x.flip(1)"},
		{map[string]string{"preprocessor_config.json": `{"size": 224, "image_mean": 0, "image_std": 1, "do_flip_channel_order": true}`, "a.pt": tiny}, "x.flip(1)"},
		{map[string]string{"preprocessor_config.json": `{"size": 224, "image_mean": 0, "image_std": 1, "resample": 9}`, "a.pt": tiny}, "resample is 9"},
		{map[string]string{"preprocessor_config.json": `{"image_processor_type": "ImageGPTImageProcessor", "size": 32}`, "a.pt": tiny}, "ImageGPT"},
		{map[string]string{"preprocessor_config.json": `{"size": {"height": 96, "width": 64}}`, "model.safetensors": "x"}, "torch.rand(1, 3, 96, 64)"},
		{map[string]string{"config.json": `{"pretrained_cfg": {"input_size": [3, 300, 300]}}`, "model.safetensors": "x"}, "torch.rand(1, 3, 300, 300)"},
		{map[string]string{"config.json": `{"pretrained_cfg": {"crop_mode": "border"}}`, "a.pt": tiny}, "border"},
		{map[string]string{"config.json": `{"pretrained_cfg": {"input_size": [1, 28, 28]}}`, "a.pt": tiny}, "three channels"},
		{map[string]string{"config.json": `{"pretrained_cfg": {"input_size": [3, 64, 96]}}`, "a.pt": tiny}, "not square"},
		{map[string]string{"config.json": `{"pretrained_cfg": {"crop_pct": 1.2}}`, "a.pt": tiny}, "above 1"},
		{map[string]string{"config.json": `{"pretrained_cfg": {"interpolation": "area"}}`, "a.pt": tiny}, "none of Pillow's"},
		{map[string]string{"preprocessor_config.json": `{"size": 128, "do_center_crop": true, "crop_size": 224, "image_mean": [0,0,0], "image_std": [1,1,1]}`, "a.pt": tiny}, "below crop_size"},
	} {
		if s, err := Open(folder(t, "pets", c.files), t.TempDir()); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("want %q in: %v (%+v)", c.want, err, s)
		}
	}
}

// The Python of a message has its path as a text, whatever the folder is called.
func TestRecipesQuotePaths(t *testing.T) {
	for config, want := range map[string]string{
		`{}`:                    `from_pretrained("%s", `,
		`{"pretrained_cfg":{}}`: `create_model("local-dir:" + "%s", `,
	} {
		dir := folder(t, "a\"b\\c\x1b[2J", map[string]string{"config.json": config, "model.safetensors": "x"})
		_, err := Open(dir, t.TempDir())
		if err == nil {
			t.Fatalf("%s is taken", config)
		}
		for _, want := range []string{want, `.save("%s/model.pt")`} {
			if want = fmt.Sprintf(want, filepath.Dir(dir)+`/a\"b\\c\x1b[2J`); !strings.Contains(err.Error(), want) {
				t.Errorf("want %s in %s", want, err)
			}
		}
	}
}

func TestOtherPaths(t *testing.T) {
	if _, err := Open(filepath.Join(t.TempDir(), "none.pt"), t.TempDir()); !os.IsNotExist(err) {
		t.Errorf("missing: %v", err)
	}
	if _, err := Open(folder(t, "photos", map[string]string{"cat.jpg": "x"}), t.TempDir()); err == nil || !strings.Contains(err.Error(), "neither of Triton's") {
		t.Errorf("photos: %v", err)
	}
	if s := open(t, filepath.Join(folder(t, "x", map[string]string{"a.pt": tiny}), "a.pt")); s.Kind != "" {
		t.Errorf("a bare file: %+v", s)
	}
}

func FuzzParseTriton(f *testing.F) {
	f.Add([]byte(pbtxt))
	f.Fuzz(func(t *testing.T, data []byte) { _, _ = parseTriton(data) })
}

func TestTimmFolder(t *testing.T) {
	for config, want := range map[string]string{
		`{"architecture": "resnet18", "pretrained_cfg": {"input_size": [3, 224, 224], "interpolation": "bilinear", "crop_pct": 0.95, "mean": [0, 0, 0], "std": [1, 1, 1]}}`: "resnet18 235 224 × 224 bilinear 0 1 []",
		// timm's defaults.
		`{"pretrained_cfg": {}}`: "net 256 224 × 224 bicubic 0.485 0.229 []",
		`{"pretrained_cfg": {"input_size": [3, 96, 64], "crop_mode": "squash", "crop_pct": 1}, "label_names": ["n02123045", "x"], "label_descriptions": {"n02123045": "tabby"}}`: "net 96 × 64 96 × 64 bicubic 0.485 0.229 [{tabby n02123045 map[] []} {x  map[] []}]",
		`{"pretrained_cfg": {}, "labels": {"0": "cat", "1": "dog"}}`: "net 256 224 × 224 bicubic 0.485 0.229 [{cat  map[] []} {dog  map[] []}]",
	} {
		s := open(t, folder(t, "net", map[string]string{"config.json": config, "traced.torchscript": tiny, "model.safetensors": "x"}))
		in := s.Input
		got := fmt.Sprintf("%s %v %v %s %.4g %.4g %v", s.Name, in.Resize, in.Crop, in.Interpolation, in.Mean[0], in.Std[0], s.Labels)
		if got != want || s.Activation != "" {
			t.Errorf("%s:\ngot  %s\nwant %s", config, got, want)
		}
	}
}

func TestUltralyticsExport(t *testing.T) {
	for config, want := range map[string]string{
		`{"task": "classify", "imgsz": [224, 224], "names": {"0": "cat", "1": "dog"}}`: "224 224 × 224 0 1 none 2",
		`{"task": "classify", "imgsz": 64, "names": ["cat"]}`:                          "64 64 × 64 0 1 none 1",
		`{"task": "classify", "imgsz": [64, 96]}`:                                      "64 × 96 64 × 96 0 1 none 0",
		`{"shape": [1, 3, 128, 128], "stride": 32, "names": {"0": "cat"}}`:             "128 128 × 128 0.485 0.229  1", // YOLOv5
		`{"format": 3}`: "0 0 × 0 0 0  0", // somebody else's
		`{`:             "0 0 × 0 0 0  0",
	} {
		s := &Source{File: "best.torchscript"}
		if err := readUltralytics(s, zipped(t, map[string]string{"best/extra/config.txt": config})); err != nil {
			t.Errorf("%s: %v", config, err)
		}
		in := s.Input
		got := fmt.Sprintf("%v %v %.4g %.4g %s %d", in.Resize, in.Crop, in.Mean[0], in.Std[0], s.Activation, len(s.Labels))
		if got != want {
			t.Errorf("%s:\ngot  %s\nwant %s", config, got, want)
		}
	}
	for _, task := range []string{"detect", "segment", "pose", "obb"} {
		err := readUltralytics(&Source{File: "best.torchscript"}, zipped(t, map[string]string{"best/extra/config.txt": `{"task": "` + task + `"}`}))
		if err == nil || !strings.Contains(err.Error(), `"`+task+`"`) || !strings.Contains(err.Error(), "yolo export") {
			t.Errorf("%s: %v", task, err)
		}
	}
}

// zipped is a zip file in memory.
func zipped(t *testing.T, files map[string]string) *zip.Reader {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for name, content := range files {
		file, err := w.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := file.Write([]byte(content)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	reader, err := zip.NewReader(bytes.NewReader(b.Bytes()), int64(b.Len()))
	if err != nil {
		t.Fatal(err)
	}
	return reader
}
