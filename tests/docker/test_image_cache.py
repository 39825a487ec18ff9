"""What an edit rebuilds, read off BuildKit's own progress output."""

from __future__ import annotations

import re
import uuid
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support import indexes, projects
from tests.support.docker import images
from tests.support.docker.client import Build, BuildFailed, Engine
from tests.support.docker.progress import Step, parse_progress


def installs(build: Build) -> tuple[Step, Step]:
    """The two install steps of the final image: the framework's and the rest's."""
    framework = build.step("/mnt/pylock.framework.toml")
    rest = build.step("/mnt/pylock.rest.toml")
    return framework, rest


@pytest.fixture
def edited(image: Callable, tmp_path: Path) -> Path:
    """A copy of the scikit-learn project whose image has just been built."""
    return images.copy(image("sklearn-train").project, tmp_path)


def test_a_build_right_after_a_build_is_cached_to_the_last_step(
    edited: Path, builder: Callable
) -> None:
    again = builder(edited, "again")
    assert [step.name for step in again.stage_steps() if not step.cached] == []


def test_an_edit_of_main_py_installs_nothing_again(
    edited: Path, builder: Callable, docker: Engine, image: Callable
) -> None:
    with (edited / "main.py").open("a") as main:
        main.write(f"\n# edited {uuid.uuid4()}\n")
    after = builder(edited, "edit-main")
    assert [step.cached for step in installs(after)] == [True, True]
    assert after.step(" *.py /code").ran, "the edit did not reach the image"
    before = docker.layers(image("sklearn-train").tag)
    now = docker.layers(after.tag)
    new = [layer for layer in now if layer.digest not in {one.digest for one in before}]
    assert new, "the edit did not reach the image"
    assert sum(layer.size for layer in new) < 1_000_000, new


def test_a_new_project_version_installs_nothing_again(edited: Path, builder: Callable) -> None:
    # A version that no other run has built: the lock stage must run for this to mean anything.
    version = f"0.2.{uuid.uuid4().int % 10**9}"
    images.replace(edited / "pyproject.toml", 'version = "0.1.0"', f'version = "{version}"')
    images.uv(edited, "lock")
    after = builder(edited, "edit-version")
    assert any(step.ran and "uv export" in step.name for step in after.steps)
    assert [step.cached for step in installs(after)] == [True, True]


def test_a_new_dev_dependency_installs_nothing_again(edited: Path, builder: Callable) -> None:
    lock = (edited / "uv.lock").read_text()
    assert 'name = "humanize"' not in lock
    images.uv(edited, "add", "--dev", "--no-sync", "humanize")
    assert 'name = "humanize"' in (edited / "uv.lock").read_text()
    with (edited / "pyproject.toml").open("a") as pyproject:
        pyproject.write(f"\n# {uuid.uuid4()}\n")
    after = builder(edited, "edit-dev")
    assert any(step.ran and "uv export" in step.name for step in after.steps)
    assert [step.cached for step in installs(after)] == [True, True]


def test_a_new_dependency_leaves_the_framework_layer_alone(
    edited: Path, builder: Callable, docker: Engine, probe: tuple[str, str]
) -> None:
    requirement, text = probe
    images.uv(edited, "add", "--no-sync", requirement)

    after = builder(edited, "edit-dependency")

    framework, rest = installs(after)
    assert framework.cached
    assert rest.ran
    script = "import drydock_probe; print(drydock_probe.TEXT)"
    assert docker.run(after.tag, "-c", script, entrypoint="python").stdout == f"{text}\n"


def test_nvidias_libraries_have_a_layer_that_stays_when_the_framework_changes(
    template: Path, tmp_path: Path, builder: Callable, docker: Engine, probe: tuple[str, str]
) -> None:
    """With a torch of one module, since both builds install it: the layer is all that is asked."""
    wheel = indexes.make_wheel(tmp_path, "torch", "2.13.0", str(uuid.uuid4()) * 300_000)
    index = indexes.Index({"cpu": [wheel], "cu126": [wheel]})
    answers = {**images.VARIANTS["torch-gpu"], "pytorch_index": index.url}
    edited = projects.generate(template, tmp_path / "digits", lock=True, **answers)
    images.uv(edited, "add", "--no-sync", "--group", "gpu", "nvidia-nvtx")
    before = builder(edited, "nvidia")
    images.uv(edited, "add", "--no-sync", "--group", "gpu", probe[0])

    after = builder(edited, "edit-framework")
    index.close()

    assert after.step("/mnt/pylock.nvidia.toml").cached
    assert installs(after)[0].ran
    nvidia, framework = (
        next(one for one in docker.layers(before.tag) if f"/{name}/ /" in one.created_by)
        for name in ("nvidia", "framework")
    )
    assert nvidia in docker.layers(after.tag) and framework not in docker.layers(after.tag)
    # This torch, of 11 MB, asks for no library of NVIDIA; the one that was added is of 0.3 MB.
    assert 100_000 < nvidia.size < 10_000_000 < framework.size


