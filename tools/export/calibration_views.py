"""Views of the calibration photographs, as the network sees them."""

import sys
from collections.abc import Iterator
from pathlib import Path

import torch
from PIL import Image, ImageOps
from torchvision.transforms import functional

from classify import resize_and_crop
from progress import Progress
from weights import ExportError

SHARE = 0.8  # of each side, for the views that are cut out


def tensors(paths: list[Path], card: dict, held_back: bool = False) -> torch.Tensor:
    """N × 3 × height × width, normalised. `held_back` gives other views than those for calibration."""
    found = []
    progress = Progress("reading, photographs", len(paths))
    for path in paths:
        progress.step()
        try:
            photo = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
        except OSError as error:
            print(f"calibration: {path} is left out: {error}", file=sys.stderr)
            continue
        for view in views(photo, held_back):
            view = resize_and_crop(view, card["input"])
            found.append(functional.normalize(functional.to_tensor(view), card["input"]["mean"], card["input"]["std"]))
    progress.finish()
    if not found:
        raise ExportError("none of the calibration photographs can be read")
    return torch.stack(found)


def views(photo: Image.Image, held_back: bool) -> Iterator[Image.Image]:
    """Whole and mirrored, two corners and the middle; or the two other corners, as they are and mirrored."""
    width, height = photo.size
    w, h = max(1, int(width * SHARE)), max(1, int(height * SHARE))
    right, bottom = width - w, height - h

    def cut(x: int, y: int) -> Image.Image:
        return photo.crop((x, y, x + w, y + h))

    def mirrored(view: Image.Image) -> Image.Image:
        return view.transpose(Image.Transpose.FLIP_LEFT_RIGHT)

    if held_back:
        yield from (cut(right, 0), mirrored(cut(0, bottom)))
    else:
        yield from (photo, mirrored(photo), cut(0, 0), mirrored(cut(right, bottom)), cut(right // 2, bottom // 2))
