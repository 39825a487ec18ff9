"""The driver in words: the oldest that runs a solution, and why."""

from __future__ import annotations

from ..catalogue import Catalogue
from ..request import Request
from ..solver import Solution
from ..versions import is_supported, version


def driver_floor(catalogue: Catalogue, solution: Solution) -> tuple[str, str]:
    """Return the oldest driver that runs a solution for a GPU, and what asks for it, in words.

    For an nvidia/cuda image it is the newer of two: what the wheels need, and what the image
    demands. A driver that the image admits only by its branch stands for that branch alone.
    """
    wheel, image = solution.wheel, solution.image
    floor = catalogue.floors[wheel.cuda_version[0]]
    needed = f"which wheels of CUDA {wheel.cuda_version[0]} need"
    if image.min_cuda is None:
        return floor, f"{floor} or newer, {needed}"
    demanded = catalogue.driver_of_cuda(image.min_cuda)
    driver = solution.request.driver_version
    if driver is None or driver[0] >= int(demanded):
        if version(floor) < version(demanded):
            return demanded, f"{demanded} or newer, which an image of CUDA {image.min_cuda} demands"
        return floor, f"{floor} or newer, {needed}"
    branch = str(driver[0])
    floor = max(floor, branch, key=version)
    return (
        floor,
        f"{floor} or newer of branch {branch}, which the image lists in NVIDIA_REQUIRE_CUDA, "
        f"or {demanded} or newer",
    )


def driver_age(catalogue: Catalogue, request: Request) -> str:
    """Return a remark for a driver whose branch gets no more updates; "" for the others."""
    row = catalogue.branch(request.driver) if request.driver else None
    if row is None or (row.kind != "ended" and is_supported(row.end_of_life, request.today)):
        return ""
    ended = f" in {row.end_of_life}" if row.end_of_life else ""
    return f" Branch {row.branch} reached its end of life{ended}."
