"""The table of architectures says what TorchVision says."""

import unittest

import torchvision

import paths  # noqa: F401

import architectures
from recipe import IMAGENET_MEAN, IMAGENET_STD

# EfficientNet-B0's weights were rewritten under the same name, so the digest in the name was wrong, until the name was changed.
RENAMED = {"efficientnet_b0_rwightman-3dd342df.pth": "efficientnet_b0_rwightman-7f5810bc.pth"}


class ArchitecturesTest(unittest.TestCase):
    def test_preprocessing_and_weights_are_torchvisions(self):
        self.assertEqual(len(architectures.ARCHITECTURES), 6)
        for row in architectures.ARCHITECTURES:
            with self.subTest(row.name):
                enum = next(e for name, e in vars(torchvision.models).items() if name.lower() == f"{row.function}_weights")
                official, transforms = enum.IMAGENET1K_V1, enum.IMAGENET1K_V1.transforms()
                folder, _, file = official.url.rpartition("/")
                recipe = row.official()
                self.assertEqual(recipe.weights.url, f"{folder}/{RENAMED.get(file, file)}")
                self.assertTrue(row.weights_file.endswith(f"-{row.sha256[:8]}.pth"), row.weights_file)
                self.assertRegex(row.sha256, "^[0-9a-f]{64}$")
                self.assertEqual(([recipe.resize], [recipe.crop]), (transforms.resize_size, transforms.crop_size))
                self.assertEqual(recipe.interpolation, transforms.interpolation.value)
                self.assertEqual((transforms.mean, transforms.std), (list(IMAGENET_MEAN), list(IMAGENET_STD)))

    def test_seeded_twin_takes_the_same_pictures_and_says_what_it_is(self):
        for row in architectures.ARCHITECTURES:
            official, seeded = row.official(), row.seeded()
            self.assertEqual(seeded.name, f"{official.name}-seeded")
            self.assertIn("answers mean nothing", seeded.description)
            for field in ("resize", "crop", "interpolation", "mean", "std"):
                self.assertEqual(getattr(official, field), getattr(seeded, field), f"{row.name}: {field}")


if __name__ == "__main__":
    unittest.main()
