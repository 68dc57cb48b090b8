"""What can go wrong. Everything here is a VidiError."""

from __future__ import annotations

import json
from http import HTTPStatus


class VidiError(Exception):
    """Anything that this package raises, beside what files raise when they are read."""


class Unreachable(VidiError):
    """No answer came, or not within the timeout."""


class Problem(VidiError):
    """The server answered that it could not do it.

    Decide by `code`, which keeps its meaning ("corrupt_image"); `detail` is a sentence for people. `request_id` is in the
    server's log, too.
    """

    def __init__(self, status: int, code: str, detail: str, request_id: str = "") -> None:
        super().__init__(f"{code}: {detail}")
        self.status, self.code, self.detail, self.request_id = status, code, detail, request_id


class RequestProblem(Problem):
    """The request is at fault: a wrong parameter, an unknown model, too many bytes."""


class KeyProblem(Problem):
    """A key is missing, unknown, or not meant for this (401, 403)."""


class PictureProblem(Problem):
    """The picture is at fault: none at all, of an unknown format, or damaged (415, 422, and 400 where it is empty)."""


class BusyProblem(Problem):
    """Not now (429, 503): the same request may be answered later. The client has tried again already."""


class ServerProblem(Problem):
    """The server is at fault, or the deadline passed (500, 504), or something in between answered instead of it."""


NOT_VIDI = "not_vidi"  # a code of this package's own: the answer is a proxy's


def problem(fields: dict) -> Problem:
    """The problem that an object of the API describes."""
    status, code = int(fields["status"]), str(fields["code"])
    kind: type[Problem]
    if status in (401, 403):
        kind = KeyProblem
    elif status in (429, 503):
        kind = BusyProblem
    elif status in (415, 422) or code in ("empty_image", "bad_base64"):
        kind = PictureProblem
    elif status >= 500 or code == NOT_VIDI:
        kind = ServerProblem
    else:
        kind = RequestProblem
    return kind(status, code, str(fields.get("detail", "")), str(fields.get("request_id", "")))


def read_problem(status: int, content_type: str, body: bytes) -> Problem:
    """The problem in an answer; where a proxy answered instead of vidi, the status is all there is to tell."""
    if content_type.split(";")[0].strip().lower() == "application/problem+json":
        try:
            return problem(json.loads(body))
        except (ValueError, KeyError, TypeError):
            pass
    try:
        words = HTTPStatus(status).phrase
    except ValueError:
        words = "unknown status"
    return problem({"status": status, "code": NOT_VIDI, "detail": f"something in between answered instead of vidi: {status} {words}"})
