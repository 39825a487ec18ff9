"""Checkpoints: where a run goes on after it was interrupted.

Each is one file, `step-<number>.zip`. Its format is the framework's, and all of them are ZIP
archives, whose checksums tell a whole file from a damaged one.
"""

import sys
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from .files import atomic_write

KEEP = 2  # one more than needed, in case the newest gets damaged


@contextmanager
def write(folder: Path, step: int) -> Iterator[BinaryIO]:
    """Open the checkpoint of `step` for writing; once it is whole, remove all but the newest."""
    with atomic_write(folder / f"step-{step:09}.zip") as file:
        yield file
    for path in _newest_first(folder)[KEEP:]:
        path.unlink()


def newest(folder: Path) -> Path | None:
    """Return the newest whole checkpoint, or None. Damaged ones are skipped with a sentence."""
    for path in _newest_first(folder):
        if _is_whole(path):
            return path
        print(f"Skipping {path}: it is damaged.", file=sys.stderr)
    return None


def clear(folder: Path) -> None:
    """Remove every checkpoint."""
    for path in _newest_first(folder):
        path.unlink()


def accept(path: Path, saved: Mapping[str, Any], run: Mapping[str, Any], steps: int) -> None:
    """Say that the run goes on from the checkpoint at `path`, or end the program if it cannot.

    Whatever `saved` holds must have been made with the settings `run`, and in at most `steps`.
    """
    before = saved["run"]
    changes = [f"{name} was {before[name]}" for name in run if before[name] != run[name]]
    if saved["step"] > steps:
        changes.append("it has seen more epochs")
    if changes:
        sys.exit(
            f"{path} belongs to another run ({', '.join(changes)}): "
            "use its settings to go on with it, or --fresh to start again."
        )
    print(f"Going on from {path}.", file=sys.stderr)


def _newest_first(folder: Path) -> list[Path]:
    return sorted(folder.glob("step-*.zip"), reverse=True)


def _is_whole(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except Exception:  # zipfile raises many kinds, depending on which bytes are wrong
        return False
