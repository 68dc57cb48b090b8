"""An image as `docker save` writes it: its settings, its layers and their sizes, and its files in a folder."""

import functools
import gzip
import json
import subprocess
import tarfile
import zlib
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Layer:
    made_by: str  # the instruction
    uncompressed: int  # sum of the files' sizes, in bytes
    compressed: int  # as gzip's level 6 makes it, which is what registries keep
    paths: tuple[str, ...]  # of files and links, from the root


class Image:
    """Opens an archive. `config` is the image's settings, by Docker's names: User, Env, Entrypoint, Cmd, Healthcheck, Labels…"""

    def __init__(self, archive: Path):
        self.archive = archive
        with tarfile.open(archive) as tar:
            manifest = json.load(tar.extractfile("manifest.json"))[0]
            described = json.load(tar.extractfile(manifest["Config"]))
        self.config = described["config"]
        self.architecture = described["architecture"]
        steps = [step.get("created_by", "") for step in described["history"] if not step.get("empty_layer")]
        if len(steps) != len(manifest["Layers"]):
            raise ValueError(f"{archive}: {len(manifest['Layers'])} layers, but a history of {len(steps)}")
        self._layers = list(zip(manifest["Layers"], steps))

    @property
    def env(self) -> dict[str, str]:
        return dict(entry.split("=", 1) for entry in self.config.get("Env") or [])

    @functools.cached_property
    def own_layers(self) -> list[Layer]:
        """The layers above the base image: those that COPY made. The Dockerfile's last stage has no other kind."""
        layers = []
        with tarfile.open(self.archive) as tar:
            for name, made_by in self._layers:
                if "COPY" in made_by:
                    layers.append(_measure(tar.extractfile(name), made_by))
        return layers

    def unpack(self, folder: Path) -> None:
        """Writes the file system into an empty folder, as root: owners and modes are kept."""
        folder.mkdir(parents=True)
        with tarfile.open(self.archive) as tar:
            for name, _ in self._layers:
                # GNU tar keeps owners, modes and links as they are; nothing here deletes what a lower layer had.
                unpacking = subprocess.Popen(["tar", "-x", "--numeric-owner", "-p", "-C", folder], stdin=subprocess.PIPE)
                source = _plain(tar.extractfile(name))
                while chunk := source.read(1 << 20):
                    unpacking.stdin.write(chunk)
                unpacking.stdin.close()
                if unpacking.wait() != 0:
                    raise OSError(f"{self.archive}: layer {name} cannot be unpacked")
        if whiteouts := list(folder.rglob(".wh.*")):
            raise ValueError(f"{self.archive}: a layer deletes {whiteouts[0].name}, which is not provided for here")


def _plain(layer):
    """The layer's tar stream, whether it was compressed or not."""
    magic = layer.read(2)
    layer.seek(0)
    return gzip.GzipFile(fileobj=layer) if magic == b"\x1f\x8b" else layer


def _measure(layer, made_by: str) -> Layer:
    counter = _Counter(_plain(layer))
    uncompressed, paths = 0, []
    with tarfile.open(fileobj=counter, mode="r|") as tar:
        for member in tar:
            uncompressed += member.size
            if not member.isdir():
                paths.append("/" + member.name.removeprefix("./"))
    while counter.read(1 << 20):
        pass  # what pads the end belongs to the layer too
    return Layer(made_by, uncompressed, counter.finish(), tuple(paths))


class _Counter:
    """Hands a stream on, and counts what it would be compressed."""

    def __init__(self, source):
        self.source, self.deflate, self.size = source, zlib.compressobj(6, zlib.DEFLATED, 31), 0

    def read(self, n: int = -1) -> bytes:
        chunk = self.source.read(n)
        self.size += len(self.deflate.compress(chunk))
        return chunk

    def finish(self) -> int:
        return self.size + len(self.deflate.flush())
