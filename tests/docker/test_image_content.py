"""What is in the image and what is not, listed from the image itself."""

from __future__ import annotations

import json
import re
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.docker import images
from tests.support.docker.client import Engine

BUILT = ["sklearn-train", "sklearn-serve", "torch-train", "torch-gpu"]


@pytest.fixture(scope="package")
def members(docker: Engine, image: Callable) -> Callable[[str], dict[str, tarfile.TarInfo]]:
    """Everything in the file system of a variant's image, by path; listed once."""
    listed: dict[str, dict[str, tarfile.TarInfo]] = {}

    def get(name: str) -> dict[str, tarfile.TarInfo]:
        if name not in listed:
            listed[name] = docker.image_members(image(name).tag)
        return listed[name]

    return get


@pytest.fixture(scope="package")
def base(docker: Engine, image: Callable) -> Callable[[str], dict[str, tarfile.TarInfo]]:
    """Everything in the file system of the image that a variant's image is built on, by path."""
    listed: dict[str, dict[str, tarfile.TarInfo]] = {}

    def get(name: str) -> dict[str, tarfile.TarInfo]:
        dockerfile = (image(name).project / "Dockerfile").read_text()
        reference = re.search(r"^ARG BASE_IMAGE=(\S+)$", dockerfile, re.MULTILINE)[1]
        if reference not in listed:
            listed[reference] = docker.image_members(reference)
        return listed[reference]

    return get


PLANTED = [
    ".env",
    ".git/config",
    ".venv/bin/python",
    "data/train.csv",
    "outputs/model.bin",
    "outputs/checkpoints/last.pt",
    "checkpoint.pt",
    "key.pem",
    "src/.env",
    "src/digits/.env.local",
    "src/digits/server.pem",
    "src/digits/server.key",
    "src/digits/credentials.json",
    "src/id_rsa",
    "src/digits/__pycache__/old.cpython-313.pyc",
    "files/.env",
    "files/configs/credentials.json",
    "filesystem/notes.txt",
    "tests/secret.txt",
    "notebooks/explore.ipynb",
]


def test_new_modules_and_files_reach_the_image_and_secrets_and_data_do_not(
    image: Callable, builder: Callable, docker: Engine, tmp_path: Path
) -> None:
    one = image("sklearn-train")
    edited = images.copy(one.project, tmp_path)
    marker = "planted-by-the-test"
    for name in PLANTED:
        (edited / name).parent.mkdir(parents=True, exist_ok=True)
        (edited / name).write_text(marker)
    module = edited / "src" / "digits" / "deeper" / "extra.py"
    module.parent.mkdir()
    (module.parent / "__init__.py").touch()
    module.write_text("WORD = 'under src'\n")
    (edited / "beside.py").write_text("WORD = 'beside main.py'\n")
    (edited / "files" / "configs" / "base.yaml").write_text("in files/")

    built = builder(edited, "planted")

    listed = docker.image_files(built.tag)
    assert f"{one.workdir}/src/digits/deeper/extra.py" in listed
    assert f"{one.workdir}/beside.py" in listed
    assert f"{one.workdir}/files/configs/base.yaml" in listed
    before = set(docker.image_files(one.tag))
    added = sorted(set(listed) - before)
    assert added == [
        f"{one.workdir}/beside.py",
        f"{one.workdir}/files",
        f"{one.workdir}/files/configs",
        f"{one.workdir}/files/configs/base.yaml",
        f"{one.workdir}/src/digits/deeper",
        f"{one.workdir}/src/digits/deeper/__init__.py",
        f"{one.workdir}/src/digits/deeper/extra.py",
    ]
    seen = docker.run(
        built.tag,
        "-c",
        "import beside, digits.deeper.extra as e; print(beside.WORD, 'and', e.WORD, 'and', "
        "open('files/configs/base.yaml').read())",
        entrypoint="python",
        **one.strict(),
    )
    assert seen.stdout == "beside main.py and under src and in files/\n"
    # No layer holds it either: what a later layer deletes is still there for who pulls the image.
    with docker.saved(built.tag) as archive:
        for name in json.load(archive.extractfile("manifest.json"))[0]["Layers"]:
            assert marker.encode() not in archive.extractfile(name).read(), name


@pytest.mark.parametrize("name", BUILT)
def test_there_is_no_uv_in_the_image(name: str, members: Callable) -> None:
    found = [
        path
        for path, entry in members(name).items()
        if re.search(r"/s?bin/uvx?$|^/uvx?$|/site-packages/uv(-[^/]*)?$", path)
    ]
    assert found == []


