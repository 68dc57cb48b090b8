"""The exporter from the command line: what it writes, when it does nothing, and how it fails."""

import contextlib
import dataclasses
import hashlib
import io
import json
import os
import tempfile
import unittest
import zipfile
from pathlib import Path
from unittest import mock

import torch

import paths
from server import Host

import card as cards
import export
import jitfile
import models
from weights import ExportError

NOWHERE = "http://127.0.0.1:9/weights.pth"  # port 9 (discard): nobody listens there


def run(*arguments: object) -> tuple[int, str, str]:
    """Runs the exporter; returns its exit status, stdout and stderr."""
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        code = export.main([str(argument) for argument in arguments])
    return code, out.getvalue(), err.getvalue()


class ExportTest(unittest.TestCase):
    """The tests share one output folder, because making a model takes seconds."""

    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.temporary.cleanup)
        cls.base = Path(cls.temporary.name)
        cls.out = cls.base / "models"
        cls.enterClassContext(mock.patch.dict(os.environ, {"XDG_CACHE_HOME": str(cls.base / "cache")}))
        cls.lite0 = run("efficientnet-lite0", "--out", cls.out)

    def lite0_card(self) -> dict:
        return cards.read(self.out / "efficientnet-lite0.pt")

    def test_lite0_is_written_with_its_card(self):
        code, out, err = self.lite0
        self.assertEqual(code, 0, err)
        path = self.out / "efficientnet-lite0.pt"
        for text in (str(path.stat().st_size), hashlib.sha256(path.read_bytes()).hexdigest(), models.LITE0_WEIGHTS.sha256):
            self.assertIn(text, out)
        card = self.lite0_card()
        self.assertEqual(card["name"], "efficientnet-lite0")
        self.assertEqual(card["licence"], "Apache-2.0")
        self.assertEqual(card["weights_sha256"], models.LITE0_WEIGHTS.sha256)
        self.assertEqual(card["input"]["mean"], [127 / 255] * 3)
        self.assertEqual(card["input"]["std"], [128 / 255] * 3)
        self.assertEqual(len(card["labels"]), 1000)

    def test_file_loads_and_equals_the_original(self):
        net = models.LITE0.build(models.lite0_weights_path())
        self.assertLessEqual(jitfile.verify(self.out / "efficientnet-lite0.pt", net, self.lite0_card()), 1e-4)

    def test_file_names_no_folder_of_this_machine(self):
        folder = str(Path(torch.__file__).parent).encode()
        with zipfile.ZipFile(self.out / "efficientnet-lite0.pt") as archive:
            for name in archive.namelist():
                self.assertFalse(name.endswith(".debug_pkl"), name)
                self.assertNotIn(folder, archive.read(name), name)

    def test_second_run_does_nothing(self):
        path = self.out / "efficientnet-lite0.pt"
        before = path.stat()
        code, out, _ = run("efficientnet-lite0", "--out", self.out)
        self.assertEqual((code, out), (0, f"efficientnet-lite0: {path} is up to date\n"))
        self.assertEqual((path.stat().st_ino, path.stat().st_mtime_ns), (before.st_ino, before.st_mtime_ns))

    def test_other_inputs_are_not_up_to_date(self):
        labels = cards.read_labels(paths.LABELS)
        self.assertTrue(export.up_to_date(models.LITE0, self.out, labels))
        renamed = [{**labels[0], "names": {"en": "tench", "zh": "鱼"}}, *labels[1:]]
        self.assertFalse(export.up_to_date(models.LITE0, self.out, renamed))
        self.assertFalse(export.up_to_date(dataclasses.replace(models.LITE0, version="2"), self.out, labels))
        self.assertFalse(export.up_to_date(models.LITE0, self.base / "elsewhere", labels))

    def test_auto_falls_back(self):
        code, out, _ = run("auto", "--out", self.out, "--weights-url", NOWHERE)
        self.assertEqual(code, 0)
        self.assertRegex(out, r"^auto: efficientnet-lite0, because resnet18's weights cannot be fetched .*\n")
        self.assertIn("up to date", out)

    def test_unreachable_is_69(self):
        code, out, err = run("resnet18", "--out", self.base / "none", "--weights-url", NOWHERE)
        self.assertEqual((code, out), (69, ""))
        self.assertEqual(err.count("\n"), 1, err)
        self.assertFalse((self.base / "none").exists())

    def test_wrong_download_is_not_a_reason_to_fall_back(self):
        host = Host(b"<html>please log in to this network</html>")
        self.addCleanup(host.close)
        code, _, err = run("auto", "--out", self.base / "none", "--weights-url", host.url)
        self.assertEqual(code, 1)
        self.assertIn("wrong size", err)

    def test_wrong_weights_file_is_refused_and_kept(self):
        path = self.base / "mine.pth"
        path.write_bytes(b"mine")
        code, _, err = run("resnet18", "--out", self.base / "none", "--weights", path)
        self.assertEqual(code, 1)
        self.assertIn("expected 46830571 bytes, got 4", err)
        self.assertEqual(path.read_bytes(), b"mine")

    def test_failed_check_leaves_nothing(self):
        out = self.base / "failed"
        with mock.patch.object(jitfile, "verify", side_effect=ExportError("differs")):
            code, _, err = run("efficientnet-lite0", "--out", out)
        self.assertEqual((code, list(out.iterdir())), (1, []))
        self.assertIn("differs", err)

    def test_missing_labels_are_told(self):
        code, _, err = run("efficientnet-lite0", "--out", self.out, "--labels", self.base / "no.tsv")
        self.assertEqual(code, 1)
        self.assertIn("no.tsv", err)


