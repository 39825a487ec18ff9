"""Catalogues that differ from the one that is shipped, for what no row of today shows."""

from __future__ import annotations

import copy
from dataclasses import replace

from drydock.catalogue import Catalogue


def with_ptx_alone(catalogue: Catalogue, own_ptxas: bool = True) -> Catalogue:
    """JAX's builds hold code for 7.5 and else PTX, which JAX's own ptxas compiles, or the driver's.

    No build of today has a GPU that only PTX serves and that a driver older than its CUDA knows,
    but for one of ONNX Runtime.
    """
    changed = copy.copy(catalogue)
    jax = replace(catalogue.frameworks["jax"], own_ptxas=own_ptxas)
    changed.frameworks = {**catalogue.frameworks, "jax": jax}
    wheels = (
        replace(wheel, kernels=dict.fromkeys(wheel.kernels, ("7.5+PTX",)))
        for wheel in catalogue.wheels["jax"]
    )
    changed.wheels = {**catalogue.wheels, "jax": tuple(wheels)}
    return changed
