"""Finish a layer of the image: compile what it brings, and give all of it one date.

    python layer.py FOLDER [stdlib]

The Dockerfile runs it at the end of each step that fills a folder with what is to lie in the image
under the same paths. What comes out depends on nothing but the packages, so that machines that
build apart make the very same layer.

Bytecode is compiled so that no start has to. It holds a hash of the source and no time stamp
(https://peps.python.org/pep-0552/), so that it is valid whatever date its source has. It depends on
what the interpreter compiled before: sorted batches, each in an interpreter of its own, are the
same on every machine. `stdlib` adds the bytecode of the standard library of this Python, which has
its own place in the image.
"""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from importlib.util import cache_from_source

LAYER, *MORE = sys.argv[1:]
# The first day that ZIP knows: what packs files of the image into a wheel or an archive may go on.
DATE = 315532800
BATCH = 200
# Files that do not compile, such as templates of code, are no error.
COMPILE = """
import json, sys
from py_compile import PycInvalidationMode, compile
for source, target, name in json.load(sys.stdin):
    compile(source, target, name, quiet=2, invalidation_mode=PycInvalidationMode.UNCHECKED_HASH)
"""


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


def missing(top: str, skipped: set[str]) -> Iterator[str]:
    """Paths of the Python files below a folder that have no bytecode yet, but for skipped folders.

    Nobody imports a package's tests here, so folders of that name are always left out.
    """
    for parent, folders, names in os.walk(top):
        folders[:] = [name for name in folders if name not in {"__pycache__", "tests", *skipped}]
        have = compiled(os.path.join(parent, "__pycache__"))
        for name in names:
            if name.endswith(".py") and os.path.basename(cache_from_source(name)) not in have:
                yield os.path.join(parent, name)


def in_image(path: str) -> str:
    """Where a file of the layer lies in the image."""
    return path.removeprefix(LAYER)


paths = list(missing(f"{LAYER}/opt/venv", set()))
if MORE == ["stdlib"]:
    paths += missing(sysconfig.get_path("stdlib"), {"site-packages"})
jobs = [(path, LAYER + in_image(cache_from_source(path)), in_image(path)) for path in sorted(paths)]


def run(batch: list[tuple[str, str, str]]) -> None:
    """Compile in a new interpreter: source, target and the name that a traceback shows."""
    command = [sys.executable, "-W", "ignore", "-c", COMPILE]
    subprocess.run(command, input=json.dumps(batch), text=True, check=False)


with ThreadPoolExecutor(os.cpu_count()) as pool:
    list(pool.map(run, (jobs[start : start + BATCH] for start in range(0, len(jobs), BATCH))))

# Made even where there was nothing to install; uv leaves a lock where it installs.
os.makedirs(LAYER, exist_ok=True)
with suppress(FileNotFoundError):
    os.remove(f"{LAYER}/opt/venv/.lock")
for parent, folders, names in os.walk(LAYER):
    for path in (os.path.join(parent, name) for name in (*folders, *names)):
        if os.path.isdir(path) and os.path.isdir(in_image(path)):
            # The layer lies over a folder of the image, which is to stay as it is.
            shutil.copymode(in_image(path), path)
        os.utime(path, (DATE, DATE), follow_symlinks=False)
