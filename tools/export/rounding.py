"""Rounding a convolution's weights to whole steps so that its outputs, not its weights, stay close.

Rounding each weight to its nearest step treats all errors alike. But inputs are correlated: an error in one weight can be made
good by its neighbours. So an output channel's weights are rounded one after the other, each after taking over its share of the
errors made before, in the proportions in which the inputs vary together on real pictures (the order and the shares are those of
LDLQ, Chee et al., "QuIP", 2023). What is left of the mean error goes into the bias.
"""

import torch
from torch import nn
from torch.nn import functional

# A weight is at most so many whole steps: 8 bits with a sign.
MOST_STEPS = 127
# CPUs without VNNI add the products of two neighbouring input channels in 16 bits: 255 × 128 = 32640 is the most that fits, and
# beyond it answers would be silently wrong there. So two positive weights of such a pair are together at most so many steps, and
# two negative ones. With this a file answers alike on every CPU.
PAIR_STEPS = 128
# A share of the mean variance that is added to each input's own: keeps the shares sane where inputs hardly vary.
DAMPING = 0.01
# Of each feature map about this many rows and columns are looked at, evenly spread; fewer where only a filter's few taps are to
# be told apart. More take longer and change little. (7 instead of 14 cost one clear answer of 203.)
GRID, FEW_TAPS, FEW_GRID = 14, 64, 5
# Errors are shared among at most so many weights; the time for the factorisation grows with the third power.
MOST_TAPS = 1152
# Columns that are rounded before their errors reach the far ones; only a matter of speed.
BLOCK = 64


