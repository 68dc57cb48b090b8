"""The reference classifier: torchvision's preprocessing on Pillow pictures, and the TorchScript model run by Python's torch."""

import functools
import hashlib
import json
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional

import decode

CARD_NAME = "vidi.json"
# What a file without a card is taken for: the recipe of torchvision's own classifiers.
DEFAULT_INPUT = {
    "resize": 256,
    "crop": 224,
    "interpolation": "bilinear",
    "mean": [0.485, 0.456, 0.406],
    "std": [0.229, 0.224, 0.225],
}
STAGES = ("decode", "resize", "normalize", "inference")


@dataclass
class Result:
    """Everything on the way from a picture to its answer, for comparing stage by stage."""

    picture: decode.Picture
    input_u8: np.ndarray  # height × width × 3
    tensor: torch.Tensor  # 1 × 3 × height × width
    logits: np.ndarray
    probabilities: np.ndarray
    timing_ms: dict[str, float] = field(default_factory=dict)


class Classifier:
    """A model file, loaded once."""

    def __init__(self, path: Path, threads: int = 1):
        torch.set_num_threads(threads)
        extra = {CARD_NAME: ""}
        self.path = path
        self.module = torch.jit.load(str(path), map_location="cpu", _extra_files=extra).eval()
        self.card: dict = json.loads(extra[CARD_NAME]) if extra[CARD_NAME] else {}
        self.input: dict = self.card.get("input", DEFAULT_INPUT)
        self.activation: str = self.card.get("activation", "softmax")

    @property
    def name(self) -> str:
        return self.card.get("name", self.path.name)

    def sha256(self) -> str:
        return hashlib.sha256(self.path.read_bytes()).hexdigest()

    def label(self, class_id: int, classes: int) -> str:
        if self.card:
            return self.card["labels"][class_id]["label"]
        return imagenet_labels()[class_id] if classes == 1000 else f"class_{class_id}"

    def run(self, path: Path, exif: bool = True, strict: bool = False) -> Result:
        """Classifies one picture file. Raises on a picture that cannot be decoded and on a model that answers nonsense."""
        times = [time.perf_counter()]
        picture = decode.open_picture(path, exif, strict)
        times.append(time.perf_counter())
        image = resize_and_crop(picture.image, self.input)
        input_u8 = np.asarray(image)
        times.append(time.perf_counter())
        tensor = functional.normalize(functional.to_tensor(image), self.input["mean"], self.input["std"]).unsqueeze(0)
        times.append(time.perf_counter())
        with torch.no_grad():
            logits = self.check(self.module(tensor))
            probabilities = self.activate(logits)
        times.append(time.perf_counter())
        timing = {stage: (times[n + 1] - times[n]) * 1000 for n, stage in enumerate(STAGES)}
        return Result(picture, input_u8, tensor, logits.numpy(), probabilities.numpy(), timing)

    def check(self, output: object) -> torch.Tensor:
        if not isinstance(output, torch.Tensor):
            raise TypeError(f"the model returned a {type(output).__name__}, not a tensor")
        if output.dim() != 2 or output.shape[0] != 1 or not output.is_floating_point():
            raise ValueError(f"the model returned {output.dtype} of shape {list(output.shape)}; want float32 [1, classes]")
        if self.card and output.shape[1] != len(self.card["labels"]):
            raise ValueError(f"the model returned {output.shape[1]} values for {len(self.card['labels'])} labels")
        if not torch.isfinite(output).all():
            raise ValueError("the model's output is not finite")
        return output[0].float()

    def activate(self, logits: torch.Tensor) -> torch.Tensor:
        functions = {"softmax": lambda x: x.softmax(0), "sigmoid": torch.sigmoid, "none": lambda x: x}
        return functions[self.activation](logits / self.card.get("temperature", 1))

    def top(self, probabilities: np.ndarray, k: int) -> list[dict]:
        """The k likeliest classes. A stable sort: equal probabilities come in class order."""
        order = np.argsort(-probabilities, kind="stable")[: max(k, 1)]
        return [self.prediction(int(n), float(probabilities[n]), len(probabilities)) for n in order]

    def prediction(self, class_id: int, probability: float, classes: int) -> dict:
        return {
            "class_id": class_id,
            "label": self.label(class_id, classes),
            "probability": probability,
            "confidence": round(probability * 100, 1),
        }


def resize_and_crop(image: Image.Image, card_input: dict) -> Image.Image:
    """torchvision's Resize and CenterCrop as a card's `input` describes them."""
    resized = resize(image, card_input["resize"], InterpolationMode(card_input["interpolation"]))
    height, width = crop_size(card_input["crop"])
    if card_input.get("crop_offset") == "floor":  # Hugging Face's processors
        return functional.crop(resized, (resized.height - height) // 2, (resized.width - width) // 2, height, width)
    return functional.center_crop(resized, [height, width])


def crop_size(crop: int | list[int]) -> list[int]:
    """[height, width] of a card's `crop`, where a number is a square."""
    return [crop, crop] if isinstance(crop, int) else crop


def resize(image: Image.Image, size: int | list[int], interpolation: InterpolationMode) -> Image.Image:
    """The shorter side becomes `size`, or the image [height, width]. Raises on those that this would make enormous."""
    if not isinstance(size, int):
        return functional.resize(image, size, interpolation)
    short, long = sorted(image.size)
    if size * int(size * long / short) > decode.MAX_PIXELS:
        # One pixel high and ten thousand wide would be enlarged to 256 × 2,560,000.
        raise ValueError(f"{image.width}×{image.height} is too long for its width to be enlarged to {size} pixels")
    return functional.resize(image, size, interpolation)


@functools.lru_cache(maxsize=1)
def imagenet_labels() -> list[str]:
    from torchvision.models._meta import _IMAGENET_CATEGORIES

    return _IMAGENET_CATEGORIES
