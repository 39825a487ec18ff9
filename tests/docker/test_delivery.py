"""From a commit to a registry and to another machine: what moves, and what is tested.

The registry is a real one on loopback, the machines build apart (tests/support/docker/machines.py).
"""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.support import projects
from tests.support.docker import bake, images
from tests.support.docker.machines import Machine
from tests.support.docker.registry import Registry, registry
from tests.support.host import Unavailable

ACCOUNT = {"REGISTRY_USERNAME": "robot", "REGISTRY_PASSWORD": "s3cret"}
HEAVY = 100_000_000
SCHEDULED = ("--if-newer-base", "main")


@dataclass
class Site:
    """Two machines, a registry that both reach, and a project that is published there."""

    here: Machine
    there: Machine
    store: Registry
    project: Path
    published: dict = field(default_factory=dict)
    """The manifest of the first image."""

    def publish(
        self, machine: Machine, project: Path, *tags: str, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """Run the project's own script on a machine, as CI does."""
        bake.wrapper(project.parent / "bin", shutil.which(machine.docker.client))
        environment = {**machine.docker.environment, **ACCOUNT, **variables}
        environment["PATH"] = f"{project.parent / 'bin'}:{environment['PATH']}"
        self.store.meter.reset()
        done = subprocess.run(
            ["sh", "scripts/publish.sh", *tags],
            cwd=project,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=1200,
        )
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
        return done

    def edited(self, folder: Path) -> Path:
        """A copy of the project with another line in main.py."""
        copy = images.copy(self.project, folder)
        with (copy / "main.py").open("a") as main:
            main.write(f"\n# {uuid.uuid4()}\n")
        return copy

    def heavy(self, image: str) -> dict[str, int]:
        """Digests and sizes of the layers of an image that the first image also has."""
        known = {layer["digest"] for layer in self.published["layers"]}
        layers = self.store.manifest(image)["layers"]
        return {one["digest"]: one["size"] for one in layers if one["digest"] in known}


@pytest.fixture(scope="module")
def site(
    provided: Callable[..., tuple[Machine, Machine]],
    template: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Site]:
    """Publish a project from one machine, as its main branch."""
    folder = tmp_path_factory.mktemp("delivery")
    with contextlib.ExitStack() as stack:
        try:
            store = stack.enter_context(registry(folder / "registry"))
        except Unavailable as missing:
            projects.lacking(str(missing))
        name = f"{store.host}/team/digits"
        project = projects.generate(
            template, folder / "digits", lock=True, image_name=name, ci="none"
        )
        made = Site(*provided(*images.base_images(project)), store, project)
        made.publish(made.here, project, "main", "0a1b2c")
        made.published = store.manifest("team/digits:main")
        yield made


def test_every_tag_is_of_the_image_that_was_tested_from_the_registry(site: Site) -> None:
    assert site.store.tags("team/digits") - {"untested"} == {"main", "0a1b2c"}
    assert site.store.manifest("team/digits:0a1b2c") == site.published
    layers = site.published["layers"]
    assert sum(layer["size"] for layer in layers) > HEAVY
    assert any(layer["mediaType"].endswith("+zstd") for layer in layers)


def test_on_a_machine_with_no_layer_a_line_of_code_is_all_that_is_built_and_pushed(
    site: Site, tmp_path: Path
) -> None:
    site.there.forget()
    before = site.store.holds()
    done = site.publish(site.there, site.edited(tmp_path), "line")
    said = done.stdout + done.stderr
    assert re.findall(r"^#\d+ .*Installed \d+ packages", said, re.MULTILINE) == []
    assert site.store.holds() - before < 1_000_000
    assert site.store.meter.up < 1_000_000
    assert len(site.heavy("team/digits:line")) == len(site.published["layers"]) - 1


def test_a_new_project_installs_nothing_that_the_image_it_is_told_of_has(
    site: Site, template: Path, tmp_path: Path
) -> None:
    host = site.store.host
    answers = {"image_name": f"{host}/team/second", "ci": "none"}
    project = projects.generate(template, tmp_path / "second", lock=True, **answers)
    site.there.forget()
    before = site.store.holds()
    shared = {"SHARED_CACHE_ZSTD": f"{host}/team/digits:main"}
    done = site.publish(site.there, project, "main", **shared)
    assert re.findall(r"Installed \d+ packages", done.stdout + done.stderr) == []
    assert site.store.holds() - before < 1_000_000
    assert sum(site.heavy("team/second:main").values()) > HEAVY


def test_a_new_base_pushes_no_layer_of_packages(site: Site, tmp_path: Path) -> None:
    with (tmp_path / "Dockerfile").open("w") as file:
        base = images.base_images(site.project)[1]
        file.write(f"FROM {base}\nRUN --network=none echo {uuid.uuid4()} >/etc/fixed\n")
    site.here.docker.build(tmp_path, "drydock-test-newer-base")
    project = images.copy(site.project, tmp_path)
    override = 'target "image" { args = { BASE_IMAGE = "drydock-test-newer-base" } }\n'
    (project / "docker-bake.override.hcl").write_text(override)
    before = site.store.holds()
    site.publish(site.here, project, "fixed")
    assert site.store.holds() - before < 1_000_000
    assert sum(site.heavy("team/digits:fixed").values()) > HEAVY


def test_a_base_that_moved_on_is_built_tested_and_published_with_what_changed_in_it(
    site: Site, template: Path, tmp_path: Path
) -> None:
    host, docker = site.store.host, site.here.docker
    answers = {
        "image_name": f"{host}/team/moving",
        "image_mirror": host,
        "ci": "none",
        "advanced": True,
    }
    project = projects.generate(template, tmp_path / "digits", lock=True, **answers)
    originals = images.base_images(site.project)
    mirrored = images.base_images(project)
    for original, reference in zip(originals, mirrored, strict=True):
        docker("tag", original, reference)
        docker("push", "--quiet", reference)
    site.publish(site.here, project, "main", "0a1b2c")
    first = site.store.manifest("team/moving:main")

    assert "Nothing is published" in site.publish(site.here, project, *SCHEDULED).stdout
    assert site.store.manifest("team/moving:main") == first

    base = mirrored[1]
    (tmp_path / "fix").mkdir()
    fix = "sed -i '0,/^Version: /s//&99+/' /var/lib/dpkg/status"
    (tmp_path / "fix" / "Dockerfile").write_text(f"FROM {base}\nRUN --network=none {fix}\n")
    docker.build(tmp_path / "fix", base)
    docker("push", "--quiet", base)
    done = site.publish(site.here, project, *SCHEDULED)
    before, after = (line.split() for line in done.stdout.splitlines()[-2:])
    assert before[:2] == ["<", after[1]] and after == [">", after[1], f"99+{before[2]}"]
    now = site.store.manifest("team/moving:main")
    assert now["layers"] != first["layers"]
    heavy = {one["digest"] for one in first["layers"] if one["size"] > 1_000_000}
    assert len(heavy - {one["digest"] for one in now["layers"]}) == 0
    assert site.store.manifest("team/moving:0a1b2c") == first


def test_a_pull_request_builds_and_tests_and_pushes_nothing(site: Site, tmp_path: Path) -> None:
    before = site.store.holds()
    done = site.publish(site.there, site.edited(tmp_path))
    assert '"test_accuracy"' in done.stdout
    assert site.store.holds() == before
    assert site.store.meter.up < 200_000
