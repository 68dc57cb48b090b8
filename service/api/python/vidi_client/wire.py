"""Pictures, parameters and headers as they go over the wire."""

from __future__ import annotations

import base64
import email.utils
import json
import os
import time
import uuid
from pathlib import Path
from typing import Any, BinaryIO, Union

#: A picture: the path of a file, or its bytes, or a file that is open for reading bytes.
Picture = Union[str, "os.PathLike[str]", bytes, BinaryIO]


def read_picture(picture: Picture) -> tuple[str, bytes]:
    """A picture's name, "" where it has none, and its bytes."""
    if isinstance(picture, (str, os.PathLike)):
        path = Path(picture)
        return path.name, path.read_bytes()
    if isinstance(picture, (bytes, bytearray, memoryview)):
        return "", bytes(picture)
    name = getattr(picture, "name", "")
    return Path(name).name if isinstance(name, str) else "", picture.read()


def body_of(pictures: list[bytes]) -> tuple[str, bytes]:
    """The Content-Type and the body of a request with pictures that each answer for themselves."""
    if len(pictures) == 1:  # in a form its error would be the request's; in a list it is its own
        return "application/json", json.dumps({"images": [base64.b64encode(pictures[0]).decode()]}).encode()
    boundary = uuid.uuid4().hex
    lines = []
    for data in pictures:
        lines += [f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="picture"\r\n\r\n'.encode(), data, b"\r\n"]
    lines.append(f"--{boundary}--\r\n".encode())
    return "multipart/form-data; boundary=" + boundary, b"".join(lines)


def text(value: Any) -> str:
    """A parameter as the query has it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def seconds(retry_after: str) -> float:
    """What the header Retry-After asks for: seconds, or a date. What cannot be read is 0."""
    try:
        return max(float(int(retry_after)), 0.0)
    except (ValueError, OverflowError):
        pass
    try:
        return max(email.utils.parsedate_to_datetime(retry_after).timestamp() - time.time(), 0.0)
    except (TypeError, ValueError, OverflowError):
        return 0.0
