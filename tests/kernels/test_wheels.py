"""The right wheel is found and downloaded, and its libraries are scanned."""

from __future__ import annotations

import hashlib
import json
import threading
import zipfile
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from pypi_simple import DigestMismatchError, PyPISimple

from scripts.kernels import page, rows
from scripts.kernels.__main__ import main
from scripts.kernels.wheels import download, find, libraries

OBJECT = Path(__file__).with_name("twice.o")
X86, ARM = "manylinux_2_28_x86_64", "manylinux_2_28_aarch64"


class Quiet(SimpleHTTPRequestHandler):
    """A server that logs nothing."""

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Index:
    """A package index on loopback that serves wheels of torch."""

    def __init__(self, root: Path, address: str) -> None:
        self.address = f"{address}/simple/"
        self.root = root / "simple"
        self.links: list[str] = []

    @property
    def folder(self) -> Path:
        """Where the files of the project lie."""
        return self.root / "torch"

    def offer(self, name: str, content: bytes = b"", attribute: str = "") -> None:
        """Put a file and its link there."""
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / name).write_bytes(content)
        digest = hashlib.sha256(content).hexdigest()
        self.links.append(f'<a href="{name}#sha256={digest}" {attribute}>{name}</a>')
        page = f"<!DOCTYPE html><html><body>{''.join(self.links)}</body></html>"
        (self.folder / "index.html").write_text(page)


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    """An index without files."""
    handler = partial(Quiet, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield Index(tmp_path, f"http://127.0.0.1:{server.server_port}")
        server.shutdown()
        thread.join()


@pytest.fixture
def client(index: Index) -> Iterator[PyPISimple]:
    """A client of that index."""
    with PyPISimple(index.address) as client:
        yield client


def packed(path: Path, **members: bytes) -> Path:
    """A wheel with members; a "_" in their names stands for a "."."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as wheel:
        for name, content in members.items():
            wheel.writestr(f"torch/{name.replace('_', '.')}", content)
    return path


def found(client: PyPISimple, version: str, host: str) -> str | None:
    """The name of the wheel that is found."""
    package = find(client, "torch", version, host)
    return package.filename if package else None


def test_the_wheel_is_that_of_the_version_and_the_host(index: Index, client: PyPISimple) -> None:
    for version in ("2.1.0", "2.1.1"):
        for platform in (X86, ARM, "win_amd64", "macosx_14_0_arm64"):
            index.offer(f"torch-{version}-cp312-cp312-{platform}.whl")
    index.offer("torch-2.1.2-cp312-cp312-win_amd64.whl")
    assert found(client, "2.1.0", "amd64") == f"torch-2.1.0-cp312-cp312-{X86}.whl"
    assert found(client, "2.1.1", "arm64") == f"torch-2.1.1-cp312-cp312-{ARM}.whl"
    assert found(client, "2.1.2", "amd64") is None


def test_the_wheel_is_for_the_newest_python_with_a_gil(index: Index, client: PyPISimple) -> None:
    for tags in ("cp39-cp39", "cp313-cp313", "cp314-cp314t", "cp310-cp310"):
        index.offer(f"torch-1.0-{tags}-{X86}.whl")
    assert found(client, "1.0", "amd64") == f"torch-1.0-cp313-cp313-{X86}.whl"


def test_of_several_builds_the_wheel_is_the_last(index: Index, client: PyPISimple) -> None:
    for build in ("", "-3", "-10", "-2"):
        index.offer(f"torch-1.0{build}-cp312-cp312-{X86}.whl")
    assert found(client, "1.0", "amd64") == f"torch-1.0-10-cp312-cp312-{X86}.whl"


def test_a_withdrawn_wheel_is_not_measured(index: Index, client: PyPISimple) -> None:
    index.offer(f"torch-1.0-cp312-cp312-{X86}.whl", attribute='data-yanked="broken"')
    assert found(client, "1.0", "amd64") is None


def test_a_wheel_that_is_not_what_the_index_states_is_refused(
    index: Index, client: PyPISimple, tmp_path: Path
) -> None:
    name = f"torch-1.0-cp312-cp312-{X86}.whl"
    index.offer(name, b"as it was")
    package = find(client, "torch", "1.0", "amd64")
    assert package
    assert download(client, package, tmp_path).read_bytes() == b"as it was"
    (index.folder / name).write_bytes(b"as it is now")
    with pytest.raises(DigestMismatchError):
        download(client, package, tmp_path)


def test_every_library_of_a_wheel_is_scanned_and_nothing_else(tmp_path: Path) -> None:
    code = OBJECT.read_bytes()
    wheel = packed(
        tmp_path / f"torch-1.0-cp312-cp312-{X86}.whl",
        lib_so=code,
        lib_so_2_1=code,
        plain_so=b"\x7fELF",
        empty_so=b"",
        notes_sorry=code,
        data_bin=code,
    )
    assert list(libraries(wheel)) == ["torch/lib.so", "torch/lib.so.2.1"]


def test_a_wheel_is_described(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / f"torch-1.0-cp312-cp312-{X86}.whl"
    assert main([str(packed(path, lib_so=OBJECT.read_bytes()))]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "torch/lib.so: 1 fat binaries",
        "  cubin 7.5: 1, 9.0a: 1, 10.0f: 1, 12.0: 1",
        "  ptx 12.0: 1 (ISA 9.0)",
    ]
    assert main([str(packed(path, data_bin=b""))]) == 0
    assert capsys.readouterr().out == "no GPU code\n"


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        pytest.param("torch>=2.1", "torch>=2.1: name one version", id="a range"),
        pytest.param("torch ??", "Expected", id="no requirement"),
        pytest.param("nowhere/some.whl", "No such file", id="a file that is not there"),
    ],
)
def test_what_cannot_be_measured_is_refused_in_a_sentence(
    wanted: str, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([wanted]) == 1
    assert says in capsys.readouterr().err


@pytest.fixture
def catalogue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A catalogue with one build that PyPI serves, and one that it does not."""
    folder = tmp_path / "catalogue"
    folder.mkdir()
    build = {"version": "1.0", "build": "cu130", "cuda": "13.0", "index": None}
    build["requirements"] = ["torch==1.0"]
    kernels = {"kernels": {"amd64": ["8.0", "12.0+PTX"]}}
    elsewhere = {**build, "build": "cu126", "index": "cu126"}
    for name in rows.FRAMEWORKS:
        builds = [build | kernels, elsewhere | kernels] if name == "pytorch" else []
        text = json.dumps({"framework": {"title": name}, "builds": builds})
        (folder / f"{name}.json").write_text(text)
    gpus = [{"compute": compute, "host": "amd64"} for compute in ("8.0", "9.0", "12.0")]
    (folder / "gpus.json").write_text(json.dumps({"gpus": gpus}))
    (folder / "calendar.json").write_text('{"as_of": "2020-01-01"}')
    monkeypatch.setattr(rows, "CATALOGUE", folder)
    monkeypatch.setattr(page, "PAGE", tmp_path / "kernels.md")
    return folder


def test_what_the_builds_install_is_measured_and_written(
    index: Index, catalogue: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = f"torch-1.0-cp312-cp312-{X86}.whl"
    content = packed(tmp_path / name, lib_so=OBJECT.read_bytes()).read_bytes()
    index.offer(name, content)
    assert main(["--index", index.address]) == 0
    (row,) = rows.read_measured()
    assert (row["wheel"], row["sha256"]) == (name, hashlib.sha256(content).hexdigest())
    assert (row["cubin"], row["ptx"]) == (["7.5", "9.0a", "10.0f", "12.0"], ["12.0"])
    assert json.loads((catalogue / "calendar.json").read_text())["as_of"] == row["read"]
    line = next(line for line in page.PAGE.read_text("utf-8").splitlines() if "cu130" in line)
    assert line.endswith("| **not 8.0**; **also 7.5, 9.0a, 10.0f** | **not 8.0**; **also 9.0** |")
    assert capsys.readouterr().out == f"{name} 7.5 9.0a 10.0f 12.0 PTX 12.0\n"


def test_what_was_measured_is_measured_again_only_if_asked(
    index: Index, catalogue: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = f"torch-1.0-cp312-cp312-{X86}.whl"
    index.offer(name, packed(tmp_path / name, lib_so=OBJECT.read_bytes()).read_bytes())
    assert main(["--index", index.address]) == 0
    index.links.clear()
    index.offer(name, packed(tmp_path / name, other=b"").read_bytes())
    capsys.readouterr()
    assert main(["--index", index.address]) == 0
    assert capsys.readouterr().out == ""
    assert main(["--index", index.address, "--again"]) == 0
    assert [row["cubin"] for row in rows.read_measured()] == [[]]


def test_a_wheel_that_cannot_be_read_is_told_and_the_page_is_written(
    index: Index, catalogue: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    index.offer(f"torch-1.0-cp312-cp312-{X86}.whl", b"no wheel")
    assert main(["--index", index.address]) == 1
    assert "torch 1.0: File is not a zip file" in capsys.readouterr().err
    assert page.PAGE.is_file()
    assert rows.read_measured() == []
