"""Fixtures that all layers of the tests share."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import projects  # noqa: E402 the helpers lie beside this file


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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test that uses the network is marked so."""
    for item in items:
        if "network" in getattr(item, "fixturenames", ()):
            item.add_marker("network")
