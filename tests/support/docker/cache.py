"""What is slow to make is kept between runs, under a digest of what it is made by."""

from __future__ import annotations

import hashlib
import os
from functools import cache
from pathlib import Path

from tests.support.host import ca_bundle

_MAKERS = ("cpython.py", "debian.py", "standins.py")


def cache_folder() -> Path:
    """Where the tests keep what is slow to make again: $XDG_CACHE_HOME/drydock-tests."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(base, "drydock-tests")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@cache
def recipe() -> str:
    """A short digest of the modules that make stand-ins and of the certificates in them.

    A stand-in that bears another digest is made again.
    """
    seen = hashlib.sha256()
    for name in _MAKERS:
        seen.update(Path(__file__).with_name(name).read_bytes())
    bundle = ca_bundle()
    seen.update(bundle.read_bytes() if bundle else b"")
    return seen.hexdigest()[:12]


def keep(part: Path, target: Path) -> None:
    """Put a finished file into the cache, and remove what former recipes left there.

    Args:
        part: the file, in a folder of the cache's file system.
        target: its place, with `recipe()` in its name.
    """
    stem = target.name.partition(recipe())[0]
    for former in target.parent.glob(f"{stem}*"):
        former.unlink()
    part.rename(target)
