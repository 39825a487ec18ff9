"""Folders as people have them: what lies around does not slow a build down, break it or leak."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.docker import images
from tests.support.docker.client import Build, Engine

GIGABYTES = 5


def large_data(project: Path) -> None:
    """A data folder of 5 GB (sparse, so that only its size is large)."""
    (project / "data").mkdir()
    with (project / "data" / "train.bin").open("wb") as file:
        file.truncate(GIGABYTES * 10**9)


def foreign_environment(project: Path) -> None:
    """An environment of another Python, whose interpreter is a dangling link."""
    binaries = project / ".venv" / "bin"
    binaries.mkdir(parents=True)
    (binaries / "python").symlink_to("/usr/lib/python2/bin/python")
    (project / ".venv" / "pyvenv.cfg").write_text("version = 2.7.18\n")


def symlink_loop(project: Path) -> None:
    """Links that lead to themselves, one of them where the modules are."""
    (project / "loop").symlink_to("loop")
    (project / "src" / ".loop").symlink_to("../src/.loop")


def open_socket(project: Path) -> None:
    """A Unix socket, such as an editor or a notebook server leaves."""
    here = os.getcwd()
    os.chdir(project)  # the path of a socket may have 107 bytes only
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("server.sock")
    os.chdir(here)


def named_pipe(project: Path) -> None:
    """A FIFO: whoever opens it for reading waits for ever."""
    os.mkfifo(project / "pipe")
    os.mkfifo(project / "src" / ".pipe")


def unreadable_file(project: Path) -> None:
    """A file that nobody may read."""
    (project / "private.key").write_text("secret-of-the-test")
    (project / "private.key").chmod(0)


def secret(project: Path) -> None:
    """Passwords in .env, at the top and beside the modules."""
    for name in (".env", "src/.env", ".env.production", "src/digits/.env.local"):
        (project / name).write_text("PASSWORD=secret-of-the-test\n")


def other_python_version(project: Path) -> None:
    """A .python-version that disagrees with pyproject.toml and the image."""
    (project / ".python-version").write_text("3.9\n")


HARMLESS = [
    large_data,
    foreign_environment,
    symlink_loop,
    open_socket,
    named_pipe,
    unreadable_file,
    secret,
    other_python_version,
]


@pytest.mark.parametrize("plant", HARMLESS, ids=lambda plant: plant.__name__)
def test_it_does_not_reach_the_image(
    plant: Callable[[Path], None],
    image: Callable,
    builder: Callable[..., Build],
    docker: Engine,
    tmp_path: Path,
) -> None:
    """Every step is cached, so the image is the one that was built without it."""
    one = image("sklearn-train")
    project = images.copy(one.project, tmp_path)
    plant(project)
    built = builder(project, f"context-{plant.__name__.replace('_', '-')}")
    assert [step.name for step in built.stage_steps() if not step.cached] == []
    assert docker.layers(built.tag) == docker.layers(one.tag)


def test_files_with_the_line_endings_of_windows_build_and_run(
    image: Callable, builder: Callable[..., Build], docker: Engine, tmp_path: Path
) -> None:
    one = image("sklearn-train")
    project = images.copy(one.project, tmp_path)
    changed = ["main.py", "pyproject.toml", "uv.lock", *project.glob("src/digits/*.py")]
    for path in (project / name for name in changed):
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    built = builder(project, "context-crlf")
    assert built.step("/mnt/pylock.framework.toml").cached
    assert built.step("/mnt/pylock.rest.toml").cached
    ran = docker.run(built.tag, "--help", **one.strict())
    assert "--epochs" in ran.stdout
