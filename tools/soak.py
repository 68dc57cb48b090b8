"""Sends a server many mixed requests and watches its memory, threads and descriptors.

    make soak                      50,000 requests, some minutes
    make soak ARGS="--requests 5000 --precision bf16"

Pictures of six formats and of sizes up to 12 megapixels, damaged ones, ones in base64, forms with several pictures, bodies that
are no pictures, and wrong parameters are sent in a fixed random order over eight connections. Resident memory after the first
1,000 requests and at the end may differ by 5 %; then threads and descriptors must be what they were, too.
"""

import argparse
import base64
import contextlib
import io
import json
import random
import re
import subprocess
import sys
import threading
import time
from http.client import HTTPConnection
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
CONNECTIONS = 8
MOST_GROWTH = 0.05  # of resident memory between the 1,000th request and the last
SETTLED = 1000  # requests after which memory is compared: by then every path has run


def requests() -> list[tuple[int, str, str, bytes]]:
    """Weight, path, content type and body of each kind of request."""
    photo = Image.open(ROOT / "examples/motorcycle.png").convert("RGB")

    def encoded(form: str, size: tuple[int, int], **options) -> bytes:
        out = io.BytesIO()
        photo.resize(size).save(out, form, **options)
        return out.getvalue()

    small, middle = encoded("JPEG", (376, 263)), encoded("JPEG", (1024, 768))
    large = encoded("JPEG", (4032, 3024))
    kinds = [
        (40, "/predict", "image/jpeg", small),
        (20, "/predict", "image/jpeg", middle),
        (2, "/predict", "image/jpeg", large),
        (2, "/predict?decode=fast", "image/jpeg", large),
        (2, "/predict", "image/jpeg", encoded("JPEG", (1600, 1200), progressive=True)),
        (6, "/predict", "image/png", encoded("PNG", (640, 480))),
        (1, "/predict", "image/png", encoded("PNG", (2016, 1512))),
        (4, "/predict", "image/gif", encoded("GIF", (500, 400))),
        (4, "/predict", "image/webp", encoded("WEBP", (640, 480))),
        (4, "/predict", "image/bmp", encoded("BMP", (400, 300))),
        (4, "/predict", "image/tiff", encoded("TIFF", (400, 300))),
        (5, "/predict", "image/jpeg", middle[: len(middle) // 2]),
        (5, "/predict", "image/jpeg", b"no picture at all" * 100),
        (3, "/predict?top_k=0", "image/jpeg", small),
        (3, "/predict", "image/jpeg", b""),
        (3, "/predict", "application/json", json.dumps({"image": base64.b64encode(small).decode()}).encode()),
        (2, "/predict", "application/json", b'{"image": "%%%"}'),
    ]
    for n in (2, 5, 9):
        parts = b"".join(b'--b\r\nContent-Disposition: form-data; name="image"; filename="p.jpg"\r\n\r\n' + small + b"\r\n" for _ in range(n))
        kinds.append((1, "/predict", "multipart/form-data; boundary=b", parts + b"--b--\r\n"))
    return kinds


class Server:
    def __init__(self, args):
        command = [ROOT / "bin/vidi", "serve", "--addr", "127.0.0.1:0", "--admin-addr", "", "--model", args.model, "--precision", args.precision]
        self.process = subprocess.Popen([*command, "--log-level", "warn"], stdout=subprocess.DEVNULL)
        self.address = self.wait_for_address()

    def wait_for_address(self) -> str:
        """From /proc: with warnings alone the log does not say it."""
        while True:
            if self.process.poll() is not None:
                sys.exit(f"soak: the server ended with {self.process.returncode}")
            sockets = set()
            for descriptor in Path(f"/proc/{self.process.pid}/fd").iterdir():
                with contextlib.suppress(FileNotFoundError):  # closed meanwhile
                    sockets.add(descriptor.readlink().name)
            for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
                field = line.split()
                if field[3] == "0A" and f"socket:[{field[9]}]" in sockets:
                    return f"127.0.0.1:{int(field[1].split(':')[1], 16)}"
            time.sleep(0.05)

    def wait_until_ready(self) -> None:
        while True:
            connection = HTTPConnection(self.address)
            connection.request("GET", "/readyz")
            if connection.getresponse().status == 200:
                return
            time.sleep(0.05)

    def count(self, what: str) -> int:
        return len(list(Path(f"/proc/{self.process.pid}/{what}").iterdir()))

    def resident(self) -> float:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status).group(1)) / 1024


def send(address: str, work: list, lock: threading.Lock, statuses: dict) -> None:
    connection = HTTPConnection(address)
    while True:
        with lock:
            if not work:
                connection.close()
                return
            _, path, content_type, body = work.pop()
        connection.request("POST", path, body=body, headers={"Content-Type": content_type})
        response = connection.getresponse()
        response.read()
        with lock:
            statuses[response.status] = statuses.get(response.status, 0) + 1


def batch(address: str, work: list, statuses: dict) -> None:
    lock = threading.Lock()
    threads = [threading.Thread(target=send, args=(address, work, lock, statuses)) for _ in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=ROOT / "build/models/resnet18-seeded.pt", metavar="FILE.pt")
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--requests", type=int, default=50_000, metavar="N")
    args = parser.parse_args()
    kinds = requests()
    chance = random.Random(20260801)
    server = Server(args)
    try:
        server.wait_until_ready()
        time.sleep(2)  # the second module
        print(f"ready: {server.resident():.0f} MB resident", flush=True)
        statuses, done, settled = {}, 0, None
        for goal in [SETTLED, *range(5000, args.requests, 5000), args.requests]:
            batch(server.address, chance.choices(kinds, [weight for weight, *_ in kinds], k=goal - done), statuses)
            done = goal
            time.sleep(1)
            state = server.resident(), server.count("task"), server.count("fd")
            settled = settled or state
            print(f"{done:6} requests: {state[0]:.0f} MB, {state[1]} threads, {state[2]} descriptors", flush=True)
    finally:
        server.process.terminate()
        server.process.wait()
    print("answers: " + ", ".join(f"{count} × {status}" for status, count in sorted(statuses.items())))
    growth = state[0] / settled[0] - 1
    print(f"memory grew by {growth:.1%} after the first {SETTLED} requests (at most {MOST_GROWTH:.0%})")
    faults = [status for status in statuses if status >= 500]
    return int(growth > MOST_GROWTH or bool(faults) or state[1] > settled[1] + 4 or state[2] > settled[2] + 2)


if __name__ == "__main__":
    sys.exit(main())
