"""Servers on loopback: a real container registry, and one that answers whatever it is told."""

from __future__ import annotations

import hashlib
import json
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml
from dxf import DXF

MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
MANIFEST_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
CONFIG = "application/vnd.docker.container.image.v1+json"
LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"


def free_port() -> int:
    """Return a port of loopback that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Registry:
    """Debian's docker-registry on loopback, with folders that it can delete from.

    Args:
        binary: the program.
        folder: an empty folder for its configuration and its images.
        settings: sections to add to its configuration, such as `auth`.
        tls: certificate and key file, for https.
    """

    def __init__(
        self,
        binary: str,
        folder: Path,
        settings: Mapping[str, Any] | None = None,
        tls: tuple[Path, Path] | None = None,
    ) -> None:
        """Start it and wait until it answers."""
        self.port = free_port()
        self.secure = tls is not None
        http: dict[str, Any] = {"addr": f"127.0.0.1:{self.port}"}
        if tls:
            http["tls"] = {"certificate": str(tls[0]), "key": str(tls[1])}
        config = {
            "version": 0.1,
            "log": {"level": "error"},
            "storage": {
                "filesystem": {"rootdirectory": str(folder / "images")},
                "delete": {"enabled": True},
            },
            "http": http,
            **(settings or {}),
        }
        (folder / "config.yml").write_text(yaml.safe_dump(config))
        with open(folder / "log", "wb") as log:
            self._process = subprocess.Popen(
                [binary, "serve", folder / "config.yml"], stdout=log, stderr=log
            )
        for _ in range(200):
            if self._process.poll() is not None:
                raise RuntimeError((folder / "log").read_text())
            with socket.socket() as client:
                if client.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.05)
        raise RuntimeError("docker-registry does not listen")

    @property
    def address(self) -> str:
        """Its URL."""
        return f"{'https' if self.secure else 'http'}://127.0.0.1:{self.port}"

    def stop(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait(timeout=10)

    def repository(self, name: str, **options: Any) -> DXF:
        """Return the client of a repository, to push with."""
        return DXF(f"127.0.0.1:{self.port}", name, insecure=not self.secure, **options)

    def push(
        self,
        image: str,
        environment: Mapping[str, str] | None = None,
        architectures: Sequence[str] = ("amd64", "arm64"),
        content: str = "",
        **options: Any,
    ) -> str:
        """Push a small image of several platforms and return the digest of the whole.

        Args:
            image: repository and tag, such as "nvidia/cuda:13.0.3-base-ubuntu24.04".
            environment: variables of the image; on other platforms than amd64 they are others.
            architectures: its platforms.
            content: what makes it another image than one with the same variables.
            options: of the client.
        """
        name, _, tag = image.rpartition(":")
        layer = b"a layer"
        with self.repository(name if "/" in name else f"library/{name}", **options) as repository:
            entries = []
            for architecture in architectures:
                variables = environment or {}
                if architecture != "amd64":
                    variables = {"ONLY": architecture}
                config = {
                    "architecture": architecture,
                    "os": "linux",
                    "config": {
                        "Env": [f"{key}={value}" for key, value in variables.items()],
                        "Labels": {"content": content or image},
                    },
                    "rootfs": {"type": "layers", "diff_ids": [_digest(layer)]},
                }
                manifest = _encoded(
                    {
                        "schemaVersion": 2,
                        "mediaType": MANIFEST,
                        "config": _pushed(repository, _encoded(config), CONFIG),
                        "layers": [_pushed(repository, layer, LAYER)],
                    }
                )
                repository.set_manifest(_digest(manifest), manifest.decode())
                platform = {"os": "linux", "architecture": architecture}
                entries.append(_described(manifest, MANIFEST) | {"platform": platform})
            whole = _encoded({"schemaVersion": 2, "mediaType": MANIFEST_LIST, "manifests": entries})
            repository.set_manifest(tag, whole.decode())
        return _digest(whole)

    def delete(self, image: str) -> None:
        """Delete a tag."""
        name, _, tag = image.rpartition(":")
        with self.repository(name if "/" in name else f"library/{name}") as repository:
            repository.del_alias(tag)


def _encoded(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True).encode()


def _digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def _described(data: bytes, media_type: str) -> dict[str, Any]:
    return {"mediaType": media_type, "size": len(data), "digest": _digest(data)}


def _pushed(repository: DXF, data: bytes, media_type: str) -> dict[str, Any]:
    repository.push_blob(data=iter([data]), digest=_digest(data))
    return _described(data, media_type)


@dataclass
class Answer:
    """What a stand-in answers.

    Attributes:
        body: text, bytes, or something to encode as JSON.
        status: the status code; 0 closes the connection without a word.
        headers: beside Content-Length.
        delay: seconds before it answers.
    """

    body: Any = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    delay: float = 0.0

    def encoded(self) -> bytes:
        """The body as bytes."""
        if isinstance(self.body, bytes):
            return self.body
        return self.body.encode() if isinstance(self.body, str) else json.dumps(self.body).encode()


class StandIn:
    """An HTTP server on loopback that answers what it was told, path by path.

    Attributes:
        answers: by path, without the query. A list is used up from its front; its last one stays.
        everything: an answer to any request, before `answers` are looked at; None for none.
        requests: the paths that were asked for, with the time of each.
    """

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        """Start it."""
        self.answers: dict[str, Answer | list[Answer]] = {}
        self.everything: Answer | None = None
        self.requests: list[tuple[str, float]] = []
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        if tls:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        scheme = "https" if tls else "http"
        self.address = f"{scheme}://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def __enter__(self) -> Self:
        """Give itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop it."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def asked_for(self, path: str) -> int:
        """How often a path was asked for."""
        return sum(asked == path for asked, _ in self.requests)

    def _answer(self, path: str) -> Answer:
        with self._lock:
            self.requests.append((path, time.monotonic()))
            if self.everything:
                return self.everything
            answer = self.answers.get(path, Answer("not here", 404))
            if isinstance(answer, list):
                return answer.pop(0) if len(answer) > 1 else answer[0]
            return answer

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        stand_in = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                answer = stand_in._answer(self.path.partition("?")[0])
                time.sleep(answer.delay)
                if answer.status == 0:
                    self.close_connection = True
                    return
                body = answer.encoded()
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            do_HEAD = do_GET

            def log_message(self, *arguments: Any) -> None:
                pass

        return Handler
