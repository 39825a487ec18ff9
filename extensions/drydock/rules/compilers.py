"""Rules about the compiler: the image of the builder stage where CUDA code is compiled."""

from __future__ import annotations

from ..catalogue import Catalogue
from ..request import Request
from ..rows import Gpu, Image, Wheel
from ..versions import is_supported, version
from .rule import rule


@rule
def release_compiles_for_gpu(request: Request, gpus: tuple[Gpu, ...], wheel: Wheel) -> bool:
    """A release whose tools do not know a compute capability compiles no CUDA code for it."""
    # torch.utils.cpp_extension raises "Unknown CUDA arch" for one that is not in its list.
    return not request.compile_cuda or not any(gpu.compute in wheel.unknown_targets for gpu in gpus)


@rule
def compiler_matches_wheel(wheel: Wheel, devel: Image) -> bool:
    """The nvcc that compiles CUDA code must be of the wheels' CUDA major."""
    return devel.cuda_version[0] == wheel.cuda_version[0]


@rule
def compiler_is_current(devel: Image) -> bool:
    """A builder image that was superseded, or that nobody has seen, is never chosen."""
    return devel.status == "current"


@rule
def compiler_is_supported(catalogue: Catalogue, request: Request, devel: Image) -> bool:
    """A builder image whose Ubuntu is past its end of life is never chosen."""
    return is_supported(catalogue.systems[devel.os].end_of_life, request.today)


@rule
def compiler_knows_gpu(catalogue: Catalogue, gpus: tuple[Gpu, ...], devel: Image) -> bool:
    """An nvcc compiles for the compute capabilities that its CUDA knows."""
    known = catalogue.toolkits[devel.cuda or ""].computes
    return all(gpu.compute in known for gpu in gpus)


@rule
def compiled_code_loads(catalogue: Catalogue, image: Image, devel: Image) -> bool:
    """Code compiled against a newer glibc does not load on an older one."""
    built, run = catalogue.systems[devel.os].glibc, catalogue.systems[image.os].glibc
    return version(built) <= version(run)
