"""Progress on stderr, for what takes longer than two seconds: in place on a terminal, else a line every ten seconds so that logs stay
short."""

import sys
import time

FIRST, ON_TERMINAL, IN_LOG = 2, 0.2, 10  # seconds


class Progress:
    """Counts steps towards `total`. With `estimate`, they take about the same time each, and it tells how long the rest takes."""

    def __init__(self, what: str, total: int, estimate: bool = True):
        self.what, self.total, self.estimate, self.done = what, total, estimate, 0
        self.terminal = sys.stderr.isatty()
        self.begun = time.monotonic()
        self.next, self.shown = self.begun + FIRST, False

    def step(self, count: int = 1, note: str = "") -> None:
        self.done += count
        now = time.monotonic()
        if now < self.next:
            return
        self.next, self.shown = now + (ON_TERMINAL if self.terminal else IN_LOG), True
        text = f"{self.what}: {self.done} of {self.total}{note}"
        if self.estimate and 0 < self.done < self.total:
            text += f", {duration((now - self.begun) / self.done * (self.total - self.done))} left"
        print(f"\r\033[K{text}" if self.terminal else text, end="" if self.terminal else "\n", file=sys.stderr, flush=True)

    def finish(self) -> None:
        if self.terminal and self.shown:
            print(file=sys.stderr)


def duration(seconds: float) -> str:
    """In words, rounded as an estimate should be."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min"
