"""Writing a TorchScript file with its card, and proving that what was written is what was meant."""

import json
import tempfile
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torchvision.transforms import functional

import card as cards
import generated
from weights import ExportError

# Largest allowed difference between the written file and the module it came from, as a share of the logits' standard deviation:
# the project's bound for the same input tensor in fp32. Both run in the same torch here, so it is usually exactly 0.
TOLERANCE = 1e-4


def trace(net: nn.Module, shape: tuple[int, ...]) -> torch.jit.ScriptModule:
    with torch.no_grad():
        return torch.jit.trace(net.eval(), torch.zeros(shape))


def save(module: torch.jit.ScriptModule, path: Path, card: dict | None = None) -> None:
    """Saves a module, with its card if there is one, and takes the debug records out.

    Those records hold the call stack of every operation with the folder names of the machine that exported it. Without them the
    file is the same wherever it is made, and its digest can be compared. The archive is copied by torch's own reader and writer,
    which keep the tensors aligned as libtorch wants them.
    """
    extra = {cards.CARD_NAME: cards.dump(card)} if card else {}
    torch.jit.save(module, str(path), _extra_files=extra)
    reader = torch._C.PyTorchFileReader(str(path))
    bare = path.with_name(path.name + ".bare")
    # The writer names the archive's top folder after the file, so the copy is made in a folder of its own, under the same name.
    bare.mkdir()
    try:
        writer = torch._C.PyTorchFileWriter(str(bare / path.name))
        for name in reader.get_all_records():
            # The writer adds the version record itself.
            if name != "version" and not name.endswith(".debug_pkl"):
                record = reader.get_record(name)
                writer.write_record(name, record, len(record))
        writer.write_end_of_file()
        (bare / path.name).replace(path)
    finally:
        (bare / path.name).unlink(missing_ok=True)
        bare.rmdir()


def write(net: nn.Module, card: dict, target: Path) -> float:
    """Traces, writes, checks, and only then puts the file in place. Returns the largest difference of the file's logits."""
    crop = card["input"]["crop"]
    module = trace(net, (1, 3, crop, crop))
    target.parent.mkdir(parents=True, exist_ok=True)
    # In the same folder, so that the rename cannot cross file systems; the folder goes away with whatever failed in it.
    with tempfile.TemporaryDirectory(prefix=".export-", dir=target.parent) as folder:
        draft = Path(folder) / target.name
        save(module, draft, card)
        difference = verify(draft, net, card)
        draft.replace(target)
    return difference


def test_inputs(card: dict) -> list[torch.Tensor]:
    """Noise, which reaches every weight, and picture-like input, which is what the model was made for."""
    crop, mean, std = card["input"]["crop"], card["input"]["mean"], card["input"]["std"]
    random = np.random.RandomState(7)
    noise = [torch.from_numpy(random.standard_normal((1, 3, crop, crop)).astype(np.float32)) for _ in range(3)]
    pictures = [generated.generate(seed, crop) for seed in (1, 2, 3)]
    return noise + [functional.normalize(functional.to_tensor(picture), mean, std).unsqueeze(0) for picture in pictures]


def verify(path: Path, net: nn.Module, card: dict) -> float:
    """Reloads the file and compares it with the eager module; returns the largest logit difference or raises."""
    extra = {cards.CARD_NAME: ""}
    module = torch.jit.load(str(path), map_location="cpu", _extra_files=extra)
    if json.loads(extra[cards.CARD_NAME]) != card:
        raise ExportError(f"{path.name}: the card read back differs from the card written")
    inputs = test_inputs(card)
    with torch.no_grad():
        want = torch.cat([net(tensor) for tensor in inputs])
        got = torch.cat([module(tensor) for tensor in inputs])
    if want.shape[1] != len(card["labels"]):
        raise ExportError(f"{path.name}: {want.shape[1]} outputs but {len(card['labels'])} labels")
    difference, spread = (want - got).abs().max().item(), want.std().item()
    # Written so that a NaN fails as well.
    if not difference <= TOLERANCE * spread:
        raise ExportError(
            f"{path.name}: the traced module differs from the original by {difference:.3g}, "
            f"more than {TOLERANCE:g} of the logits' standard deviation {spread:.3g}"
        )
    return difference
