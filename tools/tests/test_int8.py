"""Quantisation: the rounding's promises, the rewriting of the network, and the exporter's --int8."""

import contextlib
import dataclasses
import hashlib
import io
import os
import tempfile
import unittest
from pathlib import Path
from unittest import mock

import torch
from torch import nn

import paths  # makes the tools importable

import calibration
import calibration_views
import card as cards
import export
import generated
import models
import quantisation
import rounding


class SamePadding(nn.Conv2d):
    """A convolution that pads its own input, more on one side, as EfficientNet's do."""

    def __init__(self, *args, padding, **kwargs):
        super().__init__(*args, **kwargs)
        self.static_padding = nn.ZeroPad2d(padding)

    def forward(self, x):
        return self._conv_forward(self.static_padding(x), self.weight, self.bias)


class Net(nn.Module):
    """One of each thing that quantisation treats in its own way, in the shape of a classifier with 1000 classes."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(3)
        self.stem = SamePadding(3, 16, 3, stride=4, bias=False, padding=(0, 1, 0, 1))
        self.norm = nn.BatchNorm2d(16)
        self.depthwise = SamePadding(16, 16, 5, stride=2, groups=16, bias=False, padding=(1, 2, 1, 2))
        self.norm2 = nn.BatchNorm2d(16)
        self.project = nn.Conv2d(16, 16, 1)
        self.clip = nn.ReLU6()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(16, 1000)
        for norm in (self.norm, self.norm2):
            norm.running_mean.uniform_(-0.5, 0.5)
            norm.running_var.uniform_(0.1, 0.5)
            norm.weight.data.uniform_(1, 4)  # so that ReLU6 has something to clip
        self.fc.weight.data.mul_(4)

    def forward(self, x):
        x = self.clip(self.norm(self.stem(x)))
        x = self.clip(self.norm2(self.depthwise(x)))
        return self.fc(self.pool(x + self.project(x)).flatten(1))


def views(count: int = 6) -> torch.Tensor:
    card = {"input": {"resize": 256, "crop": 224, "interpolation": "bilinear", "mean": [0.5] * 3, "std": [0.25] * 3}}
    with tempfile.TemporaryDirectory() as folder:
        found = []
        for n in range(count):
            found.append(Path(folder) / f"{n}.png")
            generated.generate(n, 230).save(found[-1])
        return calibration_views.tensors(found, card)


class RoundingTest(unittest.TestCase):
    def check_steps(self, whole: torch.Tensor, conv: nn.Conv2d):
        """No two weights that meet can overflow 16 bits together with the largest inputs. whole: in the shape of the weight."""
        self.assertLessEqual(whole.abs().max().item(), 127)
        for side in (whole.clamp(min=0), (-whole).clamp(min=0)):
            if conv.groups == 1 and conv.in_channels % 2 == 0:
                both = side[:, 0::2] + side[:, 1::2]
            else:
                both = side.flatten(1).topk(min(2, side[0].numel()), dim=1).values.sum(1)
            self.assertLessEqual(255 * both.max().item(), 2**15 - 1)

    def test_steps_fit_every_cpu(self):
        torch.manual_seed(1)
        for conv in (nn.Conv2d(8, 200, 3), nn.Conv2d(200, 200, 5, groups=200), nn.Conv2d(3, 200, 3), nn.Conv2d(2, 200, 1)):
            with self.subTest(conv=conv):
                channels = conv.weight.data.normal_().flatten(1)
                channels[0] = 0
                channels[1, -1] = 100  # one that stands out: it gets the steps that the others leave
                channels[2] = 1
                steps, low, high = rounding.step_sizes(conv)
                self.assertTrue((steps > 0).all())
                # The worst that rounding may choose is at the bounds themselves.
                self.check_steps(high.reshape(conv.weight.shape), conv)
                self.check_steps(low.reshape(conv.weight.shape), conv)
                self.assertGreater((channels[1] / steps[1]).max(), 120)
                # No weight lies outside its own bounds by more than rounding: down by up to 1 where a pair is full.
                self.assertTrue((channels / steps[:, None] < high + 1.01).all())
                self.assertTrue((channels / steps[:, None] > low - 1.01).all())

    def test_rounded_weights_answer_better_than_the_nearest(self):
        torch.manual_seed(2)
        for conv in (nn.Conv2d(24, 8, 1), nn.Conv2d(8, 8, 3, groups=8, padding=1), nn.Conv2d(8, 6, 3, groups=2), nn.Conv2d(300, 4, 3)):
            with self.subTest(conv=conv), torch.no_grad():
                smooth = nn.functional.avg_pool2d(torch.randn(16, conv.in_channels, 14, 14).relu(), 3, 1, 1)
                inputs = smooth + smooth.mean(1, keepdim=True)  # channels that vary together, as in real networks
                want = conv(inputs)
                statistics = rounding.InputStatistics(conv)
                conv(inputs)
                statistics.handle.remove()
                before, bias = conv.weight.clone(), conv.bias.clone()
                steps = rounding.round_weights(statistics)
                whole = conv.weight / steps[:, None, None, None]
                self.assertLess((whole - whole.round()).abs().max().item(), 1e-3)
                self.check_steps(whole.round(), conv)
                clever = (conv(inputs) - want).square().mean().item()
                plain = nn.functional.conv2d(
                    inputs, (before / steps[:, None, None, None]).round() * steps[:, None, None, None], bias, 1, conv.padding, 1, conv.groups
                )
                self.assertLess(clever, 0.7 * (plain - want).square().mean().item())


class RewritingTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.net = Net().eval()
        cls.pictures = views()

    def test_simplified_network_is_the_same_function(self):
        before = {name: tensor.clone() for name, tensor in self.net.state_dict().items()}
        plain = quantisation.simplify(self.net)
        with torch.no_grad():
            want = self.net(self.pictures)
            self.assertLess((plain(self.pictures) - want).abs().max().item(), 1e-4 * want.std().item())
        kinds = {type(module) for module in plain.modules()}
        self.assertNotIn(nn.BatchNorm2d, kinds)
        self.assertNotIn(SamePadding, kinds)
        for name, tensor in self.net.state_dict().items():
            self.assertTrue(torch.equal(tensor, before[name]), f"the caller's {name} was changed")

    def test_relu6_is_absorbed(self):
        plain = quantisation.simplify(self.net)
        self.assertEqual(quantisation.absorb_relu6(plain), {"stem", "depthwise"})
        self.assertFalse(any(isinstance(module, nn.ReLU6) for module in plain.modules()))

    def test_quantised_network(self):
        quantised = quantisation.quantise(self.net, self.pictures)
        modules = dict(quantised.named_modules())
        for name in ("stem", "depthwise", "project"):
            self.assertIn("quantized", type(modules[name]).__module__, name)
        for name in ("stem", "depthwise"):
            self.assertEqual(modules[name].zero_point, 0)
            self.assertLessEqual(255 * modules[name].scale, 6 + 1e-4)  # what would be above is what ReLU6 takes away
        self.assertIs(type(modules["fc"]), nn.Linear)
        kept = dict(quantisation.quantise(self.net, self.pictures, ("stem",)).named_modules())["stem"]
        self.assertNotIn("quantized", type(kept).__module__)
        plain = quantisation.simplify(self.net).stem
        self.assertTrue(torch.equal(next(kept.parameters()), plain.weight), "a convolution that stays float was rounded")
        for name in ("stem", "depthwise", "project"):
            RoundingTest.check_steps(self, modules[name].weight().int_repr().float(), modules[name])
        found = quantisation.compare(self.net, quantised, self.pictures)
        self.assertEqual((found.pictures, found.clear_kept), (len(self.pictures), found.clear))
        self.assertGreater(found.clear, 0)
        self.assertLess(found.difference, 0.1)
        self.assertGreater(found.difference, 0)


class ExportTest(unittest.TestCase):
    """The command line, with a small network: the real one takes most of a minute."""

    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.base = Path(folder.name)
        cls.photographs = cls.base / "photographs"
        cls.photographs.mkdir()
        for n in range(4):
            generated.generate(n, 230).save(cls.photographs / f"{n}.png")
        (cls.photographs / "damaged.jpg").write_bytes(b"\xff\xd8 not a picture")
        recipe = dataclasses.replace(models.RECIPES["resnet18-seeded"], name="small", file="small.pt", net=Net, fill=lambda *_: None)
        cls.enterClassContext(mock.patch.dict(models.RECIPES, small=recipe))
        cls.first = cls.run_export("small", "--int8", "--calibrate", cls.photographs, "--out", cls.base / "out")

    @staticmethod
    def run_export(*arguments: object) -> tuple[int, str, str]:
        with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
            try:
                code = export.main([str(argument) for argument in arguments])
            except SystemExit as stop:
                code = stop.code
        return code, out.getvalue(), err.getvalue()

    def test_file_is_a_model_of_its_own(self):
        code, out, err = self.first
        self.assertEqual(code, 0, err)
        self.assertIn("damaged.jpg is left out", err)
        self.assertRegex(out, r"first answers kept  \d+ of 8")
        self.assertRegex(out, r"clear answers kept  (\d+) of \1 ")
        self.assertRegex(out, r"largest difference  0\.\d+ between a probability")
        path = self.base / "out" / "small-int8.pt"
        self.assertIn(hashlib.sha256(path.read_bytes()).hexdigest(), out)
        card = cards.read(path)
        self.assertEqual((card["name"], card["precision"]), ("small-int8", "int8"))
        self.assertIn(f"5 photographs, sha256 {calibration.digest(calibration.find(self.photographs))}", card["source"])
        with torch.no_grad():
            self.assertEqual(torch.jit.load(str(path))(torch.zeros(1, 3, 224, 224)).shape, (1, 1000))

    def test_second_run_does_nothing_unless_the_photographs_changed(self):
        again = ("small", "--int8", "--out", self.base / "out", "--calibrate")
        self.assertIn("up to date", self.run_export(*again, self.photographs)[1])
        fewer = self.base / "fewer"
        fewer.mkdir()
        for n in range(2):
            os.link(self.photographs / f"{n}.png", fewer / f"{n}.png")
        code, out, _ = self.run_export(*again[:-2], self.base / "out2", "--calibrate", fewer)
        self.assertEqual(code, 0)
        (self.base / "out2" / "small-int8.pt").replace(self.base / "out" / "other.pt")
        self.assertNotEqual(cards.read(self.base / "out" / "other.pt")["source"], cards.read(self.base / "out" / "small-int8.pt")["source"])

    def test_a_broken_model_is_not_written(self):
        bad = quantisation.Comparison(pictures=10, kept=2, clear=10, clear_kept=2, difference=0.9)
        out = self.base / "broken"
        with mock.patch.object(quantisation, "compare", return_value=bad):
            code, _, err = self.run_export("small", "--int8", "--calibrate", self.photographs, "--out", out)
        self.assertEqual(code, 1)
        self.assertIn("quantisation changed 8 of 10 clear answers", err)
        self.assertFalse(out.exists())

    def test_wrong_use(self):
        self.assertEqual(self.run_export("small", "--calibrate", self.photographs, "--out", self.base / "none")[0], 2)
        empty = self.base / "empty"
        empty.mkdir()
        code, _, err = self.run_export("small", "--int8", "--calibrate", empty, "--out", self.base / "none")
        self.assertEqual((code, err.count("\n")), (1, 1))
        self.assertIn("no photographs", err)

    def test_many_photographs_are_thinned_out(self):
        many = self.base / "many"
        many.mkdir()
        for n in range(200):
            (many / f"{n:03}.jpg").touch()
        found = calibration.find(many)
        self.assertEqual((len(found), found[0].name, found[-1].name), (64, "000.jpg", "196.jpg"))

    def test_photographs_go_by_their_names(self):
        mixed = self.base / "mixed"
        mixed.mkdir()
        for name in ("a.JIF", "b.jfif", "c.jpe", "d.webp", "._e.jpg", ".f.png", "g.gif", "h.txt"):
            (mixed / name).touch()
        self.assertEqual([path.name for path in calibration.find(mixed)], ["a.JIF", "b.jfif", "c.jpe", "d.webp"])


if __name__ == "__main__":
    unittest.main()
