"""Rules about Python versions."""

from __future__ import annotations

from ..catalogue import Catalogue
from ..request import Request
from ..rows import Wheel
from ..versions import is_supported
from .rule import rule


@rule(silent=True)
def python_is_asked_for(request: Request, python: str) -> bool:
    """The Python is the one asked for."""
    return request.python_version in (None, python)


@rule
def python_has_wheel(wheel: Wheel, python: str) -> bool:
    """The framework must have wheels for the Python."""
    return python in wheel.pythons


@rule
def python_has_image(catalogue: Catalogue, python: str) -> bool:
    """The Python must have a plain image, because CI tests the project in one."""
    return python in catalogue.imaged_pythons


@rule
def python_is_supported(catalogue: Catalogue, request: Request, python: str) -> bool:
    """A Python past its end of life is never chosen."""
    # One that a project has already stays with a note: `stack.reasons`, docs/decisions/0017.
    kept = request.python_version == request.kept_python == python
    return kept or is_supported(catalogue.python_end[python], request.today)
