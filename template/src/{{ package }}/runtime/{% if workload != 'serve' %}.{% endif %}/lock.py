"""A lock that the system takes back when its process ends, however that happens."""

import errno
from pathlib import Path
from typing import BinaryIO

try:
    import fcntl
except ImportError:  # on Windows, where a lock is always given
    fcntl = None


class Lock:
    """A file that one process at a time has."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BinaryIO | None = None

    def acquire(self) -> bool:
        """Take the lock until the process ends. False if another process has it.

        On a file system without locks, such as some mounts of buckets, it is always given.
        """
        file = self._path.open("ab")
        try:
            if fcntl:
                # Not flock: the worker processes of a data loader would inherit that lock.
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EAGAIN):
                file.close()
                return False
        self._file = file
        return True

    def release(self) -> None:
        """Give the lock back."""
        if self._file:
            self._file.close()
            self._file = None
