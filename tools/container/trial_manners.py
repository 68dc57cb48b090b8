"""The server in the image does what docs/container.md says it does, and nothing else: what it listens on, connects to, writes and
reads; and it stops without losing a request."""

import http.client
import re
import subprocess
import tempfile
import threading
import time
from pathlib import Path

from checks import Checks
from sandbox import Launcher, Server

# What it reads beside its own files, as the document lists it. /sys and /proc tell it about cores, memory and limits.
READS = re.compile(
    r"/opt/vidi/|/models(/|$)|/(proc|sys)/|/etc/(ld\.so\.cache|localtime)$"
    r"|/(usr/)?lib(64)?/([\w-]+/)?(lib(c|m|dl|rt|pthread)\.so\.\d|ld-linux[^/]*)$"
)
OPENED = re.compile(r'\b(open|openat|creat)\((?:AT_FDCWD, |\d+, )?"([^"]*)"(?:, (\w[\w|]*))?')
CHANGES = re.compile(r"\b(creat|mkdir|mkdirat|mknod|mknodat|unlink|unlinkat|rmdir|rename|renameat2?|link|linkat|symlink|symlinkat|truncate|ftruncate|f?chmod|fchmodat|f?chown|fchownat)\(")
BOUND = re.compile(r"\bbind\(\d+, \{sa_family=(\w+), sin6?_port=htons\((\d+)\)")


def touches_nothing_else(checks: Checks, launcher: Launcher) -> None:
    with tempfile.TemporaryDirectory() as folder:
        trace = Path(folder) / "trace"
        with launcher.start(strace=trace, default_ports=True) as server:
            server.wait_ready(120)
            espresso = Path("examples/espresso.png").read_bytes()
            server.predict(espresso)
            server.predict(Path("examples/flower.jpg").read_bytes(), "?decode=fast")
            server.get("/metrics", port=server.admin_port)
            sockets = subprocess.run(["ss", "-Hltunp"], capture_output=True, text=True, check=True).stdout
            listening = sorted(f"{line.split()[0]} {line.split()[4]}" for line in sockets.splitlines())
            unix = subprocess.run(["ss", "-Hlx"], capture_output=True, text=True, check=True).stdout
            listening += [f"unix {line.split()[4]}" for line in unix.splitlines()]
            expected = ["tcp *:5000", "tcp *:5001", "unix @vidi/127.0.0.1:5001"]
            checks.check(listening == expected, "it listens here, and nowhere else", ", ".join(listening))
            _loaded_files(checks, launcher, server)
            server.terminate()
            server.exit_code()
        _read_trace(checks, trace.read_text(errors="replace"))


def _loaded_files(checks: Checks, launcher: Launcher, server: Server) -> None:
    mapped = set(re.findall(r"(/\S+\.so[\w.]*)$", Path(f"/proc/{server.pid}/maps").read_text(), re.MULTILINE))
    mapped = {"/" + path.split("/opt/vidi/", 1)[-1] if "/opt/vidi/" in path else path for path in mapped}
    shipped = {"/" + str(path.relative_to(launcher.root / "opt/vidi")) for path in (launcher.root / "opt/vidi/lib").rglob("*") if path.is_file()}
    checks.check(shipped <= mapped, "every library that is shipped is loaded", " ".join(sorted(shipped - mapped)) or len(shipped))
    foreign = {path.rsplit("/", 1)[-1] for path in mapped - shipped}
    glibc = re.compile(r"(lib(c|m|dl|rt|pthread)\.so\.\d|ld-linux.*)$")
    checks.check(all(glibc.match(name) for name in foreign), "of the base image it loads glibc alone", " ".join(sorted(foreign)))


def _read_trace(checks: Checks, text: str) -> None:
    # What ran before the program itself is the test's own doing.
    begun = text.index('execve("/opt/vidi/vidi"')
    lines = text[begun:].splitlines()
    connected = [line for line in lines if re.search(r"\bconnect\(", line)]
    checks.check(not connected, "it connects to nothing", connected[0] if connected else "")
    # To hold itself to its files it starts once more.
    started = [line for line in lines[1:] if "execve(" in line and 'execve("/opt/vidi/vidi"' not in line]
    checks.check(not started, "it starts no other program", started[0] if started else "")
    bound = sorted({int(port) for line in lines for _, port in BOUND.findall(line)} - {0})  # port 0: Go asks which IP versions there are
    checks.check(bound == [5000, 5001], "it binds its two ports", bound)
    written, read = set(), set()
    for line in lines:
        for call, path, flags in OPENED.findall(line):
            if "O_PATH" in (flags or "") or path == "/proc/self/oom_score_adj":  # named, not read; of the process that tries models
                continue
            if call == "creat" or re.search(r"O_WRONLY|O_RDWR|O_CREAT|O_TRUNC|O_APPEND|O_TMPFILE", flags or ""):
                written.add(path)  # tried is enough
            elif path and "= -1 " not in line:  # libtorch asks for a file without a name, which there is not
                read.add(path)
    changes = [line for line in lines if CHANGES.search(line)]
    checks.check(not written and not changes, "it writes no file, and changes none", " ".join(sorted(written)) or (changes or [f"{len(read)} opened to read"])[0])
    unlisted = sorted(path for path in read if not READS.match(path))
    checks.check(not unlisted, "it reads nothing that docs/container.md does not list", " ".join(map(repr, unlisted)))


def stops_clean(checks: Checks, launcher: Launcher) -> None:
    """Eight clients that keep their connections and never try again; the signal comes while all are busy."""
    picture = Path("examples/flower.jpg").read_bytes()
    with launcher.start() as server:
        server.wait_ready()
        leaving = 0.6  # the image's own drain delay is a second; half of it is kept as slack for a busy machine
        stopped_at = [float("inf")]
        answered, late, lost = [], [], []

        def client() -> None:
            connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
            while True:
                sent = time.monotonic()
                try:
                    connection.request("POST", "/predict", picture, {"Content-Type": "image/jpeg"})
                    response = connection.getresponse()
                    response.read()
                    outcome = response.status
                except (OSError, http.client.HTTPException) as error:
                    outcome = error
                in_time = sent < stopped_at[0] + leaving
                (answered if outcome == 200 else lost if in_time else late).append(outcome)
                if outcome != 200 or not in_time:
                    connection.close()
                    return

        clients = [threading.Thread(target=client) for _ in range(8)]
        for thread in clients:
            thread.start()
        time.sleep(1)
        before = len(answered)
        stopped_at[0] = time.monotonic()
        server.terminate()
        for thread in clients:
            thread.join()
        code = server.exit_code()
        after = len(answered) - before
        checks.check(before > 0 and after > 0 and not lost, "stopped under load it loses nothing", f"{before} answers before the signal, {after} after it, {len(lost)} lost {lost[:1] or ''}")
        checks.check(code == 0 and "stopped" in server.said().splitlines()[-1], "it ends with 0", code)
    with launcher.start() as server:
        server.wait_said("the model is loading")
        server.terminate()
        checks.check(server.exit_code() == 0, "it ends with 0 while it is still loading, too")
