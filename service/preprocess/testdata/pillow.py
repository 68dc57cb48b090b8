"""What Pillow makes of pictures: reads file names from standard input, writes one line of JSON for each.

Two exceptions from plain Pillow, the same as in tools/reference: samples of 16 bits are scaled to 8 and not clipped, and what
is transparent is laid over white and not given the colour below it.
"""
import base64
import hashlib
import json
import signal
import sys
import warnings

from PIL import Image, ImageMath, ImageOps

RESIZE, CROP = 256, 224
MAX_PIXELS = 52_000_000
SECONDS = 20


def alarm(signum, frame):
    raise TimeoutError("took longer than %d s" % SECONDS)


def open_upright(path):
    im = Image.open(path)
    fmt = im.format  # the copies below forget it
    if fmt == "TIFF":
        im.load()  # turns it already; exif_transpose would turn it a second time (Pillow 9.4)
        return fmt, im
    return fmt, ImageOps.exif_transpose(im)


def grey16(im):
    grey = im.point(lambda v: v * (1 / 256)).convert("L")
    level = im.info.get("transparency")
    if not isinstance(level, int):
        return grey
    opaque = ImageMath.eval("convert((v != level) * 255, 'L')", v=im, level=level)
    white = Image.new("L", im.size, 255)
    white.paste(grey, mask=opaque)
    return white


def to_rgb(im):
    if im.mode == "I;16B":
        im = im.convert("I")
    if im.mode in ("I", "I;16"):
        return grey16(im).convert("RGB")
    if im.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in im.info:
        rgba = im.convert("RGBA")
        white = Image.new("RGB", im.size, (255, 255, 255))
        white.paste(rgba, mask=rgba.getchannel("A"))
        return white
    return im.convert("RGB")


def crop(im):
    w, h = im.size
    if w < h:
        size = RESIZE, int(RESIZE * h / w)
    else:
        size = int(RESIZE * w / h), RESIZE
    if size[0] * size[1] > MAX_PIXELS:
        return None
    left = int(round((size[0] - CROP) / 2.0))
    top = int(round((size[1] - CROP) / 2.0))
    return im.resize(size, Image.BILINEAR).crop((left, top, left + CROP, top + CROP)).tobytes()


def describe(path):
    fmt, im = open_upright(path)
    mode = im.mode
    rgb = to_rgb(im)
    pixels = crop(rgb)
    return {
        "format": fmt,
        "mode": mode,
        "width": rgb.width,
        "height": rgb.height,
        "sha256": hashlib.sha256(rgb.tobytes()).hexdigest(),
        "crop": base64.b64encode(pixels).decode() if pixels else "",
    }


def main():
    warnings.simplefilter("ignore")
    warnings.simplefilter("error", Image.DecompressionBombWarning)
    Image.MAX_IMAGE_PIXELS = MAX_PIXELS
    signal.signal(signal.SIGALRM, alarm)
    for line in sys.stdin:
        path = line.rstrip("\n")
        signal.alarm(SECONDS)
        try:
            answer = describe(path)
        except Exception as e:  # Pillow raises nearly everything
            answer = {"error": "%s: %s" % (type(e).__name__, e)}
        signal.alarm(0)
        answer["file"] = path
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