@pytest.mark.parametrize("name", BUILT)
def test_the_image_adds_to_its_base_only_the_environment_the_code_and_the_folders_to_write_to(
    name: str, members: Callable, image: Callable, base: Callable
) -> None:
    """No cache of pip or uv, no package lists, no credentials; of bytecode only what belongs to the
    standard library.

    What is left of a mount point is empty: that much BuildKit leaves of the caches and secrets.
    """
    one = image(name)
    ours = ("/opt/venv", "/opt/python", one.workdir, one.home)
    before, now = base(name), members(name)
    added = [
        path
        for path, entry in now.items()
        if path not in before and not path.startswith(ours) and (entry.size or not entry.isdir())
    ]
    library = re.compile(r"(/usr/local/lib/python3\.\d+/.*)__pycache__/([^/]+)\.cpython-\d+\.pyc")
    bytecode = [found for found in map(library.fullmatch, added) if found]
    sources = {f"{found[1]}{found[2]}.py" for found in bytecode}
    assert sources <= before.keys() and not [path for path in sources if "/site-packages/" in path]
    assert set(added) == {found[0] for found in bytecode}
    caches = [path for path in now if re.search(r"^/opt/.*/(\.cache|\.temp)/.", path)]
    assert caches == []


@pytest.mark.parametrize("name", BUILT)
def test_the_image_adds_no_setuid_file_to_its_base(
    name: str, members: Callable, base: Callable
) -> None:
    before = _privileged(base(name))
    assert before, "a base without a single setuid file: is the list read right?"
    assert _privileged(members(name)) - before == set()


def _privileged(listed: dict[str, tarfile.TarInfo]) -> set[str]:
    return {path for path, entry in listed.items() if entry.isreg() and entry.mode & 0o6000}


@pytest.mark.parametrize("name", BUILT)
def test_no_user_but_root_can_write_where_the_program_does_not(
    name: str, members: Callable, base: Callable, image: Callable
) -> None:
    one = image(name)
    writable = [
        path
        for path, entry in members(name).items()
        if path not in base(name)
        and not entry.issym()
        and (entry.uid or entry.gid or entry.mode & 0o022 or path == one.outputs)
        and not path.startswith("/dev/")
    ]
    assert one.outputs in writable
    assert sorted(set(writable) - {one.home, f"{one.home}/.cache", one.outputs}) == []


@pytest.mark.parametrize("name", BUILT)
def test_the_image_has_the_locked_packages_and_no_dev_dependency(
    name: str, image: Callable, docker: Engine
) -> None:
    one = image(name)
    listing = "import importlib.metadata as m\nfor d in m.distributions(): print(d.name, d.version)"
    ran = docker.run(one.tag, "-c", listing, entrypoint="/opt/venv/bin/python", **one.strict())
    installed = dict(line.lower().split() for line in ran.stdout.splitlines())
    group = "gpu" if "gpu" in name else "cpu"
    wanted = _locked(one.project, "--no-default-groups", f"--group={group}")
    assert {key.replace("_", "-"): value for key, value in installed.items()} == wanted
    developing = _locked(one.project, "--only-group=dev", "--only-group=lint")
    assert "pytest" in developing
    assert "pytest" not in installed


def _locked(project: Path, *which: str) -> dict[str, str]:
    """Names and versions that `uv export` gives for Linux on this machine's processor."""
    words = ["export", "--quiet", "--locked", "--no-emit-project", "--no-hashes", "--no-annotate"]
    lines = images.uv(project, *words, "--no-header", *which).stdout.splitlines()
    answer = {}
    for line in lines:
        requirement, _, marker = line.partition(" ; ")
        if marker and not _holds(marker):
            continue
        found = re.match(r"([\w.-]+)(?:\[[^]]*\])?==(\S+)", requirement)
        answer[found[1].lower()] = found[2].lower()
    return answer


def _holds(marker: str) -> bool:
    from packaging.markers import Marker

    return Marker(marker).evaluate()


@pytest.mark.parametrize("name", BUILT)
def test_every_installed_module_that_compiles_has_its_bytecode_but_tests_have_none(
    name: str, image: Callable, docker: Engine
) -> None:
    script = """
import importlib.util, pathlib, sysconfig
counted, bad = 0, []
for source in pathlib.Path(sysconfig.get_path("purelib")).rglob("*.py"):
    cached = pathlib.Path(importlib.util.cache_from_source(source))
    if "tests" in source.parts:
        if cached.exists():
            bad.append(f"{source}: bytecode of a test")
        continue
    if cached.exists():
        counted += 1
        # PEP 552: flag 1 and not 3 is a hash that is not checked at import.
        if int.from_bytes(cached.read_bytes()[4:8], "little") != 1:
            bad.append(f"{source}: bytecode of another kind")
        continue
    try:
        compile(source.read_bytes(), str(source), "exec")
    except (SyntaxError, ValueError):
        continue
    bad.append(f"{source}: no bytecode")
print(counted)
print("\\n".join(bad[:20]))
"""
    ran = docker.run(
        image(name).tag,
        "-W",
        "ignore",
        "-c",
        script,
        entrypoint="/opt/venv/bin/python",
        **image(name).strict(),
    )
    counted, *bad = ran.stdout.split("\n", 1)
    assert "".join(bad).strip() == ""
    assert int(counted) > 1000
