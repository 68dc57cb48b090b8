"""Writes weights and pickles as people bring them, and expected.json: what each must be recognised as.

    build/venv/bin/python service/model/testdata/make_weights.py OUT

Weights of all torchvision's classifiers are one number with the shapes of the real ones, which keeps the files small.
"""

import argparse
import json
import sys
from pathlib import Path

import torch
import torchvision

out = Path(sys.argv[1])
expected: dict[str, dict] = {}
SKIPPED = ("regnet_y_128gf", "vit_h_14", "quantized", "resnext101_64x4d")  # gigabytes, or without weights in this form


def keep(name: str, value: object, contains: str, run: bool = False, **options: object) -> None:
    torch.save(value, out / name, **options)
    expected[name] = {"contains": contains, "run": run}


def hollow(state: dict) -> dict:
    """The same names and shapes in a thousandth of the space."""
    return {name: torch.zeros(1, dtype=tensor.dtype).expand(tensor.shape) if tensor.dim() else tensor for name, tensor in state.items()}


# Without this, the values that nobody looks at would take minutes to draw.
for name in ("kaiming_uniform_", "kaiming_normal_", "xavier_uniform_", "normal_", "uniform_", "trunc_normal_"):
    setattr(torch.nn.init, name, lambda tensor, *args, **kwargs: tensor)

models = [name for name in torchvision.models.list_models(torchvision.models) if not name.startswith(SKIPPED)]
for name in models:
    if name in ("maxvit_t", "mnasnet0_75", "mnasnet1_3") or hasattr(torchvision.models, "detection") and name in dir(torchvision.models.detection):
        continue
    options = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
    net = getattr(torchvision.models, name)(num_classes=7, **options)
    keep(f"{name}.pth", hollow(net.state_dict()), f"a state_dict of torchvision's {name} with 7 classes",
         run=name in ("squeezenet1_1", "shufflenet_v2_x0_5", "mobilenet_v3_small", "inception_v3"))

torch.manual_seed(3)
net = torchvision.models.resnet18(num_classes=5)
named = "torchvision's resnet18 with 5 classes"
keep("parallel.pth", {"module." + key: value for key, value in net.state_dict().items()}, named, run=True)
keep("lightning.ckpt", {"epoch": 3, "pytorch-lightning_version": "2.5", "state_dict": {"model." + key: value for key, value in net.state_dict().items()},
                        "hyper_parameters": argparse.Namespace(rate=0.1)}, named, run=True)
keep("checkpoint.pth", {"model_state_dict": net.state_dict(), "optimizer": torch.optim.SGD(net.parameters(), 0.1, momentum=0.9).state_dict()}, named, run=True)
keep("legacy.pth", net.state_dict(), named, run=True, _use_new_zipfile_serialization=False)
keep("whole.pth", net, "a pickled Python object (of class torchvision.models.resnet.ResNet)", run=True)
keep("whole_parallel.pth", torch.nn.DataParallel(net), "of class torch.nn.parallel.data_parallel.DataParallel", run=True)
keep("own.pth", {"a.weight": torch.zeros(3, 3), "b": torch.zeros(3)}, "a state_dict (weights without the network)")
keep("nothing.pth", {"rate": 0.1}, "a state_dict")
(out / "expected.json").write_text(json.dumps(expected), "utf-8")
