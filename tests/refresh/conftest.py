"""Fixtures of the tests of the refresh: a world with a real registry."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.refresh.servers import Registry, StandIn
from tests.refresh.world import World, fill, small_catalogue, write


@pytest.fixture(scope="session")
def registry_binary() -> str:
    """The program docker-registry; skip where there is none, fail where CI lacks it."""
    binary = shutil.which("docker-registry")
    if binary is None:
        reason = "docker-registry (Debian's package of that name) is not installed"
        if os.environ.get("CI") == "true":
            pytest.fail(f"needed for this run: {reason}", pytrace=False)
        pytest.skip(reason)
    return binary


@pytest.fixture(scope="session")
def filled(
    registry_binary: str, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, str]]:
    """The folder of a registry that holds the images of the small catalogue, and their digests."""
    folder = tmp_path_factory.mktemp("filled")
    registry = Registry(registry_binary, folder)
    digests = fill(registry)
    registry.stop()
    return folder, digests


@pytest.fixture
def registry(
    registry_binary: str, filled: tuple[Path, dict[str, str]], tmp_path: Path
) -> Iterator[Registry]:
    """A real registry with those images, for one test."""
    folder = tmp_path / "registry"
    shutil.copytree(filled[0], folder)
    started = Registry(registry_binary, folder)
    yield started
    started.stop()


@pytest.fixture
def world(
    registry: Registry,
    filled: tuple[Path, dict[str, str]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[World]:
    """The small catalogue and sources that say the same."""
    folder = tmp_path / "catalogue"
    folder.mkdir()
    write(folder, small_catalogue())
    with StandIn() as index, StandIn() as dates, StandIn() as nvidia:
        made = World(folder, registry, index, dates, nvidia, capsys, dict(filled[1]))
        made.settle()
        yield made


@pytest.fixture
def read_once(world: World) -> World:
    """The same after a first refresh, so that the next one sees only what a test does."""
    outcome = world.refresh(today="2026-01-15")
    assert outcome.code == 0, outcome.said
    return world
