"""Prints a line for each thing that was checked, and remembers what failed."""

from dataclasses import dataclass, field


@dataclass
class Checks:
    passed: int = 0
    failed: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    def check(self, good: bool, what: str, detail: object = "") -> None:
        self.passed += good
        if not good:
            self.failed.append(what)
        print(f"{'ok  ' if good else 'FAIL'}  {what}{f': {detail}' if detail != '' else ''}", flush=True)

    def skip(self, what: str, why: str) -> None:
        self.left_out.append(what)
        print(f"--    {what}: not tested, because {why}", flush=True)
