"""Writes small networks, each of one idiom of PyTorch, that fail for a red picture and answer for a grey one.

    python tools/export/idioms.py --out DIR [--first 0] [--count 300]

Network number N is the same in every run. Its name says what it is made of: the way it was exported (scripted, traced), the
idiom, what fails, and where that stands. The shim must report each failure and go on; see torchbind/idioms_test.go.
"""

import argparse
import importlib.util
import random
import sys
import tempfile
import warnings
from pathlib import Path

import torch

# What the network does between its first convolution and its last layer: lines for __init__, and lines that change y, which has
# 8 channels before and after.
IDIOMS = {
    "plain": ("", "y = F.relu(y)"),
    "batch_norm": ("self.bn = nn.BatchNorm2d(8)", "y = F.relu(self.bn(y))"),
    "residual_in_place": ("self.c = nn.Conv2d(8, 8, 3, padding=1)", "z = self.c(y)\nz += y\ny = F.relu_(z)"),
    "wide": ("self.c = nn.Conv2d(8, 64, 1)\nself.d = nn.Conv2d(64, 8, 1)", "y = self.d(F.hardswish(self.c(y)))"),
    "winograd": (
        "self.c = nn.Conv2d(8, 32, 3, padding=1)\nself.d = nn.Conv2d(32, 32, 3, padding=1)\nself.e = nn.Conv2d(32, 8, 1)",
        "z = F.relu(self.c(y))\ny = self.e(F.relu(self.d(z) + z))",
    ),
    "depthwise": ("self.c = nn.Conv2d(8, 8, 3, padding=1, groups=8)", "y = F.relu6(self.c(y))"),
    "f_max_pool2d": ("", "y = F.max_pool2d(y, 2)"),
    "avg_pool": ("", "y = F.avg_pool2d(y, 2)"),
    "interpolate": ("", "y = F.interpolate(y, scale_factor=2.0, mode='nearest')"),
    "view_and_back": ("", "y = y.contiguous().view(y.size(0), 8, -1).unsqueeze(3)"),
    "view": ("self.l = nn.Linear(2048, 8)", "y = self.l(y.view(y.size(0), -1)).reshape(1, 8, 1, 1)"),
    "reshape_tokens": ("self.l = nn.Linear(8, 8)", "y = self.l(y.flatten(2).transpose(1, 2)).transpose(1, 2).unsqueeze(3)"),
    "layer_norm_no_weight": ("", "y = F.layer_norm(y, [y.size(2), y.size(3)])"),
    "layer_norm": ("self.n = nn.LayerNorm(8)", "y = self.n(y.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)"),
    "group_norm": ("self.n = nn.GroupNorm(2, 8)", "y = F.gelu(self.n(y))"),
    "attention": (
        "self.q = nn.Linear(8, 24)",
        "t = y.flatten(2).transpose(1, 2)\nq, k, v = self.q(t).chunk(3, -1)\n"
        "a = torch.softmax(torch.matmul(q, k.transpose(1, 2)) * 0.35, -1)\ny = torch.matmul(a, v).transpose(1, 2).unsqueeze(3)",
    ),
    "squeeze_excite": (
        "self.c = nn.Conv2d(8, 2, 1)\nself.d = nn.Conv2d(2, 8, 1)",
        "y = y * torch.sigmoid(self.d(F.relu(self.c(F.adaptive_avg_pool2d(y, 1)))))",
    ),
    "shuffle": ("", "y = y.reshape(1, 2, 4, y.size(2), y.size(3)).transpose(1, 2).reshape(1, 8, y.size(2), y.size(3))"),
    "split_cat": ("", "a, b = torch.split(y, 4, 1)\ny = torch.cat([b, a * 2], 1)"),
    "einsum": ("self.w = nn.Parameter(torch.randn(8, 8))", "y = torch.einsum('bchw,cd->bdhw', y, self.w)"),
    "module_list": (
        "self.m = nn.ModuleList([nn.Conv2d(8, 8, 1), nn.ReLU(), nn.Conv2d(8, 8, 1)])",
        "for m in self.m:\n    y = m(y)",
    ),
    "dropout": ("self.m = nn.Dropout(0.5)", "y = self.m(y)"),
    "buffer_index": ("self.register_buffer('order', torch.arange(7, -1, -1))", "y = y[:, self.order]"),
    # Scripted only, from here on.
    "if": ("self.flag = True", "if self.flag and y.size(1) == 8:\n    y = y * 2\nelse:\n    y = y - 1"),
    "if_of_data": ("", "if bool(y.mean() > 0):\n    y = y * 2\nelse:\n    y = torch.relu(y)"),
    "while": ("", "i = 0\nwhile i < 3:\n    y = y * 0.5\n    i += 1"),
    "for": ("", "for i in range(y.size(1)):\n    y = y + float(i)"),
    "list": ("", "parts: List[Tensor] = []\nfor i in range(4):\n    parts.append(y[:, i : i + 2] * i)\ny = torch.cat(parts, 1)"),
    "dictionary": ("", "found: Dict[str, Tensor] = {}\nfound['a'] = y\nfound['b'] = y * 2\ny = found['a'] + found['b']"),
    "optional": ("", "z: Optional[Tensor] = None\nif y.dim() == 4:\n    z = y * 2\nif z is not None:\n    y = z"),
    "comprehension": ("", "y = torch.cat([t * 2 for t in y.unbind(1)], 0).reshape(y.size())"),
    "tuple": ("", "pair: Tuple[Tensor, Tensor] = (y, y * 2)\ny = pair[0] + pair[1]"),
    "state": ("self.count = 0", "self.count += 1\ny = y * 1.5"),
    "fork": ("", "task = torch.jit.fork(torch.relu, y)\ny = torch.jit.wait(task) + y"),
}
SCRIPTED_IDIOMS = list(IDIOMS)[list(IDIOMS).index("if") :]

