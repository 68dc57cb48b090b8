"""From a JPEG's bytes to the network's input, on one core: vidi's way (a Go benchmark) and Python's, in turns."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

from servers import BIN, ROOT

WORKER = Path(__file__).resolve().parent / "tensor_worker.py"
PACKAGE = "service/preprocess"
# Named as in the reports; the files' names are those that Go's benchmark shows.
PICTURES = {"small": "small-4.jpg", "1920×1440": "middle-0.jpg", "12 MP": "12mp-0.jpg"}


def build(out: Path) -> Path:
    go = subprocess.run([ROOT / "third_party/find-go.sh"], check=True, capture_output=True, text=True).stdout.strip()
    binary = out / "preprocess.test"
    subprocess.run([go, "test", "-c", "-o", binary, f"./{PACKAGE}"], cwd=ROOT, check=True)
    return binary


def measure(rounds: int, seconds: float, pictures: Path, out: Path) -> dict[str, list[float]]:
    """Milliseconds by "vidi exact/12 MP", one per round."""
    binary = build(out)
    files = {name: pictures / file for name, file in PICTURES.items()}
    found: dict[str, list[float]] = {}
    for n in range(rounds):
        print(f"tensors, round {n + 1} of {rounds}", file=sys.stderr, flush=True)
        sides = [ours, theirs]
        for side in sides if n % 2 == 0 else reversed(sides):
            for name, milliseconds in side(binary, files, seconds).items():
                found.setdefault(name, []).append(milliseconds)
    return found


def ours(binary: Path, files: dict[str, Path], seconds: float) -> dict[str, float]:
    names = {path.stem: name for name, path in files.items()}
    options = ["-test.run", "^$", "-test.bench", "BenchmarkToTensor", "-test.benchtime", f"{seconds}s", "-test.cpu", "1"]
    output = one_core([binary, *options], cwd=ROOT / PACKAGE, VIDI_BENCH_PICTURES=os.pathsep.join(str(path) for path in files.values()))
    lines = re.findall(r"^BenchmarkToTensor/(\S+)/(exact|fast)\s.*?([\d.]+) median-ms", output, re.M)
    return {f"vidi {way}/{names[stem]}": float(value) for stem, way, value in lines}


def theirs(_: Path, files: dict[str, Path], seconds: float) -> dict[str, float]:
    names = {str(path): name for name, path in files.items()}
    lines = one_core([BIN / "python", WORKER, seconds, *files.values()]).splitlines()
    return {f"python {row['way']}/{names[row['file']]}": row["median_ms"] for row in map(json.loads, lines)}


def one_core(command: list, cwd: Path = ROOT, **environment: str) -> str:
    """Binds the process to one core: neither a runtime's own threads nor a garbage collector may help out from another."""
    core = min(os.sched_getaffinity(0))
    words = ["taskset", "--cpu-list", str(core), *(str(word) for word in command)]
    return subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True, cwd=cwd, env=os.environ | environment).stdout
