"""A fleet stores and pulls a framework once: its layer is the same in images of different projects
that were built apart, each as its docker-bake.hcl has CI build it; and no start pays for that.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support import projects
from tests.support.docker import exported, images
from tests.support.docker.exported import Exported
from tests.support.docker.machines import Machine

FRAMEWORK, REST = "framework", "rest"
OTHER_BASE = "python:3.13-slim-bookworm"


def step(stage: str) -> str:
    """A part of the name of the step that installs what a stage brings."""
    return f"/mnt/pylock.{stage}.toml"


def link(stage: str) -> str:
    """A part of what the image's history says of the layer of a stage."""
    return f"COPY /{stage}/ /"


@dataclass(frozen=True)
class Fleet:
    """Images of three projects with one framework. The second's builder had no cache of the first,
    and it differs in its base image, platform, user, system packages, workload and dependencies.

    `third` differs from `first` in everything but what it depends on, and comes from the builder of
    `second`. `tag` is `first` as a daemon loaded it from its file, `published` is what goes to a
    registry after `third` was tested.
    """

    first: Exported
    second: Exported
    third: Exported
    published: Exported
    machine: Machine
    tag: str


@pytest.fixture(scope="module")
def fleet(
    provided: Callable[..., tuple[Machine, Machine]],
    template: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Fleet]:
    """Generate the projects, build them on two machines and load one of the images."""
    folder = tmp_path_factory.mktemp("fleet")

    def project(name: str, **answers: object) -> Path:
        return projects.generate(template, folder / name, lock=True, **answers)

    first = project("alpha", description="Tells digits apart", workload="train")
    second = project(
        "beta-two",
        description="Answers",
        workload="serve",
        platform="ovh",
        ci="gitlab",
        advanced=True,
        apt_packages="tini",
    )
    images.replace(second / "pyproject.toml", 'version = "0.1.0"', 'version = "3.2.1"')
    images.uv(second, "add", "--no-sync", "humanize")
    third = project(
        "gamma", description="Another", image_name="registry.example.com/gamma", ci="none"
    )
    images.replace(third / "pyproject.toml", 'version = "0.1.0"', 'version = "9.0"')
    images.uv(third, "lock")
    here, there = provided(*images.base_images(first), OTHER_BASE)
    there.forget()
    try:
        with ThreadPoolExecutor() as both:
            alpha = both.submit(here.export, first, folder / "alpha.tar", no_cache=True)
            base = {"BASE_IMAGE": OTHER_BASE}
            beta = there.export(second, folder / "beta-two.tar", no_cache=True, build_args=base)
            gamma = there.export(third, folder / "gamma.tar")
            # The SBOM needs an image from Docker Hub that makes it.
            attest = ["--attest=type=provenance,mode=min"]
            released = there.export(third, folder / "release.tar", "publish", extra=attest)
        made = alpha.result()
        yield Fleet(made, beta, gamma, released, here, here.load(made))
    finally:
        for archive in folder.glob("*.tar"):
            archive.unlink()


def assert_same(one: Exported, other: Exported, stage: str) -> None:
    """The layers of a stage are one and the same; says what differs where they are not."""
    first, second = one.layer(link(stage)), other.layer(link(stage))
    if first.digest != second.digest:
        found = exported.differences(one.content(first), other.content(second))
        pytest.fail(f"{len(found)} differences:\n" + "\n".join(found[:20]), pytrace=False)


@pytest.mark.parametrize("stage", ["python", FRAMEWORK, "compiled"])
def test_a_layer_is_the_same_in_projects_of_other_bases_and_platforms_built_apart(
    fleet: Fleet, stage: str
) -> None:
    assert fleet.first.layers()[0].digest != fleet.second.layers()[0].digest, "the same base"
    for image in (fleet.first, fleet.second):
        assert image.build.step(step(FRAMEWORK)).ran
    assert fleet.first.layer(link(FRAMEWORK)).size > 100_000_000
    assert_same(fleet.first, fleet.second, stage)


