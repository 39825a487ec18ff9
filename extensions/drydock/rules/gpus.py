"""Rules about GPUs: the machine that they sit in, and the code that wheels hold for them."""

from __future__ import annotations

from ..catalogue import Catalogue
from ..kernels import kernel_runs
from ..request import Request, host_of
from ..rows import Gpu, Wheel
from .rule import rule


@rule
def platform_has_host(catalogue: Catalogue, request: Request, gpus: tuple[Gpu, ...]) -> bool:
    """The GPUs must sit in machines of one CPU architecture, which the platform must have."""
    return not gpus or host_of(catalogue, request) is not None


@rule
def wheel_has_kernels(
    catalogue: Catalogue, request: Request, gpus: tuple[Gpu, ...], wheel: Wheel
) -> bool:
    """A GPU needs code in the build: for its compute capability, for a lower minor one of the
    same major, or as PTX for an older one.
    """
    host = host_of(catalogue, request)
    return all(
        any(
            kernel_runs(kernel, gpu.compute, gpu.tegra)
            for kernel in wheel.kernels.get(host or gpu.host, ())
        )
        for gpu in gpus
    )
