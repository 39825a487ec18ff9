"""What the Docker tests share: the projects and images under test, and edits that a user makes."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess

from tests.support import projects
from tests.support.docker.client import Build

# What the one wheel of torch that a machine without the PyTorch index can have is made for.
_TORCH: dict[str, object] = {
    "framework": "pytorch",
    "python_version": "3.11",
    "advanced": True,
    "framework_version": "2.13.0",
}
VARIANTS: dict[str, dict[str, object]] = {
    "sklearn-train": {"workload": "train"},
    "sklearn-serve": {"workload": "serve"},
    "sklearn-both": {"workload": "both"},
    "sklearn-ovh": {"workload": "train", "platform": "ovh"},
    "sklearn-openshift": {"workload": "train", "platform": "openshift"},
    "sklearn-openshift-serve": {"workload": "serve", "platform": "openshift"},
    "sklearn-sagemaker": {"workload": "train", "platform": "sagemaker"},
    "sklearn-sagemaker-serve": {"workload": "serve", "platform": "sagemaker"},
    "sklearn-vertex": {"workload": "train", "platform": "vertex"},
    "sklearn-vertex-serve": {"workload": "serve", "platform": "vertex"},
    "torch-train": {"workload": "train", "extras": ["kubernetes"], **_TORCH},
    "torch-serve": {"workload": "serve", **_TORCH},
    "torch-gpu": {
        "workload": "train",
        "accelerator": "gpu",
        "cuda": "12.6",
        "gpu_base": "nvidia",
        **_TORCH,
    },
    "torch-cuda": {
        "workload": "train",
        "accelerator": "gpu",
        "gpus": ["T4", "H100"],
        "cuda": "12.6",
        "gpu_base": "slim",
        "compile_cuda": True,
        **_TORCH,
    },
}
"""The answers of the projects under test, by name; every other answer is the default."""


@dataclass(frozen=True)
class TorchIndex:
    """Where the builds of torch come from. `url` is None for PyTorch's own index."""

    url: str | None

    @property
    def answers(self) -> dict[str, str]:
        """The answer that makes a project use it."""
        return {"pytorch_index": self.url} if self.url else {}


@dataclass(frozen=True)
class Image:
    """A project, the image built of it, and how to run it as the strictest platform does."""

    name: str
    project: Path
    build: Build
    config: dict

    @property
    def tag(self) -> str:
        return self.build.tag

    @property
    def environment(self) -> dict[str, str]:
        """The variables that the image sets."""
        return dict(entry.split("=", 1) for entry in self.config["Env"])

    @property
    def home(self) -> str:
        return self.environment["HOME"]

    @property
    def workdir(self) -> str:
        return self.config["WorkingDir"]

    @property
    def outputs(self) -> str:
        """Where the program writes what must outlive the container."""
        return f"{self.workdir}/outputs"

    def strict(self, outputs: Path | None = None) -> dict:
        """Keywords for Engine.run: no network, a user the image does not know, nothing writable but
        /tmp, the caches and the outputs, which are a tmpfs unless a folder is given.
        """
        tmpfs = ["/tmp", f"{self.home}/.cache"] + ([] if outputs else [self.outputs])
        return {
            "network": "none",
            "user": "42420",
            "read_only": True,
            "tmpfs": tmpfs,
            "volumes": {outputs: self.outputs} if outputs else {},
        }


@dataclass(frozen=True)
class Trained:
    """The end of a training run: its metrics and the folder it wrote to."""

    metrics: list[dict]
    outputs: Path


def open_folder(path: Path) -> Path:
    """A folder that any user may write to, as a volume of a platform is."""
    path.mkdir(parents=True)
    path.chmod(0o777)
    return path


def metrics(output: str) -> list[dict]:
    """The JSON objects that a program printed, one a line; other lines are left out."""
    return [json.loads(line) for line in output.splitlines() if line.startswith("{")]


def uv(project: Path, *words: str) -> CompletedProcess[str]:
    """Run uv in a project, as a user does."""
    return projects.run("uv", *words, cwd=project)


def copy(project: Path, folder: Path) -> Path:
    """A copy of a project to edit, under the same name."""
    return Path(shutil.copytree(project, folder / project.name, symlinks=True))


def replace(path: Path, old: str, new: str) -> None:
    """Edit a file; the old text must be there."""
    text = path.read_text()
    assert old in text, f"{old!r} is not in {path}"
    path.write_text(text.replace(old, new))


def base_images(project: Path) -> list[str]:
    """Every image from outside that the project's Dockerfile starts a stage from."""
    text = (project / "Dockerfile").read_text()
    arguments = dict(re.findall(r"^ARG (\w+)=(\S+)$", text, re.MULTILINE))
    stages: set[str] = set()
    answer: list[str] = []
    for reference, stage in re.findall(
        r"^FROM (?:--\S+ )*(\S+)(?: AS (\S+))?", text, re.MULTILINE | re.IGNORECASE
    ):
        for name, value in arguments.items():
            reference = reference.replace(f"${{{name}}}", value).replace(f"${name}", value)
        if reference not in stages and reference != "scratch":
            answer.append(reference)
        stages.add(stage)
    return list(dict.fromkeys(answer))