class ResNet18Test(unittest.TestCase):
    """The real weights' host may be out of reach, so a seeded state_dict stands in for them under a pin of its own."""

    def test_download_export_and_auto(self):
        buffer = io.BytesIO()
        torch.save(models.RECIPES["resnet18-seeded"].build(None).state_dict(), buffer)
        body = buffer.getvalue()
        host = Host(body)
        self.addCleanup(host.close)
        pin = dataclasses.replace(models.RESNET18.weights, size=len(body), sha256=hashlib.sha256(body).hexdigest())
        recipe = dataclasses.replace(models.RESNET18, weights=pin)
        folder = self.enterContext(tempfile.TemporaryDirectory())
        self.enterContext(mock.patch.dict(os.environ, {"XDG_CACHE_HOME": folder}))
        self.enterContext(mock.patch.object(models, "RESNET18", recipe))
        out = Path(folder) / "models"

        code, stdout, err = run("auto", "--out", out, "--weights-url", host.url)
        self.assertEqual(code, 0, err)
        self.assertTrue(stdout.startswith("auto: resnet18, with the weights in "), stdout)
        card = cards.read(out / "resnet18_traced.pt")
        self.assertEqual((card["name"], card["weights_sha256"]), ("resnet18", pin.sha256))
        self.assertEqual(card["input"]["mean"], [0.485, 0.456, 0.406])

        code, stdout, _ = run("auto", "--out", out, "--weights-url", NOWHERE)
        self.assertEqual(code, 0)
        self.assertIn("up to date", stdout)
        self.assertEqual(host.requests, 1)


class VerifyTest(unittest.TestCase):
    """The exporter's own check must notice what it is there for."""

    def test_notices_other_weights_labels_and_cards(self):
        import fixtures

        card = fixtures.tiny_card()
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "tiny.pt"
            jitfile.save(jitfile.trace(fixtures.tiny_net(5), (1, 3, 32, 32)), path, card)
            self.assertLessEqual(jitfile.verify(path, fixtures.tiny_net(5), card), 1e-6)
            other = fixtures.tiny_net(5)
            with torch.no_grad():
                other[4].bias[0] += 0.01
            with self.assertRaisesRegex(ExportError, "differs from the original by 0.01"):
                jitfile.verify(path, other, card)
            with self.assertRaisesRegex(ExportError, "card read back"):
                jitfile.verify(path, fixtures.tiny_net(5), json.loads(cards.dump(card | {"version": "2"})))
            short = fixtures.tiny_card(fixtures.TINY_LABELS[:3])
            jitfile.save(jitfile.trace(fixtures.tiny_net(5), (1, 3, 32, 32)), path, short)
            with self.assertRaisesRegex(ExportError, "5 outputs but 3 labels"):
                jitfile.verify(path, fixtures.tiny_net(5), short)


if __name__ == "__main__":
    unittest.main()
