"""TorchVision's classifiers: one row for each, which gives two models, with the official weights and with seeded ones.

The weights are those of TorchVision's first recipe (IMAGENET1K_V1), all made for resize 256 and crop 224; a test compares this
table with TorchVision's own. The digests were seen by several who downloaded the files, and begin as the file names say.
EfficientNet-B0 is here under its new name: the file that older TorchVisions call -3dd342df has had this content since 2023.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from recipe import IMAGENET_MEAN, IMAGENET_STD, Recipe, load_weights
from weights import Weights

if TYPE_CHECKING:
    from torch import nn

HOST = "https://download.pytorch.org/models/"


@dataclass(frozen=True)
class Architecture:
    """One row. `function` is its name in torchvision.models, `suits` what it is good for, in a few words."""

    name: str
    title: str
    function: str
    suits: str
    weights_file: str
    size: int | None
    sha256: str
    interpolation: str = "bilinear"
    # Of the seeded last layer: a constant that gives every photograph logits with a standard deviation over 1.
    gain: float = 0.5

    def net(self) -> "nn.Module":
        """The network, with weights that mean nothing yet."""
        import torchvision

        return getattr(torchvision.models, self.function)(weights=None)

    def official(self) -> Recipe:
        return Recipe(
            name=self.name,
            # ResNet-18's is the name that people know.
            file="resnet18_traced.pt" if self.name == "resnet18" else f"{self.name}.pt",
            description=f"{self.title} trained on ImageNet-1k (TorchVision IMAGENET1K_V1): {self.suits}",
            licence="BSD-3-Clause",
            source=HOST + self.weights_file,
            weights=Weights(HOST + self.weights_file, self.weights_file, self.size, self.sha256),
            net=self.net,
            fill=load_weights,
            interpolation=self.interpolation,
        )

    def seeded(self) -> Recipe:
        def fill(net: "nn.Module", _: Path | None) -> None:
            import seeded

            seeded.fill(net, IMAGENET_MEAN, IMAGENET_STD, self.gain)

        return Recipe(
            name=f"{self.name}-seeded",
            file=f"{self.name}-seeded.pt",
            description=f"{self.title} with seeded random weights, for numerical tests only: its answers mean nothing",
            licence="BSD-3-Clause",
            source="TorchVision's architecture; weights made by tools/export/seeded.py from seed 1",
            weights=None,
            net=self.net,
            fill=fill,
            interpolation=self.interpolation,
        )


RESNET18 = Architecture(
    "resnet18", "ResNet-18", "resnet18", "the simplest; the usual start",
    "resnet18-f37072fd.pth", 46830571, "f37072fd47e89c5e827621c5baffa7500819f7896bbacec160b1a16c560e07ec",
)  # fmt: skip
ARCHITECTURES = (
    RESNET18,
    Architecture(
        "resnet50", "ResNet-50", "resnet50", "better answers where time and memory are no matter",
        "resnet50-0676ba61.pth", 102530333, "0676ba61b6795bbe1773cffd859882e5e297624d384b6993f7c9e683e722fb8a",
    ),
    Architecture(
        "mobilenet-v2", "MobileNetV2", "mobilenet_v2", "small and fast",
        "mobilenet_v2-b0353104.pth", None, "b03531047ffacf1e2488318dcd2aba1126cde36e3bfe1aa5cb07700aeeee9889",
    ),
    Architecture(
        "mobilenet-v3-large", "MobileNetV3-Large", "mobilenet_v3_large", "fast, and better than ResNet-18",
        "mobilenet_v3_large-8738ca79.pth", 22139423, "8738ca797c879b547d18bbd15da5736ff2557b2036a9af72225393ca61759a04",
        gain=1.0,
    ),
    Architecture(
        "mobilenet-v3-small", "MobileNetV3-Small", "mobilenet_v3_small", "the smallest and fastest",
        "mobilenet_v3_small-047dcff4.pth", 10306551, "047dcff4addef86ea5bc2eff13c9614dc11f47ab1160d0a71a25e7db994f4e1f",
        gain=1.0,
    ),
    Architecture(
        "efficientnet-b0", "EfficientNet-B0", "efficientnet_b0", "the best answers of these",
        "efficientnet_b0_rwightman-7f5810bc.pth", 21444401, "7f5810bc96def8f7552d5b7e68d53c4786f81167d28291b21c0d90e1fca14934",
        interpolation="bicubic",
    ),
)  # fmt: skip
