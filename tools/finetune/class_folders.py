"""A folder of pictures per class: what is in it, what of that can be used, and how it is shared out."""

import hashlib
import random
import re
import sys
import unicodedata
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image
from torchvision.transforms import InterpolationMode

import classify
import decode
from progress import Progress
from recipe import Recipe

# As service/pictures has them.
KINDS = {".jpg", ".jpeg", ".jpe", ".jif", ".jfif", ".png", ".gif", ".webp", ".bmp", ".tif", ".tiff"}
# Fewer in a class cannot be shared out: three to learn from, one to stop by, one to judge by.
FEWEST = 5


class FolderError(Exception):
    """What is wrong with the folder, and what to do about it, in one line."""


@dataclass
class Picture:
    """One usable picture. `image` has its shorter side resized as the network wants it; its middle is the network's input."""

    path: Path
    label: int
    image: Image.Image


@dataclass
class Folder:
    """`classes` are the names of the class folders, in order; `skipped` pairs a path with the reason."""

    classes: list[str]
    pictures: list[Picture]
    skipped: list[tuple[Path, str]] = field(default_factory=list)
    contents: dict[str, Path] = field(default_factory=dict)  # SHA-256 of each used file

    def digest(self) -> str:
        """Which pictures these are, for the card."""
        return hashlib.sha256("".join(sorted(self.contents)).encode()).hexdigest()


def read(root: Path, recipe: Recipe, other: Folder | None = None, fewest: int = FEWEST) -> Folder:
    """Reads every picture below root/CLASS. With `other`, the classes must be the same, and its pictures are not used again."""
    folders = class_folders(root)
    names = list(folders)
    if other and names != other.classes:
        raise FolderError(f"{root}: has the classes {', '.join(names)}; want the same as for training: {', '.join(other.classes)}")
    if len(names) < 2:
        found = f"one class folder ({names[0]})" if names else "no class folders"
        raise FolderError(f"{root}: {found}; it needs two or more, each with the pictures of one class: {root}/cat, {root}/dog, …")
    if passed_over := other_files(folders):
        print(f"finetune: left out, because their names do not end like a picture's: {passed_over}", file=sys.stderr)
    files = {name: sorted(path for path in folder.rglob("*") if is_picture(path)) for name, folder in folders.items()}
    if empty := [name for name, paths in files.items() if not paths]:
        raise FolderError(f"{root}: no pictures in {', '.join(empty)}; put some there ({', '.join(sorted(KINDS))}), or remove the folder")
    result = Folder(names, [])
    known = other.contents if other else {}
    progress = Progress(f"reading {root}", sum(map(len, files.values())))
    for label, name in enumerate(names):
        for path in files[name]:
            add(result, path, label, recipe, known)
            progress.step()
    progress.finish()
    for label, name in enumerate(names):
        usable = sum(picture.label == label for picture in result.pictures)
        if usable < fewest:
            reasons = "".join(f"\n  {path}: {reason}" for path, reason in result.skipped if path.is_relative_to(folders[name]))
            raise FolderError(f"{root}: {name} has {usable} usable pictures; each class needs {fewest}, and some dozen to be learnt well{reasons}")
    return result


def class_folders(root: Path) -> dict[str, Path]:
    """The folders by class name, in order of the names. Hidden ones and those that other systems leave behind are no classes."""
    if not root.is_dir():
        raise FolderError(f"{root}: no such folder")
    found: dict[str, Path] = {}
    for path in sorted(root.iterdir()):
        if not path.is_dir() or path.name.startswith((".", "__")):
            continue
        name = unicodedata.normalize("NFC", path.name).strip()
        if not name or not name.isprintable() or "\ufffd" in name or re.search(r"[\ud800-\udfff]", name):
            raise FolderError(f"{root}: the folder name {path.name!r} cannot be shown as a label; rename it")
        if other := next((other for other in found if other.casefold() == name.casefold()), None):
            raise FolderError(f"{root}: the folders {found[other].name!r} and {path.name!r} have the same name for a reader; rename or merge them")
        found[name] = path
    return dict(sorted(found.items()))


def other_files(folders: dict[str, Path]) -> str:
    """How many files are passed over, by their endings, the most common first: HEIC files, say, which nothing here reads."""
    endings = Counter(
        path.suffix.lower() or "no ending"
        for folder in folders.values()
        for path in folder.rglob("*")
        if not path.name.startswith(".") and path.is_file() and not is_picture(path)
    )
    common = sorted(endings.items(), key=lambda item: (-item[1], item[0]))[:10]
    return ", ".join(f"{count} {ending}" for ending, count in common)


def is_picture(path: Path) -> bool:
    return path.suffix.lower() in KINDS and not path.name.startswith(".") and path.is_file()


def add(folder: Folder, path: Path, label: int, recipe: Recipe, known: dict[str, Path]) -> None:
    """Decodes as the server does. What cannot be decoded, or is there twice, is skipped: a copy in two parts would be known by heart."""
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        if first := known.get(digest) or folder.contents.get(digest):
            raise ValueError(f"the same picture as {first}")
        image = decode.open_picture(path).image
        image = classify.resize(image, recipe.resize, InterpolationMode(recipe.interpolation))
    except Exception as error:  # whatever a broken picture makes Pillow raise
        folder.skipped.append((path, str(error).splitlines()[0] if str(error) else type(error).__name__))
        return
    folder.contents[digest] = path
    folder.pictures.append(Picture(path, label, image))


def share_out(pictures: list[Picture], share: float, seed: int) -> tuple[list[Picture], list[Picture]]:
    """Takes that share of every class, at least one picture, away at random; returns the rest and what was taken."""
    chance, rest, taken = random.Random(seed), [], []
    for label in sorted({picture.label for picture in pictures}):
        own = [picture for picture in pictures if picture.label == label]
        chance.shuffle(own)
        count = max(1, round(share * len(own)))
        taken += own[:count]
        rest += own[count:]
    return rest, taken
