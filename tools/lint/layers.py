"""Packages import only what is in a lower row of the table in docs/architecture.md, where each is named once.

Standard input has a line for each package, as `go list -f '{{.ImportPath}}{{range .Imports}} {{.}}{{end}}'` prints them.
Prints what differs, and fails.
"""

import re
import sys
from pathlib import Path

MODULE = "github.com/vidi-vision/vidi/"
FOR_TESTS = {"e2e", "filetest", "torchbind/torchtest"}


def rows(document: str) -> dict[str, int]:
    """The row of each package."""
    found = {}
    for row, packages in re.findall(r"^\| (\d+) \| ([\w/, ]+) \|$", document, re.M):
        found |= {package: int(row) for package in packages.split(", ")}
    return found


def differences(document: str, listed: str) -> list[str]:
    row, found, seen = rows(document), [], set()
    for line in listed.splitlines():
        name, *imports = (word.removeprefix(MODULE).removeprefix("service/") for word in line.split() if word.startswith(MODULE))
        if name in FOR_TESTS:
            continue
        seen.add(name)
        if name not in row:
            found.append(f"{name} is in no row of the table in docs/architecture.md")
            continue
        found += [f"{name} imports {other}, which is not in a lower row" for other in imports if row.get(other, 99) >= row[name]]
    return found + [f"{name} is in the table, but is no package" for name in sorted(row.keys() - seen)]


if __name__ == "__main__":
    root = Path(__file__).resolve().parents[2]
    found = differences((root / "docs/architecture.md").read_text(), sys.stdin.read())
    print("\n".join(found), end="\n" if found else "")
    sys.exit(bool(found))
