"""Static post-training quantisation: a network whose convolutions compute in 8-bit integers.

The ranges of all intermediate results are measured on photographs, then FX puts quantised operators in place of the float ones.
torch's qnnpack engine writes them here; libtorch runs them with oneDNN, whatever engine wrote the file. The last layer stays in
float32: quantised, it would give logits in 256 steps, and it is a hundredth of the work.
"""

import copy
from dataclasses import dataclass
from functools import partial

import torch
from torch import fx, nn
from torch.ao.quantization import QConfig, QConfigMapping, default_weight_observer
from torch.ao.quantization.observer import HistogramObserver, ObserverBase
from torch.ao.quantization.quantize_fx import convert_fx, prepare_fx
from torch.nn.utils.fusion import fuse_conv_bn_eval

from progress import Progress
from rounding import InputStatistics, round_weights

BATCH = 8
# The project's bound for int8: where the float network's first answer leads by more, the quantised one's must be the same.
CLEAR = 0.1


@dataclass
class Comparison:
    """How far a quantised network is from the float one."""

    pictures: int
    kept: int  # first answers that are the same
    clear: int  # pictures whose first answer leads by more than CLEAR
    clear_kept: int
    difference: float  # largest of a probability

    def lines(self) -> list[str]:
        return [
            f"first answers kept  {self.kept} of {self.pictures} (views of the photographs that it was not calibrated on)",
            f"clear answers kept  {self.clear_kept} of {self.clear} that lead by more than {CLEAR:.0%}",
            f"largest difference  {self.difference:.3f} between a probability and the fp32 module's",
        ]


def quantise(net: nn.Module, pictures: torch.Tensor, in_float: tuple[str, ...] = ()) -> nn.Module:
    """Returns a quantised copy of the network. `pictures` are N × 3 × height × width, normalised; `in_float` names convolutions
    that stay as they are."""
    torch.backends.quantized.engine = "qnnpack"
    plain = simplify(net)
    clipped = absorb_relu6(plain)
    mapping = QConfigMapping().set_global(QConfig(_range(HistogramObserver), default_weight_observer)).set_object_type(nn.Linear, None)
    for name in in_float:
        mapping.set_module_name(name, None)
    for name, steps in round_all(plain, clipped, pictures, in_float).items():
        observer = ClippedAtSix if name in clipped else HistogramObserver
        mapping.set_module_name(name, QConfig(_range(observer), partial(FixedSteps, steps)))
    prepared = prepare_fx(plain, mapping, (pictures[:1],))
    _run(prepared, pictures, "ranges, photographs' views")
    return convert_fx(prepared)


def compare(exact: nn.Module, quantised: nn.Module, pictures: torch.Tensor) -> Comparison:
    want, got = (torch.cat(_run(net.eval(), pictures, "comparing, views")).softmax(1) for net in (exact, quantised))
    first, second = want.topk(2, dim=1).values.unbind(1)
    same, clear = want.argmax(1) == got.argmax(1), first - second > CLEAR
    return Comparison(len(pictures), int(same.sum()), int(clear.sum()), int((same & clear).sum()), float((want - got).abs().max()))


def simplify(net: nn.Module) -> fx.GraphModule:
    """A copy as a graph of torch's own modules, with each BatchNorm folded into the convolution before it."""
    net = copy.deepcopy(net).eval()
    _plain_convolutions(net)
    plain = fx.symbolic_trace(net)
    for norm, conv in _pairs(plain, nn.BatchNorm2d, nn.Conv2d):
        fused = fuse_conv_bn_eval(plain.get_submodule(conv.target), plain.get_submodule(norm.target))
        _set(plain, conv.target, fused)
        norm.replace_all_uses_with(conv)
        plain.graph.erase_node(norm)
    plain.delete_all_unused_submodules()
    plain.recompile()
    return plain


