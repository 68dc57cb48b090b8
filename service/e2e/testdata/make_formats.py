"""Writes each picture in every format, colour mode and storage form that Pillow can write and vidi reads.

    make_formats.py OUT PICTURE…
"""

import sys
from pathlib import Path

from PIL import Image

def with_alpha(im: Image.Image) -> Image.Image:
    """A copy whose opacity runs from nothing at the left edge to full at the right."""
    out = im.convert("RGBA")
    out.putalpha(Image.linear_gradient("L").rotate(90).resize(im.size))
    return out


def orientation(value: int) -> bytes:
    exif = Image.Exif()
    exif[274] = value
    return exif.tobytes()


# ending, what is done to the RGB picture, what is passed to save
FORMS = {
    "rgb.png": (lambda im: im, {}),
    "grey.png": (lambda im: im.convert("L"), {}),
    "palette.png": (lambda im: im.quantize(200), {}),
    "bits1.png": (lambda im: im.convert("1"), {}),
    "bits4.png": (lambda im: im.quantize(16), {"bits": 4}),
    "grey_alpha.png": (lambda im: with_alpha(im).convert("LA"), {}),
    "alpha.png": (lambda im: with_alpha(im), {}),
    "grey16.png": (lambda im: im.convert("L").point(lambda v: v * 257, "I"), {}),
    "plain.gif": (lambda im: im.quantize(256), {}),
    "plain.bmp": (lambda im: im, {}),
    "grey.bmp": (lambda im: im.convert("L"), {}),
    "palette.bmp": (lambda im: im.quantize(256), {}),
    "bits1.bmp": (lambda im: im.convert("1"), {}),
    "plain.tiff": (lambda im: im, {}),
    "lzw.tiff": (lambda im: im, {"compression": "tiff_lzw"}),
    "deflate.tiff": (lambda im: im, {"compression": "tiff_adobe_deflate"}),
    "packbits.tiff": (lambda im: im, {"compression": "packbits"}),
    "grey.tiff": (lambda im: im.convert("L"), {}),
    "palette.tiff": (lambda im: im.quantize(256), {}),
    "alpha.tiff": (lambda im: with_alpha(im), {}),
    "lossless.webp": (lambda im: im, {"lossless": True}),
    "lossless_alpha.webp": (lambda im: with_alpha(im), {"lossless": True}),
    "lossy.webp": (lambda im: im, {"quality": 90}),
    "plain.jpg": (lambda im: im, {"quality": 90}),
    "full_chroma.jpg": (lambda im: im, {"quality": 90, "subsampling": "4:4:4"}),
    "half_chroma.jpg": (lambda im: im, {"quality": 90, "subsampling": "4:2:2"}),
    "progressive.jpg": (lambda im: im, {"quality": 90, "progressive": True}),
    "grey.jpg": (lambda im: im.convert("L"), {"quality": 90}),
    "cmyk.jpg": (lambda im: im.convert("CMYK"), {"quality": 90}),
    "worst_quality.jpg": (lambda im: im, {"quality": 5}),
    "turned.jpg": (lambda im: im, {"quality": 90, "exif": orientation(6)}),
    "mirrored.png": (lambda im: im, {"exif": orientation(5)}),
    "turned.webp": (lambda im: im, {"lossless": True, "exif": orientation(8)}),
    "turned.tiff": (lambda im: im, {"tiffinfo": {274: 3}}),
    "tall.png": (lambda im: im.resize((40, 900)), {}),
    "wide.jpg": (lambda im: im.resize((1500, 30)), {}),
    "tiny.png": (lambda im: im.resize((3, 2)), {}),
    "one_pixel.png": (lambda im: im.resize((1, 1)), {}),
    "odd.jpg": (lambda im: im.resize((257, 255)), {"quality": 90}),
    "exact_size.png": (lambda im: im.resize((256, 256)), {}),
    "large.jpg": (lambda im: im.resize((3000, 2001)), {"quality": 85}),
}


def main() -> None:
    out = Path(sys.argv[1])
    for picture in map(Path, sys.argv[2:]):
        rgb = Image.open(picture).convert("RGB")
        for ending, (change, options) in FORMS.items():
            change(rgb).save(out / f"{picture.stem}_{ending}", **options)


main()
