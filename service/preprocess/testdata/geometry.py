"""The reference's resize and crop: reads lines of JSON, {"file": …, "input": a card's input}, writes the SHA-256 of each result."""

import hashlib
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "tools" / "reference"))

import classify
import decode

for line in sys.stdin:
    request = json.loads(line)
    image = decode.open_picture(Path(request["file"])).image
    print(hashlib.sha256(classify.resize_and_crop(image, request["input"]).tobytes()).hexdigest())
