"""Writes model files that are good classifiers until a certain picture comes, and then cost without end or answer what is no answer.

    python tools/export/hostile_models.py --out DIR

misbehaves.pt looks at the colour of the picture: one without green and blue, and with a red of 8, 16, 24 …, has it do the first, second,
third … of BEHAVIOURS. No trial shows it such a picture. The others cost when they are loaded.
"""

import sys
import tempfile
import types
from collections.abc import Callable
from pathlib import Path

import torch

from written import write_all

# The names and their order are known to service/e2e/misbehaving_test.go.
BEHAVIOURS = {
    # Loops that never end: with tensors, with numbers only, changing a tensor in place, inside a function.
    "loop": "while bool(y.abs().sum() < 1e30):\n    y = y * 1.0",
    "loop_numbers": "i = 0\nwhile i >= 0:\n    i = (i + 1) % 7\ny = y + i",
    "loop_in_place": "while bool(y[0, 0] < 1e30):\n    y.clamp_(-1.0, 1.0)",
    "loop_slow": "z = torch.ones([700, 700])\nfor i in range(1000000):\n    z = (z @ z).clamp(-1.0, 1.0)\ny = y + z[0, 0]",
    # Memory: 1.6 TB in pieces, 8 GB at once, one size after the other, numbers in lists, a text.
    "memory": "l = [y]\nfor i in range(100000):\n    l.append(torch.ones([1, 16000000]))\ny = l[-1][:, :5]",
    "memory_at_once": "y = torch.zeros([1, 2000000000])",
    "memory_small": "l = [y]\nfor i in range(1000000000):\n    l.append(y + 1.0)\ny = l[-1]",
    "memory_in_list": "l = [0]\nfor i in range(40):\n    l = l + l\ny = y + len(l)",
    "memory_in_list_at_once": "l = [0] * 10000000000\ny = y + len(l)",
    "memory_appended": "l = [0]\nfor i in range(10000000000):\n    l.append(i)\ny = y + len(l)",
    "memory_in_text": "t = 'a'\nfor i in range(40):\n    t = t + t\ny = y + len(t)",
    "memory_in_dictionary": "d = {0: 0}\nfor i in range(10000000000):\n    d[i] = i\ny = y + len(d)",
    # Outputs that no classifier gives.
    "more_outputs": "y = torch.cat([y, y], 1)",
    "fewer_outputs": "y = y[:, :3]",
    "no_outputs": "y = y[:, :0]",
    "many_rows": "y = torch.zeros([1, 5]).expand(1000000, 5)",
    "huge_row": "y = torch.zeros([1, 1]).expand(1, 2000000000)",
    "nan": "y = torch.log(-torch.ones_like(y))",
    "infinite": "y = y / torch.zeros_like(y)",
    "int64": "y = y.to(torch.int64)",
    "complex": "y = torch.zeros([1, 5], dtype=torch.complex64)",
    "sparse": "y = torch.sparse_coo_tensor(torch.zeros([2, 1], dtype=torch.int64), torch.ones([1]), [1, 5])",
    "meta": "y = torch.empty([1, 5], device='meta')",
    "strided": "y = torch.as_strided(y, [1, 5], [1, 1], 2000000000)",
    "raises": "text = 'A'\nfor i in range(21):\n    text = text + text\nraise RuntimeError('secret /etc/path ' + text)",
    # A comparison that sorts, and so calls itself on the stack of C.
    "recursion": "o = [Ordered(1), Ordered(2)]\no.sort()\ny = y + o[0].n",
    # Memory that it keeps: nothing that is asked of it afterwards is answered.
    "keeps": "self.kept.append(torch.ones([32, 1000000]))",
    # One operator that takes hours, and no memory. The last: nothing can end it.
    "one_operator": "y = y + y.sum().reshape([1]).expand([100000000000000]).sum()",
}

