"""The solver: the first combination of rows that breaks no rule."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from .catalogue import Catalogue
from .request import Request, gpu_rows
from .rows import Framework, Image, Wheel
from .rules import RULES
from .rules.rule import LEVELS, Rule

FLAVOURS_BY_SIZE = ("base", "runtime", "cudnn-runtime", "devel", "cudnn-devel")


@dataclass(frozen=True)
class Solution:
    """Rows of the catalogue that go together."""

    request: Request
    framework: Framework
    wheel: Wheel
    cpu_wheel: Wheel
    python: str
    image: Image
    devel: Image | None


def solve(catalogue: Catalogue, request: Request, rules: Sequence[Rule] = RULES) -> Solution | None:
    """Return the best combination of rows that breaks no rule, or None.

    The newest framework release comes first, then its best CUDA build, then the Python, then
    the smallest image. Each loop drops the rows that its own rules refuse, so the next one sees
    few.
    """
    given = (catalogue, request, gpu_rows(catalogue, request))
    by_level: dict[str, list[Callable[[tuple[Any, ...]], bool]]] = {name: [] for name in LEVELS}
    for rule in rules:
        by_level[rule.level].append(rule.holds)

    def allowed(level: str, *tried: Wheel | str | Image) -> bool:
        objects = given + tried
        for holds in by_level[level]:  # noqa: SIM110 all() takes half as long again
            if not holds(objects):
                return False
        return True

    if not allowed("answers"):
        return None
    images: list[Image] | None = None
    for wheel in catalogue.wheels_of(request.framework):
        if not allowed("wheel", wheel):
            continue
        for python in catalogue.pythons_by_preference:
            if not allowed("python", wheel, python):
                continue
            if images is None:
                images = [image for image in catalogue.images if allowed("image", image)]
            fitting = [image for image in images if allowed("fit", wheel, python, image)]
            for image in sorted(
                fitting, key=lambda image: _image_preference(catalogue, request, wheel, image)
            ):
                devel = None
                if request.compile_cuda:
                    builders = [
                        builder
                        for builder in catalogue.builders
                        if allowed("devel", wheel, image, builder)
                    ]
                    if not builders:
                        continue
                    devel = min(
                        builders,
                        key=lambda image: _devel_preference(catalogue, request, wheel, image),
                    )
                return Solution(
                    request=request,
                    framework=catalogue.frameworks[wheel.framework],
                    wheel=wheel,
                    cpu_wheel=_cpu_wheel(catalogue, wheel),
                    python=python,
                    image=image,
                    devel=devel,
                )
    return None


def _image_preference(
    catalogue: Catalogue, request: Request, wheel: Wheel, image: Image
) -> tuple[Any, ...]:
    """nvidia/cuda where it starts at all, and best on every newer driver too; then the smallest.

    Of two of a size the one with the nearest CUDA, then the newest system.
    """
    if image.kind == "slim":
        return (True, False, 0, (False, 0), image.os_age)
    driver = request.driver_version
    by_branch_only = driver is not None and not catalogue.driver_supports(driver, image)
    size = FLAVOURS_BY_SIZE.index(image.flavour or "base")
    return (False, by_branch_only, size, _distance(wheel, image), image.os_age)


def _devel_preference(
    catalogue: Catalogue, request: Request, wheel: Wheel, image: Image
) -> tuple[Any, ...]:
    """The nearest CUDA, then the smallest, then the newest system.

    Where no GPU is named, newer ones run the PTX of the compiled code, and no driver loads PTX
    of a CUDA that it does not support: one that it supports comes first.
    """
    driver = request.driver_version
    ptx_fails = (
        "any" in request.gpus
        and driver is not None
        and catalogue.driver_cuda(driver) < image.cuda_version
    )
    size = FLAVOURS_BY_SIZE.index(image.flavour or "devel")
    return (ptx_fails, _distance(wheel, image), size, image.os_age)


def _distance(wheel: Wheel, image: Image) -> tuple[bool, int]:
    """Nearest CUDA minor not above the wheel's first, then the nearest above."""
    steps = wheel.cuda_version[1] - image.cuda_version[1]
    return (steps < 0, abs(steps))


def _cpu_wheel(catalogue: Catalogue, wheel: Wheel) -> Wheel:
    """The CPU build of the same release: tests run on machines without a GPU."""
    return next(
        row
        for row in catalogue.wheels[wheel.framework]
        if row.accelerator == "cpu" and row.version == wheel.version
    )
