"""Dependencies that the index has only as source, or that come from Git: they are built, and what
builds them is not in the image.
"""

from __future__ import annotations

import functools
import http.server
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support import projects
from tests.support.docker import images
from tests.support.docker.client import Build, Engine

SOURCE_ONLY = "annoy"  # C++ and no wheel at all, for years: https://pypi.org/project/annoy/#files


@pytest.fixture(scope="module")
def compiled(
    image: Callable, builder: Callable, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Build]:
    """A project with that dependency, and its image."""
    project = images.copy(image("sklearn-train").project, tmp_path_factory.mktemp("compiled"))
    # Without --no-sync uv would compile it on this machine too, which need not have a compiler.
    images.uv(project, "add", "--no-sync", SOURCE_ONLY)
    return project, builder(project, "compiled")


def test_it_is_compiled_and_imported(docker: Engine, compiled: tuple[Path, Build]) -> None:
    _, build = compiled
    code = f"import {SOURCE_ONLY} as a; i = a.AnnoyIndex(2, 'angular'); print(i.get_n_items())"
    ran = docker.run(build.tag, "-c", code, entrypoint="python", network="none", user="42420")
    assert ran.stdout.strip() == "0"


def test_no_compiler_is_in_the_image(docker: Engine, compiled: tuple[Path, Build]) -> None:
    _, build = compiled
    paths = map(Path, docker.image_files(build.tag))
    programs = {path.name for path in paths if path.parent.name in {"bin", "sbin"}}
    assert "python3" in programs
    assert not programs & {"gcc", "cc", "g++", "ld", "as", "make"}


def test_its_bytecode_is_compiled_too(docker: Engine, compiled: tuple[Path, Build]) -> None:
    _, build = compiled
    files = [
        name for name in docker.image_files(build.tag) if f"site-packages/{SOURCE_ONLY}/" in name
    ]
    assert [name for name in files if name.endswith(".py")]
    assert [name for name in files if name.endswith(".pyc")]


def test_another_dependency_does_not_compile_it_again(
    compiled: tuple[Path, Build], builder: Callable, tmp_path: Path, probe: tuple[str, str]
) -> None:
    project = images.copy(compiled[0], tmp_path)
    images.uv(project, "add", "--no-sync", probe[0])
    again = builder(project, "compiled-more")
    assert again.step("/mnt/pylock.source.toml").cached
    assert again.step("/mnt/pylock.framework.toml").cached
    assert again.step("/mnt/pylock.rest.toml").ran


def test_a_build_without_any_cache_compiles_it_all_the_same(
    compiled: tuple[Path, Build], builder: Callable
) -> None:
    """A CI runner starts with neither layers nor cache mounts; --no-cache takes the layers away."""
    build = builder(compiled[0], "compiled-cold", no_cache=True)
    assert build.step("/mnt/pylock.source.toml").ran


def test_a_project_without_such_a_dependency_installs_no_compiler(image: Callable) -> None:
    step = image("sklearn-train").build.step("/mnt/pylock.source.toml")
    assert not [line for line in step.lines if "build-essential" in line]


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[str]:
    """The URL of a Git repository with a Python package, on loopback."""
    source = tmp_path / "source"
    source.mkdir()
    (source / "drydock_from_git.py").write_text('TEXT = "from Git"\n')
    (source / "pyproject.toml").write_text(
        '[project]\nname = "drydock-from-git"\nversion = "1.0"\n\n'
        '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n'
    )
    projects.commit_all(source, "A package")
    served = tmp_path / "served"
    projects.git("clone", "--quiet", "--bare", source, served / "package.git", cwd=tmp_path)
    projects.git("update-server-info", cwd=served / "package.git")
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(served))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/package.git"
        server.shutdown()


def test_a_dependency_from_git_is_installed_and_git_is_not(
    docker: Engine, image: Callable, builder: Callable, repository: str, tmp_path: Path
) -> None:
    project = images.copy(image("sklearn-train").project, tmp_path)
    images.uv(project, "add", "--no-sync", f"drydock-from-git @ git+{repository}")
    build = builder(project, "from-git")
    code = "import drydock_from_git as d; print(d.TEXT)"
    ran = docker.run(build.tag, "-c", code, entrypoint="python", network="none", user="42420")
    assert ran.stdout.strip() == "from Git"
    programs = {Path(path).name for path in docker.image_files(build.tag) if "bin/" in path}
    assert "python3" in programs and not programs & {"git", "gcc"}
