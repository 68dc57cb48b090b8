"""Makes a small set of pictures to try fine-tuning with: crops of the sample photographs, a class for each.

    python tools/finetune/sample.py --out DIR

DIR/train has crops of the left half of every photograph, DIR/test of the right, with a strip between that neither shows: no pixel is
in both. The crops of test differ in brightness and colour from those of train. DIR/labels.tsv has Chinese and English names.
"""

import argparse
import random
import sys
from pathlib import Path

from PIL import Image, ImageEnhance

ROOT = Path(__file__).resolve().parents[2]
CLASSES = {
    "astronaut": ("astronaut.png", "astronaut", "宇航员"),
    "cat": ("cat.png", "cat", "猫"),
    "espresso": ("espresso.png", "espresso", "浓缩咖啡"),
    "flower": ("flower.jpg", "flower", "花"),
    "motorcycle": ("motorcycle.png", "motorcycle", "摩托车"),
    "palace": ("palace.jpg", "palace", "宫殿"),
    "photographer": ("photographer.png", "photographer", "摄影师"),
    "rocket": ("rocket.jpg", "rocket", "火箭"),
}
PARTS = {"train": (0.0, 0.5), "test": (0.55, 1.0)}  # of the width
SIDES = (0.3, 0.45)  # of the height


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument("--count", type=int, default=16, metavar="N", help="crops of each class and part (default 16)")
    parser.add_argument("--seed", type=int, default=1, metavar="N")
    args = parser.parse_args(argv)
    chance = random.Random(args.seed)
    for name, (file, _, _) in CLASSES.items():
        photo = Image.open(ROOT / "examples" / file).convert("RGB")
        for part, span in PARTS.items():
            folder = args.out / part / name
            folder.mkdir(parents=True, exist_ok=True)
            for n in range(args.count):
                vary(crop(photo, span, chance), part, chance).save(folder / f"{n:02}.jpg", quality=90)
    rows = [f"{name}\t{en}\t{zh}\n" for name, (_, en, zh) in CLASSES.items()]
    (args.out / "labels.tsv").write_text("folder\ten\tzh\n" + "".join(rows), encoding="utf-8")
    print(f"{args.out}: {len(CLASSES)} classes, {args.count} pictures of each in train and in test; labels.tsv")
    return 0


def crop(photo: Image.Image, span: tuple[float, float], chance: random.Random) -> Image.Image:
    left, right = (round(share * photo.width) for share in span)
    side = min(round(chance.uniform(*SIDES) * photo.height), right - left)
    x, y = chance.randint(left, right - side), chance.randint(0, photo.height - side)
    return photo.crop((x, y, x + side, y + side))


def vary(view: Image.Image, part: str, chance: random.Random) -> Image.Image:
    if part == "test":
        view = ImageEnhance.Brightness(view).enhance(chance.uniform(0.6, 1.4))
        view = ImageEnhance.Color(view).enhance(chance.uniform(0, 1.2))
    return view


if __name__ == "__main__":
    sys.exit(main())
