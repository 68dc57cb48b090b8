"""Writes files that are made one by one, for programs whose only option is where to put them."""

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path


def write_all(description: str | None, files: Mapping[str, Callable[[str], bytes]], argv: list[str] | None) -> int:
    """Parses the arguments, writes each file of files, by name, and returns the exit code.

    A name's function gets the name and returns the content. A file is replaced in one step.
    """
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the files")
    out = parser.parse_args(argv).out
    out.mkdir(parents=True, exist_ok=True)
    for name, make in files.items():
        data = make(name)
        draft = out / f".{name}.part"
        draft.write_bytes(data)
        draft.replace(out / name)
        print(f"{name:24} {len(data):6} bytes")
    return 0
