"""What is in a picture, asked of a vidi server. Needs nothing beyond the standard library.

    from vidi_client import classify_image
    classify_image("cat.png", top_k=3)    # [{"label": "tiger cat", "confidence": 37.9}, ...]

`Client` has the rest: other servers, keys, several pictures, every parameter.
"""

from __future__ import annotations

from os import PathLike

from .client import Client
from .problems import BusyProblem, KeyProblem, PictureProblem, Problem, RequestProblem, ServerProblem, Unreachable, VidiError

__all__ = [
    "BusyProblem", "Client", "KeyProblem", "PictureProblem", "Problem", "RequestProblem", "ServerProblem", "Unreachable", "VidiError",
    "classify_image",
]  # fmt: skip


def classify_image(
    path: str | PathLike[str], top_k: int = 3, *, base_url: str = "http://127.0.0.1:5000"
) -> list[dict[str, str | float]]:
    """The likeliest names of the picture in a file, most likely first: `[{"label": ..., "confidence": ...}]`."""
    return Client(base_url).classify_image(path, top_k)
