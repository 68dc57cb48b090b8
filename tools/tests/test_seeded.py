"""The seeded model must be the same everywhere, and its answers must depend on the picture."""

import contextlib
import io
import tempfile
import unittest
from pathlib import Path

import numpy as np
import torch

import paths

import card as cards
import export
import generated
import seeded
from classify import Classifier


class SeededTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = cls.enterClassContext(tempfile.TemporaryDirectory())
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            code = export.main(["resnet18-seeded", "--out", folder])
        assert code == 0, code
        cls.path = Path(folder) / "resnet18-seeded.pt"

    def test_card_says_what_it_is(self):
        card = cards.read(self.path)
        self.assertEqual(card["name"], "resnet18-seeded")
        self.assertIn("answers mean nothing", card["description"])
        self.assertIn("seed 1", card["source"])

    def test_weights_are_the_known_ones(self):
        self.assertEqual(cards.read(self.path)["weights_sha256"], seeded.WEIGHTS_SHA256)

    def test_batch_norms_are_spread(self):
        state = torch.jit.load(str(self.path)).state_dict()
        norms = [name.removesuffix(".running_var") for name in state if name.endswith(".running_var")]
        self.assertEqual(len(norms), 20)
        for norm in norms:
            for part in ("weight", "bias", "running_mean", "running_var"):
                self.assertGreater(state[f"{norm}.{part}"].std().item(), 0.01, f"{norm}.{part}")
            self.assertGreater(state[f"{norm}.running_var"].min().item(), 1e-4, norm)

    def test_photographs_get_different_answers(self):
        """Logits with a standard deviation of at least 1 for each, and at least 10 classes among them."""
        photographs = paths.photographs()
        if not photographs:
            self.skipTest("VIDI_SHARED is not set: it names the folder that holds photos/")
        self.assertGreaterEqual(len(photographs), 48)
        classifier = Classifier(self.path, threads=2)
        logits = np.stack([classifier.run(path).logits for path in photographs])
        spread, classes = logits.std(axis=1), len(set(logits.argmax(axis=1)))
        print(f"\n{len(photographs)} photographs: logits' std {spread.min():.2f} to {spread.max():.2f}, {classes} top-1 classes")
        self.assertGreaterEqual(spread.min(), 1)
        self.assertGreaterEqual(classes, 10)

    def test_generated_pictures_get_different_answers(self):
        """The same without photographs, on pictures that calibration has not seen."""
        classifier = Classifier(self.path, threads=2)
        with tempfile.TemporaryDirectory() as folder:
            logits = []
            for seed in range(24):
                path = Path(folder) / f"{seed}.png"
                generated.generate(seed).save(path)
                logits.append(classifier.run(path).logits)
        logits = np.stack(logits)
        self.assertGreaterEqual(logits.std(axis=1).min(), 1)
        self.assertGreaterEqual(len(set(logits.argmax(axis=1))), 10)


if __name__ == "__main__":
    unittest.main()