# What fails where the picture is red. n is how many pixels are, as a tensor; picked are their values; four is four numbers.
FAULTS = {
    "memory_repeat": "y = y + torch.repeat_interleave(four[:1], n.reshape(1) * (1 << 40) + 1).sum()",
    "index_select": "y = y + torch.index_select(four, 0, n.reshape(1)).sum()",
    "embedding": "y = y + F.embedding(n.reshape(1), four.reshape(2, 2)).sum()",
    "gather": "y = y + torch.gather(four, 0, n.reshape(1)).sum()",
    "view": "y = y + torch.cat([four, picked]).view(2, 2).sum()",
    "matmul": "y = y + torch.matmul(torch.cat([four, picked]).reshape(1, -1), four.reshape(4, 1)).sum()",
    "convolution": "y = y + F.conv2d(torch.cat([four, picked]).reshape(1, -1, 1, 1), four.reshape(1, 4, 1, 1)).sum()",
    "linear": "y = y + F.linear(torch.cat([four, picked]), four.reshape(1, 4)).sum()",
    "one_hot": "y = y + F.one_hot(-n.reshape(1), 3).sum()",
    "cholesky": "y = y + torch.linalg.cholesky((1 - n).float() * torch.eye(2)).sum()",
    "stack": "y = y + torch.stack([four, torch.cat([four, picked])]).sum()",
    "expand": "y = y + torch.cat([four, picked]).expand(4).sum()",
    "integer_division": "y = y + torch.div(n, 1 - n.clamp(0, 1), rounding_mode='floor').sum()",
    "broadcast": "y = y + (torch.cat([four, picked]) * four).sum()",
    "in_place": "z = four * 1\nz += torch.cat([four, picked])\ny = y + z.sum()",
    # Scripted only, from here on.
    "assert": "assert int(n) == 0, 'too red'",
    "raise": "if int(n) > 0:\n    raise RuntimeError('too red')",
    "memory": "y = y + torch.zeros([1 + int(n) * (1 << 36)]).sum()",
    "item": "y = y + torch.cat([four[:1], picked]).item()",
    "list_index": "y = [y, y * 2][int(n)]",
    "dictionary_key": "y = {0: y}[int(n)]",
    "unpack": "a, b, c, d = torch.cat([four, picked]).unbind(0)\ny = y + a + b + c + d",
    "none": "z: Optional[Tensor] = None\nif int(n) == 0:\n    z = y\nassert z is not None\ny = z",
    "floor_division": "y = y + float(7 // (1 - min(int(n), 1)))",
}
SCRIPTED_FAULTS = list(FAULTS)[list(FAULTS).index("assert") :]

# Where the fault stands: what has to be defined for it, and the line in forward.
PLACES = ["forward", "helper", "helper_of_helper", "child", "child_helper", "sequence", "if", "for", "while", "function", "fork"]
TRACED_PLACES = ["forward", "helper", "child", "child_helper", "scripted_child", "scripted_function"]

HEADS = {
    "mean": "y = self.fc(y.mean([2, 3]))",
    "pool": "y = self.fc(torch.flatten(F.adaptive_avg_pool2d(y, 1), 1))",
    "view": "y = F.adaptive_avg_pool2d(y, 1)\ny = self.fc(y.view(y.size(0), -1))",
    "softmax": "y = torch.softmax(self.fc(y.mean([2, 3])), 1)",
}

TEMPLATE = """
from typing import Dict, List, Optional, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def check(x: Tensor, y: Tensor) -> Tensor:
    red = x[:, 0] - x[:, 2] > 1
    n = red.sum()
    picked = x[:, 0].masked_select(red)
    four = y.flatten()[:4]
{fault}
    return y


class Child(nn.Module):
    def forward(self, x: Tensor, y: Tensor) -> Tensor:
{child}

    def helper(self, x: Tensor, y: Tensor) -> Tensor:
{check}
        return y


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.child = {make_child}
        self.fc = nn.Linear(8, 5)
{init}

    def forward(self, x: Tensor) -> Tensor:
        return self._forward_impl(x)

    def _forward_impl(self, x: Tensor) -> Tensor:
        y = self.stem(x)
{place}
{idiom}
{head}
        return y

    def helper(self, x: Tensor, y: Tensor) -> Tensor:
{check}
        return y

    def helper_of_helper(self, x: Tensor, y: Tensor) -> Tensor:
        return self.helper(x, y * 1)
"""


