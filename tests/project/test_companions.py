"""torchvision and torchaudio come from the index of each build of PyTorch, with the real uv."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import indexes, projects

# A GPU build that is on the index of PyTorch and not on PyPI.
GPU = {"accelerator": "gpu", "gpus": ["V100"], "driver": "570"}
RELEASE = {"torch": "2.14.1", "torchvision": "0.29.1", "torchaudio": "2.11.0"}


@pytest.fixture(scope="module")
def pytorch_index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A stand-in for the index: small wheels of two builds."""
    folder = tmp_path_factory.mktemp("wheels")
    wheels = {
        build: [
            indexes.make_wheel(folder, name, f"{version}+{build}", build)
            for name, version in RELEASE.items()
        ]
        for build in ("cpu", "cu126")
    }
    index = indexes.Index(wheels)
    yield index.url
    index.close()


@pytest.fixture(scope="module")
def project(
    template: Path, tmp_path_factory: pytest.TempPathFactory, pytorch_index: str, network: None
) -> Path:
    """A project for GPUs, with a lock."""
    return made(template, tmp_path_factory.mktemp("gpu") / "demo", pytorch_index, **GPU)


def made(template: Path, folder: Path, pytorch_index: str, **answers: object) -> Path:
    """Make a project with a lock."""
    answers = {"framework": "pytorch", "framework_version": RELEASE["torch"], **answers}
    return projects.generate(
        template, folder, lock=True, advanced=True, pytorch_index=pytorch_index, **answers
    )


def add(project: Path, folder: Path, *words: str) -> Path:
    """Run `uv add` in a copy of the project, which has its lock."""
    copied = Path(shutil.copytree(project, folder))
    projects.run("uv", "add", "--no-sync", *words, cwd=copied)
    return copied


def group(project: Path, name: str) -> dict[str, str]:
    """What a dependency group installs of PyTorch on Linux, by package."""
    export = ("uv", "export", "--frozen", "--no-hashes", "--no-default-groups", "--group", name)
    listed = projects.run(*export, cwd=project).stdout
    found = re.findall(r"^(torch\w*)==(\S+?)(?: ; (.*))?$", listed, re.MULTILINE)
    return {package: version for package, version, marker in found if "!=" not in marker}


def test_companions_follow_each_build(project: Path, tmp_path: Path) -> None:
    pins = [f"{name}=={version}" for name, version in RELEASE.items() if name != "torch"]
    added = add(project, tmp_path / "added", "--group", "companions", *pins)
    for name, build in (("cpu", "cpu"), ("gpu", "cu126")):
        expected = {package: f"{version}+{build}" for package, version in RELEASE.items()}
        assert group(added, name) == expected


def test_the_commands_in_the_file_add_what_fits(project: Path) -> None:
    text = (project / "pyproject.toml").read_text()
    told = re.findall(r"`uv add --group companions (\w+)==([\d.]+)`", text)
    assert dict(told) == {name: one for name, one in RELEASE.items() if name != "torch"}


def test_a_companion_can_be_taken_out_and_put_back(project: Path, tmp_path: Path) -> None:
    words = ("--group", "companions", "torchvision")
    added = add(project, tmp_path / "added", *words)
    projects.run("uv", "remove", "--no-sync", *words, cwd=added)
    assert "torchvision" not in group(added, "gpu")
    again = add(added, tmp_path / "again", *words)
    assert group(again, "gpu")["torchvision"] == "0.29.1+cu126"


def test_companions_that_nobody_added_are_neither_locked_nor_installed(project: Path) -> None:
    assert group(project, "cpu") == {"torch": "2.14.1+cpu"}
    assert group(project, "gpu") == {"torch": "2.14.1+cu126"}
    assert 'name = "torchvision"\n' not in (project / "uv.lock").read_text()


def test_without_the_group_uv_takes_the_build_of_pypi(project: Path, tmp_path: Path) -> None:
    """As the comment in pyproject.toml says. Once uv does better, the group can go."""
    added = add(project, tmp_path / "added", "torchvision==0.29.1")
    assert group(added, "cpu")["torchvision"] == group(added, "gpu")["torchvision"] == "0.29.1"


def test_what_is_compiled_is_compiled_beside_the_same_companions(
    template: Path, tmp_path: Path, pytorch_index: str, network: None
) -> None:
    project = made(template, tmp_path / "demo", pytorch_index, **GPU, compile_cuda=True)
    added = add(project, tmp_path / "added", "--group", "companions", "torchvision")
    assert group(added, "cuda") == {"torch": "2.14.1+cu126", "torchvision": "0.29.1+cu126"}


def test_a_cpu_project_has_the_companions_of_the_cpu_build(
    template: Path, tmp_path: Path, pytorch_index: str, network: None
) -> None:
    project = made(template, tmp_path / "demo", pytorch_index, accelerator="cpu")
    added = add(project, tmp_path / "added", "--group", "companions", "torchvision")
    assert group(added, "cpu") == {"torch": "2.14.1+cpu", "torchvision": "0.29.1+cpu"}


def test_a_companion_without_a_wheel_for_the_python_is_named_and_not_offered(
    template: Path, tmp_path: Path
) -> None:
    answers = {"framework": "pytorch", "advanced": True, "framework_version": "2.5.1"}
    for python, offered in (("3.12", True), ("3.13", False)):
        project = projects.generate(template, tmp_path / python, python_version=python, **answers)
        text = (project / "pyproject.toml").read_text()
        assert ("uv add --group companions torchvision==0.20.1" in text) == offered
        assert ("torchvision 0.20.1 has no wheel for Python 3.13" in text) != offered
        assert ("torchvision = [" in text) == offered


def test_uv_says_which_torch_a_package_wants(project: Path, tmp_path: Path) -> None:
    """The README tells to look for this, and to answer it."""
    copied = Path(shutil.copytree(project, tmp_path / "demo"))
    told = projects.run("uv", "add", "--no-sync", "vllm==0.33.0", cwd=copied, check=False)
    assert told.returncode
    assert "depends on torch==2.14.0" in told.stderr
