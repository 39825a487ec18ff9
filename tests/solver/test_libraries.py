"""The libraries that wheels bring drop GPUs of their own: held back in the lock, or refused."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from drydock import solver
from drydock.catalogue import Catalogue
from drydock.rows import Wheel
from drydock.rules.libraries import too_new
from drydock.stack import stack_of
from drydock.versions import version


def constraints(catalogue: Catalogue, **answers: Any) -> list[str]:
    """What the project's lock holds back."""
    stack = stack_of(catalogue, {"accelerator": "gpu", "driver": "580", **answers})
    return [row["requirement"] for row in stack["constraints"]]


def requiring(catalogue: Catalogue, requirement: str) -> Wheel:
    """Some GPU build that requires only this of NVIDIA's libraries."""
    return replace(catalogue.wheels["jax"][0], libraries=(requirement,))


OLD = ("V100", "P100", "GTX 1080")


@pytest.mark.parametrize("gpu", OLD)
@pytest.mark.parametrize("framework", ["jax", "tensorflow", "onnxruntime"])
def test_a_gpu_older_than_turing_gets_the_last_cudnn_that_runs_it(
    catalogue: Catalogue, framework: str, gpu: str
) -> None:
    answers = {"framework": framework, "workload": "serve", "gpus": [gpu]}
    assert constraints(catalogue, **answers) == ["nvidia-cudnn-cu12<9.11"]


def test_the_terminal_says_what_does_not_run_on_an_old_gpu(catalogue: Catalogue) -> None:
    def notes(**answers: Any) -> list[str]:
        stack = stack_of(catalogue, {"accelerator": "gpu", "driver": "580", **answers})
        return [line for line in stack["summary"] if line.startswith("note ")]

    assert notes(framework="pytorch", gpus=["GTX 1080", "V100", "T4"]) == [
        "note       torch.compile needs compute capability 7.0, and GTX 1080 has 6.1."
    ]
    assert "6.0 was asked for" in notes(framework="pytorch", gpus=["6.0"])[0]
    for others in ({"gpus": ["V100"]}, {"gpus": ["any"]}, {"gpus": ["P100"], "framework": "jax"}):
        assert notes(**{"framework": "pytorch", **others}) == []


@pytest.mark.parametrize("gpu", ["GTX 980", "M60"])
def test_maxwell_gets_the_last_nccl_with_its_code_too(catalogue: Catalogue, gpu: str) -> None:
    found = constraints(catalogue, framework="jax", gpus=[gpu])
    assert found == ["nvidia-cudnn-cu12<9.11", "nvidia-nccl-cu12<2.28"]


@pytest.mark.parametrize(
    ("framework", "gpus"),
    [
        pytest.param("jax", ["T4"], id="cuDNN has code for it"),
        pytest.param("jax", ["any"], id="no GPU is named"),
        pytest.param("pytorch", ["V100"], id="the build pins a cuDNN that runs it"),
    ],
)
def test_nothing_is_held_back_without_need(
    catalogue: Catalogue, framework: str, gpus: list[str]
) -> None:
    assert constraints(catalogue, framework=framework, gpus=gpus) == []


def test_the_oldest_of_several_gpus_decides(catalogue: Catalogue) -> None:
    stack = stack_of(
        catalogue,
        {"accelerator": "gpu", "framework": "jax", "gpus": ["H100", "P100", "V100"]},
    )
    (found,) = stack["constraints"]
    assert found["requirement"] == "nvidia-cudnn-cu12<9.11"
    assert "P100 has 6.0" in found["reason"]
    assert found["source"].startswith("https://docs.nvidia.com/deeplearning/cudnn/")


@pytest.mark.parametrize(
    ("requirement", "found"),
    [
        ("nvidia-cudnn-cu12==9.10.2.21", []),
        ("nvidia-cudnn-cu12==9.11.0.98", [False]),
        ("nvidia-cudnn-cu12==9.11", [False]),
        ("nvidia-cudnn-cu12>=9.10.2.21,<10.0", [True]),
        ("nvidia-cudnn-cu12>=9.11,<10.0", [False]),
        ("nvidia-cudnn-cu12>=9.12,<10.0", [False]),
        ("nvidia-cudnn-cu12>=9.1,<9.11", []),
        ("nvidia-cudnn-cu12>=9.1,<9.11.1", [True]),
        ("nvidia-cudnn-cu12<10", [True]),
        ("nvidia-cudnn-cu12", [True]),
        # The first version of it that there is asks for 7.5.
        ("nvidia-cudnn-cu13>=9.0,<10", [False]),
        ("nvidia-nccl-cu12>=2.27.7", []),
        ("some-library>=1", []),
    ],
)
def test_what_a_requirement_admits_decides(
    catalogue: Catalogue, requirement: str, found: list[bool]
) -> None:
    wheel = requiring(catalogue, requirement)
    volta, turing = catalogue.gpus["V100"], catalogue.gpus["T4"]
    assert [each.avoidable for each in too_new(catalogue, volta, wheel)] == found
    assert list(too_new(catalogue, turing, wheel)) == []


def test_a_build_that_pins_a_library_without_code_for_the_gpu_is_not_chosen(
    catalogue: Catalogue, request_of: Callable[..., Any]
) -> None:
    changed = copy.copy(catalogue)
    pinned = "nvidia-cudnn-cu12==9.11.0.98"
    changed.wheels = {
        **catalogue.wheels,
        "pytorch": tuple(
            replace(wheel, libraries=(pinned,)) if wheel.build == "cu126" else wheel
            for wheel in catalogue.wheels["pytorch"]
        ),
    }
    request = request_of(gpus=("V100",))
    assert solver.solve(catalogue, request).wheel.version == "2.14.1"
    assert solver.solve(changed, request).wheel.build == "cu128"
    assert solver.solve(changed, request_of(gpus=("T4",), cuda="12.6")) is not None


def test_of_several_bounds_the_first_one_binds(catalogue: Catalogue) -> None:
    changed = copy.copy(catalogue)
    (first, *_) = catalogue.libraries["nvidia-cudnn-cu12"]
    bounds = {"1.0": "5.0", "2.0": "7.0", "3.0": "8.0"}
    changed.libraries = {
        "some-library": tuple(
            replace(first, package="some-library", version=one, oldest_compute=oldest)
            for one, oldest in bounds.items()
        )
    }
    wheel = requiring(catalogue, "some-library>=1.0")
    for gpu, bound in (("P100", ["2.0"]), ("V100", ["3.0"]), ("H100", [])):
        found = too_new(changed, catalogue.gpus[gpu], wheel)
        assert [each.library.version for each in found] == bound


def test_support_only_ends_with_newer_versions(catalogue: Catalogue) -> None:
    """Else the first row that asks for more would be no bound."""
    assert {"nvidia-cudnn-cu12", "nvidia-nccl-cu12"} <= set(catalogue.libraries)
    for rows in catalogue.libraries.values():
        computes = [version(row.oldest_compute) for row in rows]
        assert computes == sorted(computes)
        versions = [version(row.version) for row in rows]
        assert versions == sorted(versions)


def test_the_library_rows_say_how_they_bind(catalogue: Catalogue, rows: dict[str, Any]) -> None:
    assert {row["binds"] for row in rows["libraries"]["libraries"]} == {"lock", "note"}
    assert {row["package"] for row in rows["libraries"]["libraries"] if row["binds"] == "note"} == {
        "triton"
    }
    assert "triton" not in catalogue.libraries
