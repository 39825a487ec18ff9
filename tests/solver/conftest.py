"""Fixtures of the solver's tests: the extension, loaded by path as Copier does, and its data."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from solver_loading import FOLDER, load_extension  # noqa: E402 it lies beside this file


@pytest.fixture(scope="session")
def drydock() -> ModuleType:
    """The module `extensions/drydock.py`."""
    return load_extension()


@pytest.fixture(scope="session")
def catalogue(drydock: ModuleType) -> Any:
    """The catalogue that is shipped."""
    return drydock.Catalogue()


@pytest.fixture(scope="session")
def rows() -> dict[str, Any]:
    """The JSON files of the catalogue, by name, as they lie there."""
    return {path.stem: json.loads(path.read_text("utf-8")) for path in FOLDER.glob("*.json")}


@pytest.fixture(scope="session")
def request_of(drydock: ModuleType, catalogue: Any) -> Callable[..., Any]:
    """Build a request; a GPU, PyTorch and the catalogue's own day unless said otherwise."""

    def build(**answers: Any) -> Any:
        defaults = {"accelerator": "gpu", "framework": "pytorch", "today": catalogue.as_of}
        return drydock.Request(**{**defaults, **answers})

    return build


@pytest.fixture(scope="session")
def solve(
    drydock: ModuleType, catalogue: Any, request_of: Callable[..., Any]
) -> Callable[..., Any]:
    """Solve a request built from answers; None where there is no solution."""

    def solve_answers(**answers: Any) -> Any:
        return drydock.solve(catalogue, request_of(**answers))

    return solve_answers
