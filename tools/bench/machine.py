"""What the run was made on and with."""

import importlib.metadata
import os
import platform
import re
import subprocess
from pathlib import Path

import cpu
from servers import BIN, ROOT

# The instructions that decide how fast a network runs, as Linux names them.
FLAGS = {
    "avx2": "AVX2",
    "avx512f": "AVX-512",
    "avx512_vnni": "AVX-512 VNNI",
    "avx_vnni": "AVX VNNI",
    "avx512_bf16": "AVX-512 BF16",
    "amx_tile": "AMX",
    "amx_bf16": "AMX bf16",
    "amx_int8": "AMX int8",
}
PACKAGES = ("gunicorn", "flask", "uvicorn", "onnxruntime", "openvino", "nncf", "mosec")


def describe() -> dict:
    cpuinfo = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    flags = cpu.flags()
    name = re.search(r"^model name\s*: (.*)$", cpuinfo, re.M)
    memory = re.search(r"MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text(encoding="utf-8"))
    return {
        "cpu": name.group(1) if name else platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(int(memory.group(1)) / 2**20) if memory else None,
        "flags": [title for flag, title in FLAGS.items() if flag in flags],
        "amx": "amx_bf16" in flags,
        "bf16": cpu.native_bf16(),
        "kernel": platform.release(),
        "load_before": os.getloadavg()[0],
    }


def versions() -> list[str]:
    vidi = output(ROOT / "bin/vidi", "version", "--verbose").splitlines()
    peers = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in PACKAGES)
    script = "import torch, torchvision, PIL, numpy; print('torch', torch.__version__, 'torchvision', torchvision.__version__,"
    script += " 'Pillow', PIL.__version__, 'NumPy', numpy.__version__)"
    system = re.sub(r" (?=torchvision|Pillow|NumPy)", ", ", output(BIN / "python", "-c", script))
    wrk = output("wrk", "-v").splitlines()[0].split(" [")[0]
    shared = f"From the system, for the peers: Python {platform.python_version()}, {system}"
    return [*vidi, f"Peers: {peers}", shared, f"Load generator: {wrk}"]


def output(*command) -> str:
    # wrk prints its version and fails.
    return subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False).stdout.strip()
