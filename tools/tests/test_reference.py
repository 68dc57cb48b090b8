"""The reference: its two exceptions from Pillow, the EXIF turn, and its output files."""

import contextlib
import io
import json
import tempfile
import unittest
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

import paths  # noqa: F401

import decode
import fixtures
import generated
import jitfile
import reference
from classify import Classifier


class FolderTest(unittest.TestCase):
    def setUp(self):
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory()))

    def save(self, image: Image.Image, name: str, **options: object) -> Path:
        path = self.folder / name
        image.save(path, **options)
        return path

    def pixels(self, path: Path, **options: bool) -> np.ndarray:
        return np.asarray(decode.open_picture(path, **options).image)


class AlphaTest(FolderTest):
    """Every kind of transparency is put over white; all 65,536 pairs of value and alpha."""

    def setUp(self):
        super().setUp()
        self.value, self.alpha = (plane.astype(np.uint8) for plane in np.mgrid[0:256, 0:256])
        value, alpha = self.value.astype(int), self.alpha.astype(int)
        self.want = ((value * alpha + 255 * (255 - alpha)) * 2 + 255) // 510  # the quotient by 255, rounded

    def test_grey_with_alpha(self):
        path = self.save(Image.fromarray(np.dstack([self.value, self.alpha]), "LA"), "la.png")
        np.testing.assert_array_equal(self.pixels(path), np.dstack([self.want] * 3))

    def test_rgba(self):
        planes = [self.value, self.value.T, self.value, self.alpha]
        got = self.pixels(self.save(Image.fromarray(np.dstack(planes), "RGBA"), "rgba.png"))
        np.testing.assert_array_equal(got[..., 0], self.want)
        np.testing.assert_array_equal(got[..., 2], self.want)

    def test_strict_is_pillow(self):
        path = self.save(Image.fromarray(np.dstack([self.value, self.alpha]), "LA"), "la.png")
        np.testing.assert_array_equal(self.pixels(path, strict=True), np.dstack([self.value] * 3))

    def test_palette(self):
        image = Image.fromarray((np.arange(64).reshape(8, 8) % 4).astype(np.uint8), "P")
        image.putpalette([200, 0, 0, 0, 200, 0, 0, 0, 200, 9, 9, 9])
        got = self.pixels(self.save(image, "p.png", transparency=bytes([255, 128, 0, 255])))
        np.testing.assert_array_equal(got[0, :4], [[200, 0, 0], [127, 227, 127], [255, 255, 255], [9, 9, 9]])
        got = self.pixels(self.save(image, "p.gif", transparency=1))
        np.testing.assert_array_equal(got[0, :4], [[200, 0, 0], [255, 255, 255], [0, 0, 200], [9, 9, 9]])

    def test_one_transparent_colour(self):
        grey = Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16), "L")
        got = self.pixels(self.save(grey, "l.png", transparency=7))[..., 0].ravel()
        np.testing.assert_array_equal(got, [255 if value == 7 else value for value in range(256)])
        rgb = Image.fromarray(np.array([[[1, 2, 3], [1, 2, 4]]], np.uint8), "RGB")
        got = self.pixels(self.save(rgb, "rgb.png", transparency=(1, 2, 3)))
        np.testing.assert_array_equal(got, [[[255, 255, 255], [1, 2, 4]]])

    def test_one_transparent_colour_of_two(self):
        image = Image.fromarray(np.array([[0, 255]], np.uint8), "L").convert("1")
        got = self.pixels(self.save(image, "1.png", transparency=0))
        np.testing.assert_array_equal(got[..., 0], [[255, 255]])
        got = self.pixels(self.save(image, "2.png", transparency=1))
        np.testing.assert_array_equal(got[..., 0], [[0, 255]])


