"""One slice of load: wrk against one server, and the CPU time that the server used meanwhile."""

import json
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from process import Running

SCRIPT = Path(__file__).resolve().parent / "load.lua"


@dataclass(frozen=True)
class Cell:
    """What is asked: pictures of a kind, over a number of connections that each wait for their answer."""

    pictures: str
    connections: int

    @property
    def key(self) -> str:
        return f"{self.pictures}/{self.connections}"


@dataclass(frozen=True)
class Slice:
    """Seconds of load; wrk counts whole ones, so `whole` is at least the sum of the others."""

    ramp: float
    measured: float
    whole: int


@dataclass
class Outcome:
    rate: float  # good answers per second
    cpu_ms: float  # of the server, per answer
    latency_us: list[list[int]]  # value and count
    problem: str  # why the slice does not count; empty if it does


def run(server: Running, cell: Cell, pictures: Path, length: Slice) -> Outcome:
    command = ["wrk", "-t1", f"-c{cell.connections}", f"-d{length.whole}s", "--timeout", "60s", "-s", SCRIPT, server.url]
    wrk = subprocess.Popen([*command, "--", pictures, str(length.ramp), str(length.measured)], stdout=subprocess.PIPE, text=True)
    # The script counts from the same moment, within wrk's few milliseconds of starting.
    time.sleep(length.ramp)
    before, begun = server.cpu_seconds(), time.monotonic()
    time.sleep(length.measured)
    used, seconds = server.cpu_seconds() - before, time.monotonic() - begun
    output, _ = wrk.communicate()
    return parse(output, length.measured, used * length.measured / seconds)


def parse(output: str, seconds: float, cpu_seconds: float) -> Outcome:
    line = next((line for line in output.splitlines() if line.startswith("RESULT ")), None)
    if line is None:
        return Outcome(0, 0, [], f"wrk printed no result: {output.strip()[-200:]}")
    result = json.loads(line.removeprefix("RESULT "))
    problem = ""
    if result["bad"] or result["lost"]:
        counts = f"{result['bad']} bad answers and {result['lost']} lost ones beside {result['good']} good ones"
        problem = f"{counts} {result['first_bad']}".strip()
    elif not result["measured"]:
        problem = "no answer in time"
    count = max(result["measured"], 1)
    return Outcome(result["measured"] / seconds, cpu_seconds * 1000 / count, result["latency_us"], problem)


def warm(server: Running, pictures: Path) -> None:
    """Wakes a server that stood still: its memory comes back to the caches with the first pictures."""
    for path in pictures.read_text(encoding="utf-8").splitlines()[:2]:
        server.ask(Path(path).read_bytes())
