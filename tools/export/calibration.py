"""The photographs on which a quantised model's ranges are measured, and the ones on which it is then checked.

This module does without torch, so that "is the file up to date?" is answered at once; calibration_views.py makes the tensors.
"""

import hashlib
from pathlib import Path

from weights import ExportError

# Photographs come in these; service/pictures has all the formats.
KINDS = (".jpg", ".jpeg", ".jpe", ".jif", ".jfif", ".png", ".webp")
# More than this are thinned out evenly: hundreds of views take minutes and move the ranges by less than a step.
MOST_PHOTOGRAPHS = 64


def is_photograph(path: Path) -> bool:
    """Whether a file's name says so; what macOS leaves beside pictures, ._*, is hidden."""
    return path.suffix.lower() in KINDS and not path.name.startswith(".") and path.is_file()


def find(folder: Path) -> list[Path]:
    """The photographs in a folder, evenly thinned out to MOST_PHOTOGRAPHS."""
    paths = sorted(path for path in folder.rglob("*") if is_photograph(path))
    if not paths:
        raise ExportError(f"{folder}: no photographs ({', '.join(KINDS)}); --calibrate needs a folder of them")
    keep = min(len(paths), MOST_PHOTOGRAPHS)
    return [paths[n * len(paths) // keep] for n in range(keep)]


def digest(paths: list[Path]) -> str:
    """Which photographs these are, for the card."""
    sha = hashlib.sha256()
    for path in paths:
        sha.update(hashlib.sha256(path.read_bytes()).digest())
    return sha.hexdigest()
