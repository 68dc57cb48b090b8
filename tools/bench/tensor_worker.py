"""Times Pillow + torchvision from a JPEG's bytes to the input tensor: tensor_worker.py SECONDS FILE…; a line of JSON for each."""

import io
import json
import statistics
import sys
import time

import torch
from PIL import Image
from torchvision import transforms

WARM = 3

torch.set_num_threads(1)
preprocess = transforms.Compose(
    [
        transforms.Resize(256),
        transforms.CenterCrop(224),
        transforms.ToTensor(),
        transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
    ]
)


def exact(body: bytes) -> torch.Tensor:
    return preprocess(Image.open(io.BytesIO(body)).convert("RGB"))


def draft(body: bytes) -> torch.Tensor:
    """Lets the JPEG decoder shrink the picture, to no less than what is resized to."""
    image = Image.open(io.BytesIO(body))
    image.draft("RGB", tuple(256 * side // min(image.size) for side in image.size))
    return preprocess(image.convert("RGB"))


def median_ms(way, body: bytes, seconds: float) -> float:
    for _ in range(WARM):
        way(body)
    times = []
    end = time.perf_counter() + seconds
    while (begun := time.perf_counter()) < end:
        way(body)
        times.append(time.perf_counter() - begun)
    return statistics.median(times) * 1000


if __name__ == "__main__":
    for path in sys.argv[2:]:
        with open(path, "rb") as file:
            picture = file.read()
        for function in (exact, draft):
            milliseconds = median_ms(function, picture, float(sys.argv[1]))
            print(json.dumps({"file": path, "way": function.__name__, "median_ms": milliseconds}))
