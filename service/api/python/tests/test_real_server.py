"""The client against the real server with a real model: bin/vidi and build/models, which `make vidi test-models` make."""

import io
import re
import subprocess
import threading
import unittest
from pathlib import Path

from vidi_client import Client, PictureProblem, RequestProblem, classify_image

ROOT = Path(__file__).resolve().parents[4]
EXAMPLES = ROOT / "examples"


class RealServer(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        cls.process = subprocess.Popen(
            [ROOT / "bin/vidi", "serve", "--addr", "127.0.0.1:0", "--models", ROOT / "build/models", "--model", "efficientnet-lite0"],
            stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        cls.addClassCleanup(cls.stop)
        said = ""
        for line in cls.process.stderr:
            said += line
            if address := re.search(r"http://[0-9.:]+", line):
                cls.url = address.group()
                break
        else:
            raise AssertionError("the server did not start:\n" + said)
        cls.drain = threading.Thread(target=cls.process.stderr.read, daemon=True)  # or it would block when the pipe is full
        cls.drain.start()
        cls.client = Client(cls.url)

    @classmethod
    def stop(cls) -> None:
        cls.process.terminate()
        cls.process.wait(30)
        cls.drain.join()
        cls.process.stderr.close()

    def test_classify_image_is_the_articles_list(self) -> None:
        answers = classify_image(EXAMPLES / "espresso.png", base_url=self.url)
        self.assertEqual(len(classify_image(str(EXAMPLES / "cat.png"), top_k=5, base_url=self.url)), 5)
        self.assertEqual(len(answers), 3)
        self.assertEqual([set(answer) for answer in answers], [{"label", "confidence"}] * 3)
        self.assertEqual(answers[0]["label"], "espresso")
        self.assertGreater(answers[0]["confidence"], 90)

    def test_it_waits_while_the_model_loads(self) -> None:
        self.assertEqual(self.client.classify_image(EXAMPLES / "flower.jpg", 1)[0]["label"], "daisy")
        self.assertTrue(self.client.ready())

    def test_every_kind_of_picture(self) -> None:
        data = (EXAMPLES / "flower.jpg").read_bytes()
        with open(EXAMPLES / "flower.jpg", "rb") as file:
            for name, picture in (("", data), ("", io.BytesIO(data)), ("flower.jpg", EXAMPLES / "flower.jpg"), ("flower.jpg", file)):
                result = self.client.predict(picture, lang="zh", top_k=1)
                self.assertEqual((result["predictions"][0]["label"], result["filename"], result["format"]), ("daisy", name, "jpeg"))

    def test_parents(self) -> None:
        result = self.client.predict(EXAMPLES / "cat.png", parents=True, top_k=1)
        self.assertEqual((result["parents"][0]["label"], result["parents"][0]["names"]["zh"]), ("cat", "猫"))
        self.assertGreater(result["parents"][0]["confidence"], 90)
        self.assertNotIn("parents", self.client.predict(EXAMPLES / "cat.png"))

    def test_several(self) -> None:
        for pictures in ([b"\xff\xd8\xff bad"], [b"\xff\xd8\xff bad", EXAMPLES / "espresso.png"]):
            results = self.client.predict_all(pictures, top_k=1)
            self.assertEqual(len(results), len(pictures))
            self.assertIsInstance(results[0]["error"], PictureProblem)
            self.assertEqual(results[0]["error"].code, "corrupt_image")
        self.assertEqual((results[1]["error"], results[1]["filename"], results[1]["predictions"][0]["label"]), (None, "espresso.png", "espresso"))

    def test_problems(self) -> None:
        for code, kind, call in (
            ("unsupported_format", PictureProblem, lambda: self.client.predict(b"not a picture")),
            ("empty_image", PictureProblem, lambda: self.client.predict(b"")),
            ("bad_parameter", RequestProblem, lambda: self.client.predict(b"x", topk=5)),
            ("model_not_found", RequestProblem, lambda: self.client.predict(b"x", model="other")),
        ):
            with self.subTest(code=code), self.assertRaises(kind) as raised:
                call()
            self.assertEqual(raised.exception.code, code)
            self.assertTrue(raised.exception.request_id)
        with self.assertRaises(FileNotFoundError):
            self.client.predict("nowhere.jpg")

    def test_models(self) -> None:
        models = self.client.models()
        self.assertEqual((models["models"][0]["name"], models["limits"]["max_images"]), ("efficientnet-lite0", 64))


if __name__ == "__main__":
    unittest.main()
