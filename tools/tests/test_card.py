"""The label table and the card built from it."""

import json
import tempfile
import unittest
import zipfile
from pathlib import Path

from paths import LABELS

import card as cards

HEADER = "class_id\twnid\ten\tzh\n"


class LabelsTest(unittest.TestCase):
    def read(self, text: str) -> list[dict]:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "labels.tsv"
            path.write_text(text, encoding="utf-8")
            return cards.read_labels(path)

    def test_project_table(self):
        labels = cards.read_labels(LABELS)
        self.assertEqual(len(labels), 1000)
        self.assertEqual(labels[0]["label"], "tench")
        self.assertEqual(labels[970]["wnid"], "n09193705")
        for label in labels:
            self.assertEqual(list(label), ["label", "wnid", "names"])
            self.assertEqual(label["names"]["en"], label["label"])

    def test_quotes_are_letters(self):
        self.assertEqual(self.read(HEADER + '0\tn1\tyellow lady"s slipper\t杓兰\n')[0]["label"], 'yellow lady"s slipper')

    def test_refuses_what_would_misname_classes(self):
        row = "{}\tn1\t{}\t名\n"
        bad = {
            "a gap": HEADER + row.format(0, "a") + row.format(2, "b"),
            "twice the same name": HEADER + row.format(0, "a") + row.format(1, "a"),
            "no header": row.format(0, "a"),
            "no rows": HEADER,
            "no Chinese name": HEADER + "0\tn1\ta\t\n",
        }
        for what, text in bad.items():
            with self.subTest(what), self.assertRaises(ValueError):
                self.read(text)


class CardTest(unittest.TestCase):
    def test_schema(self):
        label = {"label": "alp", "wnid": "n09193705", "names": {"en": "alp", "zh": "高山"}}
        card = cards.make(
            name="n",
            description="d",
            licence="l",
            source="s",
            weights_sha256="w",
            labels=[label],
            mean=(0.5,) * 3,
            std=(1.0,) * 3,
        )
        want = (
            '{"format":1,"task":"classification","name":"n","version":"1","description":"d","licence":"l","source":"s",'
            '"weights_sha256":"w","precision":"fp32","activation":"softmax","input":{"resize":256,"crop":224,'
            '"interpolation":"bilinear","mean":[0.5,0.5,0.5],"std":[1.0,1.0,1.0]},"labels":[{"label":"alp",'
            '"wnid":"n09193705","names":{"en":"alp","zh":"高山"}}]}'
        )
        self.assertEqual(cards.dump(card), want)

    def test_read(self):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.pt"
            self.assertIsNone(cards.read(path), "no file")
            with zipfile.ZipFile(path, "w") as archive:
                archive.writestr("model/extra/vidi.json", json.dumps({"format": 1}))
            self.assertEqual(cards.read(path), {"format": 1})
            whole = path.read_bytes()
            path.write_bytes(whole[:-30])
            self.assertIsNone(cards.read(path), "cut short")
            path.write_bytes(whole.replace(b'"format": 1', b'"format": 2'))
            self.assertIsNone(cards.read(path), "a byte changed, so the record's checksum is wrong")


if __name__ == "__main__":
    unittest.main()
