"""Old GPUs, for real: what `uv lock` takes from PyPI has code for them."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from packaging.version import Version

from tests.support import projects

BOUNDS = {"nvidia-cudnn-cu12": "9.11", "nvidia-nccl-cu12": "2.28"}
CUDNN = ("nvidia-cudnn-cu12",)
# Each GPU and framework, and what the GPU is too old for. NVIDIA's V100 is Volta, P100 and
# GTX 1080 are Pascal, GTX 980 is Maxwell.
CASES = [
    *((framework, gpu, CUDNN) for framework in ("jax", "tensorflow") for gpu in ("V100", "P100")),
    *(("onnxruntime", gpu, CUDNN) for gpu in ("V100", "P100", "GTX 1080")),
    ("jax", "GTX 1080", CUDNN),
    ("tensorflow", "GTX 1080", CUDNN),
    ("jax", "GTX 980", (*CUDNN, "nvidia-nccl-cu12")),
    ("tensorflow", "GTX 980", (*CUDNN, "nvidia-nccl-cu12")),
    ("xgboost", "GTX 980", ("nvidia-nccl-cu12",)),
]


def generated(template: Path, folder: Path, framework: str, gpus: list[str]) -> Path:
    """Make a project with a lock."""
    return projects.generate(
        template,
        folder,
        lock=True,
        accelerator="gpu",
        workload="serve",
        framework=framework,
        gpus=gpus,
        driver="580",
    )


def locked(project: Path) -> dict[str, Version]:
    """The newest version of each package in uv.lock."""
    packages = tomllib.loads((project / "uv.lock").read_text())["package"]
    found: dict[str, Version] = {}
    for package in packages:
        one = Version(package.get("version", "0"))
        found[package["name"]] = max(one, found.get(package["name"], one))
    return found


@pytest.mark.parametrize(("framework", "gpu", "libraries"), CASES)
def test_the_lock_for_an_old_gpu_has_libraries_that_run_it(
    template: Path, tmp_path: Path, network: None, framework: str, gpu: str, libraries: tuple[str]
) -> None:
    project = generated(template, tmp_path / "demo", framework, [gpu])
    versions = locked(project)
    for library in libraries:
        assert versions[library] < Version(BOUNDS[library])


@pytest.mark.parametrize("framework", ["jax", "tensorflow", "onnxruntime"])
def test_without_its_constraint_the_lock_would_not_run_it(
    template: Path, tmp_path: Path, network: None, framework: str
) -> None:
    project = generated(template, tmp_path / "demo", framework, ["V100"])
    cpu = ("uv", "export", "--frozen", "--no-default-groups", "--group", "cpu", "--no-hashes")
    held = projects.run(*cpu, cwd=project).stdout
    path = project / "pyproject.toml"
    lines = path.read_text().splitlines(keepends=True)
    constraints = [line for line in lines if '"nvidia-cudnn-cu12<9.11"' in line]
    assert len(constraints) == 1
    path.write_text("".join(line for line in lines if line not in constraints))
    projects.run("uv", "lock", "--upgrade-package", "nvidia-cudnn-cu12", cwd=project)
    assert locked(project)["nvidia-cudnn-cu12"] >= Version("9.11")
    assert projects.run(*cpu, cwd=project).stdout == held, "no library of the CPU group moved"