class InputStatistics:
    """Mean and covariance of what a convolution's weights are multiplied with; filled by a forward hook.

    The weights are looked at in parts of parts × channels × taps: a group of a grouped convolution is a part, because its
    channels see the same inputs; a group with many inputs makes several.
    """

    def __init__(self, conv: nn.Conv2d):
        self.conv = conv
        inputs, area = conv.weight.shape[1], conv.weight[0, 0].numel()
        self.splits = next(n for n in range(1, inputs + 1) if inputs % n == 0 and inputs // n * area <= max(MOST_TAPS, area))
        self.parts, taps = conv.groups * self.splits, inputs // self.splits * area
        self.grid = GRID if taps > FEW_TAPS else FEW_GRID
        self.sums = torch.zeros(self.parts, taps, dtype=torch.float64)
        self.squares = torch.zeros(self.parts, taps, taps, dtype=torch.float64)
        self.count = 0
        self.handle = conv.register_forward_pre_hook(self.see)

    def see(self, conv: nn.Conv2d, inputs: tuple[torch.Tensor]) -> None:
        stride = [step * max(1, side // (step * self.grid)) for step, side in zip(conv.stride, inputs[0].shape[2:])]
        columns = functional.unfold(inputs[0], conv.kernel_size, conv.dilation, conv.padding, stride)
        columns = columns.transpose(0, 1).reshape(self.parts, -1, columns.shape[0] * columns.shape[2])
        self.count += columns.shape[2]
        self.sums += columns.sum(2)
        self.squares += _gram(columns)

    def mean(self) -> torch.Tensor:
        return self.sums / self.count

    def covariance(self) -> torch.Tensor:
        mean = self.mean()
        return self.squares / self.count - mean[:, :, None] * mean[:, None, :]


def round_weights(statistics: InputStatistics) -> torch.Tensor:
    """Rounds the convolution's weights in place, corrects its bias, and returns the size of a step for each output channel."""
    conv, splits = statistics.conv, statistics.splits
    channels = conv.weight.detach().flatten(1)
    steps, low, high = step_sizes(conv)

    def to_parts(values: torch.Tensor) -> torch.Tensor:
        grouped = values.reshape(conv.groups, conv.out_channels // conv.groups, splits, -1).transpose(1, 2)
        return grouped.reshape(statistics.parts, -1, grouped.shape[-1])

    weight, step = to_parts(channels), to_parts(steps[:, None].expand(-1, splits))
    rounded = _share_errors(weight, step, to_parts(low), to_parts(high), statistics.covariance())
    shift = (weight - rounded).double() @ statistics.mean()[:, :, None]
    conv.bias.data += shift.reshape(conv.groups, splits, -1).sum(1).reshape(-1).float()
    conv.weight.data = rounded.reshape(conv.groups, splits, -1, rounded.shape[2]).transpose(1, 2).reshape(conv.weight.shape)
    return steps


def step_sizes(conv: nn.Conv2d) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The smallest step of each output channel that keeps to MOST_STEPS and PAIR_STEPS; and the lowest and highest whole number of
    steps for each tap, as channels × taps."""
    weight = conv.weight.detach()
    sides = [weight.clamp(min=0), (-weight).clamp(min=0)]
    pairs = _neighbours if conv.groups == 1 and conv.in_channels % 2 == 0 else _any_two
    both = torch.stack([pairs.largest(side) for side in sides]).amax(0)
    steps = torch.maximum(weight.abs().amax((1, 2, 3)) / MOST_STEPS, both / PAIR_STEPS).clamp(min=1e-12)
    high, low = (pairs.bounds(side / steps[:, None, None, None]).clamp(max=MOST_STEPS).flatten(1) for side in sides)
    return steps, -low, high


class _neighbours:
    """Input channels 0 and 1 meet, 2 and 3, and so on: how oneDNN and FBGEMM lay out convolutions that are not grouped."""

    @staticmethod
    def largest(side: torch.Tensor) -> torch.Tensor:
        return (side[:, 0::2] + side[:, 1::2]).amax((1, 2, 3))

    @staticmethod
    def bounds(side: torch.Tensor) -> torch.Tensor:
        # What a pair leaves free is shared between the two.
        free = (PAIR_STEPS - side[:, 0::2] - side[:, 1::2]) / 2
        return (side + free.repeat_interleave(2, dim=1) + 1e-3).floor()


class _any_two:
    """Where it depends on the kernel which taps meet (depthwise convolutions, odd numbers of channels): any two may."""

    @staticmethod
    def largest(side: torch.Tensor) -> torch.Tensor:
        side = side.flatten(1)
        return side.topk(min(2, side.shape[1]), dim=1).values.sum(1)

    @staticmethod
    def bounds(side: torch.Tensor) -> torch.Tensor:
        # The largest tap may have its steps, at least half of the pair's; any other the rest: then any two others fit as well.
        largest, tap = side.flatten(1).max(1, keepdim=True)
        share = largest.round().clamp(PAIR_STEPS // 2, MOST_STEPS)
        return (PAIR_STEPS - share).expand(-1, side[0].numel()).scatter(1, tap, share).reshape(side.shape)


def _gram(columns: torch.Tensor) -> torch.Tensor:
    """columns @ columnsᵀ for each part. As a convolution where it is large: Debian's torch multiplies matrices with the plain
    reference BLAS, twenty times slower than oneDNN's convolutions."""
    if columns.shape[1] <= FEW_TAPS:
        return columns @ columns.transpose(1, 2)
    products = [functional.conv2d(part.t()[None, :, :, None].contiguous(), part[:, :, None, None]) for part in columns]
    return torch.cat(products)[..., 0]


def _share_errors(
    weight: torch.Tensor, step: torch.Tensor, low: torch.Tensor, high: torch.Tensor, covariance: torch.Tensor
) -> torch.Tensor:
    """weight, low, high: parts × channels × taps; step: parts × channels × 1. Returns whole multiples of the step.

    With covariance = M D Mᵀ, M upper triangular with ones on the diagonal, the error of a channel's output is the sum of
    D[t] × (error of tap t + errors of the taps before × M[before, t])²; each term in turn is made as small as it can be.
    """
    taps = weight.shape[2]
    variance = covariance.diagonal(dim1=1, dim2=2).mean(1).clamp(min=1e-12)
    damped = covariance + DAMPING * variance[:, None, None] * torch.eye(taps, dtype=torch.float64)
    upper = torch.linalg.cholesky(damped.flip(1, 2)).flip(1, 2)
    shares = (upper / upper.diagonal(dim1=1, dim2=2)[:, None, :]).float()
    wanted, rounded, errors = weight.clone(), torch.empty_like(weight), torch.empty_like(weight)
    for start in range(0, taps, BLOCK):
        end = min(start + BLOCK, taps)
        wanted[:, :, start:end] += errors[:, :, :start] @ shares[:, :start, start:end]
        for tap in range(start, end):
            whole = (wanted[:, :, tap] / step[:, :, 0]).round()
            rounded[:, :, tap] = whole.maximum(low[:, :, tap]).minimum(high[:, :, tap]) * step[:, :, 0]
            errors[:, :, tap] = weight[:, :, tap] - rounded[:, :, tap]
            wanted[:, :, tap + 1 : end] += errors[:, :, tap, None] * shares[:, None, tap, tap + 1 : end]
    return rounded
