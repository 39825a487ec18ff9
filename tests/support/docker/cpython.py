"""This machine's CPythons as archives that an image can unpack."""

from __future__ import annotations

import io
import re
import tarfile
import tempfile
from pathlib import Path

from tests.support.docker.cache import cache_folder, keep, recipe
from tests.support.host import Unavailable, cpython_version, find_cpython


def cpython_tar(minor: str, top: str) -> Path:
    """A tar.gz of this machine's CPython under the folder `top` ("python" is the layout that uv
    expects of an `install_only` build), as the official image trims it: no tests, no .pyc, no
    packages but the standard library. Cached. Owner root, times zero, so that it is the same again.
    """
    prefix = find_cpython(minor)
    version = cpython_version(prefix, minor)
    target = cache_folder() / f"cpython-{version}-{top.strip('/') or 'root'}-{recipe()}.tar.gz"
    if target.exists():
        return target
    library = f"lib/python{minor}"
    skip = re.compile(
        rf"(^|/)__pycache__(/|$)|^{library}/(test|idlelib|turtledemo|config-|site-packages/.)"
        r"|/(test|tests|idle_test)(/|$)|\.a$"
    )
    with tempfile.TemporaryDirectory(dir=cache_folder()) as scratch:
        part = Path(scratch, "part.tar.gz")
        with tarfile.open(part, "w:gz", compresslevel=1) as tar:
            for path in [*_walk(prefix, "bin"), *_walk(prefix, "include"), *_walk(prefix, "lib")]:
                inside = path.relative_to(prefix).as_posix()
                if skip.search(inside):
                    continue
                # Only the interpreter's own commands: pip and the rest have the prefix in line one.
                if inside.startswith("bin/") and not re.match(r"^bin/python3?(\.\d+)?$", inside):
                    continue
                entry = tar.gettarinfo(path, f"{top}/{inside}".strip("/"))
                entry.uid = entry.gid = entry.mtime = 0
                entry.uname = entry.gname = ""
                if entry.isreg():
                    content = path.read_bytes()
                    if inside == f"bin/python{minor}" or re.search(r"/libpython[^/]*\.so", inside):
                        content = _relocated(content, prefix)
                    entry.size = len(content)
                    tar.addfile(entry, io.BytesIO(content))
                elif entry.isdir() or entry.issym():
                    tar.addfile(entry)
        keep(part, target)
    return target


def _relocated(binary: bytes, prefix: Path) -> bytes:
    """The executable with its run path, if it names the prefix, turned to $ORIGIN/../lib.

    A CPython built with --enable-shared finds libpython by the folder it was installed to. The
    string table holds that folder as text that ends in a zero, so a shorter text fits in its place.
    """
    old = f"{prefix}/lib\0".encode()
    new = b"$ORIGIN/../lib\0"
    if old not in binary:
        return binary
    if len(old) < len(new):
        raise Unavailable(f"the CPython in {prefix} is shared and its prefix is too short to move")
    return binary.replace(old, new.ljust(len(old), b"\0"))


def _walk(prefix: Path, folder: str) -> list[Path]:
    return sorted(Path(prefix, folder).rglob("*"))
