"""The card: the JSON record inside every model file that says what the model is and what it expects.

This module needs only the standard library, so that "is the file up to date?" is answered without loading torch.
"""

import csv
import json
import zipfile
from pathlib import Path

# The record's name inside the .pt, and so the key of _extra_files. The server looks for the same name.
CARD_NAME = "vidi.json"
FORMAT = 1


def read_labels(path: Path) -> list[dict]:
    """Reads a label table (class_id, wnid, en, zh; tab-separated, with a header) into the card's form.

    A row out of place would give every later class its neighbour's name and no error anywhere, hence the strict checks.
    """
    labels: list[dict] = []
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE):
            if row.get("class_id") != str(len(labels)) or not row.get("en") or not row.get("zh"):
                raise ValueError(f"{path}: line {len(labels) + 2}: want class_id {len(labels)} with an en and a zh name")
            label = {"label": row["en"], "wnid": row["wnid"] or "", "names": {"en": row["en"], "zh": row["zh"]}}
            labels.append(label)
    if not labels:
        raise ValueError(f"{path}: no labels; want a tab-separated table with the columns class_id, wnid, en, zh")
    if len({label["label"] for label in labels}) != len(labels):
        raise ValueError(f"{path}: English names must be unique, because they are the labels in answers")
    return labels


def make(
    *,
    name: str,
    description: str,
    licence: str,
    source: str,
    weights_sha256: str,
    labels: list[dict],
    version: str = "1",
    precision: str = "fp32",
    resize: int = 256,
    crop: int = 224,
    interpolation: str = "bilinear",
    mean: tuple[float, ...],
    std: tuple[float, ...],
) -> dict:
    """Builds the card. The keys and their order are the contract with the server's reader."""
    return {
        "format": FORMAT,
        "task": "classification",
        "name": name,
        "version": version,
        "description": description,
        "licence": licence,
        "source": source,
        "weights_sha256": weights_sha256,
        "precision": precision,
        "activation": "softmax",
        "input": {
            "resize": resize,
            "crop": crop,
            "interpolation": interpolation,
            "mean": list(mean),
            "std": list(std),
        },
        "labels": labels,
    }


def dump(card: dict) -> str:
    """The card as text, Chinese names readable in a hex dump or `unzip -p`."""
    return json.dumps(card, ensure_ascii=False, separators=(",", ":"))


def read(path: Path) -> dict | None:
    """Reads the card out of a model file; None when there is no file, no card, or the file is damaged.

    A .pt is a zip archive with one top folder. Every record's checksum is verified on the way (0.1 s for 47 MB), so a file cut
    short by a full disk counts as missing and is made again.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.testzip() is not None:
                return None
            for name in archive.namelist():
                if name.partition("/")[2] == f"extra/{CARD_NAME}":
                    return json.loads(archive.read(name))
    except (OSError, ValueError, zipfile.BadZipFile):
        return None
    return None
