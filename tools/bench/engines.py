"""The engines alone: one picture at a time through the same network, each engine in a process of its own, in turns."""

import json
import os
import subprocess
import sys
from pathlib import Path

import cpu
from servers import BIN, INT8_MODEL, INT8_ONNX, MODEL, ONNX, ROOT

WORKER = Path(__file__).resolve().parent / "engine_worker.py"
THREADS = (1, 2)


def commands(seconds: float) -> dict[str, list[str]]:
    """Each engine's command by "engine precision/threads", but those whose model is missing, or that the CPU has no instructions for."""
    found = {}
    precisions = {"fp32", "int8"} | ({"bf16"} if cpu.native_bf16() else set())
    for threads in THREADS:
        for precision, model in (("fp32", MODEL), ("bf16", MODEL), ("int8", INT8_MODEL)):
            if model.exists() and precision in precisions:
                ours = [ROOT / "bin/vidi", "bench", "--model", model, "--precision", precision, "--threads", threads]
                ours += ["--batch", 1, "--workers", 1, "--rounds", 1, "--slice", f"{seconds}s", "--format", "json"]
                found[f"vidi {precision}/{threads}"] = [str(word) for word in ours]
        for engine, precision, model in (
            ("ort", "fp32", ONNX),
            ("openvino", "fp32", ONNX),
            ("openvino", "bf16", ONNX),
            ("openvino", "int8", INT8_ONNX),
        ):
            if precision in precisions:
                worker = [BIN / "python", WORKER, engine, model, precision, threads, seconds]
                found[f"{engine} {precision}/{threads}"] = [str(word) for word in worker]
    return found


def measure(rounds: int, seconds: float) -> dict[str, list[float]]:
    every = commands(seconds)
    found: dict[str, list[float]] = {}
    cores = sorted(os.sched_getaffinity(0))
    for n in range(rounds):
        # A single thread of every engine gets the same core in a round: a virtual machine's neighbours may slow one of them for seconds.
        core = str(cores[n // 2 % len(cores)])
        print(f"engines, round {n + 1} of {rounds}", file=sys.stderr, flush=True)
        names = list(every)
        # Forwards and backwards in turn, so that a machine that grows slower or faster favours nobody.
        for name in names if n % 2 == 0 else reversed(names):
            pinned = ["taskset", "--cpu-list", core] if name.endswith("/1") else []
            if (milliseconds := run(pinned + every[name])) is None:
                # Said once, in the first round: the report has a dash there.
                if n == 0:
                    print(f"  {name}: not measured; `{' '.join(every[name])}` gave no median_ms", file=sys.stderr)
                continue
            found.setdefault(name, []).append(milliseconds)
    return found


def run(command: list[str]) -> float | None:
    try:
        finished = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
        return median_in(json.loads(finished.stdout))
    except (OSError, subprocess.SubprocessError, ValueError):
        return None


def median_in(value) -> float | None:
    """The first "median_ms" at any depth."""
    if isinstance(value, dict):
        if isinstance(value.get("median_ms"), int | float):
            return float(value["median_ms"])
        value = list(value.values())
    if isinstance(value, list):
        return next((found for one in value if (found := median_in(one)) is not None), None)
    return None
