"""Writes the small model files that the Go tests load: good ones, and one for each way a file can be wrong.

    python tools/export/fixtures.py --out DIR

All are made from seeded numbers and archives carry fixed dates, so the same torch writes the same bytes again (except
legacy_state_dict.pth, where that old format stores memory addresses).
"""

import io
import json
import struct
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn

import card as cards
import jitfile
import seeded
from recipe import IMAGENET_MEAN, IMAGENET_STD
from written import write_all

TINY_LABELS = [
    {"label": en, "wnid": "", "names": {"en": en, "zh": zh}}
    for en, zh in (("one", "一"), ("two", "二"), ("three", "三"), ("four", "四"), ("five", "五"))
]

# Names that would do something if anybody took them for more than text: a page, a spreadsheet, a terminal.
HOSTILE_LABELS = [
    {"label": name, "wnid": "", "names": {"en": name, "zh": name + "二"}}
    for name in (
        "<img src=x onerror=alert(1)>",
        "\"><script>alert(1)</script>",
        "=HYPERLINK(\"http://127.0.0.1/?\"&A1)",
        "{name} ${alert(1)} javascript:alert(1)",
        "\u202egnp.exe\u2066",
    )
]


def tiny_net(outputs: int) -> nn.Sequential:
    """Convolution, pooling to one cell whatever the input size, and a linear layer: about a kilobyte of weights.

    The last layer is scaled so that pictures which differ give logits which differ by whole units.
    """
    random = np.random.RandomState(outputs)
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, outputs)
    )
    for parameter in net.parameters():
        bound = 3.0 if parameter.shape[0] == outputs else 0.5
        parameter.data = torch.from_numpy(((2 * random.random_sample(parameter.shape) - 1) * bound).astype(np.float32))
    return net.eval()


def tiny_card(labels: list[dict] = TINY_LABELS) -> dict:
    return cards.make(
        name="tiny",
        description="Tiny seeded network for tests: its answers mean nothing",
        licence="Apache-2.0",
        source="tools/export/fixtures.py",
        weights_sha256=seeded.digest(tiny_net(5)),
        labels=labels,
        resize=40,
        crop=32,
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
    )


class Nan(nn.Module):
    """A model whose weights went bad in training answers like this."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.full([x.size(0), 5], float("nan"))


class TupleOutput(nn.Module):
    """Inception-like models return (logits, auxiliary logits)."""

    def forward(self, x: torch.Tensor):
        logits = x.mean([2, 3])
        return logits, logits


class InTuple(nn.Module):
    """The logits alone, in a tuple, as Hugging Face's models give them when they are traced."""

    def __init__(self) -> None:
        super().__init__()
        self.net = tiny_net(5)

    def forward(self, x: torch.Tensor):
        return (self.net(x),)


class InDictionary(InTuple):
    """The logits alone, under a name."""

    def forward(self, x: torch.Tensor):
        return {"logits": self.net(x)}


class InPicture(InTuple):
    """One position of five channels, as networks end that have convolutions only."""

    def forward(self, x: torch.Tensor):
        return self.net(x).reshape(-1, 5, 1, 1)


class ThrowsInHelper(InTuple):
    """Fails for a white image, inside a method that freezing removes."""

    def forward(self, x: torch.Tensor):
        return self._forward_impl(x)

    def _forward_impl(self, x: torch.Tensor):
        assert bool(x.min() < 2), "too bright"
        return self.net(x)


class Throws(nn.Module):
    """Loads well, then fails on every input."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.size(0) > 0:
            raise RuntimeError("this model always fails")
        return x


class Double(nn.Module):
    """float64 logits."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean([2, 3]).to(torch.float64)


class IntOutput(nn.Module):
    """int64 scores, as a model that rounds its own output gives; the shape is right, so the type is the only oddity."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x.mean([2, 3]) * 100).to(torch.int64)


class WrongShape(nn.Module):
    """[1000] where [batch, 1000] is due."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.linspace(-1.0, 1.0, 1000) + x.mean()


class Hangs(nn.Module):
    """Never ends: no sum of squares is below zero."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        while bool((x * x).sum() >= 0):
            x = x * 0.5
        return x.mean([2, 3])


class Hungry(nn.Module):
    """Wants 8 TB."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean([2, 3]) + torch.zeros([1 << 41]).sum()


class Prints(nn.Module):
    """Writes to standard output whenever it runs, as forgotten debugging does."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        print('{"report": {"outputs": 7}}')
        return x.mean([2, 3])


class NanWhereFlat(nn.Module):
    """Divides by the contrast: NaN for a picture of one colour, good answers for others."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = x.mean([2, 3])
        contrast = x.amax([2, 3]) - x.amin([2, 3])
        return y * contrast / contrast


