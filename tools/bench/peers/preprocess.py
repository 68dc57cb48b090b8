"""torchvision's preprocessing for the peers: Resize(256) bilinear with antialias, CenterCrop(224), as RGB bytes.

It is Pillow's resize that torchvision itself calls for a picture, with torchvision's own rounding of sizes, so the bytes are the
same; going to Pillow directly only saves importing torch in servers that run another engine. Pillow's `box` would resize no more
than the crop, in two thirds of the time, but not to the same bytes: it takes the box as 32-bit floats.
"""

import io

import numpy as np
from PIL import Image

RESIZE, CROP = 256, 224
MEAN = np.array((0.485, 0.456, 0.406), np.float32)
STD = np.array((0.229, 0.224, 0.225), np.float32)


def crop_of(body: bytes, scaled: bool = False) -> np.ndarray:
    """The 224 × 224 × 3 bytes that the network sees. `scaled` lets the JPEG decoder shrink the picture first: not exact."""
    image = Image.open(io.BytesIO(body))
    if scaled:
        # The smallest size the decoder can give that is no smaller than the target, as vidi's fast decoding does.
        image.draft("RGB", resized(*image.size))
    if image.mode != "RGB":
        image = image.convert("RGB")
    width, height = resized(*image.size)
    image = image.resize((width, height), Image.Resampling.BILINEAR)
    left, top = int(round((width - CROP) / 2.0)), int(round((height - CROP) / 2.0))
    return np.asarray(image.crop((left, top, left + CROP, top + CROP)))


def resized(width: int, height: int) -> tuple[int, int]:
    if width <= height:
        return RESIZE, int(RESIZE * height / width)
    return int(RESIZE * width / height), RESIZE


def normalised(pixels: np.ndarray) -> np.ndarray:
    """N × 224 × 224 × 3 bytes as the network's float32 input, N × 3 × 224 × 224."""
    scaled = pixels.astype(np.float32)
    scaled -= MEAN * 255
    scaled /= STD * 255
    return np.ascontiguousarray(scaled.transpose(0, 3, 1, 2))
