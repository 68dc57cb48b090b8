"""The bill of materials of a tarball: sbom.py GO STAGE GLIBC prints CycloneDX JSON.

GO is what cyclonedx-gomod read from the program: Go's modules and their licences. What it cannot see is added here: the
libraries beside the program, each by what knows it (dpkg the system's, libtorch.lock libtorch's), and the model by its card.
Fails where a library is nobody's, and where the result does not fit CycloneDX's schema.
"""

import datetime
import hashlib
import json
import os
import subprocess
import sys
import uuid
import zipfile
from pathlib import Path

from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.contact import OrganizationalEntity
from cyclonedx.model.license import DisjunctiveLicense, LicenseExpression
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL

ROOT = Path(__file__).resolve().parents[2]
# Licences of Debian packages that libraries come from; dpkg knows no more than the text, which travels in licences/system.
DEBIAN = {
    "libjpeg62-turbo": "IJG AND BSD-3-Clause AND Zlib",
    "libjpeg-turbo8": "IJG AND BSD-3-Clause AND Zlib",
    "libpng16-16": "libpng-2.0",
    "libpng16-16t64": "libpng-2.0",
    "zlib1g": "Zlib",
    "libstdc++6": "GPL-3.0-or-later WITH GCC-exception-3.1",
    "libgcc-s1": "GPL-3.0-or-later WITH GCC-exception-3.1",
}
OWN = {"libtorchbind.so": "vidi's own border to libtorch", "libvidiimage.so": "vidi's own decoding and resizing of images"}
# What lies in lib/libtorch comes with PyTorch's release.
LIBTORCH = {
    "libtorch": "BSD-3-Clause",
    "libtorch_cpu": "BSD-3-Clause",
    "libc10": "BSD-3-Clause",
    "libgomp": "GPL-3.0-or-later WITH GCC-exception-3.1",
    "libgfortran": "GPL-3.0-or-later WITH GCC-exception-3.1",
    "libopenblas": "BSD-3-Clause",
    "libarm_compute": "MIT",
    "libarm_compute_graph": "MIT",
    "libarm_compute_core": "MIT",
}


def main() -> None:
    go, stage, glibc = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
    bom = Bom.from_json(json.loads(go.read_text(encoding="utf-8")))
    program = bom.metadata.component
    # It carries the digest of what was read, and times and numbers that differ each time.
    epoch = int(os.environ["SOURCE_DATE_EPOCH"])
    bom.metadata.timestamp = datetime.datetime.fromtimestamp(epoch, datetime.timezone.utc)
    program.licenses = [LicenseExpression("Apache-2.0")]
    program.properties.add(Property(name="vidi:requires", value=f"glibc {glibc} or later"))
    parts = [library(path) for path in sorted((stage / "app/lib").rglob("*.so*"))]
    parts += [model(path) for path in sorted((stage / "app/models").glob("*.pt"))]
    parts.append(file_of(stage / "app/vidi", "vidi", program.version, "Apache-2.0", ComponentType.FILE))
    for part in parts:
        bom.components.add(part)
    bom.register_dependency(program, parts)
    contents = hashlib.sha256(b"".join(str(h.content).encode() for p in parts for h in p.hashes)).hexdigest()
    bom.serial_number = uuid.uuid5(uuid.NAMESPACE_URL, f"https://github.com/vidi-vision/vidi/{program.version}/{contents}")
    text = JsonV1Dot6(bom).output_as_string(indent=2)
    if error := JsonStrictValidator(SchemaVersion.V1_6).validate_str(text):
        sys.exit(f"sbom: the result does not fit CycloneDX 1.6: {error}")
    print(text)


def library(path: Path) -> Component:
    if path.name in OWN:
        return file_of(path, path.name, "", "Apache-2.0", ComponentType.LIBRARY, description=OWN[path.name])
    if path.parent.name == "libtorch":
        # libgomp-98b21ff3.so.1 was renamed by those who packed it.
        name = path.name.split(".so")[0].split("-")[0]
        if name not in LIBTORCH:
            sys.exit(f"sbom: {path} is not known; name its licence in {Path(__file__).name}")
        lock = dict(line.split("=", 1) for line in (ROOT / "third_party/libtorch.lock").read_text().splitlines() if "=" in line and line[0] != "#")
        version = lock["VERSION"]
        return file_of(path, path.name, version, LIBTORCH[name], ComponentType.LIBRARY, supplier="PyTorch",
                       purl=PackageURL("github", "pytorch", "pytorch", f"v{version}", subpath=path.name),
                       description="of PyTorch's release for CPUs, without its symbol table; what is compiled into it, oneDNN and others, is in licences/pytorch.txt")
    package = owner(path.name)
    version, origin = subprocess.run(["dpkg-query", "-W", "-f", "${Version}\t${Origin}", package], check=True, capture_output=True, text=True).stdout.split("\t")
    plain = package.split(":")[0]
    if plain not in DEBIAN:
        sys.exit(f"sbom: the licence of the package {plain} ({path.name}) is not known; name it in {Path(__file__).name}")
    system = dict(line.rstrip().split("=", 1) for line in open("/etc/os-release", encoding="utf-8") if "=" in line)
    distribution = system["ID"].strip('"')
    return file_of(path, path.name, version, DEBIAN[plain], ComponentType.LIBRARY, supplier=origin or distribution.capitalize(),
                   purl=PackageURL("deb", distribution, plain, version, {"arch": package.partition(":")[2] or "any"}))


def owner(name: str) -> str:
    """The package, as NAME:ARCHITECTURE, of the library that the loader finds under this name."""
    libraries = [ROOT / "bin/lib" / own for own in OWN]
    for line in subprocess.run(["ldd", *libraries], check=True, capture_output=True, text=True).stdout.splitlines():
        words = line.split()
        if words[0] == name and len(words) > 2:
            real = os.path.realpath(words[2])
            for path in (real, real.removeprefix("/usr")):
                found = subprocess.run(["dpkg", "-S", path], capture_output=True, text=True)
                if found.returncode == 0:
                    return found.stdout.split(": ")[0]
    sys.exit(f"sbom: no package has {name}")


def model(path: Path) -> Component:
    with zipfile.ZipFile(path) as archive:
        card = json.loads(archive.read(next(n for n in archive.namelist() if n.endswith("/extra/vidi.json"))))
    part = file_of(path, card["name"], card["version"], card.get("licence", ""), ComponentType.MACHINE_LEARNING_MODEL, description=card.get("description", ""))
    if card.get("source"):
        part.properties.add(Property(name="vidi:source", value=card["source"]))
    return part


def file_of(path: Path, name: str, version: str, licence: str, kind: ComponentType, supplier: str = "", purl: PackageURL | None = None, description: str = "") -> Component:
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    licences = []
    if licence:
        licences = [LicenseExpression(licence) if " " in licence else DisjunctiveLicense(id=licence)]
    return Component(type=kind, name=name, version=version or None, licenses=licences, purl=purl, description=description or None,
                     supplier=OrganizationalEntity(name=supplier) if supplier else None, bom_ref=f"file:{path.name}",
                     hashes=[HashType(alg=HashAlgorithm.SHA_256, content=digest)],
                     properties=[Property(name="vidi:file", value="app/" + str(path).rpartition("/app/")[2])])


if __name__ == "__main__":
    main()
