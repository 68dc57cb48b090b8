"""Writes goldens.json: what the Python reference says of the sample photographs, for machines without the reference.

    build/venv/bin/python service/e2e/testdata/make_goldens.py

Kept small: of each picture the digest of its pixels and of the network's input, and of the 1000 logits their spread, the ten
largest and every fiftieth.
"""

import hashlib
import json
import subprocess
import sys
import tempfile
from array import array
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
MODELS = ("efficientnet-lite0", "resnet18-seeded")


def main() -> None:
    pictures = sorted(p.name for p in (ROOT / "examples").iterdir() if p.suffix in (".png", ".jpg"))
    goldens = {}
    for model in MODELS:
        with tempfile.TemporaryDirectory() as out:
            subprocess.run(
                [sys.executable, ROOT / "tools/reference/reference.py", "--model", ROOT / f"build/models/{model}.pt", "--out", out, *pictures],
                check=True, cwd=ROOT / "examples", stdout=subprocess.DEVNULL,
            )
            index = json.loads((Path(out) / "index.json").read_text())
            goldens["made_with"] = {key: index[key] for key in ("torch", "torchvision", "pillow", "libjpeg")}
            for entry in index["pictures"]:
                logits = array("f", (Path(out) / entry["logits_f32"]).read_bytes())
                largest = sorted(range(len(logits)), key=lambda c: -logits[c])[:10]
                mean = sum(logits) / len(logits)
                goldens.setdefault(model, {})[entry["path"]] = {
                    "width": entry["width"],
                    "height": entry["height"],
                    "input_sha256": hashlib.sha256((Path(out) / entry["input_u8"]).read_bytes()).hexdigest(),
                    "deviation": round((sum((v - mean) ** 2 for v in logits) / len(logits)) ** 0.5, 6),
                    "top": [entry["top_k"][0]["class_id"], entry["top_k"][0]["confidence"]],
                    "logits": {c: round(logits[c], 6) for c in sorted({*largest, *range(0, len(logits), 50)})},
                }
    path = Path(__file__).with_name("goldens.json")
    path.write_text(json.dumps(goldens, indent=1) + "\n", encoding="utf-8")
    print(f"{path.relative_to(ROOT)}: {path.stat().st_size} bytes")


main()
