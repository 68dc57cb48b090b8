"""The client, and how it sends again what a busy server turned away."""

from __future__ import annotations

import http.client
import json
import random
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterable
from typing import Any

from .problems import BusyProblem, Unreachable, VidiError, problem, read_problem
from .wire import Picture, body_of, read_picture, seconds, text

FIRST_BACKOFF = 0.25  # seconds, doubled each time


class Client:
    """Asks a vidi server. One client may be used by many threads.

    `timeout` is in seconds, for each request sent. A request that the server was too busy for (429, 503) is sent again, up
    to `retries` times, after the wait that the server asks for; if that is more than `max_wait` seconds, the problem is
    raised at once.
    """

    def __init__(
        self, base_url: str = "http://127.0.0.1:5000", *, api_key: str | None = None, timeout: float = 30.0, retries: int = 4, max_wait: float = 30.0
    ) -> None:
        parts = urllib.parse.urlsplit(base_url)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise ValueError(f"address {base_url!r}: begin with http:// or https:// and the host")
        self._base = urllib.parse.urlunsplit((parts.scheme, parts.netloc, parts.path.rstrip("/"), "", ""))
        key = (api_key or "").strip()  # what is read from a file ends with a line break
        if not key.isascii() or not key.isprintable():
            raise ValueError("api_key: want printable ASCII; this one has other characters")
        self._key, self._timeout, self._retries, self._max_wait = key, timeout, retries, max_wait
        # Without redirects: urllib would send the key along to whatever host an answer names.
        self._opener = urllib.request.build_opener(_NoRedirect())

    def classify_image(self, path: Picture, top_k: int = 3) -> list[dict[str, str | float]]:
        """The likeliest names of one picture: `[{"label": "tiger cat", "confidence": 37.9}, ...]`."""
        return [{"label": p["label"], "confidence": p["confidence"]} for p in self.predict(path, top_k=top_k)["predictions"]]

    def predict(self, picture: Picture, **parameters: Any) -> dict[str, Any]:
        """What is in one picture: a result as docs/api.md describes it. One that cannot be classified raises a Problem.

        Parameters: top_k, threshold, parents, lang, model, decode, exif, deadline_ms.
        """
        name, data = read_picture(picture)
        result = self._predict("application/octet-stream", data, parameters)["results"][0]
        result["filename"] = name  # a bare body carries none
        return result

    def predict_all(self, pictures: Iterable[Picture], **parameters: Any) -> list[dict[str, Any]]:
        """What is in each of several pictures, in one request and in their order.

        A picture that cannot be classified has a Problem in its result's "error", where others have None. What is raised is
        the whole request's. `models()["limits"]` tells how much one request may hold.
        """
        read = [read_picture(picture) for picture in pictures]
        if not read:
            return []
        results = self._predict(*body_of([data for _, data in read]), parameters)["results"]
        for result, (name, _) in zip(results, read):
            result["filename"] = name
            if result["error"] is not None:
                result["error"] = problem(result["error"])
        return results

    def models(self) -> dict[str, Any]:
        """What the server serves, and how much one request may hold."""
        return self._send("GET", "/api/v1/models")

    def ready(self) -> bool:
        """Whether a picture would be answered now. Unreachable is raised where nobody answers at all."""
        try:
            self._once("GET", "/readyz", None, {})
        except BusyProblem:
            return False
        return True

    def _predict(self, content_type: str, body: bytes, parameters: dict[str, Any]) -> dict[str, Any]:
        texts = {name: text(value) for name, value in parameters.items() if value is not None}
        query = "?" + urllib.parse.urlencode(texts) if texts else ""
        return self._send("POST", "/api/v1/predict" + query, body, {"Content-Type": content_type})

    def _send(self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> dict[str, Any]:
        for attempt in range(self._retries + 1):
            try:
                return self._once(method, path, body, headers or {})
            except BusyProblem as busy:
                # The random part keeps clients that were turned away together from coming back together.
                wait = busy.retry_after + FIRST_BACKOFF * 2**attempt * random.uniform(0.5, 1)
                if attempt == self._retries or wait > self._max_wait:
                    raise
            time.sleep(wait)
        raise AssertionError("the last attempt returns or raises")

    def _once(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> dict[str, Any]:
        headers = {"Accept": "application/json, application/problem+json", "User-Agent": "vidi-python", **headers}
        if self._key:
            headers["Authorization"] = "Bearer " + self._key
        request = urllib.request.Request(self._base + path, body, headers, method=method)
        try:
            with self._opener.open(request, timeout=self._timeout) as response:
                answer = response.read()
        except urllib.error.HTTPError as error:
            with error:
                refused = read_problem(error.code, error.headers.get("Content-Type", ""), error.read())
            refused.retry_after = seconds(error.headers.get("Retry-After", ""))
            raise refused from None
        except (OSError, http.client.HTTPException) as error:  # URLError and timeouts are OSErrors
            raise Unreachable(f"{self._base}: {error}") from error
        try:
            return json.loads(answer)
        except ValueError as error:
            raise VidiError(f"{self._base}{path} answered with no JSON of vidi's: {error}") from None


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None
