"""The shipped catalogue, against a registry and stand-ins that say what it says."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from drydock.catalogue import Catalogue
from scripts.refresh.command import CATALOGUE
from scripts.refresh.nvidia import KINDS
from scripts.refresh.registry import split
from scripts.refresh.wheels import FRAMEWORKS, HOSTS
from tests.refresh.servers import Registry, StandIn
from tests.refresh.world import BRANDS, GEFORCE, World, demand, driver_branch, ended, wheel


def files_of(package: str, row: dict[str, Any]) -> list[dict[str, Any]]:
    """The files of a release as the index has them."""
    return [
        wheel(package, row["version"], python, day=row["released"]) for python in row["pythons"]
    ]


def pages_of(files: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """All pages of the index that the catalogue needs."""
    pages: dict[str, list[dict[str, Any]]] = {}
    for name in FRAMEWORKS:
        package = files[name]["framework"]["package"]
        for row in files[name]["releases"]:
            pages.setdefault(package, []).extend(files_of(package, row))
            for companion, version in row["companions"].items():
                pages.setdefault(companion, []).append(wheel(companion, version))
            for build in files[name]["builds"]:
                if build["version"] == row["version"] and build["index"] is None:
                    other = build["requirements"][0].partition("==")[0].partition("[")[0]
                    if other != package:
                        pages.setdefault(other, []).extend(files_of(other, row))
    for name, row in files["tools"].items():
        if row["source"] == "pypi":
            pages[name] = [wheel(name, row["version"], "py3")]
    for row in files["pulled"]["pulled"]:
        pages.setdefault(row["package"], []).append(wheel(row["package"], row["newest"], "py3"))
    pages["uv"] = [wheel("uv", files["uv"]["uv"][0]["version"], "py3")]
    return pages


def requires_of(files: dict[str, Any]) -> dict[str, list[str]]:
    """What the wheels of the newest releases require, by project."""
    found: dict[str, list[str]] = {}
    for row in files["pulled"]["pulled"]:
        fitting = [
            each
            for each in files[row["framework"]]["builds"]
            if (each["build"], each["index"]) == (row["build"], None)
        ]
        build = max(fitting, key=lambda each: Version(each["version"]))
        wanted = Requirement(build["requirements"][0])
        stated = {Requirement(text).name: text for text in build.get("libraries", ())}
        text = stated.get(row["package"], f"{row['package']}=={row['newest']}")
        marker = "".join(f"; extra == '{extra}'" for extra in sorted(wanted.extras)[:1])
        found.setdefault(wanted.name, []).append(text + marker)
    # XGBoost's wheels pull no cuDNN, and say so.
    for row in files["xgboost"]["builds"]:
        for text in row["requirements"] if row["cuda"] else ():
            found.setdefault(Requirement(text).name, row["libraries"])
    return found


def push_all(registry: Registry, files: dict[str, Any]) -> None:
    """Push every image that the catalogue names."""
    rules = {row["release"]: row for row in files["nvidia-cuda"]["rules"]}
    for row in files["nvidia-cuda"]["images"]:
        rule = rules[row["release"]]
        brands = BRANDS + GEFORCE if rule["geforce"] else BRANDS
        environment = {
            "NVIDIA_REQUIRE_CUDA": demand(rule["min_cuda"], rule["driver_branches"], brands),
            "LD_LIBRARY_PATH": "/usr/local/nvidia/lib" if rule["library_path"] else "",
        }
        registry.push(row["image"], environment, ("amd64",), content=row["release"])
    others = [row["image"] for row in files["python"]["images"] + files["uv"]["uv"]]
    others += [files["tools"]["docker"][key] for key in ("image", "service")]
    others.append(files["tools"]["moby/buildkit"]["image"])
    for image in others:
        _, repository, tag = split(image)
        registry.push(f"{repository}:{tag}", {}, ("amd64",))


@pytest.fixture
def shipped(
    registry_binary: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Iterator[World]:
    """A copy of the shipped catalogue and sources that say the same."""
    folder, images = tmp_path / "catalogue", tmp_path / "registry"
    shutil.copytree(CATALOGUE, folder)
    images.mkdir()
    files = {path.stem: json.loads(path.read_text("utf-8")) for path in folder.glob("*.json")}
    registry = Registry(registry_binary, images)
    push_all(registry, files)
    with StandIn() as index, StandIn() as dates, StandIn() as nvidia:
        world = World(folder, registry, index, dates, nvidia, capsys)
        world.pages = pages_of(files)
        world.requires = requires_of(files)
        for row in files["pytorch"]["builds"]:
            for host in (row["kernels"] or ["amd64"]) if row["index"] else ():
                label, machine = row["index"], HOSTS[host]
                name = f"torch-{row['version']}+{label}-cp313-cp313-manylinux_2_28_{machine}.whl"
                world.torch.setdefault(label, []).append(name)
        names = {kind: name for name, kind in KINDS.items()}
        for row in files["drivers"]["branches"]:
            if row["kind"] in names:
                newest = (f"{row['branch']}.10.01", "2026-01-13")
                world.drivers[str(row["branch"])] = driver_branch(names[row["kind"]], newest)
        world.toolkits = [f"{row['cuda']}.0" for row in files["nvidia-cuda"]["toolkits"]]
        world.ends["python"] = [
            ended(row["version"], row["end_of_life"]) for row in files["python"]["versions"]
        ]
        for row in files["systems"]["systems"]:
            product, _, release = row["name"].partition(" ")
            world.ends.setdefault(product, []).append(ended(release, row["end_of_life"]))
        yield world
    registry.stop()


def test_the_shipped_catalogue_is_refreshed_whole_and_the_solver_reads_the_result(
    shipped: World,
) -> None:
    as_of = json.loads((CATALOGUE / "calendar.json").read_text("utf-8"))["as_of"]
    today = (date.fromisoformat(as_of) + timedelta(days=7)).isoformat()
    before = {name: json.loads(text) for name, text in shipped.texts().items()}
    outcome = shipped.refresh(today=today)
    assert outcome.code == 0, outcome.said
    assert outcome.left == []

    images = outcome.files["nvidia-cuda"]["images"] + outcome.files["python"]["images"]
    assert len(images) == len(before["nvidia-cuda"]["images"] + before["python"]["images"])
    assert all(row["digest"].startswith("sha256:") for row in images)
    assert all(row.get("status") != "inferred" for row in images)
    assert outcome.files["uv"]["uv"][0]["digest"].startswith("sha256:")
    for name in (
        *FRAMEWORKS,
        "tools",
        "dependencies",
        "gpus",
        "platforms",
        "drivers",
        "systems",
        "pulled",
    ):
        assert outcome.files[name] == before[name], name

    described = {row["name"] for row in outcome.files["sources"]["sources"]}
    used = {
        row["source"]
        for name, data in outcome.files.items()
        if name not in ("sources", "calendar", "tools", "dependencies")
        for value in data.values()
        for row in (value if isinstance(value, list) else [value])
    }
    assert described == used

    solver = Catalogue(shipped.folder)
    assert solver.as_of == today
    assert len(solver.images) == len(images)

    again = shipped.refresh(today=today)
    assert again.said == "Nothing changed.\n"

    # What is gone is not offered: by this refresh, and by the solver that reads what it wrote.
    assert solver.python_image("3.13").image == "python:3.13-slim-trixie"
    shipped.registry.delete("python:3.13-slim-trixie")
    outcome = shipped.refresh(today=today)
    assert outcome.code == 1
    assert outcome.image("python:3.13-slim-trixie")["status"] == "gone"
    solver = Catalogue(shipped.folder)
    assert len(solver.images) == len(images) - 1
    assert solver.python_image("3.13").image == "python:3.13-slim-bookworm"
