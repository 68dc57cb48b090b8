"""What tools/lint/ checks in documents fails on a wrong name."""

import shutil
import sys
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools" / "lint"))
import layers
import names
import versions


class Names(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.tree = names.Tree(ROOT)

    def test_wrong_names_are_found(self):
        for code in ("service/gone/x.go", "gone.go", "service/httpapi/*.rs", "make gone", "make lint gone", "vidi gone", "vidi models gone",
                     "vidi classify --gone", "bin/vidi bench --watch", "vidi help gone", "vidi classify -Z", "--gone-flag",
                     "VIDI_GONE", "TestGoneThing", "goneThing", "tb_gone", "Pool.Gone", "engine.Gone"):
            with self.subTest(code):
                self.assertTrue(names.mistakes(self.tree, "README.md", f"Text `{code}` text."))
        for block in ("make gone", "bin/vidi models gone", "VIDI_KEY=x vidi classify --gone x", "cat examples/gone.png | bin/vidi classify -"):
            with self.subTest(block):
                self.assertTrue(names.mistakes(self.tree, "README.md", f"Text\n\n    {block}\n"))
        for link in ("docs/gone.md", "docs/api.md#gone", "#gone"):
            with self.subTest(link):
                self.assertTrue(names.mistakes(self.tree, "README.md", f"[Text]({link})"))

    def test_right_names_are_not(self):
        text = """# A heading, with `code`
See [there](docs/api.md#errors) or [above](#a-heading-with-code): `service/httpapi/server.go`, `server.go`, `service/httpapi/*_test.go`, `make lint`,
`vidi models add --labels FILE`, `vidi help serve`, `vidi classify -k 5`, `--max-body`, `VIDI_MAX_BODY`, `Worker.Do`, `tb::Resampler`,
`ResizeRGB`, `TB_ABI_VERSION`, `my-file.pt`, `queue_full`.

    make bench BENCH=--quick    # not `gone.go`
    docker run vidi vidi keys list --keys FILE
"""
        self.assertEqual(names.mistakes(self.tree, "README.md", text), [])


class Layers(unittest.TestCase):
    TABLE = "| 2 | httpapi |\n| 1 | api, torchbind |\n"

    def list(self, *lines):
        return "\n".join(" ".join(layers.MODULE + word for word in line.split()) for line in lines)

    def test_imports_only_go_down(self):
        good = self.list("service/httpapi service/api torchbind", "service/api", "torchbind")
        self.assertEqual(layers.differences(self.TABLE, good), [])
        for bad in (self.list("service/httpapi", "service/api service/httpapi", "torchbind"), self.list("service/httpapi", "service/api torchbind", "torchbind"),
                    self.list("service/httpapi", "service/api", "torchbind", "service/new"), self.list("service/httpapi", "torchbind")):
            with self.subTest(bad):
                self.assertEqual(len(layers.differences(self.TABLE, bad)), 1)


class Versions(unittest.TestCase):
    def test_each_part_is_held_to_the_version(self):
        self.assertEqual(versions.differences(ROOT), [])
        parts = {name for name, _ in versions.OTHERS}
        for changed in parts:
            with self.subTest(changed), tempfile.TemporaryDirectory() as folder:
                for name in {versions.SOURCE[0], *parts}:
                    copy = Path(folder, name)
                    copy.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy(ROOT / name, copy)
                copy = Path(folder, changed)
                copy.write_text(copy.read_text().replace(versions.version(ROOT, *versions.SOURCE), "9.9.9"))
                found = versions.differences(Path(folder))
                self.assertTrue(found)
                self.assertTrue(all(line.startswith(changed) for line in found), found)


if __name__ == "__main__":
    unittest.main()
