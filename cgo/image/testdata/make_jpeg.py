#!/usr/bin/python3
"""Writes jpeg.txt: small JPEG files and the pixels that Pillow shows for them.

    /usr/bin/python3 cgo/image/testdata/make_jpeg.py > cgo/image/testdata/jpeg.txt

One file a line: name, width, height, FNV-1a of the RGB bytes of Image.open(file).convert("RGB"), the file in hexadecimal.
"""
import io

import PIL
from PIL import Image
from make_resize import fnv

WIDTH, HEIGHT = 37, 23


def picture(mode):
    channels = len(mode) if mode != "L" else 1
    image = Image.new(mode, (WIDTH, HEIGHT))
    pixels = [tuple((x * (5 + c) + y * (9 - c) + (60 * c if x > 20 else 0)) & 255 for c in range(channels))
              for y in range(HEIGHT) for x in range(WIDTH)]
    image.putdata([p[0] for p in pixels] if mode == "L" else pixels)
    return image


if __name__ == "__main__":
    print(f"# Pillow {PIL.__version__}, written by make_jpeg.py")
    for name, mode, options in (
            ("grey", "L", {}), ("444", "RGB", {"subsampling": 0}), ("422", "RGB", {"subsampling": 1}), ("420", "RGB", {"subsampling": 2}),
            ("progressive420", "RGB", {"subsampling": 2, "progressive": True}), ("cmyk", "CMYK", {}),
            ("progressive-cmyk", "CMYK", {"progressive": True})):
        file = io.BytesIO()
        picture(mode).save(file, "JPEG", quality=70, **options)
        shown = Image.open(file).convert("RGB")
        print(name, WIDTH, HEIGHT, f"{fnv(shown.tobytes()):016x}", file.getvalue().hex())
