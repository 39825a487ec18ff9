"""The catalogue is a set of facts that a person can review row by row."""

from __future__ import annotations

import json
import re
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from drydock.catalogue import FOLDER, Catalogue
from scripts.refresh.rows import laid_out

FILES = sorted(FOLDER.glob("*.json"))
FRAMEWORKS = ("scikit-learn", "pytorch", "jax", "tensorflow", "onnxruntime", "xgboost")


def facts(rows: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """List every row that states a fact, with the name of its file."""
    found = []
    for name, data in rows.items():
        if name in ("sources", "calendar"):
            continue
        for value in data.values():
            found += [(name, row) for row in (value if isinstance(value, list) else [value])]
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_each_file_has_one_row_a_line(path: Path) -> None:
    assert path.read_text("utf-8") == laid_out(json.loads(path.read_text("utf-8")))


def test_every_row_says_where_and_when_it_was_read(rows: dict[str, Any]) -> None:
    assert len(facts(rows)) > 300
    for name, row in facts(rows):
        assert row.get("source"), (name, row)
        assert date.fromisoformat(row["read"]) <= date.fromisoformat(rows["calendar"]["as_of"])


def test_every_source_is_described(rows: dict[str, Any]) -> None:
    described = {row["name"] for row in rows["sources"]["sources"]}
    used = {row["source"] for name, row in facts(rows) if name not in ("tools", "dependencies")}
    assert used <= described
    assert described <= used, "a source that no row names"


def test_a_row_that_nobody_has_seen_is_marked(rows: dict[str, Any]) -> None:
    for row in rows["nvidia-cuda"]["images"]:
        assert (row["source"] == "inferred") == (row["status"] == "inferred"), row


def test_no_image_is_listed_twice(rows: dict[str, Any]) -> None:
    images = [row["image"] for row in rows["nvidia-cuda"]["images"] + rows["python"]["images"]]
    assert len(images) == len(set(images))


def test_what_an_image_row_says_is_what_its_tag_says(rows: dict[str, Any]) -> None:
    """The tag is the fact; the columns beside it must not contradict it."""
    for row in rows["nvidia-cuda"]["images"]:
        release, flavour, system = re.fullmatch(
            r"nvidia/cuda:([\d.]+)-(.+)-(ubuntu[\d.]+)", row["image"]
        ).groups()
        assert release == row["release"]
        assert release.startswith(f"{row['cuda']}.")
        assert re.sub(r"cudnn\d", "cudnn", flavour) == re.sub(r"cudnn\d", "cudnn", row["flavour"])
        assert system == row["os"].replace("ubuntu ", "ubuntu")
        assert ("cudnn" in flavour) == (row["cudnn"] is not None)
    for row in rows["python"]["images"]:
        assert row["image"].startswith(f"python:{row['python']}-slim-")


def test_the_superseded_releases_are_known_as_such(rows: dict[str, Any]) -> None:
    status = {row["release"]: row["status"] for row in rows["nvidia-cuda"]["images"]}
    assert status["12.3.0"] == "superseded"
    assert status["12.8.1"] == "superseded"
    assert status["13.1.0"] == "superseded"


def test_every_image_has_a_rule_a_system_and_a_compiler_row(rows: dict[str, Any]) -> None:
    rules = {row["release"]: row for row in rows["nvidia-cuda"]["rules"]}
    toolkits = {row["cuda"] for row in rows["nvidia-cuda"]["toolkits"]}
    systems = {row["name"] for row in rows["systems"]["systems"]}
    for row in rows["nvidia-cuda"]["images"]:
        assert rules[row["release"]]["min_cuda"] == row["cuda"]
        assert row["cuda"] in toolkits
        assert row["os"] in systems


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_every_build_belongs_to_a_release_and_every_release_runs_on_a_cpu(
    rows: dict[str, Any], name: str
) -> None:
    releases = [row["version"] for row in rows[name]["releases"]]
    builds = rows[name]["builds"]
    assert len(releases) == len(set(releases))
    assert {row["version"] for row in builds} == set(releases)
    assert {row["version"] for row in builds if row["cuda"] is None} == set(releases)
    # PyTorch's default build is on its own index too, and there with wheels for ARM.
    places = [(row["version"], row["build"], row["index"]) for row in builds]
    assert len(places) == len(set(places))


def test_every_requirement_pins_the_release_it_stands_in(rows: dict[str, Any]) -> None:
    for name in FRAMEWORKS:
        for row in rows[name]["builds"]:
            for requirement in row["requirements"]:
                assert requirement.split(" ; ")[0].endswith(f"=={row['version']}"), row


def test_pytorch_reaches_from_2_4_to_2_15_with_its_companions(rows: dict[str, Any]) -> None:
    releases = rows["pytorch"]["releases"]
    minors = {tuple(map(int, row["version"].split(".")[:2])) for row in releases}
    assert minors == {(2, minor) for minor in range(4, 16)}
    assert all({"torchvision", "torchaudio"} <= set(row["companions"]) for row in releases)


def test_the_index_of_a_build_is_read_and_not_sliced_from_its_cuda(rows: dict[str, Any]) -> None:
    """PyPI's own build has no index; the others name a folder of PyTorch's."""
    published = {"cu118", "cu121", "cu124", "cu126", "cu128", "cu129", "cu130", "cu132", "cpu"}
    for row in rows["pytorch"]["builds"]:
        assert row["index"] in {None, row["build"]}
        assert row["build"] in published
    by_version: dict[str, list[str | None]] = {}
    for row in rows["pytorch"]["builds"]:
        by_version.setdefault(row["version"], []).append(row["index"])
    assert all(indexes.count(None) == 1 for indexes in by_version.values())


def test_every_gpu_of_the_form_has_a_capability_and_a_brand(rows: dict[str, Any]) -> None:
    gpus = rows["gpus"]["gpus"]
    assert len({row["name"] for row in gpus}) == len(gpus) > 100
    for row in gpus:
        assert re.fullmatch(r"\d+\.\d", row["compute"])
        assert row["brand"] in {"geforce", "workstation", "datacentre", "jetson"}
        assert row["host"] in row["hosts"]
        assert set(row["hosts"]) <= {"amd64", "arm64"}
    geforce = {row["name"] for row in gpus if row["brand"] == "geforce"}
    assert {"RTX 4090", "RTX 5090", "GTX 1080", "TITAN V"} <= geforce
    assert not geforce & {"A100", "RTX A6000", "L4", "RTX 6000 Ada"}


def test_a_gpu_has_the_drivers_of_its_capability(rows: dict[str, Any]) -> None:
    capabilities = {row["compute"]: row for row in rows["capabilities"]["capabilities"]}
    assert len(capabilities) == len(rows["capabilities"]["capabilities"])
    for row in rows["gpus"]["gpus"]:
        known = capabilities[row["compute"]]
        assert row["generation"] == known["generation"], row
        assert row["driver_from"] == known["first_driver"], row
        assert row["driver_to"] == known["last_driver"], row
        assert row.get("tegra", False) == known["tegra"], row


def test_a_capability_is_known_to_the_compilers_from_its_first_cuda_to_its_last(
    rows: dict[str, Any],
) -> None:
    toolkits = {row["cuda"]: row["computes"] for row in rows["nvidia-cuda"]["toolkits"]}
    for row in rows["capabilities"]["capabilities"]:
        first = tuple(map(int, (row["first_cuda"] or "1.0").split(".")))
        last = tuple(map(int, (row["last_cuda"] or "99.0").split(".")))
        for cuda, computes in toolkits.items():
            within = first <= tuple(map(int, cuda.split("."))) <= last
            assert (row["compute"] in computes) == within, (row, cuda)


def test_10_3_needs_cuda_12_9_and_the_letters_are_told_apart(rows: dict[str, Any]) -> None:
    toolkits = {row["cuda"]: row for row in rows["nvidia-cuda"]["toolkits"]}
    assert "10.3" not in toolkits["12.8"]["computes"]
    assert "10.3" in toolkits["12.9"]["computes"]
    for row in toolkits.values():
        assert (row["oldest_compute"], row["newest_compute"]) == (
            row["computes"][0],
            row["computes"][-1],
        )


def numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(".")]


