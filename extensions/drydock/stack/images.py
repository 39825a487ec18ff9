"""Images for the templates: the one that FROM names, the builder's, the one of CI."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ..catalogue import Catalogue
from ..kernels import binary_runs, kernel_runs, read_kernel
from ..request import gpu_rows, host_of
from ..solver import Solution
from ..versions import version
from .keys import BaseImage, DevelImage, Python, Uv


def from_name(image: str, digest: str | None, mirror: str) -> str:
    """Return an image as FROM names it: behind the mirror, and pinned where its digest is known."""
    name = behind_mirror(image, mirror)
    return f"{name}@{digest}" if digest else name


def behind_mirror(image: str, mirror: str) -> str:
    """Return the image's name behind a mirror: a prefix in place of the public registry."""
    if not mirror:
        return image
    name = image.removeprefix("ghcr.io/")
    return f"{mirror}/{name}" if "/" in name else f"{mirror}/library/{name}"


def base_image(solution: Solution, mirror: str) -> BaseImage:
    """Return the base image."""
    image = solution.image
    return {"image": from_name(image.image, image.digest, mirror), "kind": image.kind}


def python_of(catalogue: Catalogue, solution: Solution, mirror: str) -> Python:
    """Return where Python comes from, and where packages are installed."""
    plain = catalogue.python_image(solution.python)
    built, run = (catalogue.systems[image.os].glibc for image in (plain, solution.image))
    return {
        "source": "image" if solution.image.kind == "slim" else "managed",
        "image": from_name(plain.image, plain.digest, mirror),
        "manylinux": f"manylinux_{run.replace('.', '_')}"
        if version(run) < version(built)
        else None,
    }


def uv_of(catalogue: Catalogue, mirror: str) -> Uv:
    """Return the uv of the image and of CI."""
    uv = catalogue.uv
    image = from_name(uv.image, uv.digest, mirror)
    return {"image": image, "version": uv.version, "build": uv.build}


def devel_image(catalogue: Catalogue, solution: Solution, mirror: str) -> DevelImage | None:
    """Return the builder image and the compute capabilities to compile for; None without one."""
    devel = solution.devel
    if not devel:
        return None
    known = catalogue.toolkits[devel.cuda or ""].computes
    targets = {gpu.compute for gpu in gpu_rows(catalogue, solution.request)}
    if "any" in solution.request.gpus:
        targets = _targets_of_any(catalogue, solution, known)
    ordered = sorted(targets, key=lambda target: read_kernel(target).compute)
    return {"image": from_name(devel.image, devel.digest, mirror), "targets": ordered}


def _targets_of_any(catalogue: Catalogue, solution: Solution, known: Sequence[str]) -> set[str]:
    """Return the capabilities to compile for where no GPU is named.

    They are those that the framework's build was compiled for and the builder's CUDA knows, and
    the first of each major version that the build reaches by PTX alone. A driver may be older
    than the builder's CUDA, and then loads none of its PTX, but the binary code.
    """
    forced = host_of(catalogue, solution.request)
    kernels = {
        kernel
        for host, held in solution.wheel.kernels.items()
        if forced in (None, host)
        for kernel in held
    }
    targets: dict[str, str] = {}
    for kernel in sorted(kernels):
        code = read_kernel(kernel)
        # Code of one's own needs no letter: without it runs on the same GPUs, and on more.
        name = ".".join(map(str, code.compute))
        if name in known:
            targets[name] = "+PTX" if code.ptx else targets.get(name, "")
    for gpu in catalogue.gpus.values():
        if gpu.is_model or gpu.refused or gpu.compute not in known:
            continue
        if forced not in (None, *gpu.hosts) or not any(
            kernel_runs(kernel, gpu.compute, gpu.tegra) for kernel in kernels
        ):
            continue
        if not any(binary_runs(target, gpu.compute, gpu.tegra) for target in targets):
            targets[gpu.compute] = ""
    return {name + ptx for name, ptx in targets.items()}


def architecture(catalogue: Catalogue, solution: Solution) -> str | None:
    """Return the Docker platform to build for, None where that of the builder will do."""
    host = host_of(catalogue, solution.request)
    return f"linux/{host}" if host else None


def registry(image_name: str) -> str:
    """Return the host of the registry that an image's name begins with, "" where it names none.

    By Docker's rule, a first part without a dot or a port is a name on Docker Hub. Nothing is
    published to localhost, which is another machine in CI.
    """
    host, slash, _ = image_name.partition("/")
    if not slash or not re.search(r"[.:]", host) or host.partition(":")[0] == "localhost":
        return ""
    return host
