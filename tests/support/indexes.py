"""Package indexes on loopback, open and private, and small packages to serve from them."""

from __future__ import annotations

import base64
import hashlib
import html
import http.server
import io
import secrets
import shutil
import ssl
import subprocess
import sys
import tarfile
import threading
import urllib.error
import urllib.request
import zipfile
from pathlib import Path
from urllib.parse import quote, unquote

from tests.support.host import Unavailable


def find_links() -> list[Path]:
    """The folders that pip is configured to look for wheels in (`find-links`)."""
    pip = ["pip"] if shutil.which("pip") else [sys.executable, "-m", "pip"]
    answer = []
    for key in (":env:.find-links", "global.find-links", "user.find-links", "site.find-links"):
        try:
            got = subprocess.run(
                [*pip, "config", "get", key],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
            )
        except OSError:
            return []
        if got.returncode == 0:
            answer += [Path(entry.removeprefix("file://")) for entry in got.stdout.split()]
    return [folder for folder in dict.fromkeys(answer) if folder.is_dir()]


def find_wheel(start: str) -> Path:
    """The wheel whose file name begins with `start`. Raises Unavailable where there is none."""
    for folder in find_links():
        for wheel in sorted(folder.glob(f"{start}*.whl")):
            return wheel
    raise Unavailable(f"no wheel {start}*.whl in the folders of pip's find-links setting")


def make_wheel(folder: Path, name: str, version: str, text: str) -> Path:
    """Write a wheel of one module, `name`.py, whose TEXT is `text`: another text, another hash."""
    wheel = folder / f"{name}-{version}-py3-none-any.whl"
    info = f"{name}-{version}.dist-info"
    content = {
        f"{name}.py": f"TEXT = {text!r}\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, body in content.items():
            archive.writestr(path, body)
        record = "".join(f"{path},,\n" for path in [*content, f"{info}/RECORD"])
        archive.writestr(f"{info}/RECORD", record)
    return wheel


def make_sdist(folder: Path, name: str, version: str, files: dict[str, str]) -> Path:
    """Write a source distribution of `files` (path to text), whose metadata need no build."""
    sdist = folder / f"{name}-{version}.tar.gz"
    info = f"Metadata-Version: 2.2\nName: {name}\nVersion: {version}\n"
    with tarfile.open(sdist, "w:gz") as archive:
        for path, text in {**files, "PKG-INFO": info}.items():
            entry = tarfile.TarInfo(f"{name}-{version}/{path}")
            entry.size = len(text.encode())
            archive.addfile(entry, io.BytesIO(text.encode()))
    return sdist


def _server(
    handler: type[http.server.BaseHTTPRequestHandler], port: int
) -> http.server.ThreadingHTTPServer:
    """A server on that port of 127.0.0.1, on any free one where it is taken."""
    try:
        return http.server.ThreadingHTTPServer(("127.0.0.1", port), handler)
    except OSError:
        return http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)


class Index:
    """An HTTP server on 127.0.0.1 that answers as a simple index (PEP 503, 658).

    `wheels` maps an index's name, which may be a path ("cpu", "cu126"), to the wheels (or source
    distributions) it serves:
    http://127.0.0.1:PORT/cpu/torch/ lists the wheels of torch, with their hashes and metadata.
    Like the PyTorch index it tells no upload times. `port` is the port to take if it is free: uv
    caches by address, so the same one again spares it a second copy of a large wheel.
    """

    def __init__(self, wheels: dict[str, list[Path]], port: int = 0) -> None:
        self.files: dict[str, Path] = {}
        self.blobs: dict[str, tuple[str, bytes]] = {}
        self.requests: list[str] = []
        for name, paths in wheels.items():
            projects: dict[str, list[str]] = {}
            for path in paths:
                project = path.name.split("-")[0].lower().replace("_", "-")
                projects.setdefault(project, []).append(self._add(name, project, path))
            for project, links in projects.items():
                self._page(f"/{name}/{project}/", "<br>\n".join(links))
            links = "<br>\n".join(f'<a href="{project}/">{project}</a>' for project in projects)
            self._page(f"/{name}/", links)
        index = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:  # noqa: N802 the name that http.server calls
                index.answer(self, body=True)

            def do_HEAD(self) -> None:  # noqa: N802
                index.answer(self, body=False)

            def log_message(self, *arguments: object) -> None:
                pass

        self.server = _server(Handler, port)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def _add(self, name: str, project: str, path: Path) -> str:
        where = f"/{name}/{project}/{path.name}"
        self.files[where] = path
        digest = hashlib.file_digest(path.open("rb"), "sha256").hexdigest()
        link = f'<a href="{quote(path.name)}#sha256={digest}"'
        if path.suffix == ".whl":
            metadata = _metadata(path)
            self.blobs[f"{where}.metadata"] = ("application/octet-stream", metadata)
            meta = f'"sha256={hashlib.sha256(metadata).hexdigest()}"'
            link += f" data-core-metadata={meta} data-dist-info-metadata={meta}"
        return f"{link}>{html.escape(path.name)}</a>"

    def _page(self, where: str, body: str) -> None:
        page = f"<!DOCTYPE html>\n<html><body>\n{body}\n</body></html>\n"
        self.blobs[where] = ("text/html", page.encode())

    def answer(self, handler: http.server.BaseHTTPRequestHandler, body: bool) -> None:
        """Serve one request; what is not listed is not found."""
        where = unquote(handler.path.split("?")[0])
        self.requests.append(where)
        if where in self.files:
            path = self.files[where]
            handler.send_response(200)
            handler.send_header("Content-Type", "application/zip")
            handler.send_header("Content-Length", str(path.stat().st_size))
            handler.end_headers()
            if body:
                with path.open("rb") as source:
                    shutil.copyfileobj(source, handler.wfile, 1 << 20)
            return
        status, (kind, content) = 200, self.blobs.get(where, ("", b""))
        if not kind:
            status, kind, content = 404, "text/plain", b"not here\n"
        handler.send_response(status)
        handler.send_header("Content-Type", kind)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        if body:
            handler.wfile.write(content)

    def close(self) -> None:
        """Stop the server."""
        self.server.shutdown()
        self.server.server_close()


