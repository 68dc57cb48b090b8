"""The servers that are compared: how each is started, and what class of answer it gives."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cpu

ROOT = Path(__file__).resolve().parents[2]
BIN = ROOT / "build/bench-venv/bin"
PEERS = Path(__file__).resolve().parent / "peers"
MODEL = ROOT / "build/models/resnet18-seeded.pt"
INT8_MODEL = ROOT / "build/bench/models/resnet18-seeded-int8.pt"
ONNX = ROOT / "build/bench/resnet18-seeded.onnx"
INT8_ONNX = ROOT / "build/bench/resnet18-seeded-int8.xml"


@dataclass(frozen=True)
class Server:
    """`command` is given the port; `model` is the file without which the server is left out."""

    name: str
    title: str
    precision: str  # fp32, bf16, int8
    decode: str  # exact, scaled
    path: str  # of POST
    model: Path
    command: Callable[[int], list]
    ours: bool = False

    def environment(self) -> dict[str, str]:
        return os.environ | {
            "BENCH_MODEL": str(self.model),
            "BENCH_LABELS": str(MODEL),
            "BENCH_PRECISION": self.precision,
            "BENCH_DECODE": self.decode,
            "PYTHONPATH": str(PEERS.parent),
        }


def vidi(name: str, precision: str, decode: str = "exact", model: Path = MODEL) -> Server:
    def command(port: int) -> list:
        choices = ["--precision", precision, "--decode", "fast" if decode == "scaled" else "exact", "--log-level", "warn"]
        return [ROOT / "bin/vidi", "serve", "--addr", f"127.0.0.1:{port}", "--admin-addr", "", "--model", model, *choices]

    title = f"vidi {precision}" + (", fast decode" if decode == "scaled" else "")
    return Server(name, title, precision, decode, "/predict", model, command, ours=True)


def flask() -> Server:
    def command(port: int) -> list:
        # gunicorn's usual workers, which close each connection: of those that keep them, one takes all and the other core idles.
        # Without a time-out: gunicorn would kill workers that stood still while another server was measured.
        options = ["--workers", "2", "--threads", "1", "--timeout", "0", "--no-control-socket"]
        return [BIN / "gunicorn", *options, "--bind", f"127.0.0.1:{port}", "peers.flask_server:app"]

    return Server("flask", "Flask + torchvision, gunicorn 2 × 1", "fp32", "exact", "/predict", MODEL, command)


def uvicorn(name: str, title: str, module: str, precision: str, model: Path, decode: str = "exact") -> Server:
    def command(port: int) -> list:
        options = ["--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning"]
        return [BIN / "uvicorn", "--port", str(port), *options, f"peers.{module}:app"]

    return Server(name, title, precision, decode, "/predict", model, command)


def mosec(name: str, title: str, precision: str, decode: str = "exact") -> Server:
    def command(port: int) -> list:
        return [BIN / "python", "-m", "peers.mosec_server", "--port", str(port), "--timeout", "30000"]

    return Server(name, title, precision, decode, "/inference", ONNX, command)


FLASK = "flask"


def servers(half: str) -> dict[str, Server]:
    """The servers by name; `half` is the precision of those that are meant to be fast: bf16, or fp32 where a CPU has no instructions for
    bf16 (vidi would emulate them, eight times as slow as fp32, and OpenVINO ignores the hint). Some are then one and the same."""
    every = (
        vidi("vidi-fp32", "fp32"),
        vidi(f"vidi-{half}", half),
        vidi(f"vidi-{half}-fast", half, "scaled"),
        vidi("vidi-int8", "int8", model=INT8_MODEL),
        flask(),
        uvicorn("ort-fp32", "uvicorn + ONNX Runtime fp32", "onnxruntime_server", "fp32", ONNX),
        uvicorn("openvino-fp32", "uvicorn + OpenVINO fp32", "openvino_server", "fp32", ONNX),
        uvicorn(f"openvino-{half}", f"uvicorn + OpenVINO {half}", "openvino_server", half, ONNX),
        uvicorn("openvino-int8", "uvicorn + OpenVINO int8", "openvino_server", "int8", INT8_ONNX),
        uvicorn(f"openvino-{half}-scaled", f"uvicorn + OpenVINO {half}, scaled decode", "openvino_server", half, ONNX, "scaled"),
        mosec(f"mosec-{half}", f"mosec + OpenVINO {half}", half),
        mosec(f"mosec-{half}-scaled", f"mosec + OpenVINO {half}, scaled decode", half, "scaled"),
    )
    return {server.name: server for server in every}


SERVERS = servers("bf16" if cpu.native_bf16() else "fp32")
