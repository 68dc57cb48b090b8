"""Starts an unpacked image as a container engine would: its own mounts and processes, a root that nothing can be written to, its
user, no privileges, no way to gain any. The network is the caller's: tools/container/test.sh gives that one without a way out."""

import http.client
import json
import os
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

# The root; a folder to mount over /models, or empty; a cgroup's file of tasks, or empty; the image's user; what to put before the
# program, or empty; the program and its arguments. The environment is the image's alone.
INSIDE = r"""
set -e
root=$1 models=$2 tasks=$3 user=$4 trace=$5; shift 5
[ -z "$tasks" ] || echo $$ >"$tasks"
mount --bind "$root" "$root"
mount -t proc -o nosuid,nodev,noexec proc "$root/proc"
mount --rbind /sys "$root/sys"
mount -t tmpfs -o nosuid,noexec,mode=755 dev "$root/dev"
for device in null zero full random urandom; do : >"$root/dev/$device"; mount --bind "/dev/$device" "$root/dev/$device"; done
mount -o remount,ro "$root/dev"
[ -z "$models" ] || { mount --bind "$models" "$root/models"; mount -o remount,bind,ro "$root/models"; }
mount -o remount,bind,ro "$root"
cd /
exec $trace setpriv --no-new-privs chroot --userspec="$user" --groups= "$root" "$@"
"""


class Failed(Exception):
    """The server did not do what it must; the text says what it said."""


@dataclass
class Server:
    """A running server and its two ports. Close it, or use it in a with statement."""

    process: subprocess.Popen
    contained: bool
    port: int
    admin_port: int
    started: float
    log: Path
    stopped: bool = field(default=False)

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *_: object) -> None:
        if not self.stopped:
            os.kill(self.pid, signal.SIGKILL)  # what is above it then ends by itself
            self.process.wait()

    @property
    def pid(self) -> int:
        """The server's process as this side sees it; inside it is number 1."""
        pid = self.process.pid
        while self.contained:
            below = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
            if not below:
                break
            pid = int(below[0])
        return pid

    def get(self, path: str, port: int = 0, headers: dict | None = None) -> tuple[int, bytes]:
        return self._ask("GET", path, None, headers or {}, port or self.port)

    def predict(self, picture: bytes, query: str = "") -> dict:
        status, body = self._ask("POST", "/predict" + query, picture, {"Content-Type": "application/octet-stream"}, self.port)
        if status != 200:
            raise Failed(f"POST /predict{query}: {status} {body[:300]!r}")
        return json.loads(body)

    def _ask(self, method: str, path: str, body: bytes | None, headers: dict, port: int) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def wait_ready(self, seconds: float = 60) -> float:
        """Waits until /readyz says yes; returns the seconds since the start."""
        while time.monotonic() - self.started < seconds:
            if self.process.poll() is not None:
                raise Failed(f"the server ended with {self.process.returncode}:\n{self.said()}")
            try:
                if self.get("/readyz")[0] == 200:
                    return time.monotonic() - self.started
            except OSError:
                pass
            time.sleep(0.005)
        raise Failed(f"not ready after {seconds} s:\n{self.said()}")

    def wait_said(self, text: str, seconds: float = 30) -> None:
        end = time.monotonic() + seconds
        while text not in self.said():
            if time.monotonic() > end:
                raise Failed(f"never said {text!r}:\n{self.said()}")
            time.sleep(0.05)

    def said(self) -> str:
        return self.log.read_text(errors="replace")

    def terminate(self) -> None:
        os.kill(self.pid, signal.SIGTERM)

    def exit_code(self, seconds: float = 40) -> int:
        code = self.process.wait(seconds)
        self.stopped = True
        return code


class Launcher:
    """Starts servers from an unpacked image: contained as its settings say, or plainly on this machine, each on ports of its own."""

    def __init__(self, root: Path, config: dict, env: dict[str, str]):
        self.root, self.config, self.env = root, config, env
        self.logs = Path(tempfile.mkdtemp(prefix="vidi-container-"))
        self.count = 0

    def start(self, *, contained: bool = True, env: dict[str, str] | None = None, models: Path | None = None,
              tasks: Path | None = None, strace: Path | None = None, default_ports: bool = False) -> Server:  # fmt: skip
        self.count += 1
        port, admin_port = (5000, 5001) if default_ports else (5000 + 10 * self.count, 5001 + 10 * self.count)
        all_env = {**self.env, **(env or {})}
        if not default_ports:
            all_env |= {"VIDI_ADDR": f"0.0.0.0:{port}", "VIDI_ADMIN_ADDR": f"0.0.0.0:{admin_port}"}
        program = [*self.config["Entrypoint"], *self.config["Cmd"]]
        trace = f"strace -f -qq -s 256 -o {strace} -e trace={TRACED}" if strace else ""
        if contained:
            command = ["unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "sh", "-c", INSIDE, "sh"]
            command += [str(self.root), str(models or ""), str(tasks or ""), self.config["User"], trace, *program]
        else:
            command = [str(self.root) + program[0], *program[1:]]
        log = self.logs / f"{self.count}.log"
        with log.open("wb") as out:
            started = time.monotonic()
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=all_env)
        return Server(process, contained, port, admin_port, started, log)


TRACED = ",".join([  # what could reach the network, or change a file
    "%network", "openat", "open", "creat", "mkdir", "mkdirat", "mknod", "mknodat", "unlink", "unlinkat", "rmdir", "rename", "renameat",
    "renameat2", "link", "linkat", "symlink", "symlinkat", "truncate", "ftruncate", "chmod", "fchmodat", "chown", "fchownat", "execve",
])  # fmt: skip