class Grey16Test(FolderTest):
    VALUES = np.arange(0, 65536, 16, dtype=np.uint16).reshape(64, 64) + 5

    def test_scaled(self):
        for name in ("grey.png", "grey.tif"):
            with self.subTest(name):
                path = self.save(Image.fromarray(self.VALUES), name)
                np.testing.assert_array_equal(self.pixels(path), np.dstack([self.VALUES >> 8] * 3))

    def test_strict_clips(self):
        path = self.save(Image.fromarray(self.VALUES), "grey.png")
        np.testing.assert_array_equal(self.pixels(path, strict=True)[..., 0], self.VALUES.clip(0, 255))

    def test_transparent_value(self):
        image = Image.fromarray(self.VALUES.astype(np.int32), "I")  # Pillow writes it as 16-bit grey
        path = self.save(image, "grey.png", transparency=int(self.VALUES[0, 3]))
        got, want = self.pixels(path)[..., 0], self.VALUES >> 8
        want[0, 3] = 255  # its neighbours share the high byte, and stay
        np.testing.assert_array_equal(got, want)


class OrientationTest(FolderTest):
    def picture(self, orientation: int) -> Path:
        exif = Image.Exif()
        exif[decode.ORIENTATION] = orientation
        return self.save(generated.generate(5, 48).crop((0, 0, 48, 32)), f"{orientation}.png", exif=exif)

    def test_all_eight_as_pillow(self):
        for orientation in range(10):  # 0 and 9 do not exist and mean nothing
            path = self.picture(orientation)
            with self.subTest(orientation):
                want = np.asarray(ImageOps.exif_transpose(Image.open(path)))
                np.testing.assert_array_equal(self.pixels(path), want)
                self.assertEqual(want.shape[0], 48 if 5 <= orientation <= 8 else 32)

    def test_switched_off(self):
        self.assertEqual(self.pixels(self.picture(6), exif=False).shape, (32, 48, 3))

    def test_tiff_is_turned_once(self):
        """Pillow turns TIFFs by itself while loading, which must not be done twice, and must be undone where it is unwanted."""
        stored = generated.generate(5, 48).crop((0, 0, 48, 32))
        for orientation, turn in decode.TURNS.items():
            path = self.save(stored, f"{orientation}.tiff", tiffinfo={decode.ORIENTATION: orientation})
            with self.subTest(orientation):
                np.testing.assert_array_equal(self.pixels(path), np.asarray(stored.transpose(turn)))
                np.testing.assert_array_equal(self.pixels(path, exif=False), np.asarray(stored))

    def test_damaged_block_is_ignored(self):
        path = self.save(generated.generate(5, 48), "bad.jpg", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
        self.assertEqual(self.pixels(path).shape, (48, 48, 3))


class LimitsTest(FolderTest):
    def test_too_many_pixels(self):
        path = self.save(Image.new("1", (8000, 8000)), "large.png")
        with self.assertRaisesRegex(ValueError, "8000×8000 is over the limit of 60 megapixels"):
            decode.open_picture(path)

    def test_too_long(self):
        path = self.save(Image.new("L", (20000, 1)), "long.png")
        model = self.folder / "bare.pt"
        model.write_bytes(fixtures.FIXTURES["bare_traced.pt"]("bare.pt"))
        with self.assertRaisesRegex(ValueError, "20000×1 is too long"):
            Classifier(model).run(path)

    def test_postscript_is_not_opened(self):
        path = self.save(Image.new("RGB", (8, 8)), "picture.eps")
        with self.assertRaises(Image.UnidentifiedImageError):
            decode.open_picture(path)


class CommandTest(FolderTest):
    def setUp(self):
        super().setUp()
        self.model = self.folder / "tiny.pt"
        self.card = fixtures.tiny_card()
        jitfile.save(jitfile.trace(fixtures.tiny_net(5), (1, 3, 32, 32)), self.model, self.card)
        self.picture = self.save(generated.generate(1, 100).crop((0, 0, 100, 80)), "one.png")
        self.broken = self.folder / "two.jpg"
        self.broken.write_bytes(b"\xff\xd8\xff\xe0 not a picture")

    def run_reference(self, *arguments: object) -> tuple[int, str, str]:
        with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
            code = reference.main(["--model", str(self.model), *map(str, arguments)])
        return code, out.getvalue(), err.getvalue()

    def test_files(self):
        out = self.folder / "out"
        code, _, _ = self.run_reference("--out", out, "--tensors", "--pixels", "--top-k", 9, self.broken, self.picture)
        self.assertEqual(code, 1, "one picture is broken")
        index = json.loads((out / "index.json").read_text(encoding="utf-8"))
        for key in ("torch", "torchvision", "pillow", "libjpeg", "model"):
            self.assertTrue(index[key], key)
        bad, good = index["pictures"]
        self.assertEqual(bad["path"], str(self.broken))
        self.assertTrue(bad["error"])
        self.assertIsNone(good["error"])
        self.assertEqual((good["width"], good["height"], good["mode"], good["format"]), (100, 80, "RGB", "PNG"))
        self.assertEqual(list(good["timing_ms"]), ["decode", "resize", "normalize", "inference"])
        self.assertEqual(sorted(prediction["class_id"] for prediction in good["top_k"]), list(range(5)), "9 is clamped to 5")
        self.assertAlmostEqual(sum(prediction["probability"] for prediction in good["top_k"]), 1, places=5)

        pixels = (out / good["pixels_rgb"]).read_bytes()
        self.assertEqual(pixels, Image.open(self.picture).tobytes())
        u8 = np.frombuffer((out / good["input_u8"]).read_bytes(), np.uint8).reshape(32, 32, 3)
        tensor = np.frombuffer((out / good["tensor_f32"]).read_bytes(), "<f4").reshape(3, 32, 32)
        mean, std = np.array(self.card["input"]["mean"]), np.array(self.card["input"]["std"])
        np.testing.assert_allclose(tensor, ((u8 / 255 - mean) / std).transpose(2, 0, 1), atol=1e-5)
        logits = np.frombuffer((out / good["logits_f32"]).read_bytes(), "<f4")
        probabilities = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
        best = good["top_k"][0]
        self.assertEqual(best["class_id"], int(logits.argmax()))
        self.assertAlmostEqual(best["probability"], float(probabilities.max()), places=5)
        self.assertEqual(best["confidence"], round(best["probability"] * 100, 1))

    def test_size_is_after_the_turn(self):
        exif = Image.Exif()
        exif[decode.ORIENTATION] = 6
        turned = self.save(Image.new("RGB", (60, 40)), "turned.jpg", exif=exif)
        for arguments, size in (([], (40, 60)), (["--no-exif"], (60, 40))):
            self.run_reference("--out", self.folder / "out", *arguments, turned)
            picture = json.loads((self.folder / "out" / "index.json").read_text(encoding="utf-8"))["pictures"][0]
            self.assertEqual((picture["width"], picture["height"]), size)

    def test_table_and_list(self):
        names = self.folder / "names.txt"
        names.write_text(f"{self.picture}\n\n{self.broken}\n", encoding="utf-8")
        code, out, err = self.run_reference("--list", names, "--top-k", 2)
        self.assertEqual(code, 1)
        self.assertIn("100×80, PNG", out)
        self.assertEqual(out.count(" %  "), 2)
        self.assertIn(str(self.broken), err)

    def test_bench(self):
        code, out, _ = self.run_reference("--bench", 3, "--threads", 2, self.picture)
        report = json.loads(out)
        self.assertEqual((code, report["repeat"], report["threads"]), (0, 3, 2))
        self.assertEqual(set(report["pictures"][0]["median_ms"]), {"decode", "resize", "normalize", "inference", "total"})

    def test_bad_models(self):
        for name, code in (("nan.pt", 1), ("tuple_output.pt", 1), ("throws.pt", 1), ("state_dict.pth", 3), ("empty.pt", 3)):
            self.model = self.folder / name
            self.model.write_bytes(fixtures.FIXTURES[name](name))
            with self.subTest(name):
                got, _, err = self.run_reference(self.picture)
                self.assertEqual((got, err.count("\n")), (code, 1), err)

    def test_classify_image(self):
        answer = reference.classify_image(self.picture, top_k=2, model=self.model)
        self.assertEqual([list(entry) for entry in answer], [["label", "confidence"]] * 2)
        self.assertGreaterEqual(answer[0]["confidence"], answer[1]["confidence"])

    def test_file_without_card(self):
        bare = self.folder / "bare.pt"
        bare.write_bytes(fixtures.FIXTURES["bare_traced.pt"]("bare.pt"))
        self.assertRegex(reference.classify_image(self.picture, top_k=1, model=bare)[0]["label"], r"^class_\d$")


if __name__ == "__main__":
    unittest.main()
