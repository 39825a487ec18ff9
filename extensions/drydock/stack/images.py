"""Images for the templates: the one that FROM names, the builder's, the one of CI."""

from __future__ import annotations

import re

from ..catalogue import Catalogue
from ..request import Request, gpu_rows
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
    """Return where Python comes from."""
    plain = catalogue.python_image(solution.python)
    return {
        "source": "image" if solution.image.kind == "slim" else "managed",
        "image": from_name(plain.image, plain.digest, mirror),
    }


def uv_of(catalogue: Catalogue, mirror: str) -> Uv:
    """Return the uv of the image and of CI."""
    uv = catalogue.uv
    image = from_name(uv.image, uv.digest, mirror)
    return {"image": image, "version": uv.version, "build": uv.build}


def devel_image(catalogue: Catalogue, solution: Solution, mirror: str) -> DevelImage | None:
    """Return the builder image and the compute capabilities to compile for; None without one.

    Those of the GPUs that are named; for "any", those that the framework's build was compiled for
    and the builder's CUDA knows.
    """
    devel = solution.devel
    if not devel:
        return None
    targets = {gpu.compute for gpu in gpu_rows(catalogue, solution.request)}
    if "any" in solution.request.gpus:
        toolkit = catalogue.toolkits[devel.cuda or ""]
        oldest, newest = version(toolkit.oldest_compute), version(toolkit.newest_compute)
        targets |= {
            kernel
            for kernels in solution.wheel.kernels.values()
            for kernel in kernels
            if oldest <= version(kernel.removesuffix("+PTX")) <= newest
        }
    # "9.0+PTX" covers all that "9.0" does.
    targets -= {target for target in targets if f"{target}+PTX" in targets}
    ordered = sorted(targets, key=lambda target: version(target.removesuffix("+PTX")))
    return {"image": from_name(devel.image, devel.digest, mirror), "targets": ordered}


def architecture(catalogue: Catalogue, request: Request, platform: str) -> str | None:
    """Return the Docker platform to build for, None where that of the builder will do."""
    forced = catalogue.platforms[platform].architecture
    hosts = {forced} if forced else {gpu.host for gpu in gpu_rows(catalogue, request)}
    return f"linux/{hosts.pop()}" if len(hosts) == 1 else None


def registry(image_name: str) -> str:
    """Return the host of the registry that an image's name begins with, "" where it names none.

    By Docker's rule, a first part without a dot or a port is a name on Docker Hub. Nothing is
    published to localhost, which is another machine in CI.
    """
    host, slash, _ = image_name.partition("/")
    if not slash or not re.search(r"[.:]", host) or host.partition(":")[0] == "localhost":
        return ""
    return host
