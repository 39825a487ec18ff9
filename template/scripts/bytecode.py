"""Compile what has no bytecode yet: the standard library and the packages of this environment.

The Dockerfile runs it at the end of each step that brings packages, so that a start compiles none
of them. The bytecode holds a hash of the source and no time stamp
(https://peps.python.org/pep-0552/), so that it stays valid when a builder rewrites the times of
files. It depends on what the interpreter compiled before: sorted batches, each in an interpreter of
its own, are the same on every machine.
"""

import os
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.util import cache_from_source

# Files that do not compile, such as templates of code, are no error.
COMPILE = [sys.executable, "-m", "compileall", "-qq", "-f", "--invalidation-mode=unchecked-hash"]
BATCH = 200


def compiled(folder: str) -> set[str]:
    """Names of the bytecode in a __pycache__, none where it is of another kind.

    A wheel may bring its own, with time stamps. One file stands for the folder: to open each would
    take longer than to compile what a small package brings.
    """
    names = os.listdir(folder) if os.path.isdir(folder) else []
    if not names:
        return set()
    with open(os.path.join(folder, min(names)), "rb") as file:
        return set(names) if file.read(8)[4:] == b"\1\0\0\0" else set()


def missing(top: str) -> Iterator[str]:
    """Paths of the Python files below a folder that have no bytecode yet, without packages that are
    not this environment's and without folders of tests, which nobody imports here.
    """
    skipped = {"__pycache__", "tests"} | ({"site-packages"} if top != sys.prefix else set())
    for parent, folders, names in os.walk(top):
        folders[:] = [name for name in folders if name not in skipped]
        have = compiled(os.path.join(parent, "__pycache__"))
        for name in names:
            if name.endswith(".py") and os.path.basename(cache_from_source(name)) not in have:
                yield os.path.join(parent, name)


folders = [sysconfig.get_path("stdlib"), sys.prefix]
paths = sorted(path for folder in folders for path in missing(folder))
batches = [paths[start : start + BATCH] for start in range(0, len(paths), BATCH)]
with ThreadPoolExecutor(os.cpu_count()) as pool:
    list(pool.map(lambda batch: subprocess.run(COMPILE + batch, check=False), batches))
