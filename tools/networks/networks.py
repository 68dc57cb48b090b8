"""Makes the networks that people bring: torchvision's and timm's, with seeded random weights, as TorchScript files without a card.

    python tools/networks/networks.py --list
    python tools/networks/networks.py tv-resnet18 timm-vit_tiny_patch16_384 --out DIR

What they answer means nothing, but it depends on the image: BatchNorm gets the statistics of generated images, and the logits are
shifted and scaled so that they differ between images by whole units. A test adds each file to vidi and compares it with Python.
"""

import argparse
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "export"))

import generated
import jitfile

CALIBRATION_IMAGES = 6
# The logits' standard deviation over images: enough for a clear first class, little enough for probabilities that are not all 0 or 1.
SPREAD = 2.0


@dataclass(frozen=True)
class Network:
    """One row. `function` is its name in the library, `side` the size of its input, `scripted` how it becomes TorchScript."""

    library: str  # "tv" for torchvision, "timm"
    function: str
    side: int = 224
    scripted: bool = False

    @property
    def name(self) -> str:
        return f"{self.library}-{self.function}" + ("-scripted" if self.scripted else "")

    def make(self) -> nn.Module:
        torch.manual_seed(1)
        if self.library == "timm":
            import timm

            return timm.create_model(self.function).eval()
        import torchvision

        return getattr(torchvision.models, self.function)(weights=None).eval()


NETWORKS = (
    # torchvision's commonest.
    Network("tv", "resnet18"),
    Network("tv", "resnet50"),
    Network("tv", "mobilenet_v2"),
    Network("tv", "mobilenet_v3_large"),
    Network("tv", "efficientnet_b0"),
    Network("tv", "vgg16"),
    Network("tv", "densenet121"),
    Network("tv", "convnext_tiny"),
    Network("tv", "vit_b_16"),
    Network("tv", "swin_t"),
    # Those of torchvision that oneDNN Graph crashed on, or that are built in another way.
    Network("tv", "efficientnet_v2_s"),
    Network("tv", "regnet_y_400mf"),
    Network("tv", "maxvit_t"),
    Network("tv", "mobilenet_v3_small"),
    Network("tv", "inception_v3", 299),
    Network("tv", "googlenet"),
    Network("tv", "shufflenet_v2_x1_0"),
    Network("tv", "squeezenet1_1"),
    Network("tv", "resnext50_32x4d"),
    Network("tv", "alexnet"),
    Network("tv", "resnet18", scripted=True),
    Network("tv", "mobilenet_v2", scripted=True),
    Network("tv", "swin_t", scripted=True),
    # timm's commonest.
    Network("timm", "resnet18"),
    Network("timm", "resnet50"),
    Network("timm", "efficientnet_b0"),
    Network("timm", "mobilenetv3_large_100"),
    Network("timm", "convnext_tiny"),
    Network("timm", "vit_small_patch16_224"),
    Network("timm", "deit_small_patch16_224"),
    Network("timm", "swin_tiny_patch4_window7_224"),
    Network("timm", "tf_efficientnetv2_b0", 192),
    Network("timm", "seresnet50"),
    # Those of timm that oneDNN Graph crashed on, or that are built in another way.
    Network("timm", "regnety_004"),
    Network("timm", "fastvit_t8", 256),
    Network("timm", "eva02_tiny_patch14_336", 336),
    Network("timm", "mobilevit_xs", 256),
    Network("timm", "vit_tiny_patch16_384", 384),
    Network("timm", "mobilenetv4_conv_small"),
    Network("timm", "ghostnet_100"),
    Network("timm", "repvgg_a0"),
    Network("timm", "xcit_tiny_12_p16_224"),
    Network("timm", "poolformer_s12"),
    Network("timm", "tiny_vit_5m_224"),
)


class Spread(nn.Module):
    """The network, with logits that are shifted and scaled."""

    def __init__(self, net: nn.Module, shift: torch.Tensor, gain: float):
        super().__init__()
        self.net = net
        self.register_buffer("shift", shift)
        self.gain = gain

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (self.net(x) - self.shift) * self.gain


def wake(net: nn.Module) -> None:
    """Gives what starts at nothing a value: heads of zeros, and layer scales that let hardly anything through."""
    with torch.no_grad():
        for parameter in net.parameters():
            if parameter.dim() >= 2 and not parameter.any():
                parameter.normal_(std=0.02)
            elif parameter.numel() > 1 and parameter.abs().max() <= 1e-2 and parameter.std() == 0 and parameter.any():
                parameter.fill_(0.2)


def calibrated(net: nn.Module, side: int) -> nn.Module:
    from torchvision.transforms import functional

    wake(net)

    images = [generated.generate(1000 + n, side) for n in range(CALIBRATION_IMAGES)]
    tensors = [functional.to_tensor(image) for image in images]
    batch = functional.normalize(torch.stack(tensors), [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    norms = [module for module in net.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    with torch.no_grad():
        if norms:
            for norm in norms:
                norm.momentum = 1.0  # take over this batch's statistics as they are
                norm.train()
            net(batch)
            net.eval()
            for norm in norms:  # a channel that hardly varies among so few images would amplify rounding
                norm.running_var.clamp_(min=0.1 * norm.running_var.mean().item())
        logits = net(batch)
    shift = logits.mean(0)
    return Spread(net, shift, SPREAD / (logits - shift).std().item()).eval()


def torchscript(network: Network) -> torch.jit.ScriptModule:
    net = calibrated(network.make(), network.side)
    if network.scripted:
        return torch.jit.script(net)
    # With gradients on, attention is traced as the operators it is made of, and not as one that only this PyTorch has.
    return torch.jit.trace(net, torch.rand(1, 3, network.side, network.side), check_trace=False)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--list", action="store_true", help="print the names, and the side of each one's input")
    parser.add_argument("--out", type=Path, metavar="DIR")
    args = parser.parse_args(argv)
    warnings.filterwarnings("ignore")  # of tracing, and of options that old torchs do not know
    if args.list:
        for network in NETWORKS:
            print(network.name, network.side)
        return 0
    known = {network.name: network for network in NETWORKS}
    for name in args.names:
        if name not in known:
            parser.error(f"there is no network {name}; --list prints them")
    if args.names and args.out is None:
        parser.error("--out names the folder for the files")
    for name in args.names:
        args.out.mkdir(parents=True, exist_ok=True)
        jitfile.save(torchscript(known[name]), args.out / f"{name}.pt")
        print(name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