def test_bytecode_with_time_stamps_that_a_wheel_brings_is_compiled_again(
    edited: Path, builder: Callable, docker: Engine, tmp_path: Path
) -> None:
    wheel = indexes.make_wheel(tmp_path, "drydock_stamped", "1.0", str(uuid.uuid4()))
    tag = "cpython-" + (edited / ".python-version").read_text().strip().replace(".", "")
    with zipfile.ZipFile(wheel, "a") as archive:
        for name in ("__init__", "other"):
            archive.writestr(f"drydock_folder/{name}.py", "FRESH = True\n")
            archive.writestr(f"drydock_folder/__pycache__/{name}.{tag}.pyc", b"\0" * 16)
    index = indexes.Index({"simple": [wheel]})
    address = f"{index.url}/simple/drydock-stamped/{wheel.name}"
    images.uv(edited, "add", "--no-sync", f"drydock-stamped @ {address}")

    tag = builder(edited, "stamped").tag
    index.close()

    script = """if True:
        import importlib.util, drydock_folder.other as other
        for name in ("drydock_folder", "drydock_folder.other"):
            with open(importlib.util.find_spec(name).cached, "rb") as file:
                print(name, file.read(8)[4:].hex(), other.FRESH)
        """
    printed = docker.run(tag, "-c", script, entrypoint="python").stdout
    assert printed == "drydock_folder 01000000 True\ndrydock_folder.other 01000000 True\n"


def test_a_second_project_with_the_same_framework_builds_on_its_layer(
    image: Callable, docker: Engine
) -> None:
    first, second = docker.layers(image("sklearn-train").tag), image("sklearn-serve")
    framework, _ = installs(second.build)
    assert framework.cached
    shared = {layer.digest for layer in first} & {x.digest for x in docker.layers(second.tag)}
    assert any("/framework/" in layer.created_by for layer in first if layer.digest in shared)


def test_without_a_lock_the_build_fails_early_and_says_to_run_uv_lock(
    edited: Path, builder: Callable
) -> None:
    (edited / "uv.lock").unlink()
    with pytest.raises(BuildFailed) as failure:
        builder(edited, "no-lock")
    assert _installed(failure.value) == []
    assert re.search(r"Unable to find lockfile.*`uv lock`", failure.value.said)


def test_with_a_stale_lock_the_build_fails_early_and_says_to_run_uv_lock(
    edited: Path, builder: Callable
) -> None:
    pyproject = edited / "pyproject.toml"
    images.replace(pyproject, "dependencies = [\n", 'dependencies = [\n    "humanize",\n')
    with pytest.raises(BuildFailed) as failure:
        builder(edited, "stale-lock")
    assert _installed(failure.value) == []
    assert re.search(r"(?s)`uv\.lock` needs to be updated.*`uv lock`", failure.value.said)


def _installed(failure: BuildFailed) -> list[str]:
    return [s.name for s in failure.steps if s.ran and "uv pip install" in s.name]


def test_the_progress_of_either_builder_is_read_alike() -> None:
    old = """#5 [lock 2/3] WORKDIR /lock
#5 sha256:8a1d
#5 CACHED

#7 [stage-3 1/6] RUN uv sync
#7 sha256:77aa
#7 0.412 Installed 3 packages

#8 [internal] load build context
#7 1.250 done
#7 DONE 1.3s

#9 [stage-3 2/6] RUN false
#9 ERROR: executor failed running
------
 > [stage-3 2/6] RUN false:
"""
    new = old.replace("#5 sha256:8a1d\n", "").replace("#7 sha256:77aa\n", "")
    for log in (old, f"WARNING: no such thing\n{new}"):
        lock, install, context, failed = parse_progress(log)
        assert lock == Step(5, "[lock 2/3] WORKDIR /lock", cached=True)
        assert not lock.ran
        lines = ["Installed 3 packages", "done"]
        assert install == Step(7, "[stage-3 1/6] RUN uv sync", seconds=1.3, lines=lines)
        assert install.ran
        assert context == Step(8, "[internal] load build context")
        assert failed == Step(9, "[stage-3 2/6] RUN false", failed=True)
