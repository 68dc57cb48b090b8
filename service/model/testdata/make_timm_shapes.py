"""Writes timm_shapes.json.gz: the names and shapes of the tensors of timm's commonest networks with 7 classes.

    python service/model/testdata/make_timm_shapes.py          needs timm, and efficientnet_pytorch's names are the real ones'
"""

import gzip
import json
from pathlib import Path

import timm

NAMES = [
    "efficientnet_b0", "efficientnet_b1", "efficientnet_b2", "efficientnet_b3", "efficientnet_lite0", "mobilenetv3_large_100",
    "vit_tiny_patch16_224", "vit_small_patch16_224", "vit_base_patch16_224", "vit_base_patch16_384", "deit_tiny_distilled_patch16_224",
    "convnext_atto", "convnext_tiny", "convnextv2_nano", "swin_tiny_patch4_window7_224", "swin_small_patch4_window7_224",
]
shapes = {name: {key: list(value.shape) for key, value in timm.create_model(name, num_classes=7).state_dict().items()} for name in NAMES}
with gzip.GzipFile(Path(__file__).parent / "timm_shapes.json.gz", "wb", mtime=0) as file:
    file.write(json.dumps(shapes).encode())
