#!/usr/bin/python3
"""Writes resize.txt: what Pillow's Image.resize gives for small pictures made by formula (resize_test.cc makes the same ones).

    /usr/bin/python3 cgo/image/testdata/make_resize.py > cgo/image/testdata/resize.txt

One case a line: pattern, size, resized size, window (x, y, width, height), filter, FNV-1a of the window's RGB bytes.
"""
import PIL
from PIL import Image


def sample(pattern, x, y, c):
    if pattern == "noise":
        return (x * 37 + y * 101 + c * 59 + x * y * 7 + (x * x * 3 >> 1)) & 255
    if pattern == "edges":  # bicubic overshoots here and must be clipped at both ends
        return 255 if (x // 3 + y // 2 + c) % 2 else 0
    return (x * (2 + c) + y * (4 - c)) // 3 & 255  # smooth


def fnv(data):
    value = 0xCBF29CE484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return value


SIZES = [  # picture, resized
    ((32, 24), (16, 12)), ((32, 24), (31, 23)), ((32, 24), (33, 25)), ((32, 24), (64, 48)), ((32, 24), (5, 7)), ((32, 24), (7, 60)),
    ((32, 24), (1, 1)), ((32, 24), (32, 9)), ((32, 24), (9, 24)), ((32, 24), (32, 24)), ((100, 75), (64, 48)), ((75, 100), (40, 53)),
    ((1, 1), (1, 1)), ((1, 1), (9, 5)), ((2, 2), (17, 17)), ((1, 300), (4, 64)), ((300, 1), (64, 4)), ((1, 300), (1, 7)),
    ((300, 1), (7, 1)), ((3, 500), (256, 5)), ((500, 3), (5, 256)), ((199, 151), (13, 11)), ((40, 40), (39, 200)), ((640, 4), (20, 4)),
    ((20000, 2), (3, 1)),  # thousands of small weights, many of them negative
]

FILTERS = {
    "bilinear": Image.BILINEAR, "bicubic": Image.BICUBIC, "lanczos": Image.LANCZOS, "box": Image.BOX, "hamming": Image.HAMMING,
    "nearest": Image.NEAREST,
}

if __name__ == "__main__":
    print(f"# Pillow {PIL.__version__}, written by make_resize.py")
    for pattern in ("noise", "edges", "smooth"):
        for size, resized in SIZES:
            picture = Image.new("RGB", size)
            picture.putdata([tuple(sample(pattern, x, y, c) for c in range(3)) for y in range(size[1]) for x in range(size[0])])
            w, h = resized
            windows = [(0, 0, w, h)]
            if w > 3 and h > 3:
                windows.append((w // 3, h // 4, w - w // 2, h // 2))
            for name, how in FILTERS.items():
                whole = picture.resize(resized, how)
                for x, y, cw, ch in windows:
                    data = whole.crop((x, y, x + cw, y + ch)).tobytes()
                    print(pattern, *size, *resized, x, y, cw, ch, name, f"{fnv(data):016x}")
