"""Fixtures of the Docker tests: a daemon, base images, a package index, generated projects.

Where Docker is missing the tests say so and are skipped; with CI=true or DRYDOCK_REQUIRE_DOCKER=1
they fail, because a CI run that skips them has not tested the image.

What they share ends with the last test of this folder and not with the session: to remove it takes
a minute, in which another process of pytest-xdist still has tests to run.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from tests.support import indexes, projects
from tests.support.docker import daemon, images, machines, standins
from tests.support.docker.client import TAG, Build, Engine
from tests.support.docker.images import Image, TorchIndex, Trained
from tests.support.docker.machines import Machine
from tests.support.host import Unavailable

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every test in this folder is marked `docker`."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker("docker")


Made = TypeVar("Made")


def once(make: Callable[[str], Made]) -> Callable[[str], Made]:
    """Remember what `make` answered for a name, also how it failed: a build that fails takes as
    long the second time.
    """
    made: dict[str, Made] = {}
    failed: dict[str, BaseException] = {}

    def get(name: str) -> Made:
        if name in failed:
            raise failed[name]
        if name not in made:
            try:
                made[name] = make(name)
            except (Exception, pytest.skip.Exception, pytest.fail.Exception) as error:
                failed[name] = error
                raise
        return made[name]

    return get


@pytest.fixture(scope="package")
def docker() -> Iterator[Engine]:
    """A docker client that builds, with a daemon behind it."""
    try:
        with daemon.connect() as engine:
            yield engine
    except Unavailable as missing:
        projects.lacking(str(missing))


@pytest.fixture(scope="package")
def standin(docker: Engine) -> standins.Standins:
    """Make sure that a base image exists here: call it with the reference."""
    return standins.Standins(docker)


@pytest.fixture(scope="package")
def pytorch_index() -> Iterator[TorchIndex]:
    """The PyTorch index, or a stand-in with the wheel of torch in pip's find-links folders.

    The stand-in's /cpu holds the CPU wheel as the real index does; its /cu126 and /cu130 hold the
    very same wheel in place of a CUDA build of several gigabytes: enough to build a GPU image, not
    to use a GPU.
    """
    try:
        wheel = indexes.find_wheel("torch-2.13.0")
    except Unavailable as missing:
        original = "https://download.pytorch.org/whl"
        try:
            urllib.request.urlopen(f"{original}/cpu/torch/", timeout=20).close()
        except OSError:
            pytest.skip(f"{missing}, and {original} does not answer")
        yield TorchIndex(None)
        return
    index = indexes.Index({name: [wheel] for name in ("cpu", "cu126", "cu130")}, port=28126)
    yield TorchIndex(index.url)
    index.close()


@pytest.fixture
def probe(tmp_path: Path) -> Iterator[tuple[str, str]]:
    """A dependency that nobody has installed before: the requirement, and the TEXT of its module
    `drydock_probe`. Of a package from PyPI the layer could be left in a cache from another run.
    """
    text = str(uuid.uuid4())
    wheel = indexes.make_wheel(tmp_path, "drydock_probe", "1.0", text)
    index = indexes.Index({"simple": [wheel]})
    yield f"drydock-probe @ {index.url}/simple/drydock-probe/{wheel.name}", text
    index.close()


@pytest.fixture(scope="package")
def project(
    template: Path, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Callable[[str], Path]:
    """Generate the project of a variant, once: call it with the name. Edit only copies of it."""

    def make(name: str) -> Path:
        answers = {"project_name": "digits", "image_name": "digits", **images.VARIANTS[name]}
        if answers.get("framework") == "pytorch":
            index = request.getfixturevalue("pytorch_index")
            if answers.get("accelerator") == "gpu" and not index.url:
                pytest.skip("a CUDA build of torch is too heavy: only with a stand-in wheel")
            answers |= index.answers
        folder = tmp_path_factory.mktemp(name) / "digits"
        projects.generate(template, folder, lock=True, **answers)
        assert (folder / "uv.lock").is_file(), "the template's task made no lock"
        return folder

    return once(make)


@pytest.fixture(scope="package")
def builder(docker: Engine, standin: standins.Standins) -> Callable[..., Build]:
    """Build a project's image: base images first, then `docker build`. Keywords as Engine.build."""

    def build(project: Path, name: str, **how) -> Build:
        try:
            for reference in images.base_images(project):
                standin(reference)
        except Unavailable as missing:
            projects.lacking(str(missing))
        tag = f"{TAG}{os.getpid()}/{name}"
        # Uncompressed, to be quick: containerd's image store keeps what a registry would get.
        output = f"--output=type=image,name={tag},unpack=true,compression=uncompressed"
        return docker.build(project, tag, **how, extra=[output])

    return build


@pytest.fixture(scope="package")
def apart(docker: Engine) -> Iterator[tuple[Machine, Machine]]:
    """Two machines that build apart, for all tests: where it matters that one has not built
    something before, let it `forget`.
    """
    try:
        with machines.machines(docker) as pair:
            yield pair
    except Unavailable as missing:
        projects.lacking(str(missing))


@pytest.fixture(scope="package")
def provided(
    apart: tuple[Machine, Machine], standin: standins.Standins
) -> Callable[..., tuple[Machine, Machine]]:
    """The two machines, with base images: call it with their references."""

    def provide(*references: str) -> tuple[Machine, Machine]:
        try:
            for reference in references:
                standin(reference)
                for machine in apart:
                    machine.provide(reference)
        except Unavailable as missing:
            projects.lacking(str(missing))
        return apart

    return provide


@pytest.fixture(scope="package")
def image(
    docker: Engine, project: Callable[[str], Path], builder: Callable[..., Build]
) -> Callable[[str], Image]:
    """The image of a variant, built once: call it with the name."""

    def make(name: str) -> Image:
        build = builder(project(name), name)
        return Image(name, project(name), build, docker.image(build.tag)["Config"])

    return once(make)


@pytest.fixture(scope="package")
def trained(
    docker: Engine,
    image: Callable[[str], Image],
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[[str], Trained]:
    """Train with the image of a variant and its default settings, once, as strictly as can be."""

    def make(name: str) -> Trained:
        outputs = images.open_folder(tmp_path_factory.mktemp(name) / "outputs")
        one = image(name)
        ran = docker.run(one.tag, **one.strict(outputs))
        return Trained(images.metrics(ran.stdout), outputs)

    return once(make)


@pytest.fixture
def smoke(docker: Engine, tmp_path: Path) -> Callable[..., str]:
    """Run the project's own smoke test on its image: answers all that it said.

    Further words are those of the script.
    """

    def run(one: Image, outputs: Path | None = None, *words: str) -> str:
        folder = tmp_path / "project"
        shutil.copytree(one.project / "scripts", folder / "scripts")
        if outputs:
            shutil.copytree(outputs, folder / "outputs")
        (tmp_path / "bin").mkdir()
        (tmp_path / "bin" / "docker").symlink_to(shutil.which(docker.client))
        path = f"{tmp_path / 'bin'}:{os.environ['PATH']}"
        ran = subprocess.run(
            ["sh", "scripts/smoke-test.sh", one.tag, *words],
            cwd=folder,
            env={**docker.environment, "PATH": path},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return ran.stdout

    return run
