"""Rules about the NVIDIA driver of the hosts: the GPUs, wheels and images that it runs."""

from __future__ import annotations

from ..catalogue import Catalogue
from ..request import Request
from ..rows import Gpu, Image, Wheel
from ..versions import version
from .rule import rule


@rule
def driver_knows_gpu(request: Request, gpus: tuple[Gpu, ...]) -> bool:
    """A driver knows a GPU from the release that introduced it to the last branch with it."""
    driver = request.driver_version
    return driver is None or all(
        # A branch alone, such as 570, stands for any of its releases here.
        (not gpu.driver_from or driver >= version(gpu.driver_from)[: len(driver)])
        and (not gpu.driver_to or driver[0] <= version(gpu.driver_to)[0])
        for gpu in gpus
    )


@rule
def driver_runs_wheel(catalogue: Catalogue, request: Request, wheel: Wheel) -> bool:
    """The wheels of CUDA 13 need driver 580, those of CUDA 12 525.60.13, those of CUDA 11
    450.80.02, or a newer one.
    """
    driver = request.driver_version
    if driver is None or wheel.cuda is None:
        return True
    return driver >= version(catalogue.floors[wheel.cuda_version[0]])


@rule
def driver_starts_image(
    catalogue: Catalogue, request: Request, gpus: tuple[Gpu, ...], image: Image
) -> bool:
    """An nvidia/cuda image starts only if the driver supports its CUDA, or is of a branch that
    its NVIDIA_REQUIRE_CUDA lists for the GPU's brand.
    """
    driver = request.driver_version
    if driver is None or image.min_cuda is None or catalogue.driver_supports(driver, image):
        return True
    # Nothing is known of a GPU that is not named, so the stricter rule holds.
    geforce = "any" in request.gpus or any(gpu.brand == "geforce" for gpu in gpus)
    return driver[0] in image.driver_branches and (image.geforce or not geforce)
