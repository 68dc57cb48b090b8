"""From a picture file to RGB pixels, as the reference means it: Pillow, with two exceptions and the EXIF turn.

Pillow's own `convert("RGB")` clips 16-bit grey, which makes nearly every pixel white, and drops transparency, which shows the
colours that lie unseen under it. Here 16-bit grey is scaled (value >> 8) and transparency is put over white, as a browser shows it:
round((value · alpha + 255 · (255 − alpha)) / 255). `strict` gives Pillow's plain answer.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

# A picture larger than this is an error of its own, not an attempt: 60 megapixels are 240 MB as RGBA.
MAX_PIXELS = 60_000_000
# Pillow's own limit warns at 89 megapixels and fails at 179; the limit above replaces it.
Image.MAX_IMAGE_PIXELS = None

ORIENTATION = 0x0112
# EXIF orientation → what undoes it. ImageOps.exif_transpose has the same table, but also rewrites the EXIF block, and so fails on
# damaged blocks whose orientation can be read.
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
INVERSE = {Image.Transpose.ROTATE_270: Image.Transpose.ROTATE_90, Image.Transpose.ROTATE_90: Image.Transpose.ROTATE_270}
# PNG gives its transparent colour in the file's own bit depth, Pillow the pixels in 8 bits: what one step is worth.
PNG_STEP = {"1": 255, "L;2": 85, "L;4": 17}


@dataclass
class Picture:
    """A decoded picture: `image` is RGB and turned; `mode` and `format` are as in the file."""

    image: Image.Image
    mode: str
    format: str


def open_picture(path: Path, exif: bool = True, strict: bool = False) -> Picture:
    """Decodes the first frame of a picture file. Raises on anything that is not a whole picture."""
    with Image.open(path, formats=_formats()) as source:
        if source.width * source.height > MAX_PIXELS:
            raise ValueError(f"{source.width}×{source.height} is over the limit of {MAX_PIXELS // 1_000_000} megapixels")
        mode, form = source.mode, source.format
        raw_mode = source.tile[0][3] if form == "PNG" and source.tile else None  # gone after load()
        source.load()  # before the EXIF block is read: that loads a PNG too, and would swallow its errors
        turn = _turn(source)
        if source.format == "TIFF":
            # Pillow turns a TIFF upright while it loads it, and leaves the tag in place: turning again would turn it over.
            turn = None if exif else INVERSE.get(turn, turn)
        elif not exif:
            turn = None
        image = source.convert("RGB") if strict else _to_rgb(source, raw_mode)
    # Turning after the conversion is the same, pixel for pixel, and Pillow turns RGB reliably (16-bit modes not in all versions).
    return Picture(image.transpose(turn) if turn is not None else image, mode, form)


def _formats() -> list[str]:
    """All of Pillow's formats but EPS, which it hands to an outside interpreter: a picture must not be able to run a program."""
    Image.init()
    return [name for name in Image.OPEN if name != "EPS"]


def _turn(source: Image.Image) -> Image.Transpose | None:
    try:
        return TURNS.get(source.getexif().get(ORIENTATION))
    except Exception:
        # A damaged EXIF block does not make the picture unreadable; it is shown as it lies in the file.
        return None


def _to_rgb(source: Image.Image, raw_mode: str | None) -> Image.Image:
    if source.mode.startswith("I;16") or (source.mode == "I" and source.format in ("PNG", "PPM")):
        return _grey16_to_rgb(source)
    if source.mode in ("RGBA", "LA", "PA", "RGBa", "La") or (source.mode == "P" and "transparency" in source.info):
        mode = {"La": "LA", "RGBa": "RGBA"}.get(source.mode, source.mode)
        image = source.convert(mode).convert("RGBA")
        return over_white(image.convert("RGB"), image.getchannel("A"))
    key = source.info.get("transparency")
    if key is not None and source.mode in ("1", "L", "RGB"):
        return _keyed_to_rgb(source, key, raw_mode)
    return source.convert("RGB")


def over_white(rgb: Image.Image, alpha: Image.Image) -> Image.Image:
    """Composites over white. paste() with a mask computes the rounded quotient above exactly."""
    white = Image.new("RGB", rgb.size, (255, 255, 255))
    white.paste(rgb, mask=alpha)
    return white


def _grey16_to_rgb(source: Image.Image) -> Image.Image:
    values = np.asarray(source).clip(0, 65535)
    rgb = Image.fromarray((values >> 8).astype(np.uint8), "L").convert("RGB")
    key = source.info.get("transparency")
    if isinstance(key, int):
        return over_white(rgb, _opaque_where(values != key))
    return rgb


def _keyed_to_rgb(source: Image.Image, key: int | tuple[int, int, int], raw_mode: str | None) -> Image.Image:
    """Pictures with one transparent colour (PNG's tRNS for grey and RGB, GIF)."""
    rgb = source.convert("RGB")
    if raw_mode == "RGB;16B":
        # Pillow keeps only the high bytes of 16-bit RGB, so colours that differ in the low bytes alone cannot be told apart here.
        key = tuple(value >> 8 for value in key)
    elif isinstance(key, int):
        key = (key * PNG_STEP.get(raw_mode, 1),) * 3
    return over_white(rgb, _opaque_where((np.asarray(rgb) != np.array(key)).any(axis=2)))


def _opaque_where(mask: np.ndarray) -> Image.Image:
    return Image.fromarray(mask.astype(np.uint8) * 255, "L")
