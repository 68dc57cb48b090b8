"""A server's processes: started together, stopped in their tracks while others are measured, and what they used."""

import http.client
import os
import re
import signal
import socket
import subprocess
import time
from pathlib import Path

from servers import Server

TICK = os.sysconf("SC_CLK_TCK")
START_SECONDS = 120
DRAIN_SECONDS = 30


class Running:
    """One server. Its processes are found by their session, so that none is missed whose parent has ended."""

    def __init__(self, server: Server, logs: Path, picture: bytes):
        self.server, self.port, self.log = server, free_port(), logs / f"{server.name}.log"
        begun = time.monotonic()
        with self.log.open("wb") as log:
            # A process that dies with the benchmark needs no cleaning up after: stop() is called in any case.
            self.process = subprocess.Popen(
                [str(word) for word in server.command(self.port)], stdout=log, stderr=log, env=server.environment(), start_new_session=True
            )
        try:
            self._wait_for_answer(picture, begun + START_SECONDS)
        except BaseException:
            self.stop()
            raise
        self.start_seconds = time.monotonic() - begun

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}{self.server.path}"

    def _wait_for_answer(self, picture: bytes, deadline: float) -> None:
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                break
            try:
                if self.ask(picture):
                    return
            except OSError:
                pass
            time.sleep(0.01)
        raise RuntimeError(f"{self.server.name} gave no good answer; see {self.log}")

    def ask(self, picture: bytes) -> str | None:
        """Posts one picture; returns the likeliest name, or None where the answer does not have three."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=START_SECONDS)
        try:
            connection.request("POST", self.server.path, body=picture, headers={"Content-Type": "image/jpeg"})
            response = connection.getresponse()
            answer = response.read().decode()
            good = response.status == 200 and answer.count('"confidence"') == 3
            return re.search(r'"label":\s*"([^"]*)"', answer).group(1) if good else None
        except http.client.HTTPException:
            return None
        finally:
            connection.close()

    def pause(self) -> None:
        os.killpg(self.process.pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.killpg(self.process.pid, signal.SIGCONT)

    def drain(self) -> None:
        """Waits until requests that the load generator gave up are worked off: they must not cost the next cell."""
        deadline = time.monotonic() + DRAIN_SECONDS
        before = self.cpu_seconds()
        while time.monotonic() < deadline:
            time.sleep(0.15)
            now = self.cpu_seconds()
            if now - before <= 0.02:
                return
            before = now

    def cpu_seconds(self) -> float:
        """CPU time of all its processes so far, with that of children that have ended."""
        ticks = 0
        for fields in self._stats():
            ticks += sum(int(field) for field in fields[11:15])  # utime, stime, cutime, cstime
        return ticks / TICK

    def megabytes(self) -> float:
        """Proportional set size of all its processes: memory that two of them share counts once."""
        kilobytes = 0
        for fields in self._stats():
            try:
                for line in Path(f"/proc/{fields[-1]}/smaps_rollup").read_text().splitlines():
                    if line.startswith("Pss:"):
                        kilobytes += int(line.split()[1])
            except OSError:
                pass  # it ended meanwhile
        return kilobytes / 1024

    def _stats(self) -> list[list[str]]:
        """The fields of /proc/PID/stat after the name, and the PID last, for each process of the session."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    fields = (entry / "stat").read_text().rpartition(")")[2].split()
                except OSError:
                    continue
                if int(fields[3]) == self.process.pid:
                    found.append([*fields, entry.name])
        return found

    def stop(self) -> None:
        for number in (signal.SIGCONT, signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self.process.pid, number)
            except ProcessLookupError:
                break
            if number == signal.SIGTERM:
                try:
                    self.process.wait(10)
                except subprocess.TimeoutExpired:
                    pass
        self.process.wait()


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]
