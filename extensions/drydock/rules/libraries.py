"""Rules about the libraries that wheels bring, such as cuDNN: they have code for GPUs of their own.

A build says which versions of a library it admits. One that it pins has to run on the GPU; among
several, a constraint in the project's pyproject.toml holds the library back.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from ..catalogue import Catalogue
from ..rows import Gpu, Library, Wheel, package_name
from ..versions import Version, version
from .rule import rule


class TooNew(NamedTuple):
    """A library that a build may bring in versions that no longer run a GPU.

    Attributes:
        library: the row with which the GPU's support ended.
        avoidable: does the build admit an older version?
    """

    library: Library
    avoidable: bool


@rule
def libraries_run_gpu(catalogue: Catalogue, gpus: tuple[Gpu, ...], wheel: Wheel) -> bool:
    """A library that the build requires, such as cuDNN, must still run the GPU in one of the
    versions that the build admits: one that it pins cannot be held back.
    """
    return all(found.avoidable for gpu in gpus for found in too_new(catalogue, gpu, wheel))


def too_new(catalogue: Catalogue, gpu: Gpu, wheel: Wheel) -> Iterator[TooNew]:
    """Yield each library of which a build admits versions that no longer run a GPU.

    A row holds up to the next one of its package, and support only ever ends, so that the first
    row that asks for more than the GPU has is a bound.
    """
    for requirement in wheel.libraries:
        rows = catalogue.libraries.get(package_name(requirement), ())
        for place, row in enumerate(rows):
            if version(row.oldest_compute) <= version(gpu.compute):
                continue
            bound = version(row.version)
            if _admits_from(requirement, bound):
                # Nothing is known to come before the first row.
                yield TooNew(row, avoidable=place > 0 and _oldest_admitted(requirement) < bound)
            break


def _clauses(requirement: str) -> Iterator[tuple[str, Version]]:
    """Yield the operators and versions of a requirement: ">=" and "<" of ">=9.8,<10.0"."""
    for operator, text in re.findall(r"(==|>=|<)([\d.]+)", requirement):
        yield operator, version(text)


def _oldest_admitted(requirement: str) -> Version:
    """Return the oldest version that a requirement admits, () where any is old enough."""
    return max((bound for operator, bound in _clauses(requirement) if operator != "<"), default=())


def _admits_from(requirement: str, first: Version) -> bool:
    """Tell whether a requirement admits a version, or any newer one."""
    return all(
        bound > first if operator == "<" else bound >= first
        for operator, bound in _clauses(requirement)
        if operator != ">="
    )
