"""The usual tutorial: Flask, torchvision's transforms, and TorchScript in Python's torch.

Run by gunicorn with two workers of one thread, and one torch thread each: torch's own threads would only wait for each other.
"""

import io
import os

import torch
from flask import Flask, jsonify, request
from PIL import Image
from torchvision import transforms

from peers.answer import LABELS

torch.set_num_threads(1)
model = torch.jit.load(os.environ["BENCH_MODEL"], map_location="cpu").eval()
preprocess = transforms.Compose(
    [
        transforms.Resize(256),
        transforms.CenterCrop(224),
        transforms.ToTensor(),
        transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
    ]
)
app = Flask(__name__)


@app.post("/predict")
def predict():
    image = Image.open(io.BytesIO(request.get_data())).convert("RGB")
    with torch.no_grad():
        probabilities = model(preprocess(image).unsqueeze(0))[0].softmax(0)
    values, classes = probabilities.topk(3)
    return jsonify(
        predictions=[
            {"label": LABELS[n], "class_id": n, "confidence": round(p * 100, 1)} for p, n in zip(values.tolist(), classes.tolist())
        ]
    )
