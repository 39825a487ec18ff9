"""Rules about the base image: which may be used at all, and what it must bring for the wheels."""

from __future__ import annotations

from ..catalogue import Catalogue
from ..request import Request
from ..rows import Image, Wheel
from ..versions import is_supported
from .rule import rule


@rule
def image_is_current(image: Image) -> bool:
    """An image that was superseded, or that nobody has seen, is never chosen."""
    return image.status == "current"


@rule(silent=True)
def base_is_asked_for(request: Request, image: Image) -> bool:
    """The base image is of the kind asked for."""
    return request.gpu_base in (None, image.kind)


@rule
def system_is_supported(catalogue: Catalogue, request: Request, image: Image) -> bool:
    """An image whose Debian or Ubuntu is past its end of life is never chosen."""
    return is_supported(catalogue.systems[image.os].end_of_life, request.today)


@rule
def image_has_python(python: str, image: Image) -> bool:
    """A python image has one Python version; on an nvidia/cuda image uv installs another one."""
    return image.python in (None, python)


@rule
def one_cuda_major(wheel: Wheel, image: Image) -> bool:
    """The image must have no CUDA, or the CUDA major version of the wheels."""
    return image.cuda is None or image.cuda_version[0] == wheel.cuda_version[0]


@rule
def image_brings_the_rest(wheel: Wheel, image: Image) -> bool:
    """An image brings what the wheels leave out, with the same cuDNN, and nothing more."""
    if wheel.cuda is None or wheel.bundles_cuda:
        return image.flavour in (None, "base")
    return image.flavour == "cudnn-runtime" and image.cudnn == wheel.cudnn


@rule
def library_path_suits(catalogue: Catalogue, wheel: Wheel, image: Image) -> bool:
    """A framework that needs LD_LIBRARY_PATH unset, as JAX does, cannot use nvidia/cuda."""
    wanted = catalogue.frameworks[wheel.framework].library_path
    return wanted != "unset" or not image.library_path
