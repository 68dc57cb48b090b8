"""Weights files: where they come from, and the proof that they are the right ones."""

import hashlib
import http.client
import os
import queue
import sys
import threading
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

CONNECT_SECONDS = 5.0
# A transfer may stall for longer than a connection may take: a busy line is not an absent one.
STALL_SECONDS = 30.0
CHUNK = 1 << 20
# What is read of a file whose size is not pinned: ten times the largest model here, and nothing that fills a disk.
MOST_BYTES = 1 << 30


class ExportError(Exception):
    """A failure that is told in one line; `code` is the exit status."""

    def __init__(self, message: str, code: int = 1):
        super().__init__(message)
        self.code = code


class Unreachable(ExportError):
    """The download host cannot be used: status 69 (EX_UNAVAILABLE), so that a caller can take another model instead."""

    def __init__(self, message: str):
        super().__init__(message, 69)


@dataclass(frozen=True)
class Weights:
    """One pinned weights file. The digest is checked before the file is unpickled: unpickling may run code.

    `size` is None where it is not known; it only makes a wrong file be noticed sooner.
    """

    url: str
    file: str
    size: int | None
    sha256: str


def sha256_of(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def check(weights: Weights, path: Path) -> None:
    """Raises unless the file is exactly the pinned one."""
    size = path.stat().st_size
    if weights.size is not None and size != weights.size:
        raise ExportError(f"{path}: wrong size: expected {weights.size} bytes, got {size}")
    digest = sha256_of(path)
    if digest != weights.sha256:
        raise ExportError(f"{path}: wrong checksum: expected sha256 {weights.sha256}, got {digest}")


def cache_folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "vidi" / "weights"


def fetch(weights: Weights, folder: Path | None = None, connect_seconds: float = CONNECT_SECONDS) -> Path:
    """Returns the pinned file from the cache folder, downloading it first where needed."""
    folder = folder or cache_folder()
    target = folder / weights.file
    if target.exists():
        try:
            check(weights, target)
            return target
        except ExportError as error:
            print(f"{error}; downloading it again", file=sys.stderr)
    folder.mkdir(parents=True, exist_ok=True)
    # The process id lets two exporters run at once; the rename makes the last one win with a whole file.
    part = target.with_name(f"{target.name}.{os.getpid()}.part")
    try:
        _download(weights, part, connect_seconds)
        try:
            check(weights, part)
        except ExportError as error:
            raise ExportError(f"{weights.url}: {error}; the partial file is deleted") from None
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
    return target


def _download(weights: Weights, part: Path, connect_seconds: float) -> None:
    try:
        with _open(weights.url, connect_seconds) as response, part.open("wb") as file:
            announced = int(response.headers.get("Content-Length") or 0)
            most = weights.size or announced or MOST_BYTES
            progress = _Progress(weights.file, most)
            received = 0
            # One byte more than expected is enough to know that it is the wrong file.
            while received <= min(most, MOST_BYTES) and (chunk := response.read(CHUNK)):
                file.write(chunk)
                received += len(chunk)
                progress.show(received)
            progress.finish()
    except (OSError, http.client.HTTPException) as error:
        raise Unreachable(f"{weights.url}: cannot download: {_reason(error)}") from None
    if announced and received < min(announced, most):
        raise Unreachable(f"{weights.url}: the connection broke after {received} of {announced} bytes")


def _open(url: str, seconds: float) -> http.client.HTTPResponse:
    """Opens the URL within `seconds` in all.

    A socket timeout counts for each address of a host, and not for the name look-up, so behind a firewall that drops packets
    it could take minutes; hence the look-up and the connection happen on a thread that is left behind when time is up.
    """
    answers: queue.SimpleQueue = queue.SimpleQueue()

    def attempt() -> None:
        try:
            answers.put(urllib.request.urlopen(url, timeout=max(seconds, STALL_SECONDS)))
        except Exception as error:  # handed to the caller below
            answers.put(error)

    threading.Thread(target=attempt, daemon=True).start()
    try:
        answer = answers.get(timeout=seconds)
    except queue.Empty:
        raise TimeoutError(f"no answer within {seconds:g} s") from None
    if isinstance(answer, Exception):
        raise answer
    return answer


def _reason(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"the host answered {error.code} {error.reason}"
    if isinstance(error, urllib.error.URLError):
        return str(error.reason)
    return str(error) or type(error).__name__


class _Progress:
    """Megabytes and per cent on stderr: in place on a terminal, else a line every 5 s so that logs stay short."""

    def __init__(self, name: str, total: int):
        self.name, self.total = name, total
        self.terminal = sys.stderr.isatty()
        self.last = time.monotonic()
        self.shown = False

    def show(self, received: int) -> None:
        now = time.monotonic()
        if now - self.last < (0.2 if self.terminal else 5):
            return
        self.last, self.shown = now, True
        text = f"{self.name}: {received / 1e6:.1f} of {self.total / 1e6:.1f} MB, {100 * received // self.total} %"
        print(f"\r{text}" if self.terminal else text, end="" if self.terminal else "\n", file=sys.stderr, flush=True)

    def finish(self) -> None:
        if self.terminal and self.shown:
            print(file=sys.stderr)