def indented(text: str, by: int) -> str:
    return "\n".join(" " * by + line for line in text.splitlines()) or " " * by + "pass"


def at(place: str, inline: str) -> str:
    """The lines of _forward_impl that lead to the fault."""
    calls = {
        "forward": inline,
        "helper": "y = self.helper(x, y)",
        "helper_of_helper": "y = self.helper_of_helper(x, y)",
        "if": "if y.size(0) == 1:\n    y = self.helper(x, y)",
        "for": "for _ in range(2):\n    y = self.helper(x, y)",
        "while": "i = 0\nwhile i < 2:\n    y = self.helper(x, y)\n    i += 1",
        "fork": "y = torch.jit.wait(torch.jit.fork(self.helper, x, y))",
        "function": "y = check(x, y)",
        "scripted_function": "y = check(x, y)",
        "sequence": "for child in self.child:\n    y = child(x, y)",
    }
    return calls.get(place, "y = self.child(x, y)")


class Network:
    """Network number `number`: its name, its source text, and the module made of it."""

    def __init__(self, number: int) -> None:
        chance = random.Random(number)
        self.number = number
        self.traced = number % 3 == 2
        plain_idioms = [i for i in IDIOMS if i not in SCRIPTED_IDIOMS]
        self.idiom = chance.choice(plain_idioms if self.traced else list(IDIOMS))
        self.place = chance.choice(TRACED_PLACES if self.traced else PLACES)
        scripts = not self.traced or self.place.startswith("scripted")
        self.fault = chance.choice(list(FAULTS) if scripts else [f for f in FAULTS if f not in SCRIPTED_FAULTS])
        self.head = chance.choice(list(HEADS))
        way = "traced" if self.traced else "scripted"
        self.name = f"{number:03d}-{way}-{self.idiom}-{self.fault}-in-{self.place}"

    def source(self) -> str:
        init, idiom = IDIOMS[self.idiom]
        look = "red = x[:, 0] - x[:, 2] > 1\nn = red.sum()\npicked = x[:, 0].masked_select(red)\nfour = y.flatten()[:4]\n"
        fault = look + FAULTS[self.fault]
        in_helper = self.place == "child_helper"
        child = "Child()"
        if self.place == "sequence":
            child = "nn.ModuleList([Child(), Child()])"
        if self.place == "scripted_child":
            child = "torch.jit.script(Child())"
        text = TEMPLATE.format(
            fault=indented(FAULTS[self.fault], 4),
            child=indented("return self.helper(x, y)" if in_helper else fault + "\nreturn y", 8),
            check=indented(fault, 8),
            make_child=child,
            init=indented(init, 8),
            place=indented(at(self.place, fault), 8),
            idiom=indented(idiom, 8),
            head=indented(HEADS[self.head], 8),
        )
        return text + ("\n\ncheck = torch.jit.script(check)\n" if self.place == "scripted_function" else "")

    def module(self, folder: Path) -> torch.jit.ScriptModule:
        path = folder / f"network_{self.number}.py"  # a real file: scripting reads the source from there
        path.write_text(self.source(), encoding="utf-8")
        spec = importlib.util.spec_from_file_location(path.stem, path)
        made = importlib.util.module_from_spec(spec)
        sys.modules[path.stem] = made
        spec.loader.exec_module(made)
        torch.manual_seed(self.number)
        net = made.Net().eval()
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # of tracing: constants are meant
            return torch.jit.trace(net, grey(), check_trace=False) if self.traced else torch.jit.script(net)


def grey() -> torch.Tensor:
    """Not of one brightness: a normalisation would divide by next to nothing."""
    return torch.sin(torch.arange(1024.0)).reshape(1, 1, 32, 32).expand(1, 3, 32, 32).contiguous()


def red() -> torch.Tensor:
    return torch.tensor([2.0, -2.0, -2.0]).reshape(1, 3, 1, 1).expand(1, 3, 32, 32).contiguous()


def verify(network: Network, module: torch.jit.ScriptModule) -> None:
    """It must answer grey and fail at red, or the test that uses it would prove nothing."""
    with torch.no_grad():
        answer = module(grey())
        assert answer.shape == (1, 5) and bool(torch.isfinite(answer).all()), network.name
        try:
            module(red())
        except Exception:  # noqa: BLE001 - each fault has a type of its own
            return
    raise AssertionError(f"{network.name} answers a red picture")


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the files")
    parser.add_argument("--first", type=int, default=0, metavar="N", help="number of the first network")
    parser.add_argument("--count", type=int, default=300, metavar="N", help="how many")
    options = parser.parse_args(argv)
    torch.set_num_threads(1)
    options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        for number in range(options.first, options.first + options.count):
            network = Network(number)
            module = network.module(Path(folder))
            verify(network, module)
            module.save(str(options.out / f"{network.name}.pt"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