def absorb_relu6(plain: fx.GraphModule) -> set[str]:
    """Turns ReLU6 into ReLU, and returns the names of the convolutions before it, whose range must then end at 6.

    A quantised number cannot leave its range, so a range that ends at 6 is the clipping. FX knows how to fuse a ReLU with its
    convolution, but not a ReLU6: that would round twice, the first time in steps made for what is thrown away.
    """
    clipped = {conv.target for _, conv in _pairs(plain, nn.ReLU6, nn.Conv2d)}
    for name, module in list(plain.named_modules()):
        if isinstance(module, nn.ReLU6):
            _set(plain, name, nn.ReLU())
    return clipped


def round_all(plain: fx.GraphModule, clipped: set[str], pictures: torch.Tensor, in_float: tuple[str, ...]) -> dict[str, torch.Tensor]:
    """Rounds the weights of all convolutions but those; returns their step sizes by name."""
    convs = {name: module for name, module in plain.named_modules() if isinstance(module, nn.Conv2d) and name not in in_float}
    statistics = {name: InputStatistics(conv) for name, conv in convs.items()}
    clips = [plain.get_submodule(name).register_forward_hook(lambda _, __, out: out.clamp(max=6)) for name in clipped]
    _run(plain, pictures, "statistics, photographs' views")
    for hook in clips + [s.handle for s in statistics.values()]:
        hook.remove()
    progress, steps = Progress("rounding, layers", len(statistics), estimate=False), {}
    for name, each in statistics.items():
        steps[name] = round_weights(each)
        progress.step()
    progress.finish()
    return steps


class ClippedAtSix(HistogramObserver):
    """Measures, and passes on, what a ReLU6 would let through."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x.clamp(max=6))


class FixedSteps(ObserverBase):
    """Weights that are rounded already: it only tells their steps."""

    qscheme, ch_axis = torch.per_channel_symmetric, 0

    def __init__(self, steps: torch.Tensor):
        super().__init__(torch.qint8)
        self.steps = steps

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x

    def calculate_qparams(self) -> tuple[torch.Tensor, torch.Tensor]:
        return self.steps, torch.zeros_like(self.steps, dtype=torch.int64)


def _range(observer: type[HistogramObserver]) -> partial:
    return observer.with_args(dtype=torch.quint8, quant_min=0, quant_max=255, reduce_range=False)


def _run(net: nn.Module, pictures: torch.Tensor, what: str) -> list[torch.Tensor]:
    progress, found = Progress(what, len(pictures)), []
    with torch.no_grad():
        for batch in pictures.split(BATCH):
            found.append(net(batch))
            progress.step(len(batch))
    progress.finish()
    return found


def _pairs(plain: fx.GraphModule, kind: type, before: type) -> list[tuple[fx.Node, fx.Node]]:
    """The nodes of one kind whose input comes from a module of the other kind and goes nowhere else."""

    def is_a(node: fx.Node, kind: type) -> bool:
        return node.op == "call_module" and isinstance(plain.get_submodule(node.target), kind)

    nodes = [node for node in plain.graph.nodes if is_a(node, kind)]
    return [(node, node.args[0]) for node in nodes if is_a(node.args[0], before) and len(node.args[0].users) == 1]


def _set(root: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, child = name.rpartition(".")
    setattr(root.get_submodule(parent), child, module)


def _plain_convolutions(net: nn.Module) -> None:
    """Puts nn.Conv2d in place of convolutions that pad their input themselves, as EfficientNet's do for TensorFlow's "same".

    Where that pads one side more than the other, the kernel gets a leading row and column of zeros for the difference.
    """
    for name, conv in list(net.named_modules()):
        padding = getattr(conv, "static_padding", None)
        if not isinstance(conv, nn.Conv2d) or padding is None:
            continue
        left, right, top, bottom = getattr(padding, "padding", (0, 0, 0, 0))
        size = [k + more for k, more in zip(conv.kernel_size, (bottom - top, right - left))]
        plain = nn.Conv2d(
            conv.in_channels, conv.out_channels, size, tuple(conv.stride), (bottom, right), groups=conv.groups, bias=conv.bias is not None
        )
        plain.weight.data.zero_()
        plain.weight.data[:, :, bottom - top :, right - left :] = conv.weight.data
        if conv.bias is not None:
            plain.bias.data = conv.bias.data
        _set(net, name, plain.eval())
