"""Exports every model that can be exported, holds each against the Python reference, measures it, and writes docs/model-zoo.md.

    make zoo

Models whose official weights cannot be fetched are measured with seeded random ones: speed, memory and size are those of the
architecture. In each round every model is measured in turn, in random order; the medians of the rounds are reported, so that a
slow minute hits all of them. VIDI_SHARED names the folder with photographs, which the comparison with Python needs.
"""

import argparse
import json
import os
import random
import re
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tools/export"))

import architectures
import export
import models
from measure import Server

FOLDER = ROOT / "build/zoo"
COMPARED = FOLDER / "parity.json"
VIDI = ROOT / "bin/vidi"
UNREACHABLE = 69
PICTURES_BEFORE_MEMORY = 20


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, metavar="N")
    parser.add_argument("--measure", action="store_true", help="measure again; what the comparison with Python found stays as it was")
    parser.add_argument("--out", type=Path, default=ROOT / "docs/model-zoo.md", metavar="FILE")
    args = parser.parse_args()
    load = os.getloadavg()[0]
    names = export_all()
    parity = json.loads(COMPARED.read_text()) if args.measure else compare_with_python()
    rows = {name: {"name": name, "published": published(name), **file_facts(name)} for name in names}
    for name, row in rows.items():
        row["memory"] = memory(name)
        row["right"] = right_on_samples(name)
    measurements: dict[str, list[dict]] = {name: [] for name in names}
    for n in range(args.rounds):
        for name in random.sample(names, len(names)):
            print(f"round {n + 1} of {args.rounds}: {name}", file=sys.stderr, flush=True)
            measurements[name].append(bench(name))
    for name, found in measurements.items():
        rows[name] |= {key: statistics.median(one[key] for one in found) for key in found[0]}
    args.out.write_text(report(list(rows.values()), parity, args.rounds, load), encoding="utf-8")
    print(args.out.read_text(encoding="utf-8"))
    return 0


def export_all() -> list[str]:
    """Exports into FOLDER; returns, by architecture, the model that is measured: the official one where it can be had."""
    names, reachable = [], True
    for row in architectures.ARCHITECTURES:
        check(export.main([f"{row.name}-seeded", "--out", str(FOLDER)]))
        code = export.main([row.name, "--out", str(FOLDER)]) if reachable else UNREACHABLE
        reachable = code != UNREACHABLE
        if reachable:
            check(code)
        names.append(row.name if reachable else f"{row.name}-seeded")
    check(export.main([models.LITE0.name, "--out", str(FOLDER)]))
    return [*names, models.LITE0.name]


def check(code: int) -> None:
    if code:
        raise SystemExit(code)


def path_of(name: str) -> Path:
    return FOLDER / models.RECIPES[name].file


def compare_with_python() -> dict[str, dict]:
    """Runs the Go test that compares, and returns what it found by model. It fails where a bound is broken."""
    go = subprocess.run([ROOT / "third_party/find-go.sh"], check=True, capture_output=True, text=True).stdout.strip()
    COMPARED.unlink(missing_ok=True)
    command = [go, "test", "-count=1", "-timeout=60m", "-v", "-run", "TestParityOfZoo", "./service/e2e"]
    subprocess.run(command, cwd=ROOT, env={**os.environ, "VIDI_ZOO_FILE": str(COMPARED)}, check=True)
    if not COMPARED.exists():
        raise SystemExit("zoo: the comparison with Python did not run; VIDI_SHARED must name the folder with photos/")
    return json.loads(COMPARED.read_text())


def published(name: str) -> float | None:
    """TorchVision's own figure for the weights IMAGENET1K_V1: per cent of ImageNet's validation set."""
    import torchvision

    for row in architectures.ARCHITECTURES:
        if name.removesuffix("-seeded") == row.name:
            enum = next(e for key, e in vars(torchvision.models).items() if key.lower() == f"{row.function}_weights")
            return enum.IMAGENET1K_V1.meta["_metrics"]["ImageNet-1K"]["acc@1"]
    return None


def file_facts(name: str) -> dict:
    import torch

    module = torch.jit.load(str(path_of(name)))
    parameters = sum(tensor.numel() for tensor in module.parameters()) / 1e6
    return {"megabytes": path_of(name).stat().st_size / 1e6, "parameters": parameters}


def memory(name: str) -> float:
    """Megabytes resident of a server in fp32 that has answered some pictures."""
    picture = (ROOT / "examples/flower.jpg").read_bytes()
    with Server(path_of(name)) as server:
        for _ in range(PICTURES_BEFORE_MEMORY):
            server.classify(picture)
        return server.resident()


def right_on_samples(name: str) -> tuple[int, int] | None:
    """How many of the ImageNet samples in VIDI_SHARED get the right first name; None for random weights."""
    if name.endswith("-seeded"):
        return None
    samples = sorted((Path(os.environ["VIDI_SHARED"]) / "photos/sample").glob("*.JPEG"))
    command = [VIDI, "classify", "--model", path_of(name), "--top-k", "1", "--format", "jsonl", *samples]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    first = [json.loads(line)["predictions"][0]["wnid"] for line in lines]
    return sum(wnid == sample.name.split("_")[0] for wnid, sample in zip(first, samples, strict=True)), len(samples)


