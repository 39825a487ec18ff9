"""The solver and the slow one agree, on more answer sets than anybody would think of."""

from __future__ import annotations

from itertools import islice
from typing import Any

import pytest

from drydock import solver
from drydock.catalogue import FOLDER, Catalogue
from drydock.request import Request
from tests.support.oracle import Oracle
from tests.support.random_answers import random_answers


@pytest.fixture(scope="module")
def oracle() -> Oracle:
    """The catalogue, read a second time."""
    return Oracle(FOLDER)


def test_the_solver_finds_what_trying_every_combination_finds(
    catalogue: Catalogue, oracle: Oracle, rows: dict[str, Any]
) -> None:
    solved = refused = 0
    for answers in islice(random_answers(rows, seed=2026), 20_000):
        solution = solver.solve(catalogue, Request(**answers))
        found = None
        if solution:
            solved += 1
            wheel = solution.wheel
            builder = solution.devel.image if solution.devel else None
            found = (wheel.build, wheel.version, solution.python, solution.image.image, builder)
        else:
            refused += 1
        assert found == oracle.best(answers), answers
    # Both answers have to be common, or the comparison shows little.
    assert solved > 4_000
    assert refused > 4_000
