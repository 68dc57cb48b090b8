"""The fixture files are what their names say."""

import contextlib
import io
import pickle
import tempfile
import unittest
import zipfile
from pathlib import Path

import torch

import paths  # noqa: F401

import card as cards
import fixtures


class FixturesTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = Path(cls.enterClassContext(tempfile.TemporaryDirectory()))
        with contextlib.redirect_stdout(io.StringIO()) as out:
            fixtures.main(["--out", str(cls.folder)])
        cls.listing = out.getvalue()

    def load(self, name: str) -> torch.jit.ScriptModule:
        return torch.jit.load(str(self.folder / name))

    def answer(self, name: str) -> object:
        return self.load(name)(torch.linspace(-2, 2, 3 * 32 * 32).reshape(1, 3, 32, 32))

    def test_all_are_there_and_small(self):
        self.assertEqual(sorted(path.name for path in self.folder.iterdir()), sorted(fixtures.FIXTURES))
        for path in self.folder.iterdir():
            self.assertLess(path.stat().st_size, 50_000, path.name)  # fixed96.pt: a weight for each pixel of its one size
            self.assertRegex(self.listing, rf"(?m)^{path.name} +{path.stat().st_size} bytes$")

    def test_good_ones(self):
        card = cards.read(self.folder / "tiny.pt")
        self.assertEqual((card["input"]["resize"], card["input"]["crop"], len(card["labels"])), (40, 32, 5))
        self.assertEqual(self.answer("tiny.pt").shape, (1, 5))
        self.assertIsNone(cards.read(self.folder / "bare_traced.pt"))
        self.assertEqual(self.load("bare_traced.pt")(torch.zeros(1, 3, 224, 224)).shape, (1, 10))

    def test_cards_that_do_not_fit(self):
        self.assertEqual(len(cards.read(self.folder / "card_three_labels.pt")["labels"]), 3)
        self.assertEqual(cards.read(self.folder / "card_future_format.pt")["format"], 2)

    def test_not_torchscript(self):
        for name in fixtures.FIXTURES:
            if name.endswith((".pth", ".pt2", ".onnx", ".safetensors")) or name in ("garbage.pt", "truncated.pt", "empty.pt"):
                with self.subTest(name), self.assertRaises((RuntimeError, ValueError)):
                    self.load(name)

    def test_other_pytorch_files(self):
        for name in ("state_dict.pth", "legacy_state_dict.pth"):
            self.assertEqual(list(torch.load(self.folder / name)), list(fixtures.tiny_net(5).state_dict()))
        self.assertIsInstance(torch.load(self.folder / "pickled_module.pth"), torch.nn.Sequential)
        self.assertFalse(zipfile.is_zipfile(self.folder / "legacy_state_dict.pth"))
        with (self.folder / "legacy_state_dict.pth").open("rb") as file:
            self.assertEqual(pickle.load(file), 0x1950A86A20F9469CFC6C, "the old format's magic number")
        with zipfile.ZipFile(self.folder / "exported.pt2") as archive:
            self.assertIn("serialized_exported_program.json", archive.namelist())
        with zipfile.ZipFile(self.folder / "exported_new.pt2") as archive:
            self.assertEqual(archive.read("exported_new/archive_format"), b"pt2")

    def test_bad_answers(self):
        self.assertTrue(self.answer("nan.pt").isnan().all())
        self.assertIsInstance(self.answer("tuple_output.pt"), tuple)
        self.assertEqual(self.answer("double.pt").dtype, torch.float64)
        self.assertEqual(self.answer("int_output.pt").dtype, torch.int64)
        self.assertEqual(self.answer("wrong_shape.pt").shape, (1000,))
        with self.assertRaisesRegex(torch.jit.Error, "this model always fails"):
            self.answer("throws.pt")


if __name__ == "__main__":
    unittest.main()
