"""What the tests of projects share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import indexes, projects
from tests.support.host import Unavailable
from tests.support.slurm import Cluster


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """A Slurm with two nodes."""
    try:
        with Cluster(tmp_path) as cluster:
            yield cluster
    except Unavailable as missing:
        projects.lacking(str(missing))


@pytest.fixture(scope="module")
def torch_answers() -> Iterator[dict[str, object]]:
    """Answers for PyTorch, with a stand-in for its index, which has one wheel, for one Python."""
    try:
        wheel = indexes.find_wheel("torch-2.13.0")
    except Unavailable as missing:
        pytest.skip(str(missing))
    index = indexes.Index({name: [wheel] for name in ("cpu", "cu126")}, port=28125)
    yield {
        "framework": "pytorch",
        "advanced": True,
        "framework_version": "2.13.0",
        "python_version": "3.11",
        "pytorch_index": index.url,
    }
    index.close()


@pytest.fixture
def answers(framework: str, request: pytest.FixtureRequest) -> dict[str, object]:
    """Answers for the framework that is a parameter of the test."""
    if framework == "pytorch":
        return request.getfixturevalue("torch_answers")
    return {"framework": framework}