LOADING = {
    # A thread of its own that it waits for, and one within: as good as calls.
    "joins.pt": "f = torch.jit.fork(inner, y)\ny = f.wait()",
    # Threads of its own, as many as there are pictures.
    "forks.pt": "f = [torch.jit.fork(torch.relu, y)]\nfor i in range(int(x.size(0))):\n    f.append(torch.jit.fork(torch.relu, f[-1].wait()))\ny = f[-1].wait()",
    # Constants that are computed when the file is loaded: 8 GB, which is more than any model may take, and 300 MB, which is not.
    "folds_8gb.pt": "y = y + torch.ones([2000000000])[:5]",
    "folds_300mb.pt": "y = y + torch.ones([75000000])[:5]",
}

# What runs while libtorch reads the file, before anything can be changed in it: for ever, and for some seconds.
SETSTATE = {
    "loops_in_setstate.pt": "i = 0\nwhile i >= 0:\n    i = (i + 1) % 7",
    "slow_in_setstate.pt": "i = 0\nfor j in range(60000000):\n    i = (i + j) % 7",
}

# Uses of a thread within a thread.
INNER = "def inner(y: torch.Tensor) -> torch.Tensor:\n    return torch.jit.fork(torch.relu, y).wait() + 1.0\n\n"


# A class whose objects compare by sorting others.
ORDERED = """@torch.jit.script
class Ordered:
    def __init__(self, n: int):
        self.n = n

    def __lt__(self, other: "Ordered") -> bool:
        both = [Ordered(self.n), Ordered(other.n)]
        both.sort()
        return both[0].n < 2

"""


def indented(code: str, by: int) -> str:
    return "".join(f"{' ' * by}{line}\n" for line in code.splitlines())


PART = """class Part(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.n = 1

    @torch.jit.export
    def __getstate__(self):
        return (self.n, self.training)

    @torch.jit.export
    def __setstate__(self, state: Tuple[int, bool]):
CODE        self.n = state[0]
        self.training = state[1]

    def forward(self, y):
        return y * self.n

"""


def saved(code: str, while_loading: str = "") -> bytes:
    source = "    def forward(self, x):\n        y = self.fc(x.mean([2, 3]))\n" + code + "        return y\n"
    text = "from typing import List, Tuple\n\nimport torch\n\n" + INNER + (ORDERED if "Ordered" in code else "")
    if while_loading:
        text += PART.replace("CODE", indented(while_loading, 8))
    text += "class Net(torch.nn.Module):\n    def __init__(self):\n        super().__init__()\n"
    text += "        torch.manual_seed(1)\n        self.fc = torch.nn.Linear(3, 5)\n"
    if "self.kept" in code:
        text += "        self.kept = torch.jit.Attribute([], List[torch.Tensor])\n"
    text += f"        {'self.part = Part()' if while_loading else 'pass'}\n\n" + source
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.py"
        path.write_text(text)
        # TorchScript reads the source from the file, and finds a class's file by its module.
        net = sys.modules["net"] = types.ModuleType("net")
        net.__file__ = str(path)
        exec(compile(text, str(path), "exec"), net.__dict__)
        model = Path(folder) / "model.pt"
        torch.jit.script(net.Net().eval()).save(str(model))
        return model.read_bytes()


def misbehaves() -> bytes:
    """The mean colour, 0 to 255 again, says what to do."""
    code = "        colour = (x.mean([2, 3])[0] * torch.tensor([0.229, 0.224, 0.225]) + torch.tensor([0.485, 0.456, 0.406])) * 255.0\n"
    code += "        if bool(colour[1] < 1.0) and bool(colour[2] < 1.0):\n            red = int((colour[0] + 0.5).item())\n"
    for number, behaviour in enumerate(BEHAVIOURS.values(), start=1):
        code += f"            if red == {8 * number}:\n" + indented(behaviour, 16)
    return saved(code)


def loading(code: str) -> Callable[[str], bytes]:
    return lambda _: saved(indented(code, 8))


def in_setstate(code: str) -> Callable[[str], bytes]:
    return lambda _: saved("        y = self.part(y)\n", code)


FILES: dict[str, Callable[[str], bytes]] = {
    "misbehaves.pt": lambda _: misbehaves(),
    **{name: loading(code) for name, code in LOADING.items()},
    **{name: in_setstate(code) for name, code in SETSTATE.items()},
}


def main(argv: list[str] | None = None) -> int:
    return write_all(__doc__, FILES, argv)


if __name__ == "__main__":
    sys.exit(main())
