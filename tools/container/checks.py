"""Prints a line for each thing that was checked, and remembers what failed."""

from dataclasses import dataclass, field


@dataclass
class Checks:
    passed: int = 0
    failed: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    excused: int = 0

    def check(self, good: bool, what: str, detail: object = "") -> None:
        self.passed += good
        if not good:
            self.failed.append(what)
        print(f"{'ok  ' if good else 'FAIL'}  {what}{f': {detail}' if detail != '' else ''}", flush=True)

    def skip(self, what: str, why: str, excused: bool = False) -> None:
        """What could not be tested. Continuous integration fails for it, unless it is excused: the machine may be better tomorrow."""
        self.left_out.append(what)
        self.excused += excused
        print(f"--    {what}: not tested, because {why}", flush=True)
