"""What is known of one exportable model."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from weights import Weights

if TYPE_CHECKING:
    from torch import nn

# torch is imported inside the functions: loading it takes a second, and "up to date" is said without it.

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Recipe:
    """One exportable model. `net` makes the network with weights that mean nothing; `fill` gives it its own, from the weights file,
    which is None where the model has none."""

    name: str
    file: str
    description: str
    licence: str
    source: str
    weights: Weights | None
    net: Callable[[], "nn.Module"]
    fill: Callable[["nn.Module", Path | None], None]
    # How a picture becomes the network's input: the shorter side to `resize`, then the middle `crop` × `crop`.
    resize: int = 256
    crop: int = 224
    interpolation: str = "bilinear"
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    version: str = "1"
    precision: str = "fp32"
    # Convolutions that stay float when the model is quantised.
    in_float: tuple[str, ...] = ()

    def build(self, weights: Path | None) -> "nn.Module":
        """The network, ready to answer."""
        net = self.net()
        self.fill(net, weights)
        return net.eval()


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


def load_weights(net: "nn.Module", path: Path | None) -> None:
    """Fills in a state_dict. `weights_only` refuses anything but tensors: a second guard behind the checksum."""
    import torch

    net.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
