"""Large JPEG files of all samplings, and the crops that Pillow makes of them.

usage: large.py PHOTOS FOLDER N...   writes file N of the series into FOLDER and a line of JSON for it

The photographs of PHOTOS are cut to a side ratio and enlarged to the sizes of cameras and telephones.
"""
import base64
import json
import subprocess
import sys
from pathlib import Path

from PIL import Image

import pillow

SIZES = [(3024, 4032), (4000, 3000), (2448, 3264), (1500, 5000), (3000, 4000), (4032, 2268), (1080, 6500), (6000, 4000), (2736, 3648), (5472, 3648)]
LARGEST = [(6144, 8192), (8160, 6144), (8660, 5773)]  # 50 megapixels, each fortieth file
# The options of cjpeg, or for CMYK of Pillow.
KINDS = [
    ["-sample", "1x1"], ["-sample", "2x1"], ["-sample", "1x2"], ["-sample", "2x2"], ["-sample", "4x1"], ["-sample", "4x2"], ["-grayscale"], ["cmyk"],
    ["-sample", "1x1", "-progressive"], ["-sample", "2x1", "-restart", "1"], ["-sample", "1x1", "-restart", "2"],
    ["-sample", "2x1", "-progressive", "-restart", "4"], ["-sample", "1x4"],
]


def exif(orientation):
    return b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0" + bytes([orientation]) + bytes(6)


def picture(photos, n):
    w, h = LARGEST[n // 40 % len(LARGEST)] if n % 40 == 39 else SIZES[n % len(SIZES)]
    im = Image.open(photos[n * 7 % len(photos)]).convert("RGB")
    width, height = min(im.width, im.height * w // h), min(im.height, im.width * h // w)
    left, top = (im.width - width) // 2, (im.height - height) // 2
    return im.crop((left, top, left + width, top + height)).resize((w, h), Image.BILINEAR)


def write(path, im, kind, n):
    if kind == ["cmyk"]:
        im.convert("CMYK").save(path, "JPEG", quality=90)
    else:
        ppm = b"P6 %d %d 255\n" % im.size + im.tobytes()
        path.write_bytes(subprocess.run(["cjpeg", "-quality", str(70 + n % 28), *kind], input=ppm, stdout=subprocess.PIPE, check=True).stdout)
    data, block = path.read_bytes(), exif(1 + n % 8)
    path.write_bytes(data[:2] + b"\xff\xe1" + (len(block) + 2).to_bytes(2, "big") + block + data[2:])


def main():
    photos = sorted(p for p in Path(sys.argv[1]).iterdir() if p.suffix in (".jpg", ".png"))
    for n in map(int, sys.argv[3:]):
        kind = KINDS[n % len(KINDS)]
        path = Path(sys.argv[2]) / ("%03d.jpg" % n)
        write(path, picture(photos, n), kind, n)
        crop = pillow.crop(pillow.to_rgb(pillow.open_upright(path)[1]))
        print(json.dumps({"file": str(path), "mode": " ".join(kind), "crop": base64.b64encode(crop).decode()}), flush=True)


if __name__ == "__main__":
    main()
