"""Writes the small copies of the sample photographs that the page offers.

    build/venv/bin/python service/web/samples.py

The copies need at least 224 pixels a side, or the answer comes with a low_resolution warning. Credits are in
examples/CREDITS.md, and beside each picture in page/index.html.
"""

from pathlib import Path

from PIL import Image

SIDE = 300  # pixels of the shorter side: sharp enough as a thumbnail, about 30 KB as a file

HERE = Path(__file__).resolve().parent
EXAMPLES = HERE.parents[1] / "examples"

for name in ("cat.png", "espresso.png", "motorcycle.png", "photographer.png"):
    picture = Image.open(EXAMPLES / name).convert("RGB")
    scale = min(1, SIDE / min(picture.size))
    picture = picture.resize((round(picture.width * scale), round(picture.height * scale)), Image.Resampling.LANCZOS)
    copy = HERE / "page" / "samples" / (name.split(".")[0] + ".jpg")
    copy.parent.mkdir(parents=True, exist_ok=True)
    picture.save(copy, quality=84, optimize=True, progressive=True)
    print(copy.name, copy.stat().st_size)
