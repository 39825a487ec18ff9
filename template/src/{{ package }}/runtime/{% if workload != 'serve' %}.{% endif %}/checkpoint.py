"""Checkpoints: saved states of a run, from which it goes on after an interruption.

Each is one file, `last-<step>.zip` or `best-<step>.zip`, in the format of the framework. All these
formats are ZIP archives, whose checksums show whether a file is damaged.
"""

import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from .files import atomic_write

KEEP = 2  # one more than needed, in case the newest gets damaged
STEP = "[0-9]" * 9  # not the name of a copy that somebody keeps


@contextmanager
def write(folder: Path, kind: str, step: int) -> Iterator[BinaryIO]:
    """Open a checkpoint for writing; once it is whole, remove all but the newest of its kind.

    Args:
        folder: where the checkpoints of the run are.
        kind: "last" for the state to go on from, "best" for that of the best validation.
        step: how many steps the run has taken.
    """
    with atomic_write(folder / f"{kind}-{step:09}.zip") as file:
        yield file
    for path in _newest_first(folder, kind)[KEEP:]:
        path.unlink()


def newest(folder: Path, kind: str) -> Path | None:
    """Return the newest whole checkpoint, or None. Damaged ones are skipped with a sentence."""
    for path in _newest_first(folder, kind):
        if _is_whole(path):
            return path
        print(f"Skipping {path}: it is damaged.", file=sys.stderr)
    return None


@contextmanager
def reading(path: Path | str) -> Iterator[None]:
    """End the program with a sentence if the checkpoint cannot be used as it is meanwhile."""
    try:
        yield
    except Exception as error:  # of many kinds: each format has errors of its own
        reason = f"{type(error).__name__}: {error}".splitlines()[0].rstrip(":")
        sys.exit(f"{path} is no checkpoint of this code ({reason}): begin a new run with --fresh.")


def step_of(path: Path) -> int:
    """Return how many steps the run had taken when it wrote the checkpoint at `path`."""
    return int(path.stem.rpartition("-")[2])


def remove_after(folder: Path, step: int) -> None:
    """Remove the checkpoints of later steps, which a run that goes on from `step` takes again."""
    for path in _newest_first(folder, "*"):
        if step_of(path) > step:
            path.unlink()


def _newest_first(folder: Path, kind: str) -> list[Path]:
    paths = folder.glob(f"{kind}-{STEP}.zip")
    return sorted((path for path in paths if path.is_file()), reverse=True)


def _is_whole(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except Exception:  # zipfile raises many kinds, depending on which bytes are wrong
        return False
