"""What holds for every answer set: a row of the catalogue that works, or a reason."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from drydock import refusal, solver
from drydock.catalogue import Catalogue
from drydock.request import SOLVER_QUESTIONS, Request, gpu_rows, host_of, keep
from drydock.rules.drivers import driver_runs_wheel, driver_starts_image
from drydock.rules.gpus import kernel_runs
from tests.support.random_answers import DAYS, DRIVERS

shipped = Catalogue()
GPU_NAMES = sorted(shipped.gpus)


@some.composite
def answer_sets(draw: Any) -> dict[str, Any]:
    """Draw answers to every question that the solver reads."""
    framework = draw(some.sampled_from(sorted(shipped.frameworks)))
    wheels = shipped.wheels[framework]
    versions = [None, *sorted({wheel.version for wheel in wheels})]
    cudas = [None, *sorted({wheel.cuda for wheel in wheels if wheel.cuda})]
    gpus = some.lists(some.sampled_from(GPU_NAMES), min_size=1, max_size=3, unique=True)
    answers = {
        "framework": framework,
        "accelerator": draw(some.sampled_from(("cpu", "gpu", "gpu"))),
        "workload": draw(some.sampled_from((None, "train", "serve", "both"))),
        "gpus": (),
        "driver": None,
        "python_version": draw(some.sampled_from((None, *shipped.pythons))),
        "platform": draw(some.sampled_from((None, *shipped.platforms))),
        "framework_version": draw(some.sampled_from(versions)),
        "today": draw(some.sampled_from(DAYS)),
    }
    if answers["accelerator"] == "gpu":
        answers |= {
            "gpus": tuple(draw(some.just(["any"]) | gpus)),
            "driver": draw(some.sampled_from(DRIVERS)),
            "cuda": draw(some.sampled_from(cudas)),
            "gpu_base": draw(some.sampled_from((None, None, "nvidia", "slim"))),
            "compile_cuda": draw(some.booleans()),
            "forward_compat": draw(some.sampled_from((False, False, False, True))),
        }
    return answers


@settings(max_examples=400, deadline=None)
@given(answer_sets())
def test_what_is_given_works(answers: dict[str, Any]) -> None:
    request = Request(**answers)
    solution = solver.solve(shipped, request)
    if solution is None:
        return
    wheel, image = solution.wheel, solution.image
    assert image in shipped.images
    assert wheel in shipped.wheels[answers["framework"]]
    assert solution.cpu_wheel.version == wheel.version
    assert image.cuda is None or image.cuda.split(".")[0] == wheel.cuda.split(".")[0]
    if solution.devel:
        assert solution.devel in shipped.images
        assert solution.devel.cuda.split(".")[0] == wheel.cuda.split(".")[0]
    for gpu in gpu_rows(shipped, request):
        kernels = wheel.kernels[host_of(shipped, request)]
        assert any(kernel_runs(kernel, gpu.compute, gpu.tegra) for kernel in kernels)
    if answers["driver"] and wheel.cuda:
        assert driver_runs_wheel(shipped, request, wheel)
        assert driver_starts_image(shipped, request, gpu_rows(shipped, request), image)


@settings(max_examples=150, deadline=None)
@given(answer_sets())
def test_what_is_refused_has_a_smallest_reason_and_each_fix_works(
    answers: dict[str, Any],
) -> None:
    request = Request(**answers)
    if solver.solve(shipped, request) is not None:
        return
    conflict = refusal.explain(shipped, request)
    sentence = refusal.sentence_of(shipped, request, conflict)
    assert sentence.endswith(".") and "\n" not in sentence
    if not conflict.answers:
        # Every Debian of the catalogue has ended by then.
        assert answers["today"] > shipped.systems["debian 13"].end_of_life
        return
    smallest = refusal.smallest_conflict(shipped, request)
    assert solver.solve(shipped, keep(request, smallest)) is None
    for left_out in smallest:
        rest = [answer for answer in smallest if answer != left_out]
        assert solver.solve(shipped, keep(request, rest)) is not None
    for name, value in conflict.answers:
        assert f"{name}: {value}" in sentence
    for fix in conflict.fixes:
        assert solver.solve(shipped, applied(request, fix)) is not None, fix


def applied(request: Any, fix: tuple[tuple[str, str], ...]) -> Any:
    """Answer as a refusal says; written apart from the code that made it."""
    values = {name: getattr(request, name) for name in SOLVER_QUESTIONS}
    for name, value in fix:
        if name == "gpus" and value.startswith("without "):
            dropped = value.removeprefix("without ")
            values["gpus"] = tuple(gpu for gpu in values["gpus"] if gpu != dropped)
        elif name == "gpus":
            new, old = value.split(" instead of ")
            values["gpus"] = tuple(new if gpu == old else gpu for gpu in values["gpus"])
        elif name in ("compile_cuda", "forward_compat"):
            values[name] = value == "true"
        else:
            values[name] = None if value == "auto" else value
            if (name, value) == ("accelerator", "cpu"):
                values |= dict.fromkeys(("driver", "cuda", "gpu_base"), None)
                values |= {"gpus": (), "compile_cuda": False, "forward_compat": False}
    return Request(today=request.today, **values)


@pytest.mark.parametrize(
    ("kernel", "compute", "runs"),
    [
        ("8.6", "8.6", True),
        ("8.6", "8.9", True),
        ("8.0", "8.7", True),
        ("10.0", "10.3", True),
        ("12.0", "12.1", True),
        ("8.6", "8.0", False),
        ("8.0", "9.0", False),
        ("9.0", "10.0", False),
        ("10.0", "12.0", False),
        ("9.0", "8.9", False),
        ("9.0+PTX", "12.0", True),
        ("9.0+PTX", "8.9", False),
        ("12.0+PTX", "12.0", True),
        ("9.0a", "9.0", True),
        ("12.0a", "12.1", False),
        ("10.0a", "10.3", False),
    ],
)
def test_code_runs_on_its_own_major_and_ptx_on_everything_newer(
    kernel: str, compute: str, runs: bool
) -> None:
    assert kernel_runs(kernel, compute) is runs
