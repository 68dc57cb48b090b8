"""Measures one picture's way through vidi and through the Python reference, in turns, and writes docs/measurements.md.

    make measure

Three JPEGs are made from a sample photograph: 376×263, 1920×1440 and 4032×3024. In each round the server answers every picture
ten times on one connection, then the reference does the same; the medians over all rounds are compared. Start-up and memory are
those of three fresh servers. Every figure is from this one run on this machine: the ratios travel better than the milliseconds.
"""

import argparse
import http.client
import json
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
SIZES = ((376, 263), (1920, 1440), (4032, 3024))
STAGES = ("decode", "resize", "inference")
REPEATS = 10
ONE_THREAD = ("--workers", "1", "--threads", "1", "--threads-alone", "1")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=ROOT / "build/models/resnet18-seeded.pt", metavar="FILE.pt")
    parser.add_argument("--rounds", type=int, default=5, metavar="N")
    parser.add_argument("--out", type=Path, default=ROOT / "docs/measurements.md", metavar="FILE")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        pictures = make_pictures(Path(folder))
        starts = [start_up(args.model) for _ in range(3)]
        ours = {size: {stage: [] for stage in STAGES} for size in SIZES}
        theirs = {size: {stage: [] for stage in STAGES} for size in SIZES}
        with Server(args.model) as server:
            for n in range(args.rounds):
                print(f"round {n + 1} of {args.rounds}", file=sys.stderr, flush=True)
                for size, path in pictures.items():
                    for _ in range(REPEATS):
                        timing = server.classify(path.read_bytes())
                        for stage, name in zip(STAGES, ("decode", "preprocess", "inference")):
                            ours[size][stage].append(timing[name])
                for size, path in pictures.items():
                    for stage, value in reference(args.model, path).items():
                        theirs[size][stage].append(value)
            after = server.resident()
    args.out.write_text(report(args, starts, ours, theirs, after), encoding="utf-8")
    print(args.out.read_text(encoding="utf-8"))
    return 0


def make_pictures(folder: Path) -> dict[tuple[int, int], Path]:
    photo = Image.open(ROOT / "examples/motorcycle.png").convert("RGB")
    pictures = {}
    for size in SIZES:
        path = folder / f"{size[0]}x{size[1]}.jpg"
        photo.resize(size, Image.Resampling.LANCZOS).save(path, quality=90)
        pictures[size] = path
    return pictures


class Server:
    """`vidi serve` with one worker of one thread, so that a stage's time is one core's."""

    def __init__(self, model: Path):
        self.begun = time.monotonic()
        self.process = subprocess.Popen(
            [ROOT / "bin/vidi", "serve", "--addr", "127.0.0.1:0", "--admin-addr", "", "--model", model, "--log-format", "json", *ONE_THREAD],
            stderr=subprocess.PIPE,
            text=True,
        )
        for line in self.process.stderr:
            if json.loads(line)["msg"] == "ready":
                self.address = re.search(r"//(.*)", json.loads(line)["url"]).group(1)
                break
        self.seconds = time.monotonic() - self.begun
        self.connection = http.client.HTTPConnection(self.address)

    def classify(self, data: bytes) -> dict[str, float]:
        self.connection.request("POST", "/predict", body=data, headers={"Content-Type": "image/jpeg"})
        answer = json.loads(self.connection.getresponse().read())
        self.process.stderr.readline()  # its log line, so that the pipe never fills
        return answer["results"][0]["timing_ms"]

    def resident(self) -> float:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status).group(1)) / 1024

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.stderr.read()
        self.process.wait()


def start_up(model: Path) -> tuple[float, float]:
    """Seconds from the command to ready, and megabytes resident then."""
    with Server(model) as server:
        return server.seconds, server.resident()


def reference(model: Path, picture: Path) -> dict[str, float]:
    command = [sys.executable, ROOT / "tools/reference/reference.py", "--model", model, "--bench", str(REPEATS), "--threads", "1", picture]
    timing = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)["pictures"][0]["median_ms"]
    return {"decode": timing["decode"], "resize": timing["resize"] + timing["normalize"], "inference": timing["inference"]}


def report(args, starts, ours, theirs, after) -> str:
    cpu = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    versions = subprocess.run([ROOT / "bin/vidi", "version", "--verbose"], check=True, capture_output=True, text=True).stdout.strip()
    lines = [
        "# Measurements",
        "",
        "Made by `make measure` (tools/measure.py says how). One thread each, fp32, exact decode; medians of one interleaved run.",
        "",
        f"- Machine: {cpu.group(1) if cpu else platform.machine()}",
        *(f"- {line}" for line in versions.splitlines()),
        f"- Model: {args.model.stem}; reference: the same file in Debian's torch with Pillow and torchvision",
        "",
        "| JPEG | stage | vidi, ms | Python reference, ms | times as fast |",
        "|---|---|--:|--:|--:|",
    ]
    for size in SIZES:
        totals = [0.0, 0.0]
        for stage in STAGES:
            mine, other = statistics.median(ours[size][stage]), statistics.median(theirs[size][stage])
            totals = [totals[0] + mine, totals[1] + other]
            name = {"resize": "resize, crop, normalise"}.get(stage, stage)
            lines.append(f"| {size[0]}×{size[1]} | {name} | {mine:.2f} | {other:.2f} | {other / mine:.1f} |")
        lines.append(f"| | **all** | **{totals[0]:.2f}** | **{totals[1]:.2f}** | **{totals[1] / totals[0]:.1f}** |")
    seconds = sorted(s for s, _ in starts)
    megabytes = sorted(m for _, m in starts)
    lines += [
        "",
        "The normalisation of vidi is part of its inference time; the reference's stands with its resize.",
        "",
        f"- From `vidi serve` to ready, one worker and no second module: {seconds[1]:.2f} s (median of {len(starts)} starts, files in the page cache).",
        f"- Resident memory when ready: {megabytes[1]:.0f} MB; after the {len(SIZES) * REPEATS * args.rounds} pictures of this run: {after:.0f} MB.",
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