def bench(name: str) -> dict:
    """One round of `vidi bench`: milliseconds of one inference, and pictures per second from JPEG to answer."""
    cores = len(os.sched_getaffinity(0))
    command = [VIDI, "bench", ROOT / "examples/flower.jpg", "--model", path_of(name), "--format", "json"]
    command += ["--precision=fp32", f"--threads=1,{cores}", f"--workers={cores}", "--batch=1", "--slice=500ms", "--rounds=1"]
    found = json.loads(subprocess.run([str(word) for word in command], check=True, capture_output=True, text=True).stdout)
    milliseconds = {one["threads"]: one["median_ms"] for one in found["inference"]}
    return {"one": milliseconds[1], "all": milliseconds[cores], "rate": max(one["pictures_per_second"] for one in found["throughput"])}


def report(rows: list[dict], parity: dict[str, dict], rounds: int, load: float) -> str:
    cpu = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    cores = len(os.sched_getaffinity(0))
    lines = [
        "# Which model?",
        "",
        f"Made by `make zoo` (tools/zoo.py says how): medians of {rounds} rounds on {cores} cores of {cpu.group(1) if cpu else 'this machine'}. Other",
        "machines differ; the order hardly does. `bin/vidi bench` measures yours.",
        "",
        *busy(load, cores),
        *advice(rows),
        "",
        "## Size, speed, memory, accuracy",
        "",
        "| model | file, MB | parameters, millions | one core, ms | all cores, ms | pictures/s | server, MB | right on ImageNet |",
        "|---|--:|--:|--:|--:|--:|--:|---|",
    ]
    for row in rows:
        figures = f"{row['megabytes']:.0f} | {row['parameters']:.1f} | {row['one']:.1f} | {row['all']:.1f} | {row['rate']:.0f} | {row['memory']:.0f}"
        lines.append(f"| {row['name']} | {figures} | {accuracy(row)} |")
    lines += [
        "",
        "The milliseconds are those of the network alone, in fp32; pictures per second are from JPEG (640 × 427) to",
        f"answer, with one worker per core; the server's memory is what `vidi serve` holds in fp32 after {PICTURES_BEFORE_MEMORY} pictures. TorchVision's accuracy is of",
        "ImageNet's validation set. A name that ends in `-seeded` stands for the architecture: its official weights could not be fetched",
        "where this was made, and random ones are as large and as fast.",
        "",
        "## The same as Python",
        "",
        "[docs/parity.md](parity.md) explains the levels. The bounds are 0 samples, 1e-4 standard deviations, 0.005 and 0 answers.",
        "",
        "| model | pictures | input samples that differ | logits, standard deviations | probability | first answers changed |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for name, found in parity.items():
        lines.append(f"| {name} | {found['pictures']} | {found['samples']:.0f} | {found['logits']:.1e} | {found['probability']:.1e} | {found['changed']} |")
    return "\n".join([*lines, ""])


def busy(load: float, cores: int) -> list[str]:
    """A warning, where other work ran on the same cores."""
    return [f"**The machine was busy (load {load:.1f} on {cores} cores): these times mean little.**", ""] if load > cores / 2 else []


def accuracy(row: dict) -> str:
    parts = []
    if row["right"]:
        parts.append("{} of {} samples".format(*row["right"]))
    if row["published"]:
        parts.append(f"{row['published']:.1f} %, says TorchVision")
    return "; ".join(parts)


def advice(rows: list[dict]) -> list[str]:
    """What to take for what, with the figures of this run; a claim that they contradict cannot be written."""
    title = lambda row: f"**{row['name'].removesuffix('-seeded')}**"
    known = [row for row in rows if row["published"]]
    fastest, best = min(rows, key=lambda row: row["one"]), max(known, key=lambda row: row["published"])
    usual = next(row for row in rows if row["name"].startswith("resnet18"))
    lite = next(row for row in rows if row["name"] == models.LITE0.name)
    # As good as ResNet-18 at least, and the fastest of those.
    better = min((row for row in known if row["published"] > usual["published"]), key=lambda row: row["one"])
    return [
        "| you want | take | because |",
        "|---|---|---|",
        f"| answers at once, on a weak machine | {title(fastest)} | {fastest['one']:.1f} ms on one core, {usual['one'] / fastest['one']:.1f} times as fast as ResNet-18; {fastest['megabytes']:.0f} MB |",
        f"| a good compromise | {title(better)} | the fastest of those better than ResNet-18: {better['published']:.1f} % for {usual['published']:.1f} %, in {better['one']:.1f} ms for {usual['one']:.1f} |",
        f"| the best answers | {title(best)} | {best['published']:.1f} % right, in {best['one']:.1f} ms; resized with the bicubic filter, as it was trained |",
        f"| the usual start | {title(usual)} | the best known; plain convolutions, which bf16 and int8 speed up most; {usual['one']:.1f} ms |",
        f"| real answers without download.pytorch.org | {title(lite)} | its weights come as a Python package; {lite['megabytes']:.0f} MB, {lite['one']:.1f} ms |",
    ]


if __name__ == "__main__":
    sys.exit(main())
