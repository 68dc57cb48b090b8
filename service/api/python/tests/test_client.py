"""The client against a server made of prepared answers: what is sent, and what becomes of each answer."""

import http.server
import json
import socket
import threading
import time
import unittest
from unittest import mock

import vidi_client
from vidi_client import BusyProblem, Client, KeyProblem, PictureProblem, RequestProblem, ServerProblem, Unreachable

GOOD = {
    "request_id": "R1", "model": "m", "new": 1,
    "results": [{"index": 0, "filename": "", "error": None, "predictions": [{"label": "alp", "confidence": 92.3, "class_id": 970}]}],
}  # fmt: skip


def refusal(status: int, code: str) -> tuple:
    return status, {"status": status, "code": code, "detail": "it is so", "request_id": "R1"}


class Prepared:
    """Gives each request the next of the answers, the last for ever: (status, object or bytes, headers)."""

    def __init__(self, *answers: tuple) -> None:
        self.answers, self.requests = list(answers), []
        prepared = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                prepared.requests.append((self.command, self.path, dict(self.headers), body))
                status, content, *more = prepared.answers[min(len(prepared.requests), len(prepared.answers)) - 1]
                self.send_response(status)
                if isinstance(content, dict):
                    self.send_header("Content-Type", "application/problem+json" if status >= 400 else "application/json")
                    content = json.dumps(content).encode()
                for name, value in dict(*more).items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = answer

            def log_message(self, *_: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def __enter__(self) -> "Prepared":
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"


class Retries(unittest.TestCase):
    def setUp(self) -> None:
        self.slept: list = []
        patch = mock.patch("vidi_client.client.time.sleep", self.slept.append)
        patch.start()
        self.addCleanup(patch.stop)

    def test_a_busy_server_is_asked_again(self) -> None:
        busy, loading = refusal(429, "queue_full"), refusal(503, "not_ready")
        with Prepared((*busy, {"Retry-After": "1"}), (*loading, {"Retry-After": "2"}), loading, (200, GOOD)) as server:
            answers = Client(server.url).classify_image(b"picture", top_k=1)
        self.assertEqual(answers, [{"label": "alp", "confidence": 92.3}])
        self.assertEqual([body for *_, body in server.requests], [b"picture"] * 4)
        for attempt, (slept, told) in enumerate(zip(self.slept, (1, 2, 0))):
            self.assertGreaterEqual(slept - told, 0.125 * 2**attempt)
            self.assertLessEqual(slept - told, 0.25 * 2**attempt + 1e-9)

    def test_it_gives_up(self) -> None:
        far = "Fri, 31 Dec 9999 23:59:59 GMT"
        for options, headers, requests in (
            ({}, {"Retry-After": "1"}, 5),
            ({"retries": 0}, {}, 1),
            ({}, {"Retry-After": "31"}, 1),
            ({}, {"Retry-After": far}, 1),
            ({}, {"Retry-After": "soon"}, 5),
        ):
            with self.subTest(headers=headers, **options), Prepared((*refusal(429, "rate_limited"), headers)) as server:
                with self.assertRaises(BusyProblem) as raised:
                    Client(server.url, **options).models()
                self.assertEqual((raised.exception.code, raised.exception.request_id), ("rate_limited", "R1"))
                self.assertEqual(len(server.requests), requests)

    def test_readiness_is_asked_once(self) -> None:
        with Prepared(refusal(503, "not_ready"), (200, {"status": "ready"})) as server:
            client = Client(server.url)
            self.assertEqual([client.ready(), client.ready()], [False, True])
        self.assertEqual(self.slept, [])


class Problems(unittest.TestCase):
    def test_each_has_its_kind(self) -> None:
        for status, code, kind in (
            (400, "bad_parameter", RequestProblem), (400, "empty_image", PictureProblem), (401, "unauthorized", KeyProblem),
            (403, "forbidden", KeyProblem), (404, "model_not_found", RequestProblem), (413, "body_too_large", RequestProblem),
            (415, "unsupported_format", PictureProblem), (422, "corrupt_image", PictureProblem), (500, "internal", ServerProblem),
            (504, "deadline_exceeded", ServerProblem),
        ):  # fmt: skip
            with self.subTest(code=code), Prepared(refusal(status, code)) as server, self.assertRaises(kind) as raised:
                Client(server.url).predict(b"picture")
            self.assertEqual((raised.exception.status, raised.exception.code, len(server.requests)), (status, code, 1))

    def test_an_answer_that_is_not_vidis(self) -> None:
        with Prepared((502, b"<h1>Bad Gateway</h1>"), (307, b"", {"Location": "/elsewhere"}), (200, b"<h1>Sign in</h1>")) as server:
            for _ in range(2):
                with self.assertRaises(ServerProblem) as raised:
                    Client(server.url).models()
                self.assertEqual(raised.exception.code, "not_vidi")
            with self.assertRaises(vidi_client.VidiError):
                Client(server.url).models()
        self.assertEqual(len(server.requests), 3)  # the redirect was not followed

    def test_nobody_answers(self) -> None:
        with Prepared((200, GOOD)) as server:
            pass
        with self.assertRaises(Unreachable):
            Client(server.url).ready()

    def test_a_server_that_takes_too_long(self) -> None:
        listener = socket.create_server(("127.0.0.1", 0))  # takes connections, and never answers
        with listener, self.assertRaises(Unreachable):
            begun = time.monotonic()
            Client(f"http://127.0.0.1:{listener.getsockname()[1]}", timeout=0.1).ready()
        self.assertLess(time.monotonic() - begun, 5)

    def test_addresses(self) -> None:
        for address in ("", "127.0.0.1:5000", "localhost:5000", "ftp://x", "http://"):
            with self.subTest(address=address), self.assertRaises(ValueError):
                Client(address)

    def test_a_key_that_cannot_be_sent(self) -> None:
        for key in ("schlüssel-geheim", "geheim\nx"):
            with self.subTest(key=key), self.assertRaises(ValueError) as refused:
                Client(api_key=key)
            self.assertNotIn("geheim", str(refused.exception))


class Requests(unittest.TestCase):
    def test_what_is_sent(self) -> None:
        with Prepared((200, GOOD)) as server:
            client = Client(server.url + "/tools/vidi/", api_key="secret\n")  # as a file has it
            client.predict(b"picture", top_k=5, threshold=12.5, lang="zh", exif=False, model=None)
        method, path, headers, body = server.requests[0]
        self.assertEqual((method, path), ("POST", "/tools/vidi/api/v1/predict?top_k=5&threshold=12.5&lang=zh&exif=false"))
        self.assertEqual((headers["Authorization"], headers["Content-Type"], body), ("Bearer secret", "application/octet-stream", b"picture"))

    def test_no_pictures_are_no_request(self) -> None:
        self.assertEqual(Client("http://127.0.0.1:1").predict_all([]), [])


if __name__ == "__main__":
    unittest.main()
