"""Fine-tuning: a tiny head is trained and answers the same from bin/vidi; and what is wrong with a folder is said."""

import contextlib
import io
import json
import random
import subprocess
import tempfile
import unittest
from pathlib import Path

from PIL import Image, ImageDraw

import paths

import card as cards
import class_folders
import finetune
from classify import Classifier
from models import LITE0

VIDI = paths.TOOLS.parent / "bin/vidi"


def draw(kind: str, path: Path, chance: random.Random) -> None:
    """Discs, stripes or dots, of any colours."""
    colour = lambda: tuple(chance.randint(0, 255) for _ in range(3))
    image = Image.new("RGB", (160, 120), colour())
    pen, ink = ImageDraw.Draw(image), colour()
    if kind == "disc":
        x, y, r = chance.randint(50, 110), chance.randint(45, 75), chance.randint(25, 40)
        pen.ellipse((x - r, y - r, x + r, y + r), fill=ink)
    elif kind == "stripes":
        step = chance.randint(8, 16)
        for x in range(0, 160, 2 * step):
            pen.rectangle((x, 0, x + step, 120), fill=ink)
    else:
        for _ in range(60):
            x, y = chance.randint(0, 160), chance.randint(0, 120)
            pen.ellipse((x - 3, y - 3, x + 3, y + 3), fill=ink)
    image.save(path)


def run(*arguments: object) -> tuple[int, str, str]:
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        try:
            code = finetune.main([str(argument) for argument in arguments])
        except SystemExit as exit:
            code = exit.code
    return code, out.getvalue(), err.getvalue()


class FinetuneTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.base = Path(cls.enterClassContext(tempfile.TemporaryDirectory()))
        chance = random.Random(1)
        for kind in ("disc", "dots", "stripes"):
            folder = cls.base / "shapes" / kind
            folder.mkdir(parents=True)
            for n in range(6):
                draw(kind, folder / f"{n}.png", chance)
        shapes = cls.base / "shapes"
        (shapes / "disc" / "broken.jpg").write_bytes(b"\xff\xd8\xff not a picture")
        (shapes / "dots" / "copy.png").write_bytes((shapes / "dots" / "0.png").read_bytes())
        (shapes / ".cache").mkdir()
        (cls.base / "labels.tsv").write_text("folder\ten\tzh\ndisc\tdisc\t圆\ndots\tdots\t点\n", encoding="utf-8")
        cls.result = run(shapes, "--name", "shapes", "--start", "efficientnet-lite0", "--labels", cls.base / "labels.tsv", "--out", cls.base, "--epochs", 5, "--views", 1)

    def test_writes_a_model_whose_card_says_how_it_was_made(self):
        code, out, err = self.result
        self.assertEqual(code, 0, err)
        self.assertIn("broken.jpg is left out", err)
        self.assertIn("copy.png is left out: the same picture as", err)
        card = cards.read(self.base / "shapes.pt")
        names = [(label["label"], label["names"]) for label in card["labels"]]
        self.assertEqual(names, [("disc", {"en": "disc", "zh": "圆"}), ("dots", {"en": "dots", "zh": "点"}), ("stripes", {"en": "stripes"})])
        self.assertEqual(card["input"]["mean"], list(LITE0.mean))
        self.assertRegex(card["source"], "^trained the last layer, starting with efficientnet-lite0, seed 1, on 15 pictures, sha256 [0-9a-f]{64}$")
        self.assertIn("bin/vidi models add", out)

    def test_vidi_answers_as_the_reference_does(self):
        picture = self.base / "shapes/stripes/0.png"
        classifier = Classifier(self.base / "shapes.pt")
        want = classifier.top(classifier.run(picture).probabilities, 3)
        command = [VIDI, "classify", "--model", self.base / "shapes.pt", "--format", "json", "--top-k", "3", picture]
        got = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        self.assertEqual([answer["label"] for answer in got], [answer["label"] for answer in want])
        for mine, other in zip(got, want):
            self.assertAlmostEqual(mine["confidence"], other["confidence"], delta=0.11)  # both are rounded to 0.1

    def test_report_counts_every_picture(self):
        metrics = json.loads((self.base / "shapes-report/metrics.json").read_text(encoding="utf-8"))
        self.assertEqual(sum(map(sum, metrics["confusion"])), metrics["pictures"])
        self.assertEqual(sum(metrics["confusion"][n][n] for n in range(3)), round(metrics["top1"] * metrics["pictures"]))
        self.assertLess(metrics["history"][-1]["loss"], metrics["history"][0]["loss"])
        self.assertEqual(len(metrics["skipped"]), 2)
        page = (self.base / "shapes-report/report.html").read_text(encoding="utf-8")
        for text in ("<svg", "broken.jpg", "stripes"):
            self.assertIn(text, page)

    def test_whole_networks_learn_too(self):
        for how, start, phases, source in (
            ("--whole", "efficientnet-lite0", ["head", "whole"], "trained the whole network, starting with efficientnet-lite0"),
            ("--scratch", "mobilenet-v3-small", ["scratch"], "trained from random weights, the network of mobilenet-v3-small"),
        ):
            with self.subTest(how):
                name = how.strip("-")
                code, _, err = run(self.base / "shapes", "--name", name, "--start", start, how, "--epochs", 1, "--views", 0, "--out", self.base)
                self.assertEqual(code, 0, err)
                metrics = json.loads((self.base / f"{name}-report/metrics.json").read_text(encoding="utf-8"))
                self.assertEqual([epoch["phase"] for epoch in metrics["history"]], phases)
                self.assertIn(source, cards.read(self.base / f"{name}.pt")["source"])

    def test_says_which_files_it_leaves_out(self):
        base = Path(self.enterContext(tempfile.TemporaryDirectory()))
        for name in ("cat/a.heic", "cat/b.HEIC", "cat/c.jfif", "cat/.hidden.txt", "dog/deep/notes.txt", "dog/README"):
            (base / name).parent.mkdir(parents=True, exist_ok=True)
            (base / name).touch()
        self.assertEqual(class_folders.other_files(class_folders.class_folders(base)), "2 .heic, 1 .txt, 1 no ending")

    def test_says_what_is_wrong_with_a_folder(self):
        shapes, base = self.base / "shapes", Path(self.enterContext(tempfile.TemporaryDirectory()))

        def make(name: str, **classes: int) -> Path:
            for label, count in classes.items():
                (base / name / label).mkdir(parents=True)
                for n in range(count):
                    (base / name / label / f"{n}.png").write_bytes((shapes / "disc" / f"{n}.png").read_bytes())
            return base / name

        def check(folder: Path, says: str):
            with self.subTest(says), contextlib.redirect_stderr(io.StringIO()), self.assertRaisesRegex(class_folders.FolderError, says):
                class_folders.read(folder, LITE0)

        check(base / "nowhere", "no such folder")
        check(make("one", cat=6), r"one class folder \(cat\); it needs two or more")
        check(make("empty", cat=6, dog=0), "no pictures in dog; put some there")
        check(make("few", cat=6, dog=2), "dog has 0 usable pictures; each class needs 5")  # copies of the cat's
        check(make("twice", Cat=6, cat=6), "have the same name for a reader")
        with contextlib.redirect_stderr(io.StringIO()):
            learnt = class_folders.read(shapes, LITE0)
            with self.assertRaisesRegex(class_folders.FolderError, "has the classes cat, dog; want the same as for training: disc, dots, stripes"):
                class_folders.read(make("others", cat=1, dog=1), LITE0, learnt)
            with self.assertRaisesRegex(class_folders.FolderError, "disc has 0 usable pictures"):  # all of them were learnt from
                class_folders.read(shapes, LITE0, learnt, fewest=1)
        odd = make("odd", cat=6)
        (odd / "do\ng").mkdir()
        check(odd, "cannot be shown as a label; rename it")

    def test_says_what_is_wrong_with_the_command(self):
        for says, arguments in {
            "want 1 to 64 letters": ("--name", "a b"),
            "not allowed with": ("--name", "x", "--whole", "--scratch"),
            "must be at least 1": ("--name", "x", "--epochs", "0"),
        }.items():
            code, _, err = run(self.base / "shapes", *arguments)
            self.assertEqual((code, says in err), (2, True), err)
        wrong = self.base / "wrong.tsv"
        wrong.write_text("folder\ten\tzh\nlion\tlion\t狮\n", encoding="utf-8")
        code, _, err = run(self.base / "shapes", "--name", "x", "--start", "efficientnet-lite0", "--labels", wrong)
        self.assertEqual(code, 1)
        self.assertIn("folders that are not there: lion", err)


class SharesTest(unittest.TestCase):
    def test_shares_are_apart_and_the_same_for_the_same_seed(self):
        everything = [class_folders.Picture(Path(f"{label}/{n}"), label, None) for label in range(3) for n in range(10)]
        rest, taken = class_folders.share_out(everything, 0.2, 1)
        self.assertEqual((len(rest), len(taken)), (24, 6))
        self.assertEqual({picture.path for picture in rest} | {picture.path for picture in taken}, {picture.path for picture in everything})
        self.assertEqual([picture.path for picture in taken], [picture.path for picture in class_folders.share_out(everything, 0.2, 1)[1]])
        self.assertNotEqual([picture.path for picture in taken], [picture.path for picture in class_folders.share_out(everything, 0.2, 2)[1]])


if __name__ == "__main__":
    unittest.main()
