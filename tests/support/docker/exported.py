"""An image in a file, and what its layers hold."""

from __future__ import annotations

import hashlib
import json
import tarfile
from dataclasses import dataclass
from pathlib import Path

from tests.support.docker.client import Build, Layer


@dataclass(frozen=True)
class Exported:
    """An image as `docker load` takes it, with its layers uncompressed."""

    archive: Path
    tag: str
    build: Build

    def _described(self, image: tarfile.TarFile) -> tuple[list[str], dict]:
        """Names of the layers' blobs and the config. An OCI file has them behind an index."""
        if "manifest.json" in image.getnames():
            manifest = json.loads(_member(image, "manifest.json"))[0]
            return manifest["Layers"], json.loads(_member(image, manifest["Config"]))

        def blob(descriptor: dict) -> str:
            return "blobs/" + descriptor["digest"].replace(":", "/")

        content = json.loads(_member(image, "index.json"))
        while "manifests" in content:
            # The attestations are manifests of no platform.
            first = next(
                one
                for one in content["manifests"]
                if one.get("platform", {}).get("os") != "unknown"
            )
            content = json.loads(_member(image, blob(first)))
        names = [blob(layer) for layer in content["layers"]]
        return names, json.loads(_member(image, blob(content["config"])))

    def config(self) -> dict:
        """All that the image says of itself."""
        with tarfile.open(self.archive) as image:
            return self._described(image)[1]

    def layers(self) -> list[Layer]:
        """The layers, lowest first, with the digest of the tar as the image's config names it."""
        with tarfile.open(self.archive) as image:
            names, config = self._described(image)
            made = [row for row in config["history"] if not row.get("empty_layer")]
            rows = zip(names, config["rootfs"]["diff_ids"], made, strict=True)
            return [
                Layer(digest, image.getmember(name).size, row.get("created_by", ""))
                for name, digest, row in rows
            ]

    def layer(self, needle: str) -> Layer:
        """The one layer whose step contains `needle`."""
        found = [layer for layer in self.layers() if needle in layer.created_by]
        assert len(found) == 1, f"{len(found)} layers were made by a step with {needle!r}"
        return found[0]

    def content(self, layer: Layer) -> dict[str, tuple]:
        """What lies in a layer by its path: all that a tar says of it, files by their digest."""
        with tarfile.open(self.archive) as image:
            digests = [one.digest for one in self.layers()]
            name = self._described(image)[0][digests.index(layer.digest)]
            with tarfile.open(fileobj=image.extractfile(name)) as tar:
                return {
                    member.name: (
                        member.type,
                        oct(member.mode),
                        member.uid,
                        member.gid,
                        member.mtime,
                        member.linkname,
                        tuple(sorted(member.pax_headers.items())),
                        hashlib.sha256(_member(tar, member)).hexdigest() if member.isfile() else "",
                    )
                    for member in tar
                }


def _member(tar: tarfile.TarFile, member: str | tarfile.TarInfo) -> bytes:
    """The content of a file of an archive."""
    file = tar.extractfile(member)
    assert file, f"{member} is no file"
    return file.read()


def differences(one: dict[str, tuple], other: dict[str, tuple]) -> list[str]:
    """The paths that two layers (as of Exported.content) do not have alike, and in what."""
    found = []
    for path in sorted(one.keys() | other.keys()):
        if path not in one or path not in other:
            found.append(f"{path}: only in the {'first' if path in one else 'second'}")
        elif one[path] != other[path]:
            pairs = [pair for pair in zip(one[path], other[path], strict=True) if len({*pair}) > 1]
            found.append(f"{path}: {pairs}")
    return found
