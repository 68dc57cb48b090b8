"""Writes models as the exporters of Ultralytics, timm and Hugging Face write them, and what Python answers with each.

    build/venv/bin/python service/e2e/testdata/exporters.py OUT MODEL.pt IMAGE…

MODEL.pt is an ImageNet classifier with a card. Each folder in OUT is one export, with that network inside, so that its answers
are right where its own preprocessing is used, and others otherwise. OUT/expected.json has the path to add and the five likeliest
classes of each image. The transforms are those of the libraries, written down here with torchvision and Pillow alone.
"""

import json
import math
import struct
import sys
from pathlib import Path

import torch
from PIL import Image
from torchvision.transforms import InterpolationMode, functional

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "tools" / "reference"))

import decode

IMAGENET = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
HALF = [0.5, 0.5, 0.5], [0.5, 0.5, 0.5]
CLIP = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]


class Behind(torch.nn.Module):
    """The network behind another normalisation than its own, and before the function that makes probabilities, if it has one."""

    def __init__(self, net, card: dict, mean: list[float], std: list[float], ending=None):
        super().__init__()
        self.net, self.ending = net, ending
        for name, values in (("mean", mean), ("std", std), ("own_mean", card["mean"]), ("own_std", card["std"])):
            self.register_buffer(name, torch.tensor(values).view(1, 3, 1, 1))

    def forward(self, x):
        logits = self.net((x * self.std + self.mean - self.own_mean) / self.own_std)
        return logits if self.ending is None else self.ending(logits)


def trace(net: torch.nn.Module, path: Path, size: tuple[int, int], extra: dict | None = None) -> None:
    with torch.no_grad():
        traced = torch.jit.trace(net.eval(), torch.rand(1, 3, *size), check_trace=False)
    torch.jit.save(traced, str(path), _extra_files=extra or {})


def tensor(image: Image.Image, mean: list[float], std: list[float]) -> torch.Tensor:
    return functional.normalize(functional.to_tensor(image), mean, std).unsqueeze(0)


def write_json(path: Path, content: dict) -> None:
    path.write_text(json.dumps(content, indent=2), "utf-8")


