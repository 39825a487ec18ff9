"""The driver in words: the oldest that runs a solution, the last that does, and why."""

from __future__ import annotations

from ..catalogue import Catalogue
from ..request import Request, gpu_rows
from ..rows import Gpu
from ..rules.drivers import needs_ptx
from ..solver import Solution
from ..versions import is_supported, version


def driver_floor(catalogue: Catalogue, solution: Solution) -> tuple[str, str]:
    """Return the oldest driver that runs a solution for a GPU, and what asks for it, in words.

    It is the newest of what the wheels need, what the GPUs need, and what an nvidia/cuda image
    demands. A driver that the image admits only by its branch stands for that branch alone.
    """
    image, driver = solution.image, solution.request.driver_version
    needs = _needs(catalogue, solution)
    demanded = catalogue.driver_of_cuda(image.min_cuda) if image.min_cuda else None
    if driver is None or image.min_cuda is None or catalogue.driver_supports(driver, image):
        if demanded:
            needs.append((demanded, f"an image of CUDA {image.min_cuda} demands"))
        floor, why = max(needs, key=lambda need: version(need[0]))
        return floor, f"{floor} or newer, which {why}"
    branch = str(catalogue.branch_number(driver))
    floor = max(branch, *(need for need, _ in needs), key=version)
    other = f"{demanded} or newer" if demanded else f"one that supports CUDA {image.min_cuda}"
    return (
        floor,
        f"{floor} or newer of branch {branch}, which the image lists in NVIDIA_REQUIRE_CUDA, "
        f"or {other}",
    )


def _needs(catalogue: Catalogue, solution: Solution) -> list[tuple[str, str]]:
    """List the oldest drivers that the wheels and the GPUs need, with what needs them."""
    wheel, gpus = solution.wheel, gpu_rows(catalogue, solution.request)
    major = wheel.cuda_version[0]
    needs = [(catalogue.floors[major], f"wheels of CUDA {major} need")]
    needs += [(gpu.driver_from, f"{_name(gpu)} needs") for gpu in gpus if gpu.driver_from]
    compiles = catalogue.driver_of_cuda(wheel.cuda or "0.0")
    if compiles:
        # For these GPUs the driver compiles the code: rules.drivers.driver_compiles_ptx.
        needs += [
            (compiles, f"compiles the PTX of CUDA {wheel.cuda} for {_name(gpu)}")
            for gpu in needs_ptx(catalogue, solution.request, gpus, wheel)
        ]
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
