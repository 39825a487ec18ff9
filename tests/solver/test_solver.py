"""What the solver gives for cases that people had, and what it must never give."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from typing import Any

import pytest

from drydock import solver
from drydock.catalogue import Catalogue
from drydock.request import Request, gpu_rows
from drydock.rows import Image
from drydock.rules import RULES, Rule
from drydock.rules.drivers import driver_starts_image
from drydock.solver import Solution
from drydock.stack import stack_of
from tests.support.random_answers import random_answers

Solve = Callable[..., Solution | None]


def starts(catalogue: Catalogue, request: Request, image: Image) -> bool:
    """Does the driver of a request start an image?"""
    return driver_starts_image(catalogue, request, gpu_rows(catalogue, request), image)


# Tags that other tools put together from parts, and that nobody can pull.
NEVER_EXISTED = (
    "nvidia/cuda:12.8.1-cudnn8-devel-ubuntu22.04",
    "nvidia/cuda:11.2.2-cudnn8-runtime-ubuntu22.04",
    "nvidia/cuda:12.8.1-cudnn8-runtime-ubi8",
    "nvidia/cuda:13.1.0-cudnn-runtime-ubuntu24.04",
    "nvidia/cuda:12.5.1-cudnn-runtime-ubuntu24.04",
    "nvidia/cuda:12.7.0-base-ubuntu22.04",
)


@pytest.mark.parametrize("image", NEVER_EXISTED)
def test_a_tag_that_never_existed_is_no_row(catalogue: Catalogue, image: str) -> None:
    assert image not in {row.image for row in catalogue.images}


def test_an_image_that_is_given_is_a_current_row_of_the_catalogue(
    catalogue: Catalogue, rows: dict[str, Any]
) -> None:
    """So none of the tags above, no 12.3.0 and nothing that nobody has seen comes out."""
    current = {
        row["image"] for row in rows["nvidia-cuda"]["images"] if row["status"] == "current"
    } | {row["image"] for row in rows["python"]["images"]}
    given = set()
    for answers in islice(random_answers(rows, seed=7), 4_000):
        solution = solver.solve(catalogue, Request(**answers))
        if solution:
            given |= {solution.image.image}
            given |= {solution.devel.image} if solution.devel else set()
    assert len(given) > 25
    assert given <= current
    assert not any(":12.3.0-" in image for image in given)


def test_nothing_but_defaults_is_scikit_learn_on_plain_python(catalogue: Catalogue) -> None:
    stack = stack_of(catalogue, {})
    assert stack["framework"]["title"] == "scikit-learn"
    assert stack["base"]["image"] == "python:3.13-slim-trixie"
    assert stack["framework"]["gpu"] is stack["devel"] is None


@pytest.mark.parametrize("driver", ["580", "595", "610"])
def test_pytorch_takes_the_base_image_that_the_driver_may_start(
    solve: Solve, catalogue: Catalogue, driver: str
) -> None:
    solution = solve(gpus=("any",), driver=driver)
    assert solution.wheel.version == "2.15.0"
    assert solution.wheel.build == "cu132"
    assert solution.image.flavour == "base"
    expected = {"580": "13.0", "595": "13.2", "610": "13.2"}
    assert solution.image.cuda == expected[driver]


def test_plain_python_is_taken_where_only_the_rule_of_the_wheels_passes(solve: Solve) -> None:
    """A GeForce with driver 535: no image of CUDA 12.5 or newer starts, an older one does."""
    solution = solve(gpus=("RTX 4090",), driver="525.60.13", today="2027-06-01")
    # The images that driver may start stand on Ubuntu 22.04, whose life has ended by then.
    assert solution.image.kind == "slim"
    assert solution.wheel.build == "cu126"


@pytest.mark.parametrize("minor", ["12.6", "12.8", "12.9"])
def test_driver_555_starts_no_image_of_cuda_12_6_to_12_9_even_with_an_a100(
    catalogue: Catalogue, request_of: Callable[..., Request], minor: str
) -> None:
    """Eight A100 and driver 555.42.02 were refused by an image of 12.9.1."""
    request = request_of(gpus=("A100",), driver="555.42.02")
    images = [row for row in catalogue.images if row.cuda == minor]
    assert images
    assert not any(starts(catalogue, request, row) for row in images)


def test_a_geforce_with_driver_550_starts_no_image_of_cuda_12_8_but_an_a100_does(
    catalogue: Catalogue, request_of: Callable[..., Request]
) -> None:
    """A GeForce with driver 550.144 was refused: unsatisfied condition: cuda>=12.8."""
    image = next(row for row in catalogue.images if row.cuda == "12.8")
    for gpus, expected in ((("RTX 4090",), False), (("any",), False), (("A100",), True)):
        request = request_of(gpus=gpus, driver="550.144.03")
        assert starts(catalogue, request, image) is expected
    mixed = request_of(gpus=("A100", "RTX 4090"), driver="550.144.03")
    assert not starts(catalogue, mixed, image)


def test_a_geforce_with_driver_535_starts_an_image_of_cuda_12_4(
    catalogue: Catalogue, request_of: Callable[..., Request]
) -> None:
    """Up to 12.4 the images listed the GeForce brands too."""
    image = next(row for row in catalogue.images if row.cuda == "12.4")
    request = request_of(gpus=("RTX 4090",), driver="535.183.01")
    assert starts(catalogue, request, image)


def test_an_image_that_every_newer_driver_starts_is_preferred(solve: Solve) -> None:
    """The answer is the oldest driver: 12.6.3 starts on 535 and 560, but not on 545 and 555."""
    solution = solve(gpus=("A100",), driver="535.183.01")
    assert solution.wheel.build == "cu126"
    assert solution.image.cuda == "12.2"
    # Where there is none it is taken all the same: Ubuntu 22.04 has ended by then.
    later = solve(gpus=("A100",), driver="535.183.01", today="2027-06-01")
    assert later.image.cuda == "12.6"


def test_a_v100_gets_the_last_pytorch_with_kernels_for_it(solve: Solve) -> None:
    solution = solve(gpus=("V100",), driver="580")
    assert (solution.wheel.version, solution.wheel.build) == ("2.14.1", "cu126")
    assert solution.wheel.index == "cu126"
    assert solve(gpus=("V100",), framework_version="2.15.0") is None


@pytest.mark.parametrize("gpu", ["B200", "B300", "RTX 5090"])
def test_blackwell_never_gets_a_build_of_cuda_12_6(solve: Solve, gpu: str) -> None:
    assert solve(gpus=(gpu,), cuda="12.6") is None
    assert solve(gpus=(gpu,), framework_version="2.6.0") is None
    assert solve(gpus=(gpu,), framework_version="2.7.0").wheel.build == "cu128"


def test_a_v100_and_a_b200_meet_in_the_builds_that_had_kernels_for_both(solve: Solve) -> None:
    solution = solve(gpus=("V100", "B200"))
    assert (solution.wheel.version, solution.wheel.build) == ("2.10.0", "cu128")
    assert solve(gpus=("P100", "B200")) is None


def test_a_grace_hopper_gets_the_builds_for_arm(solve: Solve) -> None:
    assert solve(gpus=("GH200",)).wheel.version == "2.15.0"
    # PyPI's wheels for ARM had no CUDA before 2.11, those of PyTorch's own index have it.
    older = solve(gpus=("GH200",), framework_version="2.10.0")
    assert (older.wheel.build, older.wheel.index) == ("cu130", "cu130")
    with_550 = solve(gpus=("GH200",), driver="550.54.14")
    assert (with_550.wheel.version, with_550.wheel.index) == ("2.14.1", "cu126")
    with_570 = solve(gpus=("GB200",), driver="570.26")
    assert (with_570.wheel.version, with_570.wheel.index) == ("2.11.0", "cu128")
    default_build = solve(gpus=("GH200",), framework_version="2.10.0", cuda="12.8")
    assert default_build.wheel.index == "cu128"


@pytest.mark.parametrize(
    ("driver", "cuda"),
    [("580", "13.2"), ("579.99", "12.6"), ("525.60.13", "12.6"), ("525.60.12", "11.8")],
)
def test_the_driver_decides_the_cuda_major_of_the_wheels(
    solve: Solve, driver: str, cuda: str
) -> None:
    assert solve(gpus=("any",), driver=driver, gpu_base="slim").wheel.cuda == cuda


def test_a_driver_below_every_floor_is_refused(solve: Solve) -> None:
    assert solve(gpus=("any",), driver="450.80.02").wheel.cuda == "11.8"
    assert solve(gpus=("any",), driver="450.80.01") is None


def test_onnxruntime_1_27_0_is_never_given(catalogue: Catalogue, rows: Any) -> None:
    """Its [cuda] extra asks for a package that does not exist."""
    versions = set()
    for answers in islice(random_answers(rows, seed=11), 3_000):
        more = {"framework": "onnxruntime", "workload": "serve", "cuda": None}
        solution = solver.solve(catalogue, Request(**answers | more))
        if solution:
            versions.add(solution.wheel.version)
    assert {"1.26.0", "1.28.0"} <= versions
    assert "1.27.0" not in versions


def test_cudnn_comes_from_the_image_only_where_no_wheel_brings_it(solve: Solve) -> None:
    assert solve(framework="onnxruntime", gpu_base="nvidia").image.flavour == "base"
    plain = solve(framework="onnxruntime", framework_version="1.19.2")
    assert plain.image.image == "nvidia/cuda:12.3.2-cudnn9-runtime-ubuntu22.04"
    assert plain.image.cudnn == plain.wheel.cudnn == 9


def test_no_compiler_comes_unless_it_is_asked_for(solve: Solve) -> None:
    assert solve().devel is None
    devel = solve(compile_cuda=True, driver="580", gpus=("H100",)).devel
    assert devel.image == "nvidia/cuda:13.2.1-devel-ubuntu24.04"


def test_the_compiler_is_of_the_nearest_cuda_not_above_that_of_the_wheels(solve: Solve) -> None:
    for cuda in ("12.4", "12.6", "12.8", "13.0", "13.2"):
        assert solve(compile_cuda=True, cuda=cuda, gpu_base="slim").devel.cuda == cuda


def test_the_day_is_an_input(solve: Solve) -> None:
    assert solve(python_version="3.10", today="2026-10-30") is not None
    assert solve(python_version="3.10", today="2026-10-31") is None


def test_jax_and_tensorflow_get_the_wheels_of_their_own_extras(solve: Solve) -> None:
    jax = solve(framework="jax", driver="580", gpus=("H100",))
    assert jax.wheel.requirements == ("jax[cuda13]==0.12.0.1",)
    assert jax.image.kind == "slim", "LD_LIBRARY_PATH must not be set"
    old = solve(framework="jax", driver="535.183.01", gpus=("V100",))
    assert old.wheel.requirements == ("jax[cuda12]==0.12.0.1",)
    tensorflow = solve(framework="tensorflow", gpus=("H100",))
    assert tensorflow.wheel.requirements == ("tensorflow[and-cuda]==2.21.0",)
    assert solve(framework="tensorflow", gpus=("RTX 5090",)) is None


def test_the_solver_looks_at_few_rows(catalogue: Catalogue, rows: dict[str, Any]) -> None:
    """A form renders its choices many times. Counting calls does not depend on the machine."""
    calls = 0

    def counted(each: Rule) -> Rule:
        def holds(objects: tuple[Any, ...]) -> bool:
            nonlocal calls
            calls += 1
            return each.holds(objects)

        return replace(each, holds=holds)

    rules = [counted(each) for each in RULES]
    worst = 0
    for answers in islice(random_answers(rows, seed=3), 500):
        calls = 0
        solver.solve(catalogue, Request(**answers), rules)
        worst = max(worst, calls)
    assert worst < 12_000


def test_where_its_own_minor_is_missing_the_nearest_below_comes_before_one_above(
    catalogue: Catalogue, request_of: Callable[..., Request]
) -> None:
    """A newer nvcc or CUDA runtime than the wheels were built with is the second choice."""
    without = copy.copy(catalogue)
    missing = {"12.4", "12.5", "12.6"}
    without.images = tuple(row for row in catalogue.images if row.cuda not in missing)
    vars(without).pop("builders", None)
    request = request_of(cuda="12.6", compile_cuda=True)
    solution = solver.solve(without, request)
    # 12.8 is nearer.
    assert solution.image.cuda == "12.3"
    assert solution.devel.cuda == "12.3"


def test_a_driver_older_than_a_capability_does_not_run_its_gpus(solve: Solve) -> None:
    """8.6 came with CUDA 11.1 and driver 455.23, although the wheels of CUDA 11 need less."""
    assert solve(gpus=("RTX 3090",), driver="450.80.02") is None
    assert solve(gpus=("A100",), driver="450.80.02").wheel.build == "cu118"


def test_tensorflow_left_5_0_with_2_17(solve: Solve) -> None:
    request = {"framework": "tensorflow", "gpus": ("GTX 750 Ti",)}
    assert solve(**request).wheel.version == "2.16.2"
    assert solve(**request, framework_version="2.17.1") is None


@pytest.mark.parametrize("release", ["1.21.1", "1.22.0", "1.23.2"])
def test_onnxruntime_1_21_to_1_23_hold_the_code_that_was_measured(
    solve: Solve, release: str
) -> None:
    """They have nothing for 5.2, and PTX for 9.0, which an RTX 5090 runs."""
    request = {"framework": "onnxruntime", "workload": "serve", "framework_version": release}
    assert solve(**request, gpus=("GTX 980",)) is None
    assert solve(**request, gpus=("RTX 5090",)).wheel.version == release
    assert solve(**request, gpus=("P100",)).wheel.version == release


def test_a_t4g_sits_in_a_machine_with_an_arm_cpu(solve: Solve) -> None:
    """PyTorch's builds for ARM begin at 8.0, JAX's hold PTX."""
    assert solve(gpus=("T4G",)) is None
    assert solve(gpus=("T4G",), framework="jax").wheel.version == "0.12.0.1"
