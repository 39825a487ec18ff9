"""Each rule matters: without it, a known case comes out wrong."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from drydock import solver
from drydock.catalogue import Catalogue
from drydock.rules import RULES
from tests.support.catalogues import with_ptx_alone


@dataclass(frozen=True)
class Case:
    """A request, what it gives, and what it would give without one rule.

    `right` and `wrong` are (version, build, Python, image, builder); None is a refusal, and an
    entry that is "" is not looked at.
    """

    rule: str
    answers: dict[str, Any]
    right: tuple[str, ...] | None
    wrong: tuple[str, ...] | None
    change: Callable[[Catalogue], Catalogue] = field(default=lambda catalogue: catalogue)


def pinning_a_newer_cudnn(catalogue: Catalogue) -> Catalogue:
    """The newest PyTorch for CUDA 12.6 pins a cuDNN that no longer runs old GPUs.

    No build of today that has code for a GPU pins a library without.
    """
    changed = copy.copy(catalogue)
    pinned = ("nvidia-cudnn-cu12==9.11.0.98",)
    wheels = (
        replace(wheel, libraries=pinned)
        if (wheel.build, wheel.version) == ("cu126", "2.14.1")
        else wheel
        for wheel in catalogue.wheels["pytorch"]
    )
    changed.wheels = {**catalogue.wheels, "pytorch": tuple(wheels)}
    return changed


NEW = "2.15.0"
CASES = (
    Case(
        "gpu-runs-ordinary-wheels",
        {"gpus": ("Jetson Orin",), "framework": "jax"},
        None,
        ("0.12.0.1", "cuda13"),
        with_ptx_alone,
    ),
    Case(
        "driver-knows-gpu",
        {"gpus": ("V100",), "driver": "590"},
        None,
        ("2.14.1", "cu126"),
    ),
    Case(
        "platform-has-host",
        {"gpus": ("GH200",), "platform": "ovh"},
        None,
        (NEW, "cu132"),
    ),
    Case(
        "platform-does-workload",
        {"workload": "train", "platform": "kserve"},
        None,
        (NEW, "cu132"),
    ),
    Case(
        "build-is-for-accelerator",
        {"accelerator": "cpu"},
        (NEW, "cpu", "3.13", "python:3.13-slim-trixie"),
        (NEW, "cu132"),
    ),
    Case("version-is-asked-for", {"framework_version": "2.9.1"}, ("2.9.1", "cu128"), (NEW,)),
    Case("cuda-is-asked-for", {"cuda": "12.6"}, ("2.14.1", "cu126"), (NEW, "cu132")),
    Case(
        "framework-does-workload",
        {"framework": "onnxruntime", "workload": "train"},
        None,
        ("1.31.1", "wheels"),
    ),
    Case(
        "release-installs",
        {"framework": "onnxruntime", "framework_version": "1.27.0"},
        None,
        ("1.27.0", "wheels"),
    ),
    Case(
        "driver-runs-wheel",
        {"driver": "570.124.06", "gpu_base": "slim"},
        ("2.14.1", "cu126"),
        (NEW, "cu132"),
    ),
    Case(
        "libraries-run-gpu",
        {"gpus": ("V100",)},
        ("2.14.0", "cu126"),
        ("2.14.1", "cu126"),
        pinning_a_newer_cudnn,
    ),
    Case("wheel-has-kernels", {"gpus": ("V100",)}, ("2.14.1", "cu126"), (NEW, "cu132")),
    Case(
        # Its CUDA is 12.2, that of driver 525 is 12.0, and nothing in it is for 9.0.
        "driver-compiles-ptx",
        {
            "framework": "onnxruntime",
            "framework_version": "1.19.2",
            "gpus": ("H100",),
            "driver": "525.60.13",
        },
        None,
        ("1.19.2", "plain"),
    ),
    Case(
        "forward-compat-suits-gpus",
        {"gpus": ("RTX 4090",), "driver": "580", "forward_compat": True},
        None,
        (NEW, "cu132"),
    ),
    Case(
        # NVIDIA's table has no column for 550, although the image starts on it.
        "compat-stands-in",
        {"gpus": ("A100",), "driver": "550.54.14", "forward_compat": True},
        ("2.14.1", "cu126"),
        (NEW, "cu132", "", "nvidia/cuda:13.1.2-base-ubuntu24.04"),
    ),
    Case("python-is-asked-for", {"python_version": "3.12"}, (NEW, "", "3.12"), (NEW, "", "3.13")),
    Case(
        "python-has-wheel",
        {"framework": "tensorflow", "python_version": "3.14"},
        None,
        ("2.21.0", "and-cuda", "3.14"),
    ),
    Case(
        "python-has-image",
        {"python_version": "3.15"},
        None,
        (NEW, "cu132", "3.15", "nvidia/cuda:13.2.1-base-ubuntu24.04"),
    ),
    Case("python-is-supported", {"python_version": "3.10"}, None, ("2.14.1", "", "3.10")),
    Case(
        "image-is-current",
        {"cuda": "11.8"},
        ("2.7.1", "cu118", "3.13", "python:3.13-slim-trixie"),
        ("2.7.1", "cu118", "3.13", "nvidia/cuda:11.8.0-base-ubuntu22.04"),
    ),
    Case(
        "base-is-asked-for",
        {"gpu_base": "slim"},
        (NEW, "", "", "python:3.13-slim-trixie"),
        (NEW, "", "", "nvidia/cuda:13.2.1-base-ubuntu24.04"),
    ),
    Case(
        "system-is-supported",
        {"cuda": "12.4", "today": "2027-06-01"},
        ("2.6.0", "cu124", "", "nvidia/cuda:12.5.1-base-ubuntu24.04"),
        ("2.6.0", "cu124", "", "nvidia/cuda:12.4.1-base-ubuntu22.04"),
    ),
    Case(
        "driver-starts-image",
        {
            "gpus": ("RTX 4090",),
            "driver": "550.144.03",
            "cuda": "12.8",
            "today": "2027-06-01",
        },
        ("2.11.0", "cu128", "3.13", "python:3.13-slim-trixie"),
        ("2.11.0", "cu128", "3.13", "nvidia/cuda:12.8.2-base-ubuntu24.04"),
    ),
    Case(
        "image-has-python",
        {"accelerator": "cpu", "python_version": "3.12"},
        (NEW, "cpu", "3.12", "python:3.12-slim-trixie"),
        (NEW, "cpu", "3.12", "python:3.14-slim-trixie"),
    ),
    Case(
        "one-cuda-major",
        {"cuda": "12.1"},
        ("2.5.1", "cu121", "", "nvidia/cuda:12.1.1-base-ubuntu22.04"),
        ("2.5.1", "cu121", "", "nvidia/cuda:13.1.2-base-ubuntu24.04"),
    ),
    Case(
        "image-brings-the-rest",
        {"framework": "onnxruntime", "framework_version": "1.19.2"},
        ("1.19.2", "plain", "", "nvidia/cuda:12.3.2-cudnn9-runtime-ubuntu22.04"),
        ("1.19.2", "plain", "", "nvidia/cuda:12.2.2-base-ubuntu22.04"),
    ),
    Case(
        "library-path-suits",
        {"framework": "jax"},
        ("0.12.0.1", "cuda13", "", "python:3.13-slim-trixie"),
        ("0.12.0.1", "cuda13", "", "nvidia/cuda:13.4.2-base-ubuntu24.04"),
    ),
    Case(
        "release-compiles-for-gpu",
        {"compile_cuda": True, "gpus": ("B300",), "framework_version": "2.7.1"},
        None,
        ("2.7.1", "cu128"),
    ),
    Case(
        "compiler-matches-wheel",
        {"compile_cuda": True, "cuda": "12.1", "gpu_base": "slim"},
        ("2.5.1", "cu121", "", "", "nvidia/cuda:12.1.1-devel-ubuntu22.04"),
        ("2.5.1", "cu121", "", "", "nvidia/cuda:13.1.2-devel-ubuntu24.04"),
    ),
    Case(
        "compiler-is-current",
        {"compile_cuda": True, "cuda": "11.8", "gpu_base": "slim"},
        None,
        ("2.7.1", "cu118", "", "", "nvidia/cuda:11.8.0-devel-ubuntu22.04"),
    ),
    Case(
        "compiler-is-supported",
        {"compile_cuda": True, "cuda": "12.4", "today": "2027-06-01"},
        ("2.6.0", "cu124", "", "", "nvidia/cuda:12.5.1-devel-ubuntu24.04"),
        ("2.6.0", "cu124", "", "", "nvidia/cuda:12.4.1-devel-ubuntu22.04"),
    ),
    Case(
        "compiler-knows-gpu",
        {
            "framework": "onnxruntime",
            "framework_version": "1.22.0",
            "gpus": ("RTX 5090",),
            "compile_cuda": True,
        },
        ("1.22.0", "wheels", "", "", "nvidia/cuda:12.8.2-devel-ubuntu22.04"),
        ("1.22.0", "wheels", "", "", "nvidia/cuda:12.2.2-devel-ubuntu22.04"),
    ),
    Case(
        "compiled-code-loads",
        {"framework": "jax", "compile_cuda": True},
        ("0.12.0.1", "cuda13", "", "", "nvidia/cuda:13.3.1-devel-ubuntu24.04"),
        ("0.12.0.1", "cuda13", "", "", "nvidia/cuda:13.4.2-cudnn-devel-ubuntu26.04"),
    ),
)


def rows_of(solution: Any) -> tuple[str, ...] | None:
    """Name the rows of a solution."""
    if solution is None:
        return None
    wheel = solution.wheel
    builder = solution.devel.image if solution.devel else ""
    return (wheel.version, wheel.build, solution.python, solution.image.image, builder)


def agrees(solution: Any, wanted: tuple[str, ...] | None) -> bool:
    """Is the solution the one that is wanted, as far as that is said?"""
    found = rows_of(solution)
    if found is None or wanted is None:
        return found is None and wanted is None
    return all(want in ("", have) for want, have in zip(wanted, found, strict=False))


def test_each_rule_has_a_case() -> None:
    names = [each.name for each in RULES]
    assert sorted(names) == sorted(case.rule for case in CASES)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.rule)
def test_without_the_rule_the_case_comes_out_wrong(
    catalogue: Catalogue, request_of: Callable[..., Any], case: Case
) -> None:
    request = request_of(**case.answers)
    others = [each for each in RULES if each.name != case.rule]
    changed = case.change(catalogue)
    right = solver.solve(changed, request)
    wrong = solver.solve(changed, request, others)
    assert agrees(right, case.right), rows_of(right)
    assert agrees(wrong, case.wrong), rows_of(wrong)
    assert rows_of(right) != rows_of(wrong)


def test_each_rule_is_one_sentence() -> None:
    for each in RULES:
        assert each.sentence.endswith(".")
        assert ". " not in each.sentence
        assert each.sentence[0].isupper()
        # Refusals put it behind "because", with a small first letter.
        assert each.sentence.split()[0] in {"A", "An", "The", "Only", "Code"}, each.sentence