def _metadata(wheel: Path) -> bytes:
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            if name.count("/") == 1 and name.endswith(".dist-info/METADATA"):
                return archive.read(name)
    raise ValueError(f"{wheel} is no wheel: it has no METADATA")


FILES = "https://files.pythonhosted.org"


class PrivateIndex:
    """A company's package index: HTTPS with a certificate of its own CA, a name and a password.

    What it serves is PyPI's own index and files, passed on one by one, as such a proxy does.

    `ca` is the CA's certificate, `netrc` a file with credentials, `password` what must not leak.
    """

    def __init__(self, folder: Path) -> None:
        if not shutil.which("openssl"):
            raise Unavailable("no openssl to make a certificate with")
        self.ca = folder / "ca.pem"
        chain, key = _certificate(folder, self.ca)
        self.password = secrets.token_urlsafe(24)
        wanted = "Basic " + base64.b64encode(f"builder:{self.password}".encode()).decode()
        self.refused = 0
        index = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:  # noqa: N802 the name that http.server calls
                if self.headers.get("Authorization") == wanted:
                    self.pass_on()
                    return
                index.refused += 1
                self.send_response(401)
                self.send_header("WWW-Authenticate", 'Basic realm="packages"')
                self.send_header("Content-Length", "0")
                self.end_headers()

            do_HEAD = do_GET  # noqa: N815 uv asks for the size before it reads a part of a wheel

            def pass_on(self) -> None:
                pages = self.path.startswith("/simple/")
                asked = urllib.request.Request(
                    ("https://pypi.org" if pages else FILES) + self.path,
                    headers={k: v for k, v in self.headers.items() if k in ("Accept", "Range")},
                    method=self.command,
                )
                try:
                    answer = urllib.request.urlopen(asked, timeout=60)
                except urllib.error.HTTPError as error:
                    answer = error
                with answer:
                    body = answer.read()
                if pages:
                    body = body.replace(FILES.encode(), index.origin.encode())
                self.send_response(answer.status)
                for name in ("Content-Type", "Content-Range", "Accept-Ranges"):
                    if answer.headers[name]:
                        self.send_header(name, answer.headers[name])
                head = self.command == "HEAD"
                size = answer.headers["Content-Length"] if head else len(body)
                self.send_header("Content-Length", str(size))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *arguments: object) -> None:
                pass

        self.server = _server(Handler, 0)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(chain, key)
        self.server.socket = context.wrap_socket(
            self.server.socket, server_side=True, do_handshake_on_connect=False
        )
        self.origin = f"https://127.0.0.1:{self.server.server_address[1]}"
        self.url = f"{self.origin}/simple"
        self.netrc = folder / "netrc"
        self.netrc.write_text(f"machine 127.0.0.1 login builder password {self.password}\n")
        self.netrc.chmod(0o600)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Stop the server."""
        self.server.shutdown()
        self.server.server_close()


def _certificate(folder: Path, ca: Path) -> tuple[Path, Path]:
    """Make a CA and a certificate for 127.0.0.1: return the files of that and of its key."""
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    chain, key = folder / "server.pem", folder / "server.key"
    for words in (
        ["-keyout", folder / "ca.key", "-out", ca, "-subj", "/CN=A company's CA"],
        ["-keyout", key, "-out", chain, "-subj", "/CN=127.0.0.1"]
        + ["-CA", ca, "-CAkey", folder / "ca.key"]
        + ["-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=CA:FALSE"],
    ):
        command = ["openssl", "req", "-x509", *curve, *map(str, words)]
        made = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if made.returncode:
            raise Unavailable(f"openssl made no certificate: {made.stderr.strip()}")
    return chain, key
