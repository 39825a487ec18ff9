"""Rules about the NVIDIA driver of the hosts: the GPUs, wheels and images that it runs."""

from __future__ import annotations

from collections.abc import Iterator

from ..catalogue import Catalogue
from ..kernels import binary_runs
from ..request import Request, host_of
from ..rows import Gpu, Image, Wheel
from ..versions import Version, version
from .rule import rule


@rule
def driver_knows_gpu(catalogue: Catalogue, request: Request, gpus: tuple[Gpu, ...]) -> bool:
    """A driver knows a GPU from the release that introduced it to the last branch with it."""
    driver = request.driver_version
    return driver is None or all(
        # A branch alone, such as 570, stands for any of its releases here.
        (not gpu.driver_from or driver >= version(gpu.driver_from)[: len(driver)])
        and (not gpu.driver_to or catalogue.branch_number(driver) <= version(gpu.driver_to)[0])
        for gpu in gpus
    )


@rule
def driver_runs_wheel(catalogue: Catalogue, request: Request, wheel: Wheel) -> bool:
    """The wheels of CUDA 13 need driver 580, those of CUDA 12 525.60.13, those of CUDA 11
    450.80.02, or a newer one.
    """
    driver = request.driver_version
    # With forward_compat the image may stand in for the driver: compat_stands_in asks that.
    return driver is None or request.forward_compat or reaches_floor(catalogue, driver, wheel)


@rule
def driver_compiles_ptx(
    catalogue: Catalogue, request: Request, gpus: tuple[Gpu, ...], wheel: Wheel
) -> bool:
    """A GPU for which a build holds some or all code only as PTX needs a driver that supports the
    CUDA of that PTX, because the driver compiles it.
    """
    driver = request.driver_version
    return (
        driver is None
        or request.forward_compat
        or loads_code(catalogue, request, driver, gpus, wheel)
    )


@rule
def forward_compat_suits_gpus(request: Request, gpus: tuple[Gpu, ...]) -> bool:
    """Only data centre GPUs, each of them named, run on NVIDIA's forward compatibility packages."""
    # Source: CUDA Compatibility, "Forward Compatibility". It also names some RTX cards in servers
    # that NVIDIA certified; whether a card sits in one is not asked.
    if not request.forward_compat:
        return True
    return "any" not in request.gpus and all(gpu.brand == "datacentre" for gpu in gpus)


@rule
def compat_stands_in(
    catalogue: Catalogue, request: Request, gpus: tuple[Gpu, ...], wheel: Wheel, image: Image
) -> bool:
    """A driver that is too old for the wheels needs an image with cuda-compat of their CUDA or of
    a newer one, and that package runs on the driver branches that NVIDIA lists for it.
    """
    driver = request.driver_version
    if driver is None or not needs_compat(catalogue, request, gpus, wheel):
        return True
    return catalogue.stands_in(image, driver) and image.cuda_version >= wheel.cuda_version


def needs_compat(
    catalogue: Catalogue, request: Request, gpus: tuple[Gpu, ...], wheel: Wheel
) -> bool:
    """Tell whether the driver alone does not run a build, where forward compatibility may be used.

    It is then the image's user-mode driver that runs it, and compiles its PTX.
    """
    driver = request.driver_version
    return (
        request.forward_compat
        and driver is not None
        and not (
            reaches_floor(catalogue, driver, wheel)
            and loads_code(catalogue, request, driver, gpus, wheel)
        )
    )


def reaches_floor(catalogue: Catalogue, driver: Version, wheel: Wheel) -> bool:
    """Tell whether a driver is one of those that the CUDA major of the wheels needs."""
    return wheel.cuda is None or driver >= version(catalogue.floors[wheel.cuda_version[0]])


def loads_code(
    catalogue: Catalogue, request: Request, driver: Version, gpus: tuple[Gpu, ...], wheel: Wheel
) -> bool:
    """Tell whether a driver supports the CUDA of all PTX that it has to compile."""
    # Source: CUDA Compatibility, "Application Considerations for Minor Version Compatibility".
    supported = catalogue.driver_cuda(driver)
    return all(
        supported >= version(cuda)
        for _, cuda in compiled_by_driver(catalogue, request, gpus, wheel)
    )


def compiled_by_driver(
    catalogue: Catalogue, request: Request, gpus: tuple[Gpu, ...], wheel: Wheel
) -> Iterator[tuple[Gpu, str]]:
    """Yield the GPUs that run some code of a build only through PTX which the driver compiles, and
    the CUDA of that PTX.
    """
    if wheel.cuda is None or catalogue.frameworks[wheel.framework].own_ptxas:
        return
    host = host_of(catalogue, request)
    for gpu in gpus:
        kernels = wheel.kernels.get(host or gpu.host, ())
        if not any(binary_runs(kernel, gpu.compute, gpu.tegra) for kernel in kernels):
            yield gpu, wheel.cuda
        elif gpu.compute in wheel.partly_ptx:
            yield gpu, catalogue.cuda_of_ptx(wheel.partly_ptx[gpu.compute])


@rule
def driver_starts_image(
    catalogue: Catalogue, request: Request, gpus: tuple[Gpu, ...], image: Image
) -> bool:
    """An nvidia/cuda image is for a driver that supports its CUDA, or is of a branch that its
    NVIDIA_REQUIRE_CUDA lists for the GPU's brand: with any other, Docker's legacy NVIDIA runtime
    does not start it, and only newer set-ups (CDI) do not look.
    """
    # Sources: nvidia-container-toolkit 1470, moby 50228. Which of the two a host has is not asked.
    driver = request.driver_version
    if driver is None or image.min_cuda is None or catalogue.driver_supports(driver, image):
        return True
    # Nothing is known of a GPU that is not named, so the stricter rule holds.
    geforce = "any" in request.gpus or any(gpu.brand in ("geforce", None) for gpu in gpus)
    return catalogue.branch_number(driver) in image.driver_branches and (
        image.geforce or not geforce
    )
