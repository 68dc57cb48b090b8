"""Learning from pictures: the last layer alone on features that are computed once, or the whole network."""

import copy
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import nn
from torchvision import transforms
from torchvision.transforms import InterpolationMode, functional

from class_folders import Picture
from progress import Progress
from recipe import Recipe

HEAD_RATE, WHOLE_RATE, SCRATCH_RATE = 1e-2, 1e-4, 1e-3
HEAD_BATCH, WHOLE_BATCH = 64, 16
WEIGHT_DECAY = 1e-2


@dataclass
class Epoch:
    """Loss and share of right answers, on the training views and on the pictures that decide when to stop."""

    phase: str
    loss: float
    right: float
    check_loss: float
    check_right: float


@dataclass
class Settings:
    epochs: int
    patience: int
    views: int
    history: list[Epoch] = field(default_factory=list)


class Views:
    """What the network sees of a picture: the exact input that the server makes, or a random view of it."""

    def __init__(self, recipe: Recipe, flip: bool):
        self.recipe = recipe
        self.augment = transforms.Compose(
            [
                transforms.RandomResizedCrop(recipe.crop, scale=(0.4, 1), interpolation=InterpolationMode(recipe.interpolation)),
                transforms.RandomHorizontalFlip(0.5 if flip else 0),
                transforms.ColorJitter(0.3, 0.3, 0.3),
            ]
        )

    def exact(self, picture: Picture) -> torch.Tensor:
        return self._tensor(functional.center_crop(picture.image, [self.recipe.crop] * 2))

    def random(self, picture: Picture) -> torch.Tensor:
        return self._tensor(self.augment(picture.image))

    def _tensor(self, image) -> torch.Tensor:
        return functional.normalize(functional.to_tensor(image), list(self.recipe.mean), list(self.recipe.std))


def last_layer(net: nn.Module) -> tuple[str, nn.Linear]:
    """The linear layer with which every architecture here ends, and its name."""
    return [(name, module) for name, module in net.named_modules() if isinstance(module, nn.Linear)][-1]


def put_layer(net: nn.Module, name: str, layer: nn.Module) -> None:
    parent, _, attribute = name.rpartition(".")
    setattr(net.get_submodule(parent), attribute, layer)


def labels_of(pictures: list[Picture]) -> torch.Tensor:
    return torch.tensor([picture.label for picture in pictures])


def train_head(net: nn.Module, views: Views, training: list[Picture], check: list[Picture], settings: Settings) -> None:
    """Trains the head alone. The network below it does not change, so each view goes through it once."""
    name, head = last_layer(net)
    body = copy.deepcopy(net).eval()
    put_layer(body, name, nn.Identity())
    progress = Progress("features", (settings.views + 1) * len(training) + len(check))

    def features(pictures: list[Picture], view) -> torch.Tensor:
        found = []
        with torch.no_grad():
            for picture in pictures:
                found.append(body(view(picture).unsqueeze(0)))
                progress.step()
        return torch.cat(found)

    seen = torch.cat([features(training, views.exact), *(features(training, views.random) for _ in range(settings.views))])
    labels = labels_of(training).repeat(settings.views + 1)
    checked = features(check, views.exact)
    progress.finish()
    # Features of different networks differ in size: in units of their own spread one learning rate fits all.
    scale = seen.std().clamp(min=1e-6)
    learner = nn.Linear(head.in_features, head.out_features)
    batches = lambda order: ((seen[rows] / scale, labels[rows]) for rows in order.split(HEAD_BATCH))
    optimiser = torch.optim.AdamW(learner.parameters(), HEAD_RATE, weight_decay=WEIGHT_DECAY)
    _learn("head", learner, optimiser, lambda: batches(torch.randperm(len(seen))), lambda: learner(checked / scale), labels_of(check), settings)
    head.weight.data = learner.weight.data / scale
    head.bias.data = learner.bias.data


def train_whole(net: nn.Module, views: Views, training: list[Picture], check: list[Picture], settings: Settings, scratch: bool) -> None:
    """Trains all weights on fresh views in every epoch. BatchNorm keeps its statistics, which few pictures would spoil, unless the
    network starts from nothing and has none."""
    optimiser = torch.optim.AdamW(net.parameters(), SCRATCH_RATE if scratch else WHOLE_RATE, weight_decay=WEIGHT_DECAY)
    exact = [views.exact(picture) for picture in check]
    norms = [module for module in net.modules() if isinstance(module, nn.BatchNorm2d)]
    if scratch:
        for norm in norms:
            norm.momentum = 0.1  # some architectures come with 0.01, which takes thousands of steps to find the statistics

    def batches():
        net.train()
        if not scratch:
            for norm in norms:
                norm.eval()
        order = torch.randperm(len(training)).tolist()
        progress = Progress("this epoch, pictures", len(order))
        for start in range(0, len(order), WHOLE_BATCH):
            chosen = [training[n] for n in order[start : start + WHOLE_BATCH]]
            if scratch and len(chosen) == 1:
                continue  # BatchNorm cannot take the spread of one picture's single last position
            yield torch.stack([views.random(picture) for picture in chosen]), labels_of(chosen)
            progress.step(len(chosen))

    def outputs() -> torch.Tensor:
        net.eval()
        return torch.cat([net(tensor.unsqueeze(0)) for tensor in exact])

    _learn("scratch" if scratch else "whole", net, optimiser, batches, outputs, labels_of(check), settings)
    net.eval()


def _learn(phase: str, net: nn.Module, optimiser, batches, outputs, labels: torch.Tensor, settings: Settings) -> None:
    """Epochs until the check loss has not fallen for `patience` of them; the weights of the best one stay."""
    loss_of = nn.CrossEntropyLoss(label_smoothing=0.05)
    best, kept, waited = float("inf"), copy.deepcopy(net.state_dict()), 0
    progress = Progress(phase, settings.epochs, estimate=False)  # it may stop earlier
    for _ in range(settings.epochs):
        total, right, count = 0.0, 0, 0
        for inputs, wanted in batches():
            optimiser.zero_grad()
            answers = net(inputs)
            loss = loss_of(answers, wanted)
            loss.backward()
            optimiser.step()
            total, right, count = total + loss.item() * len(wanted), right + (answers.argmax(1) == wanted).sum().item(), count + len(wanted)
        with torch.no_grad():
            answers = outputs()
        epoch = Epoch(phase, total / count, right / count, loss_of(answers, labels).item(), (answers.argmax(1) == labels).float().mean().item())
        if not np.isfinite(epoch.loss) or not np.isfinite(epoch.check_loss):
            raise ArithmeticError("the loss is not finite; a lower learning rate or other pictures are needed")
        settings.history.append(epoch)
        progress.step(note=f" epochs, loss {epoch.loss:.3f}, on the check pictures {epoch.check_loss:.3f} and {100 * epoch.check_right:.0f} % right")
        if epoch.check_loss < best - 1e-4:
            best, kept, waited = epoch.check_loss, copy.deepcopy(net.state_dict()), 0
        else:
            waited += 1
            if waited >= settings.patience:
                break
    progress.finish()
    net.load_state_dict(kept)


def predict(net: nn.Module, views: Views, pictures: list[Picture]) -> np.ndarray:
    """Probabilities, pictures × classes, of the exact inputs."""
    net.eval()
    progress, found = Progress("judging", len(pictures)), []
    with torch.no_grad():
        for picture in pictures:
            found.append(net(views.exact(picture).unsqueeze(0)).softmax(1))
            progress.step()
    progress.finish()
    return torch.cat(found).numpy()
