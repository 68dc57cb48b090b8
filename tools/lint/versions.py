"""Every part of a release has the version of service/cmd/vidi/version.go. Prints those that differ, and fails."""

import re
import sys
from pathlib import Path

SOURCE = "service/cmd/vidi/version.go", r'^\tversion = "(.*)"$'
OTHERS = [
    ("deploy/helm/vidi/Chart.yaml", r"^version: (.*)$"),
    ("deploy/helm/vidi/Chart.yaml", r"^appVersion: (.*)$"),
    ("service/api/python/pyproject.toml", r'^version = "(.*)"$'),
    ("service/openapi/openapi.yaml", r"^  version: (.*)$"),
    ("CHANGELOG.md", r"^## \[(\d.*)\]"),  # the newest
    ("torchbind/doc.go", r"require github.com/vidi-vision/vidi v(.*)$"),
]


def version(root: Path, name: str, pattern: str) -> str:
    found = re.search(pattern, (root / name).read_text(), re.MULTILINE)
    return found[1] if found else "no version"


def differences(root: Path) -> list[str]:
    wanted = version(root, *SOURCE)
    return [f"{name}: {found}, but {SOURCE[0]} has {wanted}"
            for name, pattern in OTHERS if (found := version(root, name, pattern)) != wanted]


if __name__ == "__main__":
    found = differences(Path(__file__).resolve().parents[2])
    print("\n".join(found), end="\n" if found else "")
    sys.exit(bool(found))
