"""Files that are either whole or absent."""

import io
import os
import secrets
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

UNFINISHED = ".unfinished-"


@contextmanager
def atomic_write(path: Path) -> Iterator[BinaryIO]:
    """Open a file beside `path` for writing, and move it to `path` once it is complete and on disk.

    A process that is killed meanwhile leaves what was at `path` before. A disk that is full, or
    does not work, ends the program with a sentence.
    """
    unfinished = _unfinished(path)
    raw = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(path)
        raw = _File(str(unfinished), "wb")
        with io.BufferedWriter(raw) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, path)
    except Exception as error:
        failure = error if isinstance(error, OSError) else raw and raw.failure
        if not failure:
            raise
        sys.exit(unwritable(path, failure))
    finally:
        with suppress(OSError):
            unfinished.unlink(missing_ok=True)


def _unfinished(path: Path) -> Path:
    return path.with_name(f"{UNFINISHED}{secrets.token_hex(4)}-{path.name}")


class _File(io.FileIO):
    """A file that keeps why it could not be written: some libraries raise errors of their own."""

    failure: OSError | None = None

    def write(self, content: bytes | memoryview) -> int | None:
        try:
            return super().write(content)
        except OSError as error:
            self.failure = error
            raise


def unwritable(path: Path, error: OSError) -> str:
    """Return the sentence that says why `path` was not written."""
    return f"{path} cannot be written: {error.strerror or error}."


def remove_unfinished(folder: Path) -> None:
    """Remove what processes that were killed have left below `folder`, which nobody else uses."""
    for path in folder.rglob(f"{UNFINISHED}*"):
        with suppress(OSError):  # a folder, or of somebody else
            path.unlink(missing_ok=True)


def _remove_abandoned(path: Path) -> None:
    """Remove unfinished files for `path` that nobody has written to for an hour."""
    for other in path.parent.iterdir():
        if other.name.startswith(UNFINISHED) and other.name.endswith(f"-{path.name}"):
            with suppress(OSError):  # another process may have been quicker
                if time.time() - other.stat().st_mtime > 3600:
                    other.unlink()


def require_writable(folder: Path) -> None:
    """End the program with a sentence, before any work is done, if `folder` cannot be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        sys.exit(f"{folder} is not writable ({error.strerror}): mount a writable folder there.")


def require_replaceable(path: Path) -> None:
    """End the program with a sentence, before any work, if no model can be put at `path`."""
    require_writable(path.parent)
    try:
        with suppress(FileNotFoundError):
            _unfinished(path).stat()  # says that a name is too long, as exists() does not
        if path.exists() and not path.is_file():
            sys.exit(f"{path} is no file that the model could replace: name another.")
    except OSError as error:
        sys.exit(unwritable(path, error))
