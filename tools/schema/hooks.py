"""What a schema cannot say about requests that are in order. schemathesis loads this file; see schemathesis.toml."""

from __future__ import annotations

import schemathesis


@schemathesis.hook
def before_call(context, case, kwargs) -> None:
    """A parameter stands in the query or in the body, and twice is an error: OpenAPI has no way to say that."""
    if case.meta is None or not case.meta.generation.mode.is_positive or not isinstance(case.body, dict):
        return
    for name in set(case.query or {}) & set(case.body):
        del case.query[name]


@schemathesis.hook
def filter_failure(context, failure, case, response) -> bool:
    """Whether the failure is one."""
    if response.status_code == 504 and response.json()["code"] == "deadline_exceeded":
        return False  # who gives the server too few milliseconds is rightly told so
    # In a list each picture answers for itself: the bad one has an error, the response none.
    return not (response.status_code == 200 and any(result["error"] for result in response.json().get("results", [])))