class ColoursLast(nn.Module):
    """Takes height × width × 3, as TensorFlow's networks do."""

    def __init__(self) -> None:
        super().__init__()
        self.net = tiny_net(5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.net(x.permute(0, 3, 1, 2))


class Batch8(nn.Module):
    """Counts the images of its input, which was 8 when it was traced."""

    def __init__(self) -> None:
        super().__init__()
        self.net = tiny_net(5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.net(x).view(8, 5)


class TakesBytes(nn.Module):
    """Scales its input itself, from 0 to 255 to 0 to 1."""

    def __init__(self) -> None:
        super().__init__()
        self.net = tiny_net(5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.net(x.float() / 255)


def fixed(side: int, outputs: int, channels: int = 3, width: int = 0) -> nn.Sequential:
    """Takes one size only: the last layer counts the positions."""
    torch.manual_seed(side)
    positions = (side // 4) * ((width or side) // 4)
    net = nn.Sequential(nn.Conv2d(channels, 4, 3, stride=4, padding=1), nn.Flatten(), nn.Linear(4 * positions, outputs))
    return net.eval()


def ending_in(last: nn.Module, outputs: int = 5) -> nn.Module:
    return nn.Sequential(tiny_net(outputs), last).eval()


def traced(net: nn.Module, name: str, shape: tuple[int, ...] = (1, 3, 32, 32), card: dict | None = None) -> bytes:
    return jit_bytes(jitfile.trace(net, shape), name, card)


def in_training(name: str) -> bytes:
    """Traced without eval(): dropout goes on for ever."""
    net = nn.Sequential(tiny_net(5), nn.Dropout(0.5)).train()
    with torch.no_grad():
        return jit_bytes(torch.jit.trace(net, torch.zeros(1, 3, 32, 32), check_trace=False), name)


def jit_bytes(module: torch.jit.ScriptModule, name: str, card: dict | None = None) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        jitfile.save(module, path, card)
        return path.read_bytes()


def scripted(module: nn.Module, name: str) -> bytes:
    return jit_bytes(torch.jit.script(module.eval()), name)


def tiny(name: str, card: dict | None, outputs: int = 5) -> bytes:
    return jit_bytes(jitfile.trace(tiny_net(outputs), (1, 3, 32, 32)), name, card)


def pickled(value: object, zipped: bool = True) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer, _use_new_zipfile_serialization=zipped)
    return buffer.getvalue()


def zipped(records: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in records.items():
            archive.writestr(zipfile.ZipInfo(name), data)  # ZipInfo's default date is 1980-01-01, not now
    return buffer.getvalue()


def graph_json() -> bytes:
    """The outline of a serialised ExportedProgram: enough to recognise it, not to run it."""
    module = {"graph": {"inputs": [], "outputs": [], "nodes": []}, "signature": {}, "module_call_graph": []}
    program = {"graph_module": module, "opset_version": {"aten": 10}, "range_constraints": {}}
    return json.dumps({**program, "schema_version": {"major": 8, "minor": 7}}).encode()


def exported_pt2_old() -> bytes:
    """The layout torch.export.save wrote up to torch 2.7: records at the top level."""
    records = {
        "serialized_exported_program.json": graph_json(),
        "serialized_state_dict.pt": pickled(tiny_net(5).state_dict()),
        "serialized_constants.pt": pickled({}),
        "serialized_example_inputs.pt": pickled(((torch.zeros(1, 3, 32, 32),), {})),
        "version": b"8.7",
    }
    return zipped(records)


def exported_pt2_new() -> bytes:
    """The layout since torch 2.8: a top folder, with archive_format saying pt2."""
    records = {
        "archive_format": b"pt2",
        "archive_version": b"0",
        "byteorder": b"little",
        "models/model.json": graph_json(),
        "data/weights/model.pt": pickled(tiny_net(5).state_dict()),
        "data/constants/model.pt": pickled({}),
        "data/sample_inputs/model.pt": pickled(((torch.zeros(1, 3, 32, 32),), {})),
        ".data/version": b"6",
    }
    return zipped({f"exported_new/{name}": data for name, data in records.items()})


def field(number: int, value: int | str | bytes) -> bytes:
    """One protobuf field. Numbers under 128 and texts under 128 bytes need no multi-byte lengths, and all here are."""
    if isinstance(value, int):
        return bytes([number << 3, value])
    data = value.encode() if isinstance(value, str) else value
    assert len(data) < 128
    return bytes([number << 3 | 2, len(data)]) + data


def onnx_model() -> bytes:
    """A valid ONNX model, y = Identity(x) on float[1,3]; written by hand to need no package. Numbers are those of onnx.proto."""
    shape = field(1, field(1, 1)) + field(1, field(1, 3))  # TensorShapeProto.dim.dim_value
    tensor_type = field(1, field(1, 1) + field(2, shape))  # TypeProto.tensor_type: elem_type FLOAT, shape
    node = field(1, "x") + field(2, "y") + field(4, "Identity")
    graph = field(1, node) + field(2, "identity")
    graph += field(11, field(1, "x") + field(2, tensor_type)) + field(12, field(1, "y") + field(2, tensor_type))
    opset = field(1, "") + field(2, 13)
    return field(1, 8) + field(2, "vidi-fixtures") + field(7, graph) + field(8, opset)


def safetensors() -> bytes:
    """A safetensors file: header length, JSON header, data."""
    weight = np.arange(6, dtype="<f4").tobytes()
    header = json.dumps({"fc.weight": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, len(weight)]}}).encode()
    header += b" " * (-len(header) % 8)
    return struct.pack("<Q", len(header)) + header + weight


def future_card() -> dict:
    return {**tiny_card(), "format": 2}


FIXTURES: dict[str, Callable[[str], bytes]] = {
    # Good ones.
    "tiny.pt": lambda name: tiny(name, tiny_card()),
    "hostile_labels.pt": lambda name: tiny(name, tiny_card(HOSTILE_LABELS)),
    "bare_traced.pt": lambda name: tiny(name, None, outputs=10),
    # A card that does not fit its model, or this version of the reader.
    "card_three_labels.pt": lambda name: tiny(name, tiny_card(TINY_LABELS[:3])),
    "card_future_format.pt": lambda name: tiny(name, future_card()),
    # Outputs that hold one tensor.
    "in_tuple.pt": lambda name: scripted(InTuple(), name),
    "in_dictionary.pt": lambda name: scripted(InDictionary(), name),
    "in_picture.pt": lambda name: traced(InPicture().eval(), name),
    "throws_in_helper.pt": lambda name: scripted(ThrowsInHelper(), name),
    # PyTorch files of another kind.
    "state_dict.pth": lambda _: pickled(tiny_net(5).state_dict()),
    "legacy_state_dict.pth": lambda _: pickled(tiny_net(5).state_dict(), zipped=False),
    "pickled_module.pth": lambda _: pickled(tiny_net(5)),
    "exported.pt2": lambda _: exported_pt2_old(),
    "exported_new.pt2": lambda _: exported_pt2_new(),
    # Other formats.
    "onnx_like.onnx": lambda _: onnx_model(),
    "weights.safetensors": lambda _: safetensors(),
    # Damaged.
    "garbage.pt": lambda _: np.random.RandomState(3).bytes(1024),
    "truncated.pt": lambda _: (whole := tiny("tiny.pt", tiny_card()))[: len(whole) * 6 // 10],
    "empty.pt": lambda _: b"",
    # Modules that load and then answer badly.
    "nan.pt": lambda name: scripted(Nan(), name),
    "tuple_output.pt": lambda name: scripted(TupleOutput(), name),
    "throws.pt": lambda name: scripted(Throws(), name),
    "double.pt": lambda name: scripted(Double(), name),
    "int_output.pt": lambda name: scripted(IntOutput(), name),
    "wrong_shape.pt": lambda name: scripted(WrongShape(), name),
    "nan_where_flat.pt": lambda name: scripted(NanWhereFlat(), name),
    "in_training.pt": in_training,
    # Modules that need another input than most.
    "fixed96.pt": lambda name: traced(fixed(96, 4), name, (1, 3, 96, 96)),
    "fixed128x64.pt": lambda name: traced(fixed(128, 4, width=64), name, (1, 3, 128, 64)),
    "batch8.pt": lambda name: traced(Batch8().eval(), name, (8, 3, 32, 32)),
    "grey28.pt": lambda name: traced(fixed(28, 10, channels=1), name, (1, 1, 28, 28)),
    "colours_last.pt": lambda name: traced(ColoursLast().eval(), name, (1, 32, 32, 3)),
    "takes_bytes.pt": lambda name: traced(TakesBytes().eval(), name),
    "embedding.pt": lambda name: traced(tiny_net(512), name),
    "half.pt": lambda name: scripted(tiny_net(5).half(), name),
    # Modules whose outputs are probabilities already.
    "softmax.pt": lambda name: traced(ending_in(nn.Softmax(1)), name),
    "sigmoid.pt": lambda name: traced(ending_in(nn.Sigmoid()), name),
    "softmax_twice.pt": lambda name: traced(ending_in(nn.Softmax(1)), name, card=tiny_card()),
    "one_output.pt": lambda name: traced(tiny_net(1), name),
    # Modules that would take their process with them.
    "hangs.pt": lambda name: scripted(Hangs(), name),
    "hungry.pt": lambda name: scripted(Hungry(), name),
    "prints.pt": lambda name: scripted(Prints(), name),
}


def main(argv: list[str] | None = None) -> int:
    return write_all(__doc__, FIXTURES, argv)


if __name__ == "__main__":
    sys.exit(main())
