"""The driver in words: the oldest that runs a solution, the last that does, and why."""

from __future__ import annotations

from typing import NamedTuple

from ..catalogue import Catalogue
from ..request import Request, gpu_rows
from ..rows import Gpu
from ..rules.drivers import compiled_by_driver, needs_compat
from ..solver import Solution
from ..versions import is_supported, version


class Floor(NamedTuple):
    """The oldest driver: its number, which ones do in few words, and the same with the reason."""

    driver: str
    brief: str
    words: str


def driver_floor(catalogue: Catalogue, solution: Solution) -> Floor:
    """Return the oldest driver that runs a solution for a GPU.

    It is the newest of what the wheels need, what the GPUs need, and what an nvidia/cuda image
    demands. A driver that the image admits only by its branch stands for that branch alone, and
    the image's cuda-compat may stand in for what the wheels need.
    """
    image, driver = solution.image, solution.request.driver_version
    needs = _needs(catalogue, solution)
    demanded = catalogue.driver_of_cuda(image.min_cuda) if image.min_cuda else None
    if driver is None or image.min_cuda is None or catalogue.driver_supports(driver, image):
        if demanded:
            needs.append((demanded, f"an image of CUDA {image.min_cuda} demands"))
        floor, why = max(needs, key=lambda need: version(need[0]))
        return Floor(floor, f"{floor} or newer", f"{floor} or newer, which {why}")
    branch = str(catalogue.branch_number(driver))
    floor = max(branch, *(need for need, _ in needs), key=version)
    other = f"{demanded} or newer" if demanded else f"one that supports CUDA {image.min_cuda}"
    which = ", which the image lists in NVIDIA_REQUIRE_CUDA"
    if _is_bridged(catalogue, solution):
        major, minor = image.cuda_version
        which = (
            f" with NVIDIA Container Toolkit {catalogue.container_toolkit} or newer, which loads "
            f"the image's cuda-compat-{major}-{minor} in its place"
        )
    by_branch = f"{floor} or newer of branch {branch}"
    return Floor(floor, f"{by_branch}, or {other}", f"{by_branch}{which}, or {other}")


def _is_bridged(catalogue: Catalogue, solution: Solution) -> bool:
    """Tell whether the image's cuda-compat runs the wheels, as the driver alone does not."""
    gpus = gpu_rows(catalogue, solution.request)
    return needs_compat(catalogue, solution.request, gpus, solution.wheel)


def _needs(catalogue: Catalogue, solution: Solution) -> list[tuple[str, str]]:
    """List the oldest drivers that the wheels and the GPUs need, with what needs them."""
    wheel, gpus = solution.wheel, gpu_rows(catalogue, solution.request)
    major = wheel.cuda_version[0]
    needs = [(gpu.driver_from, f"{_name(gpu)} needs") for gpu in gpus if gpu.driver_from]
    if _is_bridged(catalogue, solution):
        return needs
    needs.insert(0, (catalogue.floors[major], f"wheels of CUDA {major} need"))
    for gpu, cuda in compiled_by_driver(catalogue, solution.request, gpus, wheel):
        compiles = catalogue.driver_of_cuda(cuda)
        if compiles:
            needs.append((compiles, f"compiles the PTX of CUDA {cuda} for {_name(gpu)}"))
    return needs


def last_branch(catalogue: Catalogue, solution: Solution) -> tuple[str, str] | None:
    """Return the last driver branch that knows every GPU, and the first that it is for, or None."""
    ends = [
        (gpu.driver_to, _name(gpu))
        for gpu in gpu_rows(catalogue, solution.request)
        if gpu.driver_to
    ]
    return min(ends, key=lambda end: version(end[0]), default=None)


def _name(gpu: Gpu) -> str:
    return f"the {gpu.name}" if gpu.is_model else f"compute capability {gpu.compute}"


def driver_age(catalogue: Catalogue, request: Request) -> str:
    """Return a remark for a driver whose branch gets no more updates; "" for the others."""
    row = catalogue.branch(request.driver_version) if request.driver_version else None
    if row is None or (row.kind != "ended" and is_supported(row.end_of_life, request.today)):
        return ""
    ended = f" in {row.end_of_life}" if row.end_of_life else ""
    return f" Branch {row.branch} reached its end of life{ended}."
