"""Fixtures that all layers of the tests share."""

from __future__ import annotations

import json
import os
import socket
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

from drydock import solver
from drydock.catalogue import FOLDER, Catalogue
from drydock.request import Request
from drydock.solver import Solution
from tests.support import compiled, projects

# Some machines set it, CI's among them. Every program that a test starts would compile all of
# scikit-learn or PyTorch again, which costs two thirds of its import; nobody's laptop does that.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


def pytest_configure(config: pytest.Config) -> None:
    """What Jinja compiles is kept until the end of the run, also for the processes of tests."""
    if compiled.FOLDER not in os.environ:
        folder = tempfile.TemporaryDirectory(prefix="drydock-compiled-")
        config.add_cleanup(folder.cleanup)
        config.add_cleanup(lambda: os.environ.pop(compiled.FOLDER))
        os.environ[compiled.FOLDER] = folder.name
    compiled.remember()


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A template repository of the working tree."""
    return projects.snapshot(tmp_path_factory.mktemp("template") / "drydock")


@pytest.fixture(scope="session")
def network() -> None:
    """Skip where no package index can be reached."""
    try:
        socket.create_connection(("pypi.org", 443), timeout=10).close()
    except OSError as error:
        projects.lacking(f"no package index: {error}")


@pytest.fixture(scope="session")
def path_without_uv(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A PATH with everything that is on this one except uv and uvx."""
    folder = tmp_path_factory.mktemp("bin")
    for directory in os.environ["PATH"].split(os.pathsep):
        for program in Path(directory).iterdir() if Path(directory).is_dir() else ():
            if program.name not in {"uv", "uvx"} and not (folder / program.name).exists():
                (folder / program.name).symlink_to(program)
    return str(folder)


@pytest.fixture(autouse=True)
def only_the_defaults_of_the_template(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Copier's settings of whoever runs the tests must not change what they generate."""
    settings = tmp_path_factory.getbasetemp() / "settings.yml"
    settings.write_text("{}\n")
    monkeypatch.setenv("COPIER_SETTINGS_PATH", str(settings))


@pytest.fixture(scope="session")
def catalogue() -> Catalogue:
    """The catalogue that is shipped."""
    return Catalogue()


@pytest.fixture(scope="session")
def rows() -> dict[str, Any]:
    """The JSON files of the catalogue, by name, as they lie there."""
    return {path.stem: json.loads(path.read_text("utf-8")) for path in FOLDER.glob("*.json")}


@pytest.fixture(scope="session")
def request_of(catalogue: Catalogue) -> Callable[..., Request]:
    """Build a request; a GPU, PyTorch and the catalogue's own day unless said otherwise."""

    def build(**answers: Any) -> Request:
        defaults = {"accelerator": "gpu", "framework": "pytorch", "today": catalogue.as_of}
        return Request(**{**defaults, **answers})

    return build


@pytest.fixture(scope="session")
def solve(
    catalogue: Catalogue, request_of: Callable[..., Request]
) -> Callable[..., Solution | None]:
    """Solve a request built from answers; None where there is no solution."""

    def solve_answers(**answers: Any) -> Solution | None:
        return solver.solve(catalogue, request_of(**answers))

    return solve_answers


# What takes minutes, longest first: where tests run side by side, it has to start first.
LONGEST = (
    "tests/docker/",
    "tests/project/test_frameworks.py",
    "tests/project/",
    "tests/solver/test_oracle.py",
    "tests/update/",
    "tests/rendering/",
)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """A test that uses the network is marked so. In a process of pytest-xdist the longest come
    first; it shares them out in this order.
    """
    for item in items:
        if "network" in getattr(item, "fixturenames", ()):
            item.add_marker("network")
    if hasattr(config, "workerinput"):
        last = len(LONGEST)
        items.sort(
            key=lambda item: next(
                (place for place, name in enumerate(LONGEST) if item.nodeid.startswith(name)), last
            )
        )


class OneProcessForDocker(LoadFileScheduling):
    """The tests of a file run in one process, so that its fixtures are made once; those of
    docker/ all in the same one, since they share images and measure what a build finds cached.

    Groups (`--dist loadgroup`) would say the same, but pytest-xdist 3.8 forgets them with
    pytest 9.2: https://github.com/pytest-dev/pytest-xdist/issues/1386
    """

    def _split_scope(self, nodeid: str) -> str:
        folder = "tests/docker/"
        return folder if nodeid.startswith(folder) else super()._split_scope(nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> OneProcessForDocker:
    """How pytest-xdist shares out the tests, where it is asked to (`pytest -n 2`)."""
    config.option.loadscopereorder = False  # it would begin with the files of most tests
    return OneProcessForDocker(config, log)
