"""A real registry on loopback, with a meter in front of it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from tests.support.host import Unavailable


class Meter:
    """A port of loopback that hands every connection on to another, and counts the bytes.

    `up` is what clients sent, `down` what they got, since `reset`.
    """

    def __init__(self, target: int) -> None:
        """Listen, and hand on to the port `target`."""
        self._target = target
        self.up = self.down = 0
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def reset(self) -> None:
        """Count from nought."""
        self.up = self.down = 0

    def close(self) -> None:
        """Take no more connections."""
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._target))
                for source, sink, name in ((client, server, "up"), (server, client, "down")):
                    words = (source, sink, name)
                    threading.Thread(target=self._carry, args=words, daemon=True).start()

    def _carry(self, source: socket.socket, sink: socket.socket, name: str) -> None:
        """Move what comes in, within the kernel: gigabytes must not cost the processor's time."""
        taken, given = os.pipe()
        try:
            with contextlib.suppress(OSError):
                while count := os.splice(source.fileno(), given, 1 << 20):
                    setattr(self, name, getattr(self, name) + count)
                    while count:
                        count -= os.splice(taken, sink.fileno(), count)
            with contextlib.suppress(OSError):
                sink.shutdown(socket.SHUT_WR)
        finally:
            os.close(taken)
            os.close(given)


class Registry:
    """Debian's docker-registry in a folder, behind a meter."""

    def __init__(self, folder: Path) -> None:
        """Start it. `folder` is for its settings and images. Raises Unavailable where it cannot."""
        binary = shutil.which("docker-registry")
        if not binary:
            raise Unavailable("Debian's package docker-registry is not installed")
        self.images = folder / "images"
        self.images.mkdir(parents=True)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        settings = "version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\n"
        settings += f"storage: {{filesystem: {{rootdirectory: {self.images}}}}}\n"
        settings += f"http: {{addr: '127.0.0.1:{port}'}}\n"
        (folder / "config.yml").write_text(settings)
        with open(folder / "log", "wb") as log:
            words = [binary, "serve", str(folder / "config.yml")]
            self._process = subprocess.Popen(words, stdout=log, stderr=log)
        end = time.monotonic() + 20
        while socket.socket().connect_ex(("127.0.0.1", port)):
            if time.monotonic() > end:
                last = (folder / "log").read_text(errors="replace")[-500:]
                raise Unavailable(f"docker-registry does not listen: {last}")
            time.sleep(0.05)
        self.meter = Meter(port)
        self.host = f"127.0.0.1:{self.meter.port}"

    def manifest(self, image: str) -> dict:
        """The manifest of an image by repository and tag or digest; of several, the first's."""
        repository, _, reference = image.partition("@" if "@" in image else ":")
        wanted = ", ".join(
            f"application/vnd.{kind}+json"
            for kind in (
                "oci.image.index.v1",
                "oci.image.manifest.v1",
                "docker.distribution.manifest.list.v2",
                "docker.distribution.manifest.v2",
            )
        )
        url = f"http://{self.host}/v2/{repository}/manifests/{reference}"
        request = urllib.request.Request(url, headers={"Accept": wanted})
        with urllib.request.urlopen(request, timeout=20) as answer:
            content = json.load(answer)
        if "manifests" in content:
            return self.manifest(f"{repository}@{content['manifests'][0]['digest']}")
        return content

    def tags(self, repository: str) -> set[str]:
        """The tags of a repository."""
        url = f"http://{self.host}/v2/{repository}/tags/list"
        with urllib.request.urlopen(url, timeout=20) as answer:
            return set(json.load(answer)["tags"] or [])

    def holds(self) -> int:
        """Bytes of all that is stored, each blob once."""
        return sum(path.stat().st_size for path in self.images.rglob("blobs/**/data"))

    def stop(self) -> None:
        """End it."""
        self.meter.close()
        self._process.terminate()
        self._process.wait(20)


@contextlib.contextmanager
def registry(folder: Path) -> Iterator[Registry]:
    """A registry without an image; its images are removed at the end."""
    started = Registry(folder)
    try:
        yield started
    finally:
        started.stop()
        shutil.rmtree(folder, ignore_errors=True)