def weights(folder: Path) -> None:
    """The weights that lie beside the traced file, one tensor of them."""
    header = json.dumps({"classifier.bias": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + bytes(4))


def ultralytics(folder: Path, net, card: dict, size: tuple[int, int]):
    """YOLO(…-cls).export(format="torchscript")."""
    names = {n: label["label"] for n, label in enumerate(card["labels"])}
    metadata = {
        "description": "Ultralytics YOLO11n-cls model trained on ImageNet", "author": "Ultralytics", "date": "2026-11-30T10:00:00.000000",
        "version": "8.4.190", "license": "AGPL-3.0 License (https://ultralytics.com/license)", "docs": "https://docs.ultralytics.com",
        "stride": 1, "task": "classify", "head": "Classify", "batch": 1, "imgsz": list(size), "names": names,
        "args": {"batch": 1, "half": False, "optimize": False}, "channels": 3, "end2end": False,
    }
    model = Behind(net, card["input"], [0, 0, 0], [1, 1, 1], lambda x: x.softmax(1))
    path = folder / "yolo11n-cls.torchscript"
    trace(model, path, size, {"config.txt": json.dumps(metadata)})

    def transform(image):
        resized = functional.resize(image, size[0] if size[0] == size[1] else list(size), InterpolationMode.BILINEAR)
        return tensor(functional.center_crop(resized, list(size)), [0, 0, 0], [1, 1, 1])

    return path, transform, model


def timm(folder: Path, net, card: dict, **config):
    """timm.models.save_for_hf, and a traced file beside."""
    mean, std = config["mean"], config["std"]
    write_json(folder / "config.json", {
        "architecture": "tf_efficientnet_lite0", "num_classes": 1000, "num_features": 1280, "global_pool": "avg",
        "label_names": [label["wnid"] for label in card["labels"]],
        "label_descriptions": {label["wnid"]: label["label"] for label in card["labels"]},
        "pretrained_cfg": {"tag": "in1k", "custom_load": False, "fixed_input_size": False, "pool_size": [7, 7], "num_classes": 1000,
                           "first_conv": "conv_stem", "classifier": "classifier"} | config,
    })
    weights(folder)
    model = Behind(net, card["input"], mean, std)
    height, width = config["input_size"][1:]
    trace(model, folder / "model.pt", (height, width))

    def transform(image):
        scale = [math.floor(side / config["crop_pct"]) for side in (height, width)]
        size = scale if config.get("crop_mode") == "squash" else scale[0]
        resized = functional.resize(image, size, InterpolationMode(config["interpolation"]))
        return tensor(functional.center_crop(resized, [height, width]), mean, std)

    return folder, transform, model


def hugging_face(folder: Path, net, card: dict, processor: dict, resize, mean, std, **config):
    """AutoModelForImageClassification.save_pretrained and its processor's, and a traced file beside."""
    names = {str(n): label["label"] for n, label in enumerate(card["labels"])}
    write_json(folder / "config.json", {"architectures": ["SomeForImageClassification"], "model_type": "some", "id2label": names,
                                        "label2id": {name: int(n) for n, name in names.items()}} | config)
    write_json(folder / "preprocessor_config.json", processor)
    weights(folder)
    model = Behind(net, card["input"], mean, std)
    trace(model, folder / "model.pt", (224, 224))
    return folder, lambda image: tensor(resize(image), mean, std), model


def shorter(image: Image.Image, side: int, how: Image.Resampling) -> Image.Image:
    short, long = sorted(image.size)
    other = int(side * long / short)
    return image.resize((side, other) if image.width <= image.height else (other, side), how)


def cropped(image: Image.Image, height: int, width: int) -> Image.Image:
    """Hugging Face's center_crop, which rounds down."""
    top, left = (image.height - height) // 2, (image.width - width) // 2
    return image.crop((left, top, left + width, top + height))


def common(mean, std, **more) -> dict:
    return {"do_resize": True, "do_rescale": True, "rescale_factor": 0.00392156862745098, "do_normalize": True,
            "image_mean": mean, "image_std": std} | more


def exports(net, card: dict):
    """Name, and what writes the export of that name."""
    square = {"height": 224, "width": 224}
    bicubic, bilinear, nearest = Image.BICUBIC, Image.BILINEAR, Image.NEAREST
    yield "ultralytics", lambda to: ultralytics(to, net, card, (224, 224))
    yield "ultralytics-not-square", lambda to: ultralytics(to, net, card, (192, 256))
    yield "timm", lambda to: timm(to, net, card, input_size=[3, 224, 224], interpolation="bicubic", crop_pct=0.875, crop_mode="center",
                                  mean=HALF[0], std=HALF[1])
    yield "timm-squash", lambda to: timm(to, net, card, input_size=[3, 224, 240], interpolation="lanczos", crop_pct=0.95,
                                         crop_mode="squash", mean=IMAGENET[0], std=IMAGENET[1])
    yield "hf-vit", lambda to: hugging_face(
        to, net, card, common(*HALF, image_processor_type="ViTImageProcessor", size=square, resample=2),
        lambda image: image.resize((224, 224), bilinear), *HALF)
    yield "hf-convnext", lambda to: hugging_face(
        to, net, card, common(*IMAGENET, image_processor_type="ConvNextImageProcessor", size={"shortest_edge": 224}, crop_pct=0.875,
                              resample=3),
        lambda image: cropped(shorter(image, 256, bicubic), 224, 224), *IMAGENET)
    yield "hf-clip", lambda to: hugging_face(
        to, net, card, common(*CLIP, image_processor_type="CLIPImageProcessorFast", size={"shortest_edge": 224}, do_center_crop=True,
                              crop_size=square, do_convert_rgb=True, resample=3),
        lambda image: cropped(shorter(image, 224, bicubic), 224, 224), *CLIP, problem_type="multi_label_classification")
    double = [0.47853944, 0.4732864, 0.47434163]
    yield "hf-efficientnet", lambda to: hugging_face(
        to, net, card, common(IMAGENET[0], double, image_processor_type="EfficientNetImageProcessor", size=square, resample=0,
                              do_center_crop=False, crop_size={"height": 289, "width": 289}, include_top=True, rescale_offset=False),
        lambda image: image.resize((224, 224), nearest), IMAGENET[0], [value * value for value in double])


def main() -> None:
    out, path, images = Path(sys.argv[1]), sys.argv[2], sys.argv[3:]
    torch.set_num_threads(1)
    extra = {"vidi.json": ""}
    net = torch.jit.load(path, _extra_files=extra).eval()
    card = json.loads(extra["vidi.json"])
    expected = {}
    for name, export in exports(net, card):
        folder = out / name
        folder.mkdir(parents=True)
        add, transform, model = export(folder)
        sigmoid = name == "hf-clip"
        answers = []
        for image in images:
            with torch.no_grad():
                output = model(transform(decode.open_picture(Path(image)).image))[0]
            if model.ending is None:
                output = output.sigmoid() if sigmoid else output.softmax(0)
            best = output.topk(5)
            answers.append([[n, card["labels"][n]["label"], p] for n, p in zip(best.indices.tolist(), best.values.tolist())])
        expected[name] = {"add": str(add), "answers": answers}
    write_json(out / "expected.json", expected)


if __name__ == "__main__":
    main()
