"""What tools/lint/ checks in documents fails on a wrong name."""

import shutil
import sys
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools" / "lint"))
import versions


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
