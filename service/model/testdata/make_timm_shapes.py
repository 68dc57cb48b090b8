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
    "mobilenetv2_100", "mobilenetv3_small_100", "efficientnet_b4",
    # Their tensors are called as those above, but they are other networks, which are not recognised.
    "mobilenetv2_050", "mnasnet_100", "semnasnet_100", "spnasnet_100", "tinynet_a", "tinynet_b", "mobilenetv3_large_075",
    "efficientnet_lite1", "lcnet_100", "tf_mobilenetv3_large_minimal_100",
]
shapes = {name: {key: list(value.shape) for key, value in timm.create_model(name, num_classes=7).state_dict().items()} for name in NAMES}
with gzip.GzipFile(Path(__file__).parent / "timm_shapes.json.gz", "wb", mtime=0) as file:
    file.write(json.dumps(shapes).encode())
