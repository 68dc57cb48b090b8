"""Progress on stderr: in place on a terminal, else a line every five seconds so that logs stay short."""

import sys
import time


class Progress:
    def __init__(self, what: str, total: int):
        self.what, self.total, self.done = what, total, 0
        self.terminal = sys.stderr.isatty()
        self.last, self.shown = time.monotonic(), False

    def step(self, count: int = 1, note: str = "") -> None:
        self.done += count
        now = time.monotonic()
        if now - self.last < (0.2 if self.terminal else 5):
            return
        self.last, self.shown = now, True
        text = f"{self.what}: {self.done} of {self.total}{note}"
        print(f"\r\033[K{text}" if self.terminal else text, end="" if self.terminal else "\n", file=sys.stderr, flush=True)

    def finish(self) -> None:
        if self.terminal and self.shown:
            print(file=sys.stderr)