def test_two_projects_with_the_same_dependencies_have_one_layer_of_them_too(fleet: Fleet) -> None:
    assert fleet.third.build.step(step(FRAMEWORK)).cached
    assert fleet.first.build.step(step(REST)).ran and fleet.third.build.step(step(REST)).ran
    assert fleet.first.layer(link(REST)).digest != fleet.second.layer(link(REST)).digest
    assert_same(fleet.first, fleet.third, REST)


def test_the_framework_layer_has_only_the_environment_so_that_a_new_base_keeps_it(
    fleet: Fleet,
) -> None:
    paths = fleet.first.content(fleet.first.layer(link(FRAMEWORK)))
    assert [path for path in paths if path.endswith("/site-packages/sklearn/__init__.py")]
    assert [
        path for path in paths if path != "opt" and not f"{path}/".startswith("opt/venv/")
    ] == []


def test_bytecode_in_the_image_has_no_time_stamp_and_is_that_of_its_source(
    fleet: Fleet,
) -> None:
    script = """
import importlib.util, json, os, pathlib, sys
answer = {"good": 0, "wrong": [], "missing": []}
for source in pathlib.Path(sys.prefix).rglob("*.py"):
    text = source.read_bytes()
    cached = pathlib.Path(importlib.util.cache_from_source(str(source)))
    if not cached.exists() and "tests" in source.parts:
        continue
    if not cached.exists():
        try:
            compile(text, str(source), "exec", dont_inherit=True)
            answer["missing"].append(str(source))
        except (SyntaxError, ValueError):
            pass  # a template of code
        continue
    head = cached.read_bytes()[:16]
    # https://peps.python.org/pep-0552/: bit 0 says hash instead of time stamp, bit 1 to check it.
    right = importlib.util.MAGIC_NUMBER + (1).to_bytes(4, "little")
    right += importlib.util.source_hash(text)
    if head == right:
        answer["good"] += 1
    else:
        answer["wrong"].append(str(source))
print(json.dumps(answer))
"""
    ran = fleet.machine.docker.run(fleet.tag, "-Wignore", "-c", script, entrypoint="python")
    [answer] = images.metrics(ran.stdout)
    assert answer["good"] > 1000
    assert (answer["wrong"][:5], answer["missing"][:5]) == ([], [])


def test_a_start_compiles_nothing_of_the_packages_and_of_python_itself(fleet: Fleet) -> None:
    """Python names with -v what it read each module's code from: a .pyc, or the source."""
    code = "import numpy, sklearn.ensemble, sys; print(sys.prefix, sys.base_prefix)"
    ran = fleet.machine.docker.run(fleet.tag, "-v", "-c", code, entrypoint="python", user="42420")
    prefixes = tuple(f"{prefix}/lib/" for prefix in ran.stdout.split())
    read = [
        line.rpartition(" from ")[2].strip("'")
        for line in ran.stderr.splitlines()
        if line.startswith("# code object from")
    ]
    for prefix in prefixes:
        compiled = [path for path in read if path.startswith(prefix) and path.endswith(".pyc")]
        assert len(compiled) > 50, prefix
    assert [path for path in read if path.startswith(prefixes) and path.endswith(".py")] == []
    assert "# wrote " not in ran.stderr and "# bytecode is stale" not in ran.stderr


def test_every_file_of_the_layers_is_dated_alike(fleet: Fleet) -> None:
    """Else the digests would be equal only by luck of the clock."""
    for image in (fleet.first, fleet.second):
        times = {entry[4] for entry in image.content(image.layer(link(FRAMEWORK))).values()}
        assert times == {315532800}, json.dumps(sorted(times))


def test_what_is_published_is_the_very_image_that_was_tested(fleet: Fleet) -> None:
    """From the builder's cache, and to the byte: also its config, in which a time would stand."""
    assert all(step.cached for step in fleet.published.build.stage_steps())
    assert fleet.published.config() == fleet.third.config()
    assert fleet.published.layers() == fleet.third.layers()
