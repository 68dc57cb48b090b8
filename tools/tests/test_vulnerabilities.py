"""The check of a release's bill of materials against lists of known faults, with lists made here."""

import json
import subprocess
import sys
import tarfile
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

BILL = {"components": [
    {"name": "libpng16.so.16", "purl": "pkg:deb/debian/libpng16-16@1.6.39-2%2Bdeb12u4?arch=amd64"},
    {"name": "libz.so.1", "purl": "pkg:deb/debian/zlib1g@1:1.2.13.dfsg-1?arch=amd64"},
    {"name": "libc10.so", "purl": "pkg:github/pytorch/pytorch@v2.7.1"},
]}


def fault(status: str, fixed: str | None = None, release: str = "bookworm") -> dict:
    return {"releases": {release: {"status": status, "urgency": "medium"} | ({"fixed_version": fixed} if fixed else {})}}


class Vulnerabilities(unittest.TestCase):
    def setUp(self) -> None:
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory()))

    def check(self, tracker: dict | None, bill: dict = BILL, tarball: bool = False) -> tuple[int, str]:
        sbom = self.folder / "sbom.json"
        sbom.write_text(json.dumps(bill), encoding="utf-8")
        if tarball:
            with tarfile.open(self.folder / "vidi-1.tar.gz", "w:gz") as archive:
                archive.add(sbom, "vidi-1/sbom.cdx.json")
            sbom = self.folder / "vidi-1.tar.gz"
        given = [sys.executable, ROOT / "tools/dist/vulnerabilities.py", sbom, "--code-name", "bookworm"]
        if tracker is not None:
            (self.folder / "tracker.json").write_text(json.dumps(tracker), encoding="utf-8")
            given += ["--debian", self.folder / "tracker.json"]
        run = subprocess.run(given, capture_output=True, text=True)
        return run.returncode, run.stdout + run.stderr

    def test_a_fix_that_is_lacking_is_named(self) -> None:
        code, said = self.check({"libpng1.6": {"CVE-1": fault("resolved", "1.6.39-2+deb12u6"), "CVE-2": fault("resolved", "1.6.39-2+deb12u3")},
                                 "zlib": {"CVE-3": fault("open"), "CVE-4": fault("resolved", "9", "sid")}})
        self.assertEqual(code, 1, said)
        self.assertIn("lacks a fix: libpng16-16 1.6.39-2+deb12u4: CVE-1, mended in 1.6.39-2+deb12u6", said)
        self.assertNotIn("CVE-2", said)
        self.assertIn("open in Debian: zlib1g 1:1.2.13.dfsg-1: CVE-3", said)
        self.assertNotIn("CVE-4", said)
        self.assertIn("compared: 2 Debian packages", said)
        self.assertIn("not compared: Go's modules", said)

    def test_all_fixes_there(self) -> None:
        code, said = self.check({"libpng1.6": {"CVE-2": fault("resolved", "1.6.39-2+deb12u4"), "CVE-5": fault("resolved", "0")}, "zlib": {}})
        self.assertEqual(code, 0, said)
        self.assertIn("with 2 entries for bookworm", said)

    def test_a_tarball_has_its_bill_in_it(self) -> None:
        code, said = self.check({"zlib": {"CVE-6": fault("resolved", "1:1.2.13.dfsg-1+deb12u1")}}, tarball=True)
        self.assertEqual(code, 1, said)
        self.assertIn("CVE-6", said)

    def test_nothing_compared_is_no_success(self) -> None:
        self.assertEqual(self.check(None)[0], 2)
        for tracker, bill in (({}, BILL), ({"libpng1.6": {"CVE-1": fault("open")}}, {"components": []})):
            code, said = self.check(tracker, bill)
            self.assertNotEqual(code, 0)
            self.assertIn("in common", said)

    def test_a_package_that_nobody_named_is_an_error(self) -> None:
        code, said = self.check({"libpng1.6": {}}, {"components": [{"purl": "pkg:deb/debian/libnew1@1.0"}]})
        self.assertNotEqual(code, 0)
        self.assertIn("the source package of libnew1 is not known", said)


if __name__ == "__main__":
    unittest.main()
