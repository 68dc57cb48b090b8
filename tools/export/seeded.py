"""ResNet-18 with seeded random weights, for numerical tests and benchmarks only: what it answers means nothing.

A freshly initialised network is useless even for that. Its features are nearly the same for every picture, so every picture gets
the same class and an error in preprocessing changes nothing. Three steps give it answers that depend on the picture:

1. He-style weights (uniform, the same variance), and BatchNorm scales and shifts that differ by channel;
2. BatchNorm means and variances measured on generated pictures, so that every layer works in its useful range;
3. a last layer whose bias takes away the mean feature, and whose gain gives logits with a standard deviation well over 1.

The weights are bit for bit the same on every run, and with every kernel and thread count tried (AVX2 and baseline, 1 and 2
threads): uniform numbers need no maths library, and step 2 runs in float64, whose rounding differences (1e-15) vanish when the
result is rounded to float32. The *outputs* of a float32 forward do differ in their last digits between CPUs and libraries, so
goldens made with this model must be compared with a tolerance.
"""

import hashlib

import numpy as np
import torch
from torch import nn
from torchvision.models import resnet18
from torchvision.transforms import functional

import generated

SEED = 1
CALIBRATION_PICTURES = 16
# Calibration at this size instead of 224 takes a third of the time (4 s) and gives the same spread on photographs.
CALIBRATION_SIZE = 128
# A constant, not a measured factor: multiplying half a million weights by a number that differs in its last bit would change
# some of them. 0.5 gives each of 48 photographs logits with a standard deviation over 1.2, 22 classes among them.
GAIN = 0.5
# What `digest` gives. A test compares; the exporter itself only records what it made.
WEIGHTS_SHA256 = "f0ab8571b25d367829253802d186ebeeecd2ae7ac20a0f9b37928c6574974524"


def build(mean: tuple[float, ...], std: tuple[float, ...]) -> nn.Module:
    """Makes the network, ready for inference, for input normalised with this mean and std."""
    random = np.random.RandomState(SEED)
    net = resnet18()
    _randomise(net, random)
    features = _calibrate(net, _calibration_batch(mean, std))
    _set_last_layer(net, random, features)
    return net.float().eval()


def digest(net: nn.Module) -> str:
    """SHA-256 of all state bytes, in the order of the sorted keys: what the card calls weights_sha256."""
    sha = hashlib.sha256()
    for _, tensor in sorted(net.state_dict().items()):
        sha.update(tensor.contiguous().numpy().tobytes())
    return sha.hexdigest()


def _uniform(random: np.random.RandomState, shape: tuple[int, ...], bound: float) -> torch.Tensor:
    """Numbers in −bound…bound. RandomState's stream is frozen for good, unlike torch's own and NumPy's newer generators."""
    return torch.from_numpy(((2 * random.random_sample(shape) - 1) * bound).astype(np.float32))


def _randomise(net: nn.Module, random: np.random.RandomState) -> None:
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            fan_in = module.in_channels * module.kernel_size[0] * module.kernel_size[1]
            # A uniform number in ±b has variance b²/3; He's variance is 2/fan_in.
            module.weight.data = _uniform(random, tuple(module.weight.shape), float(np.sqrt(6 / fan_in)))
        elif isinstance(module, nn.BatchNorm2d):
            module.weight.data = 1 + _uniform(random, (module.num_features,), 0.5)
            module.bias.data = _uniform(random, (module.num_features,), 0.5)


def _calibration_batch(mean: tuple[float, ...], std: tuple[float, ...]) -> torch.Tensor:
    pictures = [generated.generate(1000 + n, CALIBRATION_SIZE) for n in range(CALIBRATION_PICTURES)]
    tensors = [functional.to_tensor(picture).double() for picture in pictures]
    return functional.normalize(torch.stack(tensors), list(mean), list(std))


def _calibrate(net: nn.Module, batch: torch.Tensor) -> torch.Tensor:
    """Stores the batch's statistics in every BatchNorm, and returns the features before the last layer (float64)."""
    norms = [module for module in net.modules() if isinstance(module, nn.BatchNorm2d)]
    last_layer, net.fc = net.fc, nn.Identity()
    for norm in norms:
        norm.momentum = 1.0  # take over this batch's statistics as they are
    with torch.no_grad():
        features = net.double().train()(batch)
    for norm in norms:
        norm.momentum = 0.1
        norm.num_batches_tracked.zero_()
    net.fc = last_layer
    return features


def _set_last_layer(net: nn.Module, random: np.random.RandomState, features: torch.Tensor) -> None:
    weight = _uniform(random, tuple(net.fc.weight.shape), GAIN)
    net.fc.weight.data = weight
    net.fc.bias.data = -(weight.double() @ features.mean(0)).float()
