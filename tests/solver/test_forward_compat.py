"""A host whose driver cannot move, and an image that brings a newer user-mode driver."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from copier.errors import UserMessageError

from drydock.catalogue import Catalogue
from drydock.form import check, choices
from drydock.preflight import preflight
from drydock.refusal import explain, refusal
from drydock.request import Request
from drydock.solver import Solution, solve
from drydock.stack import stack_of
from tests.support.catalogues import with_ptx_alone

Solve = Callable[..., Solution | None]
OLD = {"accelerator": "gpu", "framework": "pytorch", "gpus": ["A100"], "driver": "535.183.01"}


def test_the_newest_release_runs_on_an_old_driver_where_that_is_answered(solve: Solve) -> None:
    answers = {"gpus": ("A100",), "driver": "535.183.01"}
    assert solve(**answers).wheel.version == "2.14.1"
    bridged = solve(**answers, forward_compat=True)
    assert bridged.wheel.version == "2.15.0"
    assert bridged.image.compat and bridged.image.cuda == bridged.wheel.cuda


@pytest.mark.parametrize(
    ("driver", "bridged"),
    [
        ("535.183.01", True),
        ("570.133.20", True),
        ("535", True),
        ("550.54.14", False),  # the image lists it, NVIDIA's table does not
        ("525.60.13", False),
        ("536.25", False),  # 535 on Windows, where there is no such package
    ],
)
def test_the_branches_are_those_of_nvidias_table(solve: Solve, driver: str, bridged: bool) -> None:
    solution = solve(gpus=("A100",), driver=driver, forward_compat=True)
    assert (solution.wheel.cuda_version[0] == 13) is bridged


def test_the_package_is_of_the_wheels_cuda_or_newer(catalogue: Catalogue) -> None:
    """cuda-compat-13-0 is not for applications of CUDA 13.2."""
    changed = copy.copy(catalogue)
    changed.images = tuple(
        row for row in catalogue.images if row.kind == "slim" or row.cuda != "13.2"
    )
    solution = found(changed, forward_compat=True)
    assert (solution.wheel.build, solution.image.cuda) == ("cu132", "13.3")
    changed.images = tuple(row for row in changed.images if row.cuda != "13.3")
    solution = found(changed, forward_compat=True)
    assert (solution.wheel.version, solution.wheel.build) == ("2.15.0", "cu130")


def test_an_image_of_which_nobody_knows_that_it_has_the_package_does_not_do(
    catalogue: Catalogue,
) -> None:
    changed = copy.copy(catalogue)
    for compat in (None, False):
        changed.images = tuple(
            replace(row, compat=compat) if row.cuda == "13.2" else row for row in catalogue.images
        )
        assert found(changed, forward_compat=True).image.cuda == "13.3"


def test_a_driver_that_is_new_enough_gets_what_it_gets_without(solve: Solve) -> None:
    for driver in ("580", "595.45.04", "620", None):
        answers = {"gpus": ("H100",), "driver": driver}
        plain, allowed = solve(**answers), solve(**answers, forward_compat=True)
        assert (plain.wheel, plain.image) == (allowed.wheel, allowed.image)


@pytest.mark.parametrize("gpus", [["RTX 4090"], ["A100", "RTX A6000"], ["any"], ["8.0"]])
def test_it_is_for_named_data_centre_gpus_alone(catalogue: Catalogue, gpus: list[str]) -> None:
    answers = {**OLD, "gpus": gpus, "advanced": True, "forward_compat": True}
    for ask in (preflight, stack_of):
        with pytest.raises(UserMessageError) as raised:
            ask(catalogue, answers)
        sentence = str(raised.value)
        assert f"gpus: {gpus[-1]}" in sentence
        assert "forward_compat: true cannot stand together" in sentence
        assert "or forward_compat: false." in sentence or "works is forward_compat" in sentence
    assert check(catalogue, answers, "forward_compat", True) == sentence
    assert check(catalogue, answers, "forward_compat", False) == ""


def test_it_needs_gpus_beside_it(catalogue: Catalogue) -> None:
    with pytest.raises(UserMessageError, match="forward_compat: .* gpus too"):
        preflight(catalogue, {"accelerator": "gpu", "advanced": True, "forward_compat": True})


def test_the_refusal_of_an_old_driver_proposes_it_where_it_helps(catalogue: Catalogue) -> None:
    asked = {"framework_version": "2.15.0"}
    assert "or forward_compat: true." in refusal_of(catalogue, **asked)
    for other in ({"gpus": ("RTX 4090",)}, {"driver": "550.54.14"}, {"gpu_base": "slim"}):
        assert "forward_compat" not in refusal_of(catalogue, **asked, **other), other


def test_what_conflicts_without_it_too_is_not_blamed_on_it(catalogue: Catalogue) -> None:
    request = old_request(catalogue, forward_compat=True, framework_version="2.7.1", cuda="13.2")
    conflict = explain(catalogue, request)
    assert "forward_compat" not in {name for name, _ in conflict.answers}
    assert not any("forward_compat" in dict(fix) for fix in conflict.fixes)


def test_the_releases_that_it_opens_are_offered(catalogue: Catalogue) -> None:
    assert "2.15.0" not in choices(catalogue, OLD, "framework_version")
    assert "2.15.0" in choices(catalogue, {**OLD, "forward_compat": True}, "framework_version")


def test_it_compiles_ptx_too(catalogue: Catalogue) -> None:
    """Driver 580 supports CUDA 13.0 and loads no PTX of 13.2, which is all that a build has."""
    changed = with_ptx_alone(catalogue, own_ptxas=False)
    jax = replace(changed.frameworks["jax"], library_path="")
    changed.frameworks = {**changed.frameworks, "jax": jax}
    wheels = tuple(
        replace(row, cuda="13.2") if row.build == "cuda13" else row for row in changed.wheels["jax"]
    )
    changed.wheels = {**changed.wheels, "jax": wheels}
    answers = {"framework": "jax", "gpus": ("H100",), "driver": "580", "cuda": "13.2"}
    assert solve(changed, old_request(catalogue, **answers)) is None
    assert found(changed, **answers, forward_compat=True).image.cuda == "13.2"


def test_the_project_says_what_runs_on_which_branch(catalogue: Catalogue) -> None:
    stack = stack_of(catalogue, {**OLD, "forward_compat": True})
    assert "13.2 base" in stack["why"][0]
    toolkit = f"NVIDIA Container Toolkit {catalogue.container_toolkit} or newer"
    assert f"535 or newer of branch 535 with {toolkit}, which loads" in stack["why"][1]
    assert "driver     535 or newer of branch 535, or 595 or newer" in stack["summary"]


def test_the_package_knows_the_gpus_of_every_build_that_it_runs(catalogue: Catalogue) -> None:
    """It is a driver itself: that of CUDA 13.1 and later knows no Volta, and no build of CUDA 13
    has code for one, so that no rule has to ask.
    """
    for wheel in catalogue.wheels_of(None):
        if wheel.cuda_version[0] < 13:
            continue
        for kernels in wheel.kernels.values():
            assert all(float(kernel.rstrip("afPTX+")) >= 7.5 for kernel in kernels)


def found(catalogue: Catalogue, **answers: Any) -> Solution:
    """Solve for an A100 with driver 535."""
    solution = solve(catalogue, old_request(catalogue, **answers))
    assert solution is not None
    return solution


def refusal_of(catalogue: Catalogue, **answers: Any) -> str:
    """The sentence that refuses an A100 with driver 535."""
    sentence = refusal(catalogue, old_request(catalogue, **answers))
    assert sentence
    return sentence


def old_request(catalogue: Catalogue, **answers: Any) -> Request:
    """A request for an A100 with driver 535, with other answers."""
    values = {**OLD, "gpus": ("A100",), **answers}
    return Request(today=catalogue.as_of, **values)
