"""Writes small TorchScript classifiers for the tests of how their pickles are read.

    python tools/export/pickled.py --out DIR

Those whose names begin with real- are as torch.jit.save writes them, with values of every kind.
Those that begin with lies- are changed afterwards: a pickle says what the archive or its code does
not have, and libtorch would believe most of it.
"""

import enum
import io
import struct
import sys
import zipfile
from collections.abc import Callable
from typing import Any, Dict, List, NamedTuple, Optional, Tuple, Union

import torch
from torch import nn

from written import write_all


class Colour(enum.Enum):
    RED = 1
    BLUE = 2


class Pair(NamedTuple):
    tensor: torch.Tensor
    number: int


@torch.jit.interface
class Step(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        pass


class AddOne(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + 1


@torch.jit.script
class Plain:
    def __init__(self, number: int):
        self.number = number
        self.numbers = [1, 2]

    def add(self, x: torch.Tensor):
        return x + self.number


class WithState(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.ones(5)

    @torch.jit.export
    def __getstate__(self) -> Tuple[torch.Tensor, bool]:
        return (self.weight, self.training)

    @torch.jit.export
    def __setstate__(this, state: Tuple[torch.Tensor, bool]):  # noqa: N805, another name than self
        this.weight = state[0]
        this.training = state[1]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.weight


DTYPES = ("float16", "bfloat16", "float64", "complex64", "complex128", "bool")
DTYPES += ("uint8", "int8", "int16", "int32", "int64")


class Values(nn.Module):
    """A classifier with a value of every kind that TorchScript can save."""

    step: Step
    nested: Dict[str, List[torch.Tensor]]
    nothing: Optional[torch.Tensor]
    some: List[Optional[torch.Tensor]]
    either: Union[int, str]
    empty: List[int]
    pair: Pair
    texts: List[str]
    floats: List[float]
    flags: List[bool]
    tensors: List[torch.Tensor]
    by_number: Dict[int, Tuple[int, str]]
    no_values: Tuple[()]
    mixed: Tuple[int, float, bool, str, Optional[int]]
    device: torch.device
    lists: List[List[int]]

    def __init__(self):
        super().__init__()
        torch.manual_seed(1)
        row = torch.arange(24.0)
        self.transposed = nn.Parameter(torch.rand(3, 5).t())
        self.shared = nn.Parameter(torch.rand(4, 4))
        self.shared_too = self.shared
        buffers = {"view": row[4:10].view(2, 3), "every_second": row[::2], "behind": row[24:]}
        buffers |= {"expanded": torch.ones(1).expand(5, 3), "no_numbers": torch.zeros(0, 5)}
        conjugate = torch.ones(3, dtype=torch.complex64).conj()
        buffers |= {"one_number": torch.tensor(3), "conjugate": conjugate}
        buffers |= {"of_" + name: torch.ones(3, 2).to(getattr(torch, name)) for name in DTYPES}
        buffers["quantised"] = torch.quantize_per_tensor(torch.rand(3, 3), 0.1, 5, torch.quint8)
        scales, zeros = torch.tensor([0.1, 0.2, 0.3], dtype=torch.float64), torch.tensor([0, 0, 0])
        by_channel = torch.quantize_per_channel(torch.rand(3, 4), scales, zeros, 0, torch.qint8)
        buffers["by_channel"] = by_channel
        for name, buffer in buffers.items():
            self.register_buffer(name, buffer)
        self.nested, self.nothing = {"a": [torch.ones(2)], "b": []}, None
        self.some = [None, torch.ones(1)]
        self.either, self.empty, self.pair, self.texts = 3, [], Pair(torch.ones(1), 2), ["ä", ""]
        self.floats, self.flags, self.tensors = [1.0], [True], [torch.ones(1)]
        self.by_number, self.no_values, self.mixed = {1: (2, "x")}, (), (1, 2.0, True, "s", None)
        self.device, self.lists, self.plain = torch.device("cpu"), [[1], [2, 3]], Plain(4)
        self.complex, self.large, self.negative, self.dtype = 1 + 2j, 2**40, -3, torch.float16
        self.colour, self.step = Colour.RED, AddOne()
        self.layers = nn.ModuleList([nn.Linear(3, 3), nn.ReLU()])
        self.named = nn.ModuleDict({"x": nn.ReLU()})
        self.convolution = nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.convolution(x).mean([2, 3])
        for layer in self.layers:
            y = layer(y)
        for layer in self.named.values():
            y = layer(y)
        y = self.plain.add(self.step.forward(y @ self.transposed.t()))
        z = self.view.sum() + self.every_second.sum() + self.expanded.sum() + self.behind.sum()
        z = z + self.quantised.dequantize().sum() + self.by_channel.dequantize().sum()
        z = z + self.nested["a"][0].sum() + self.pair.tensor + self.pair.number + self.tensors[0]
        z = z + len(self.texts) + len(self.some) + len(self.lists) + self.mixed[0]
        z = z + self.by_number[1][0] + abs(self.complex)
        either = self.either
        if isinstance(either, int):
            z = z + either
        if self.colour == Colour.RED and self.nothing is None and self.large > self.negative:
            z = z + torch.zeros([1], device=self.device) + self.floats[0] + int(self.flags[0])
        return y + z * 1e-3


class Packed(nn.Module):
    """Layers that set their state themselves; the weights are objects of libtorch's own classes."""

    def __init__(self):
        super().__init__()
        self.quantise = torch.ao.quantization.QuantStub()
        self.dequantise = torch.ao.quantization.DeQuantStub()
        self.convolution, self.more = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 1, bias=False)
        self.fc, self.state = nn.Linear(4, 5), WithState()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.more(self.convolution(self.quantise(x)))
        return self.state(self.dequantise(self.fc(x.mean([2, 3]))))


class Small(nn.Module):
    """What is changed. Its values that are wrong are read when it is called."""

    numbers: List[int]
    sides: Tuple[int, int, int]

    def __init__(self):
        super().__init__()
        torch.manual_seed(1)
        self.fc = nn.Linear(3, 5)
        self.one, self.other = One(), Other()
        self.numbers, self.sides, self.scale = [1, 2, 3], (7, 8, 9), 1.0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        a, b, c = self.sides
        y = self.fc(x.mean([2, 3])) * self.scale + self.one(x) + self.other(x)
        y = y + a + b + c + self.numbers[2]
        return y


class One(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = torch.ones(1), torch.ones(1), torch.ones(1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.a + self.b + self.c


class Other(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.sum()


class Raises(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = x.mean([2, 3])
        if bool(y.sum() > -1e9):
            raise ValueError("for the text of an error")
        return y


def saved(module: torch.jit.ScriptModule) -> bytes:
    buffer = io.BytesIO()
    torch.jit.save(module, buffer)
    return buffer.getvalue()


def values(_: str) -> bytes:
    return saved(torch.jit.script(Values().eval()))


def packed(_: str) -> bytes:
    torch.backends.quantized.engine = "qnnpack"
    net = Packed().eval()
    net.qconfig = torch.ao.quantization.get_default_qconfig("qnnpack")
    torch.ao.quantization.prepare(net, inplace=True)
    net(torch.rand(2, 3, 8, 8))
    torch.ao.quantization.convert(net, inplace=True)
    return saved(torch.jit.script(net))


def frozen(_: str) -> bytes:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5))
    return saved(torch.jit.freeze(torch.jit.script(net.eval())))


Change = Callable[[bytes], bytes]
Make = Callable[[str], bytes]


def changed(record: str, change: Change, module: type[nn.Module] = Small) -> Make:
    """A file whose record has been changed. The archive is otherwise what torch wrote."""

    def make(_: str) -> bytes:
        buffer, found = io.BytesIO(), 0
        whole = io.BytesIO(saved(torch.jit.script(module().eval())))
        with zipfile.ZipFile(whole) as old, zipfile.ZipFile(buffer, "w") as new:
            for info in old.infolist():
                content = old.read(info)
                if info.filename.endswith("/" + record):
                    found, content = found + 1, change(content)
                new.writestr(info.filename, content)
        if found != 1:
            raise ValueError(f"{found} records {record}")
        return buffer.getvalue()

    return make


def replaced(old: bytes, by: bytes) -> Change:
    def change(content: bytes) -> bytes:
        if content.count(old) < 1:
            raise ValueError(f"{old!r} is not in the record")
        return content.replace(old, by, 1)

    return change


def number(n: int) -> bytes:
    return b"\x8a\x08" + struct.pack("<q", n)


SHAPE = b"(K\x05K\x03t(K\x03K\x01t"  # of fc.weight: sizes, strides
SIDES = b"K\x07K\x08K\x09\x87"

# What is changed in data.pkl.
LIES = {
    "storage-number": (b"K\x0ftQ", number(1 << 40) + b"tQ"),
    "storage-negative": (b"K\x0ftQ", number(-1) + b"tQ"),
    "storage-missing": (b"X\x01\x00\x00\x000q\x0d", b"X\x01\x00\x00\x009q\x0d"),
    "storage-of-bytes": (b"FloatStorage", b"DoubleStorage"),
    "offset": (b"K\x00" + SHAPE, number(1 << 33) + SHAPE),
    "offset-negative": (b"K\x00" + SHAPE, number(-(1 << 33)) + SHAPE),
    "sizes": (SHAPE, b"(K\x05M\x00\xfft(K\x03K\x01t"),
    "sizes-too-large": (SHAPE, b"(" + number(1 << 33) + number(1 << 33) + b"t(K\x00K\x00t"),
    "sizes-negative": (SHAPE, b"(" + number(-5) + b"K\x03t(K\x03K\x01t"),
    "strides": (SHAPE, b"(K\x05K\x03t(" + number(1 << 33) + b"K\x01t"),
    "strides-too-large": (SHAPE, b"(K\x05K\x03t(" + number(1 << 62) + b"K\x01t"),
    "strides-negative": (SHAPE, b"(K\x05K\x03t(" + number(-(1 << 33)) + b"K\x01t"),
    "strides-few": (SHAPE, b"(K\x05K\x03t(K\x03t"),
    "device": (b"X\x03\x00\x00\x00cpu", b"X\x04\x00\x00\x00meta"),
    "function": (b"ccollections\nOrderedDict\n", b"cos\nsystem\n"),
    "sparse": (b"ctorch._utils\n_rebuild_tensor_v2\n", b"ctorch._utils\n_rebuild_sparse_tensor\n"),
    "class": (b"c__torch__\nOne\n", b"c__torch__\nOther\n"),
    "no-class": (b"c__torch__\nOne\n", b"c__torch__.elsewhere\nOne\n"),
    "attribute-missing": (b"X\x01\x00\x00\x00cq!", b"X\x01\x00\x00\x00dq!"),
    "int-for-tensor": (b"q$ub", b"q$h!K\x01ub"),
    "text-for-float": (b"G" + struct.pack(">d", 1), b"h\x05"),
    "float-for-object": (b"q(ub", b"q(h&G" + struct.pack(">d", 1) + b"ub"),
    "tuple-short": (SIDES, b"K\x07K\x08\x86"),
    "tuple-long": (SIDES, b"(K\x07K\x08K\x09K\x0at"),
    "tuple-deep": (SIDES, SIDES + b"\x85" * 1_000_000),
    "list": (b"(K\x01K\x02K\x03e", b"(K\x01K\x02Ne"),
    "list-of-others": (b"build_intlist", b"build_doublelist"),
    "list-in-itself": (b"](K\x01K\x02K\x03e", b"]r\x05\x00\x00\x00(K\x01K\x02j\x05\x00\x00\x00e"),
    "place": (b"q\x00", b"r\xff\xff\xff\x7f"),
    "instruction": (SIDES, SIDES + b"2"),
    "half-an-item": (b"q(ub", b"q(h&ub"),
    "behind-its-end": (b"q).", b"q).."),
}


# A place in the list of the source's texts, far behind its end.
SOURCE = replaced(b"(](K\x01", b"(](J\xff\xff\xff\x7f")

FILES: dict[str, Make] = {
    "real-values.pt": values,
    "real-packed.pt": packed,
    "real-frozen.pt": frozen,
    "real-small.pt": lambda _: saved(torch.jit.script(Small().eval())),
    "lies-storage-short.pt": changed("data/0", lambda content: content[:4]),
    "lies-source.pt": changed("__torch__.py.debug_pkl", SOURCE, Raises),
    **{f"lies-{name}.pt": changed("data.pkl", replaced(*lie)) for name, lie in LIES.items()},
}


def main(argv: list[str] | None = None) -> int:
    return write_all(__doc__, FILES, argv)


if __name__ == "__main__":
    sys.exit(main())
