"""Makes the tools importable from the tests: they are scripts with modules beside them, not installed packages."""

import os
import sys
from pathlib import Path

TOOLS = Path(__file__).resolve().parents[1]
LABELS = TOOLS.parent / "service" / "model" / "imagenet.tsv"
for folder in ("export", "reference", "bench", "finetune", "labels"):
    if str(TOOLS / folder) not in sys.path:
        sys.path.insert(0, str(TOOLS / folder))


def photographs() -> list[Path]:
    """The photographs that are not part of the project; empty where VIDI_SHARED does not say where they are."""
    if not os.environ.get("VIDI_SHARED"):
        return []
    folder = Path(os.environ["VIDI_SHARED"]) / "photos"
    kinds = (".png", ".jpg", ".jpeg")
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in kinds)
