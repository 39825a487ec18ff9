"""Rules about GPUs: the machine that they sit in, and the code that wheels hold for them."""

from __future__ import annotations

from ..catalogue import Catalogue
from ..request import Request
from ..rows import Gpu, Wheel
from ..versions import version
from .rule import rule


@rule
def platform_has_host(catalogue: Catalogue, request: Request, gpus: tuple[Gpu, ...]) -> bool:
    """The GPU must sit in a machine of the platform's CPU architecture."""
    if request.platform is None:
        return True
    architecture = catalogue.platforms[request.platform].architecture
    return architecture is None or {gpu.host for gpu in gpus} <= {architecture}


@rule
def wheel_has_kernels(gpus: tuple[Gpu, ...], wheel: Wheel) -> bool:
    """A GPU needs code in the build: for its compute capability, for a lower minor one of the
    same major, or as PTX for an older one.
    """
    return all(
        any(kernel_runs(kernel, gpu.compute) for kernel in wheel.kernels.get(gpu.host, ()))
        for gpu in gpus
    )


def kernel_runs(kernel: str, compute: str) -> bool:
    """Tell whether code compiled for one compute capability runs on a GPU of another.

    "8.0" is binary code, which runs within its major version on an equal or higher minor one.
    "12.0+PTX" holds PTX too, which the driver compiles for everything newer. "9.0a" is code
    specific to one architecture, which runs on nothing else.
    Source: CUDA C++ Programming Guide, "Binary Compatibility" and "PTX Compatibility".
    """
    if kernel.endswith("a"):
        return kernel == f"{compute}a"
    built, ptx, _ = kernel.partition("+PTX")
    same_major = version(built)[0] == version(compute)[0]
    return (same_major or bool(ptx)) and version(built) <= version(compute)
