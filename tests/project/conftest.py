"""What the tests of projects share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import projects
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
