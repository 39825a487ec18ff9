"""Checkpoints: saved states of a run, from which it goes on after an interruption.

Each is one file, `step-<number>.zip`, in the format of the framework. All these formats are ZIP
archives, whose checksums show whether a file is damaged.
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


def require_same_run(
    path: Path, saved: Mapping[str, Any], run: Mapping[str, Any], steps: int
) -> None:
    """End the program with a sentence if the checkpoint at `path` belongs to another run.

    Its content `saved` must have the settings `run` and have taken no more than `steps` steps.
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
