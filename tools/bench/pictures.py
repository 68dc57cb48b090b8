"""The pictures that are sent: JPEGs made from the photographs in examples/, so that a run needs nothing else."""

from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
QUALITY = 90
SMALL = (376, 263)
MIDDLE = (1920, 1440)
LARGE = (4032, 3024)
# Longer sides of the typical mixture: mostly what people upload after a messenger or a web page shrank it, up to 2 megapixels.
TYPICAL = (320, 400, 480, 500, 500, 640, 640, 800, 800, 1024, 1280, 1632)
# Rows of the mosaic that stands for a camera's picture.
MOSAIC_ROW = 432


def make(folder: Path) -> dict[str, Path]:
    """Writes the pictures and, for each kind, a list of its files."""
    folder.mkdir(parents=True, exist_ok=True)
    photos = [photo(path) for path in sorted((ROOT / "examples").glob("*.[jp][pn]g"))]
    kinds = {
        "small": [one.resize(SMALL, Image.Resampling.LANCZOS) for one in photos],
        "typical": [longer_side(photos[n % len(photos)], side) for n, side in enumerate(TYPICAL)],
        "middle": [mosaic(photos).resize(MIDDLE, Image.Resampling.LANCZOS)],
        "12 MP": [mosaic(photos)],
    }
    lists = {}
    for kind, images in kinds.items():
        name = kind.replace(" ", "").lower()
        paths = [folder / f"{name}-{n}.jpg" for n in range(len(images))]
        for path, image in zip(paths, images):
            image.save(path, quality=QUALITY)
        lists[kind] = folder / f"{name}.txt"
        lists[kind].write_text("".join(f"{path}\n" for path in paths), encoding="utf-8")
    return lists


def photo(path: Path) -> Image.Image:
    with Image.open(path) as image:
        return image.convert("RGB")


def longer_side(image: Image.Image, side: int) -> Image.Image:
    scale = side / max(image.size)
    return image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.LANCZOS)


def mosaic(photos: list[Image.Image]) -> Image.Image:
    """Photographs beside each other, at about their own size: enlarging one would leave no detail for the decoder to work on."""
    whole = Image.new("RGB", LARGE)
    n = 0
    for top in range(0, LARGE[1], MOSAIC_ROW):
        left = 0
        while left < LARGE[0]:
            one = photos[n % len(photos)]
            tile = one.resize((one.width * MOSAIC_ROW // one.height, MOSAIC_ROW), Image.Resampling.LANCZOS)
            whole.paste(tile, (left, top))
            left += tile.width
            n += 1
    return whole
