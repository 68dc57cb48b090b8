"""Seeded random weights for a classifier of torchvision's, for numerical tests and benchmarks only: what it answers means nothing.

A freshly initialised network is useless even for that. Its features are nearly the same for every picture, so every picture gets
the same class and an error in preprocessing changes nothing. Four steps give it answers that depend on the picture:

1. He-style weights (uniform, the same variance), biases, and BatchNorm scales and shifts that differ by channel;
2. in deep networks, residual branches and gates turned down: else what tells pictures apart is lost on the way, while rounding
   errors grow with every block, to 1e-4 of the logits' spread in ResNet-50, as much as any test may allow;
3. BatchNorm means and variances measured on generated pictures, so that every layer works in its useful range;
4. a last layer whose bias takes away the mean feature, and whose gain gives logits with a standard deviation well over 1.

ResNet-18's weights are bit for bit the same on every run, and with every kernel and thread count tried (AVX2 and baseline, 1 and 2
threads): uniform numbers need no maths library, and step 3 runs in float64, whose rounding differences (1e-15) vanish when the
result is rounded to float32. The *outputs* of a float32 forward do differ in their last digits between CPUs and libraries, so
goldens made with this model must be compared with a tolerance.
"""

import hashlib

import numpy as np
import torch
from torch import nn
from torchvision.models.resnet import Bottleneck
from torchvision.ops.misc import SqueezeExcitation
from torchvision.transforms import functional

import generated

SEED = 1
CALIBRATION_PICTURES = 16
# Calibration at this size instead of 224 takes a third of the time (4 s) and gives the same spread on photographs.
CALIBRATION_SIZE = 128
# A constant, not a measured factor: multiplying half a million weights by a number that differs in its last bit would change
# some of them. 0.5 gives each of 48 photographs logits with a standard deviation over 1.2, 22 classes among them.
GAIN = 0.5
# What a residual branch adds, and how far a gate (squeeze and excitation) swings. ResNet-18, with eight short blocks, does without.
BRANCH = 0.25
GATE = 0.25
# What `digest` gives for ResNet-18. A test compares; the exporter itself only records what it made.
WEIGHTS_SHA256 = "f0ab8571b25d367829253802d186ebeeecd2ae7ac20a0f9b37928c6574974524"


def fill(net: nn.Module, mean: tuple[float, ...], std: tuple[float, ...], gain: float = GAIN) -> None:
    """Gives the network its weights, for input normalised with this mean and std."""
    random = np.random.RandomState(SEED)
    last_layer = [module for module in net.modules() if isinstance(module, nn.Linear)][-1]
    _randomise(net, last_layer, random)
    _turn_down(net)
    features = _calibrate(net, last_layer, _calibration_batch(mean, std))
    _set_last_layer(last_layer, random, features, gain)
    net.float()


def digest(net: nn.Module) -> str:
    """SHA-256 of all state bytes, in the order of the sorted keys: what the card calls weights_sha256."""
    sha = hashlib.sha256()
    for _, tensor in sorted(net.state_dict().items()):
        sha.update(tensor.contiguous().numpy().tobytes())
    return sha.hexdigest()


def _uniform(random: np.random.RandomState, shape: tuple[int, ...], bound: float) -> torch.Tensor:
    """Numbers in −bound…bound. RandomState's stream is frozen for good, unlike torch's own and NumPy's newer generators."""
    return torch.from_numpy(((2 * random.random_sample(shape) - 1) * bound).astype(np.float32))


def _randomise(net: nn.Module, last_layer: nn.Linear, random: np.random.RandomState) -> None:
    for module in net.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)) and module is not last_layer:
            # What one output sums up: of a convolution in groups, the channels of its group.
            fan_in = module.weight[0].numel()
            # A uniform number in ±b has variance b²/3; He's variance is 2/fan_in.
            module.weight.data = _uniform(random, tuple(module.weight.shape), float(np.sqrt(6 / fan_in)))
            if module.bias is not None:
                module.bias.data = _uniform(random, tuple(module.bias.shape), 0.5)
        elif isinstance(module, nn.BatchNorm2d):
            module.weight.data = 1 + _uniform(random, (module.num_features,), 0.5)
            module.bias.data = _uniform(random, (module.num_features,), 0.5)


def _turn_down(net: nn.Module) -> None:
    """Scales what the residual branches and the gates of the deeper architectures start with. Exact: both factors are powers of 2."""
    for module in net.modules():
        if isinstance(module, Bottleneck):
            _scale(module.bn3, BRANCH)
        elif getattr(module, "use_res_connect", False):  # the inverted residuals of MobileNet and EfficientNet
            _scale([norm for norm in module.modules() if isinstance(norm, nn.BatchNorm2d)][-1], BRANCH)
        elif isinstance(module, SqueezeExcitation):
            _scale(module.fc2, GATE)


def _scale(module: nn.Module, factor: float) -> None:
    module.weight.data *= factor
    module.bias.data *= factor


def _calibration_batch(mean: tuple[float, ...], std: tuple[float, ...]) -> torch.Tensor:
    pictures = [generated.generate(1000 + n, CALIBRATION_SIZE) for n in range(CALIBRATION_PICTURES)]
    tensors = [functional.to_tensor(picture).double() for picture in pictures]
    return functional.normalize(torch.stack(tensors), list(mean), list(std))


def _calibrate(net: nn.Module, last_layer: nn.Linear, batch: torch.Tensor) -> torch.Tensor:
    """Stores the batch's statistics in every BatchNorm, and returns the features before the last layer (float64)."""
    features: list[torch.Tensor] = []
    hook = last_layer.register_forward_pre_hook(lambda _, inputs: features.append(inputs[0]))
    net.double().eval()  # so that nothing is dropped at random
    norms = [module for module in net.modules() if isinstance(module, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 1.0  # take over this batch's statistics as they are
        norm.train()
    with torch.no_grad():
        net(batch)
    for norm, momentum in zip(norms, momenta):
        norm.momentum = momentum
        norm.num_batches_tracked.zero_()
    hook.remove()
    return features[0]


def _set_last_layer(last_layer: nn.Linear, random: np.random.RandomState, features: torch.Tensor, gain: float) -> None:
    weight = _uniform(random, tuple(last_layer.weight.shape), gain)
    last_layer.weight.data = weight
    last_layer.bias.data = -(weight.double() @ features.mean(0)).float()
