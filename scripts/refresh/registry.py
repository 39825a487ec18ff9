"""One repository of a container registry, read through the OCI distribution API by python-dxf.

Digests are asked for with HEAD, which Docker Hub does not count as a pull; a manifest and a
configuration are fetched only for the few images whose environment is needed.
"""

from __future__ import annotations

import json
import re
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Self
from urllib.parse import urlsplit

import requests
from dxf import DXF, DXFBase

from scripts.refresh.reading import Patience, Source

PUBLIC = {"docker.io": "https://registry-1.docker.io", "ghcr.io": "https://ghcr.io"}
PLATFORM = "linux/amd64"
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def as_anyone(registry: DXFBase, response: requests.Response) -> None:
    """Get the token that a registry gives to whoever has no account."""
    registry.authenticate(response=response)


def split(image: str) -> tuple[str, str, str]:
    """Split an image's name: "python:3.13" gives ("docker.io", "library/python", "3.13")."""
    path, _, tag = image.rpartition(":")
    first, _, rest = path.partition("/")
    if rest and ("." in first or ":" in first):
        return first, rest, tag
    return "docker.io", path if rest else f"library/{path}", tag


@dataclass
class Repository(AbstractContextManager["Repository"]):
    """The tags of one repository.

    Args:
        registry: its name in images, such as "docker.io".
        name: the repository, such as "library/python".
        address: the URL of the registry, without a path.
        patience: how long it is waited for.
    """

    registry: str
    name: str
    address: str
    patience: Patience
    source: Source = field(init=False)

    def __post_init__(self) -> None:
        """Prepare; nothing is read yet."""
        url = urlsplit(self.address)
        self.source = Source(
            f"{self.name} at {self.address}", f"--registry {self.registry}=URL", self.patience
        )
        self._dxf = DXF(
            url.netloc,
            self.name,
            auth=as_anyone,
            insecure=url.scheme == "http",
            timeout=self.patience.timeout,
        )

    def __enter__(self) -> Self:
        """Keep connections until the end of the block."""
        self._dxf.__enter__()
        return self

    def __exit__(self, *exception: Any) -> None:
        """Close them."""
        self._dxf.__exit__(*exception)

    @cached_property
    def tags(self) -> frozenset[str]:
        """All tags.

        Raises:
            UnreadableError: the list cannot be read, or there is none. (A registry that has lost
                the repository and a proxy that answers with nothing look the same; rows must not
                be given up on that.)
        """

        def listed() -> frozenset[str]:
            tags = self._dxf.list_aliases(batch_size=1000)
            if not tags or not all(isinstance(tag, str) for tag in tags):
                raise ValueError("the list of tags is empty or no list")
            return frozenset(tags)

        try:
            return self.source.ask(listed)
        except requests.HTTPError as error:
            raise self.source.given_up(error) from error

    def digest(self, tag: str) -> str | None:
        """Return the digest of a tag, None if there is no such tag.

        For an image of several platforms it is that of the whole, which FROM can name on each.

        Raises:
            UnreadableError: the registry does not say, or contradicts itself.
        """

        def looked_up() -> str:
            digest, _ = self._dxf.head_manifest_and_response(tag)
            if not DIGEST.fullmatch(digest or ""):
                raise ValueError(f"no digest of {tag} in the answer")
            return digest

        try:
            return self.source.ask(looked_up)
        except requests.HTTPError as error:
            # A 404 alone may be a wrong address: only one beside a list without the tag counts.
            if tag in self.tags:
                contradiction = ValueError(f"{tag} is listed, but has no manifest")
                raise self.source.given_up(contradiction) from error
            return None

    def environment(self, digest: str) -> dict[str, str]:
        """Return the environment variables of an image, for linux/amd64.

        Args:
            digest: of the image, so that what is read belongs to what is pinned.

        Raises:
            UnreadableError: the manifest or the configuration cannot be read.
        """

        def read() -> dict[str, str]:
            config = self._dxf.get_digest(digest, platform=PLATFORM)
            text = b"".join(self._dxf.pull_blob(config))
            lines = json.loads(text)["config"].get("Env") or []
            return dict(line.split("=", 1) for line in lines)

        try:
            return self.source.ask(read)
        except requests.HTTPError as error:
            raise self.source.given_up(error) from error


class Registries:
    """The repositories that were asked for, each of them opened once.

    Args:
        addresses: URL of each registry by its name in images.
        patience: how long each is waited for.
    """

    def __init__(self, addresses: dict[str, str], patience: Patience) -> None:
        """Prepare; nothing is read yet."""
        self._addresses = addresses
        self._patience = patience
        self._open: dict[tuple[str, str], Repository] = {}

    def of(self, image: str) -> tuple[Repository, str]:
        """Return the repository of an image, and the tag."""
        registry, name, tag = split(image)
        if (registry, name) not in self._open:
            address = self._addresses.get(registry, f"https://{registry}")
            repository = Repository(registry, name, address, self._patience)
            self._open[registry, name] = repository.__enter__()
        return self._open[registry, name], tag

    def close(self) -> None:
        """Close all connections."""
        for repository in self._open.values():
            repository.__exit__(None, None, None)
