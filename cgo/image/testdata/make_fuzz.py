"""Writes the seeds of the fuzz targets, fuzz/jpeg and fuzz/png: small files, each of which takes another way through the decoder.

    build/venv/bin/python cgo/image/testdata/make_fuzz.py
"""

import io
import random
import subprocess
from pathlib import Path

from PIL import Image, PngImagePlugin

HERE = Path(__file__).parent / "fuzz"
SIZE = 21, 17
noise = random.Random(20260801)
PHOTO = Image.frombytes("RGB", (5, 4), noise.randbytes(60)).resize(SIZE, Image.BICUBIC)


def jpeg(name: str, image: Image.Image = PHOTO, tool: list[str] | None = None, **options) -> None:
    out = io.BytesIO()
    image.save(out, "JPEG", quality=60, **options)
    data = out.getvalue()
    if tool:
        data = subprocess.run(["jpegtran", *tool], input=data, stdout=subprocess.PIPE, check=True).stdout
    (HERE / "jpeg" / f"{name}.jpg").write_bytes(data)


def png(name: str, image: Image.Image, **options) -> None:
    image.save(HERE / "png" / f"{name}.png", optimize=True, **options)


def main() -> None:
    for folder in ("jpeg", "png"):
        (HERE / folder).mkdir(parents=True, exist_ok=True)
    jpeg("grey", PHOTO.convert("L"))
    jpeg("444", subsampling="4:4:4")
    jpeg("422", subsampling="4:2:2")
    jpeg("420", subsampling="4:2:0")
    jpeg("progressive", progressive=True)
    jpeg("progressive_grey", PHOTO.convert("L"), progressive=True)
    jpeg("cmyk", PHOTO.convert("CMYK"))
    jpeg("restarts", tool=["-restart", "1"])
    jpeg("arithmetic", tool=["-arithmetic"])
    jpeg("exif", exif=b"Exif\x00\x00MM\x00*\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06\x00\x00\x00\x00\x00\x00")

    rgba = PHOTO.convert("RGBA")
    rgba.putalpha(PHOTO.convert("L"))
    png("rgb", PHOTO)
    png("rgba", rgba)
    png("grey", PHOTO.convert("L"))
    png("grey_alpha", rgba.convert("LA"))
    png("grey_16", Image.frombytes("I;16", SIZE, noise.randbytes(2 * SIZE[0] * SIZE[1])))
    png("bit", PHOTO.convert("1"))
    png("palette", PHOTO.quantize(200))
    png("palette_4", PHOTO.quantize(9), bits=4)
    png("palette_transparent", PHOTO.quantize(4), bits=2, transparency=bytes([0, 128]))
    png("rgb_transparent", PHOTO, transparency=PHOTO.getpixel((0, 0)))
    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", "text " * 20, zip=True)
    png("chunks", PHOTO.convert("L"), pnginfo=text, icc_profile=b"no profile", dpi=(72, 72))


if __name__ == "__main__":
    main()
