#!/usr/bin/python3
"""Writes turn.txt: what Pillow gives for stored pictures that are turned upright, cut to a box and resized (turn_test.cc).

    /usr/bin/python3 cgo/image/testdata/make_turn.py > cgo/image/testdata/turn.txt

One case a line: pattern, stored size, EXIF orientation, box in the stored picture (zeros for the whole), resized size, window,
filter, FNV-1a of the window's RGB bytes.
"""
import PIL
from PIL import Image, ImageOps

from make_resize import FILTERS, fnv, sample

CASES = [  # stored size, box, resized, window
    ((61, 43), None, (40, 28), (5, 3, 24, 20)),
    ((90, 17), None, (33, 50), (1, 20, 30, 25)),
    ((57, 80), (0, 0, 56.625, 79.5), (20, 31), (0, 0, 20, 31)),
]


def upright_box(box, size, orientation):
    """The box after the turn, found by turning its four edges as ImageOps turns a picture."""
    (x0, y0, x1, y1), (width, height) = box, size
    if orientation in (2, 3, 7, 8):
        x0, x1 = width - x1, width - x0
    if orientation in (3, 4, 6, 7):
        y0, y1 = height - y1, height - y0
    return (y0, x0, y1, x1) if orientation >= 5 else (x0, y0, x1, y1)


def turned(picture, orientation):
    picture.getexif()[0x0112] = orientation
    return ImageOps.exif_transpose(picture)


if __name__ == "__main__":
    print(f"# Pillow {PIL.__version__}, written by make_turn.py")
    for pattern in ("noise", "edges"):
        for size, box, resized, (x, y, w, h) in CASES:
            for orientation in range(1, 9):
                picture = Image.new("RGB", size)
                picture.putdata([tuple(sample(pattern, i, j, c) for c in range(3)) for j in range(size[1]) for i in range(size[0])])
                upright = turned(picture, orientation)
                part = upright_box(box or (0, 0, *size), size, orientation)
                for name, how in FILTERS.items():
                    data = upright.resize(resized, how, part).crop((x, y, x + w, y + h)).tobytes()
                    print(pattern, *size, orientation, *(box or (0, 0, 0, 0)), *resized, x, y, w, h, name, f"{fnv(data):016x}")
