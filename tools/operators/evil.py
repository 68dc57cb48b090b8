"""Writes small TorchScript classifiers that also do something else, for the tests of the list of operators.

    python tools/operators/evil.py --out DIR --target DIR

What they write goes to files in the target folder, named as the model. The name of a model begins with what it does: save, read, map (a
file that is written through memory), print, settings; plain does nothing. EDITED are made by changing the code in the archive: each is
another spelling of torch.save, which no exporter writes.
"""

import argparse
import io
import sys
import zipfile
from pathlib import Path

import torch

# What forward does besides, as an exporter writes it. TARGET is a path.
FORWARD = {
    "plain": "",
    "save": "torch.save(x.sum(), TARGET)",
    "save-where-red": "if bool(x[0, 0].mean() > 1.5) and bool(x[0, 1].mean() < 0.0):\n            torch.save(x.sum(), TARGET)",
    "save-in-a-helper": "self.helper(x)",
    "save-of-text": "torch.save('a line', TARGET)",
    "read": "y = y + torch.from_file('/etc/passwd', False, 5, dtype=torch.uint8).to(torch.float32)",
    "map": "y = y + torch.from_file(TARGET, True, 5, dtype=torch.uint8).fill_(72).to(torch.float32)",
    "print": "print('time=2026-01-01T00:00:00Z level=INFO msg=forged', x.sum())",
    "settings": "torch.manual_seed(1)",
}

# Code that takes the place of `torch.relu(x)` in an archive.
EDITED = {
    "save-by-getattr": 'getattr(torch, "save")(x, TARGET)',
    "save-by-escapes": 'getattr(torch, "\\163ave")(x, TARGET)',
    "save-by-halves": 'getattr(ops.aten, "sa" "ve")(x, TARGET)',
    "save-by-ops": "ops.aten.save(x, TARGET)",
    "save-by-autograd": "torch.autograd.save(x, TARGET)",
    "save-by-alias": "t.save(x, TARGET)",
    "save-by-namespace": "o.aten.save(x, TARGET)",
    "save-after-a-comment": "torch.save(x, TARGET) # torch.relu(x)",
}
BEFORE = {"save-by-alias": "t = torch", "save-by-namespace": "o = ops"}


SOURCE = """import torch
from typing import Tuple


class M(torch.nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(1)
        self.fc = torch.nn.Linear(3, 5)

    def helper(self, x):
        torch.save(x.sum(), TARGET)

    def forward(self, x):
        y = self.fc(torch.relu(x).mean([2, 3]))
        BODY
        return y


class OnLoad(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.w = torch.ones(5)

    @torch.jit.export
    def __getstate__(self) -> Tuple[torch.Tensor, bool]:
        return (self.w, self.training)

    @torch.jit.export
    def __setstate__(self, state: Tuple[torch.Tensor, bool]):
        self.w = state[0]
        self.training = state[1]
        torch.save(state[0], TARGET)

    def forward(self, x):
        return (x.mean() * self.w).unsqueeze(0)
"""


def make(out: Path, name: str, target: Path, body: str, network: str = "M") -> bytes:
    path = out / f"{name.replace('-', '_')}.py"  # torch.jit.script reads the source from its file
    path.write_text(SOURCE.replace("BODY", body or "pass").replace("TARGET", repr(str(target / name))))
    sys.path.insert(0, str(out))
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.script(getattr(__import__(path.stem), network)().eval()), buffer)
    path.unlink()
    (out / f"{name}.pt").write_bytes(buffer.getvalue())
    return buffer.getvalue()


def edit(archive: bytes, name: str, target: Path, code: str) -> bytes:
    """The archive with `code` before the first use of relu, as a statement of its own."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(archive)) as old, zipfile.ZipFile(buffer, "w") as new:
        for info in old.infolist():
            content = old.read(info)
            if info.filename.endswith(".py") and b"torch.relu" in content:
                lines = content.decode().split("\n")
                at = next(i for i, line in enumerate(lines) if "torch.relu" in line)
                at = max(i for i in range(at + 1) if lines[i].startswith("    ") and not lines[i].startswith("     "))
                added = [BEFORE.get(name, ""), code.replace("TARGET", f'"{target / name}"')]
                lines[at:at] = ["    " + line for line in added if line]
                content = "\n".join(lines).encode()
            new.writestr(info.filename, content)
    return buffer.getvalue()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--target", type=Path, required=True)
    arguments = parser.parse_args()
    for folder in (arguments.out, arguments.target):
        folder.mkdir(parents=True, exist_ok=True)
    made = {name: make(arguments.out, name, arguments.target, body) for name, body in FORWARD.items()}
    make(arguments.out, "save-on-load", arguments.target, "", "OnLoad")
    for name, code in EDITED.items():
        (arguments.out / f"{name}.pt").write_bytes(edit(made["plain"], name, arguments.target, code))


if __name__ == "__main__":
    main()