def test_a_library_drops_gpus_and_never_takes_them_back(rows: dict[str, Any]) -> None:
    by_package: dict[str, list[dict[str, Any]]] = {}
    for row in rows["libraries"]["libraries"]:
        assert row["binds"] in {"lock", "note"}, row
        by_package.setdefault(row["package"], []).append(row)
    for found in by_package.values():
        for column in ("version", "oldest_compute"):
            values = [numbers(row[column]) for row in found]
            assert values == sorted(values), found
    cudnn = [(row["version"], row["oldest_compute"]) for row in by_package["nvidia-cudnn-cu12"]]
    assert cudnn == [("8.9", "5.0"), ("9.11", "7.5")]


def test_every_build_that_brings_cuda_says_which_libraries_it_asks_for(
    rows: dict[str, Any],
) -> None:
    known = {row["package"] for row in rows["libraries"]["libraries"]}
    for name in ("jax", "tensorflow", "onnxruntime", "xgboost"):
        for row in rows[name]["builds"]:
            assert bool(row.get("libraries")) == row["bundles_cuda"], row
            assert {re.split("[=<>]", each)[0] for each in row.get("libraries", [])} <= known
    for row in rows["pytorch"]["builds"]:
        for each in row.get("libraries", []):
            assert "==" in each, row


def test_a_wheel_that_pins_a_torch_pins_one_that_is_known(rows: dict[str, Any]) -> None:
    known = {row["version"] for row in rows["pytorch"]["releases"]}
    pins = rows["pins"]["pins"]
    places = [(row["package"], row["version"]) for row in pins]
    assert len(places) == len(set(places))
    for row in pins:
        assert row["wheels"] == (row["torch"] is not None), row
        if row["torch"] and row["torch"].startswith("=="):
            assert row["torch"].removeprefix("==") in known, row


def test_the_driver_branches_are_ordered_and_support_ever_newer_cuda(rows: dict[str, Any]) -> None:
    branches = rows["drivers"]["branches"]
    numbers = [row["branch"] for row in branches]
    cudas = [tuple(map(int, row["cuda"].split("."))) for row in branches]
    assert numbers == sorted(numbers, reverse=True)
    assert cudas == sorted(cudas, reverse=True)


def test_the_default_driver_is_the_oldest_long_term_branch_that_is_still_supported(
    catalogue: Catalogue,
) -> None:
    assert catalogue.long_term_driver("2026-05-31") == "535"
    assert catalogue.long_term_driver("2026-11-26") == "580"
    assert catalogue.long_term_driver("2028-06-30") == "620"


def test_the_driver_of_cuda_13_5_is_a_branch_that_exists(catalogue: Catalogue) -> None:
    assert catalogue.driver_of_cuda("13.4") == "615"
    assert catalogue.driver_of_cuda("13.5") == "620"


def test_the_default_python_is_one_that_every_framework_supports(catalogue: Catalogue) -> None:
    for wheels in catalogue.wheels.values():
        assert catalogue.common_python in wheels[0].pythons
    newer = catalogue.pythons[: catalogue.pythons.index(catalogue.common_python)]
    for python in newer:
        assert any(python not in wheels[0].pythons for wheels in catalogue.wheels.values())
