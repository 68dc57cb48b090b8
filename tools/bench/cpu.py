"""What this CPU can do, as Linux tells it."""

import re
from pathlib import Path


def flags() -> set[str]:
    """The CPU's instruction sets, by Linux's names; none where Linux lists none."""
    found = re.search(r"^flags\s*:(.*)$", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.M)
    return set(found.group(1).split()) if found else set()


def native_bf16() -> bool:
    """Whether there are instructions for bf16."""
    return not {"avx512_bf16", "amx_bf16"}.isdisjoint(flags())
