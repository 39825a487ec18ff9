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
BATCH = 100


def compiled(source: str) -> bool:
    """Is there bytecode with a hash that Python does not check?"""
    try:
        with open(cache_from_source(source), "rb") as file:
            return file.read(8)[4:] == b"\1\0\0\0"
    except FileNotFoundError:
        return False


def sources(folder: str) -> Iterator[str]:
    """Paths of the Python files in a folder, without packages that are not this environment's."""
    for parent, folders, names in os.walk(folder):
        if folder != sys.prefix and "site-packages" in folders:
            folders.remove("site-packages")
        yield from (os.path.join(parent, name) for name in names if name.endswith(".py"))


folders = [sysconfig.get_path("stdlib"), sys.prefix]
missing = sorted(path for folder in folders for path in sources(folder) if not compiled(path))
batches = [missing[start : start + BATCH] for start in range(0, len(missing), BATCH)]
with ThreadPoolExecutor(os.cpu_count()) as pool:
    list(pool.map(lambda batch: subprocess.run(COMPILE + batch, check=False), batches))
