"""A release's bill of materials beside lists of known faults, without a network.

    vulnerabilities.py TARBALL|SBOM --debian TRACKER.json --govulndb FOLDER --govulncheck TOOL --program BINARY

TRACKER.json is Debian's security tracker (security-tracker.debian.org/tracker/data/json), FOLDER an unpacked copy of Go's
database (vuln.go.dev/vulndb.zip). What is not given is not compared, and that is said. Ends with 1 where a fix exists that we
lack, with 2 where nothing could be compared. What Debian has not mended itself is listed and does not count.
"""

import argparse
import json
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from urllib.parse import unquote

# Debian's source packages of the libraries that vidi ships; the tracker knows only those.
SOURCES = {"libjpeg62-turbo": "libjpeg-turbo", "libpng16-16": "libpng1.6", "libpng16-16t64": "libpng1.6", "zlib1g": "zlib",
           "libstdc++6": "gcc-12", "libgcc-s1": "gcc-12"}
RELEASES = {"12": "bookworm", "13": "trixie"}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("release")
    for option in ("--debian", "--govulndb", "--govulncheck"):
        parser.add_argument(option, default="")
    parser.add_argument("--program", default="", help="what is compared with Go's database, where there is no tarball")
    parser.add_argument("--code-name", default=RELEASES.get(os_release(), ""), help="Debian's code name, as bookworm")
    given = parser.parse_args()
    if not Path(given.release).is_file():
        print("vulnerabilities: name a tarball or a bill of materials, as RELEASE=FILE; `make dist` makes one", file=sys.stderr)
        return 2
    if not given.debian and not given.govulndb:
        print("vulnerabilities: nothing was compared; give DEBIAN=tracker.json, GOVULNDB=FOLDER or both", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as folder:
        given.sbom = given.release
        if given.release.endswith(".tar.gz"):
            given.sbom, given.program = unpacked(given.release, Path(folder))
        return compared(given)


def unpacked(tarball: str, folder: Path) -> tuple[str, str]:
    """The bill of materials, and the program, of a tarball."""
    with tarfile.open(tarball) as archive:
        for member in archive:
            for name in ("sbom.cdx.json", "app/vidi"):
                if member.isfile() and member.name.partition("/")[2] == name:
                    (folder / Path(name).name).write_bytes(archive.extractfile(member).read())
    return str(folder / "sbom.cdx.json"), str(folder / "vidi")


def compared(given: argparse.Namespace) -> int:
    lacking = debian(given) if given.debian else skipped("Debian's packages", "DEBIAN=tracker.json")
    lacking += go_modules(given) if given.govulndb else skipped("Go's modules", "GOVULNDB=FOLDER")
    return 1 if lacking else 0


def skipped(what: str, how: str) -> int:
    print(f"not compared: {what}; give {how}")
    return 0


def os_release() -> str:
    lines = dict(line.rstrip().split("=", 1) for line in open("/etc/os-release", encoding="utf-8") if "=" in line)
    return lines.get("VERSION_ID", "").strip('"') if lines.get("ID") == "debian" else ""


def debian(given: argparse.Namespace) -> int:
    tracker = json.loads(Path(given.debian).read_text(encoding="utf-8"))
    ours = packages(json.loads(Path(given.sbom).read_text(encoding="utf-8")))
    lacking = entries = 0
    for name, version in sorted(ours.items()):
        source = SOURCES.get(name)
        if source is None:
            sys.exit(f"vulnerabilities: the source package of {name} is not known; name it in {Path(__file__).name}")
        for cve, fault in sorted(tracker.get(source, {}).items()):
            here = fault.get("releases", {}).get(given.code_name)
            if here is None:
                continue
            entries += 1
            fixed = here.get("fixed_version", "")
            if here["status"] == "resolved" and fixed not in ("", "0") and older(version, fixed):
                print(f"lacks a fix: {name} {version}: {cve}, mended in {fixed} ({here.get('urgency', '')})")
                lacking += 1
            elif here["status"] == "open":
                print(f"open in Debian: {name} {version}: {cve} ({here.get('urgency', '')})")
    names = ", ".join(f"{n} {v}" for n, v in sorted(ours.items()))
    print(f"compared: {len(ours)} Debian packages of {given.release} ({names}) with {entries} entries for {given.code_name} of {given.debian}; {lacking} lack a fix")
    if not ours or not entries:
        sys.exit(f"vulnerabilities: {given.release} and {given.debian} have no package of {given.code_name or 'this system'} in common; is each what it should be?")
    return lacking


def packages(sbom: dict) -> dict[str, str]:
    """Versions of the Debian packages that files of the bill are from: pkg:deb/debian/NAME@VERSION?arch=…"""
    found = {}
    for component in sbom.get("components", []):
        if (purl := component.get("purl", "")).startswith("pkg:deb/debian/"):
            name, _, version = purl.partition("?")[0].rpartition("/")[2].partition("@")
            found[unquote(name)] = unquote(version)
    return found


def older(version: str, than: str) -> bool:
    return subprocess.run(["dpkg", "--compare-versions", version, "lt", than]).returncode == 0


def go_modules(given: argparse.Namespace) -> int:
    folder = Path(given.govulndb).resolve()
    if not (folder / "index/modules.json").is_file():
        sys.exit(f"vulnerabilities: {folder} has no index/modules.json; unpack vuln.go.dev/vulndb.zip there")
    found = subprocess.run([given.govulncheck, "-db", folder.as_uri(), "-mode", "binary", given.program]).returncode
    if found not in (0, 3):  # 3 is its own code for faults
        sys.exit("vulnerabilities: govulncheck could not be run (it says above why)")
    print(f"compared: the Go modules and library in the program of {given.release} with {folder}: {'faults, above' if found else 'no known fault'}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
