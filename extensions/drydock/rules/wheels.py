"""Rules about wheels: which build of which release of a framework."""

from __future__ import annotations

from ..catalogue import Catalogue
from ..request import Request
from ..rows import Gpu, Wheel
from .rule import rule


@rule
def gpu_runs_ordinary_wheels(gpus: tuple[Gpu, ...]) -> bool:
    """A Jetson older than Thor runs no binary code but its own, which ordinary wheels for ARM
    lack: it needs what NVIDIA builds for its JetPack, which is not in the catalogue.
    """
    return not any(gpu.refused for gpu in gpus)


@rule(silent=True)
def build_is_for_accelerator(request: Request, wheel: Wheel) -> bool:
    """The build is the one for the accelerator."""
    return wheel.accelerator == request.accelerator


@rule(silent=True)
def version_is_asked_for(request: Request, wheel: Wheel) -> bool:
    """The release is the one asked for."""
    return request.framework_version in (None, wheel.version)


@rule(silent=True)
def cuda_is_asked_for(request: Request, wheel: Wheel) -> bool:
    """The build's CUDA is the one asked for."""
    return request.cuda in (None, wheel.cuda)


@rule
def framework_does_workload(catalogue: Catalogue, request: Request, wheel: Wheel) -> bool:
    """The framework must do the work: ONNX Runtime serves models and does not train them."""
    return request.work <= {*catalogue.frameworks[wheel.framework].workloads}


@rule
def release_installs(wheel: Wheel) -> bool:
    """A release that cannot be installed is never chosen."""
    return not wheel.broken
