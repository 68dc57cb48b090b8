"""Downloading weights: every way it can go wrong, against a local host."""

import contextlib
import dataclasses
import hashlib
import io
import socket
import tempfile
import time
import unittest
from pathlib import Path

import paths  # noqa: F401
from server import Host

from weights import ExportError, Unreachable, Weights, fetch

BODY = bytes(range(256)) * 4096  # 1 MiB, so that half of it is more than one packet


class FetchTest(unittest.TestCase):
    def setUp(self):
        self.host = Host(BODY)
        self.addCleanup(self.host.close)
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name) / "cache"
        self.weights = Weights(self.host.url, "w.pth", len(BODY), hashlib.sha256(BODY).hexdigest())

    def fetch(self, **changes) -> Path:
        with contextlib.redirect_stderr(io.StringIO()) as self.stderr:
            return fetch(dataclasses.replace(self.weights, **changes), self.folder, connect_seconds=1)

    def assert_nothing_left(self):
        self.assertEqual(list(self.folder.iterdir()), [])

    def test_downloads_once(self):
        for _ in range(2):
            self.assertEqual(self.fetch().read_bytes(), BODY)
        self.assertEqual(self.host.requests, 1)
        self.assertEqual([path.name for path in self.folder.iterdir()], ["w.pth"])

    def test_damaged_cache_is_replaced(self):
        self.fetch().write_bytes(BODY[:-1] + b"x")
        self.assertEqual(self.fetch().read_bytes(), BODY)
        self.assertIn("wrong checksum", self.stderr.getvalue())
        self.assertEqual(self.host.requests, 2)

    def test_wrong_checksum(self):
        expected = "0" * 64
        with self.assertRaises(ExportError) as caught:
            self.fetch(sha256=expected)
        self.assertEqual(caught.exception.code, 1)
        self.assertIn(f"expected sha256 {expected}, got {self.weights.sha256}", str(caught.exception))
        self.assert_nothing_left()

    def test_wrong_size(self):
        for size in (len(BODY) + 1, len(BODY) - 1):
            with self.subTest(size), self.assertRaisesRegex(ExportError, f"wrong size: expected {size}") as caught:
                self.fetch(size=size)
            self.assertEqual(caught.exception.code, 1)
            self.assert_nothing_left()

    def test_broken_connection(self):
        self.host.fault = "broken"
        with self.assertRaisesRegex(Unreachable, "connection broke"):
            self.fetch()
        self.assert_nothing_left()

    def test_host_refuses(self):
        for status in (403, 404, 503):
            self.host.fault = status
            with self.subTest(status), self.assertRaisesRegex(Unreachable, f"the host answered {status}") as caught:
                self.fetch()
            self.assertEqual(caught.exception.code, 69)

    def test_nobody_listens(self):
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            with self.assertRaisesRegex(Unreachable, "refused") as caught:
                self.fetch(url=f"http://127.0.0.1:{unused.getsockname()[1]}/w.pth")
        self.assertNotIn("\n", str(caught.exception))

    def test_silent_host(self):
        self.host.fault = "slow"
        start = time.monotonic()
        with self.assertRaisesRegex(Unreachable, "no answer within 1 s"):
            self.fetch()
        self.assertLess(time.monotonic() - start, 3)


if __name__ == "__main__":
    unittest.main()
