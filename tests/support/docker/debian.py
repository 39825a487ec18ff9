"""Debian roots made by mmdebstrap: for the stand-ins of base images, and one with Docker in it."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.support.docker.cache import cache_folder, keep, recipe
from tests.support.host import Unavailable

# What Debian's `python:slim` images install: the certificates and zones, and what CPython links.
_SLIM_PACKAGES = {
    "trixie": "ca-certificates netbase tzdata libbz2-1.0 libexpat1 libffi8 liblzma5 libncursesw6 "
    "libreadline8t64 libsqlite3-0 libssl3t64 libuuid1 zlib1g",
    "bookworm": "ca-certificates netbase tzdata libbz2-1.0 libexpat1 libffi8 liblzma5 libncursesw6 "
    "libreadline8 libsqlite3-0 libssl3 libuuid1 zlib1g",
}
_DOCKER_SUITE = "trixie"  # docker.io 26.1, whose BuildKit is 0.13
_DOCKER_PACKAGES = ("docker.io", "docker-cli", "docker-buildx")


def minbase(suite: str) -> Path:
    """A tar of Debian's minimal root of that suite with what `python:slim` adds to it. Cached.

    Raises Unavailable where it cannot be made.
    """
    target = cache_folder() / f"minbase-{suite}-{recipe()}.tar"
    if target.exists():
        return target
    with tempfile.TemporaryDirectory(dir=cache_folder()) as scratch:
        part = Path(scratch, "part.tar")
        _mmdebstrap(suite, _SLIM_PACKAGES[suite].split(), part)
        keep(part, target)
    return target


def docker_root() -> Path:
    """A folder with a root of Debian 13 that has Docker in it. Cached.

    Raises Unavailable where it cannot be made.
    """
    made_of = hashlib.sha256(repr((_DOCKER_SUITE, _DOCKER_PACKAGES, 1)).encode()).hexdigest()[:12]
    target = cache_folder() / f"docker-{_DOCKER_SUITE}-{made_of}"
    if target.exists():
        return target
    scratch = Path(tempfile.mkdtemp(dir=cache_folder()))
    # What the daemon's mounts go to.
    hooks = ['touch "$1/etc/resolv.conf" "$1/etc/hosts"', 'mkdir -p "$1/var/lib/docker"']
    try:
        _mmdebstrap(_DOCKER_SUITE, _DOCKER_PACKAGES, scratch / "root", hooks)
        (scratch / "root").rename(target)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return target


def _mmdebstrap(
    suite: str, packages: Sequence[str], target: Path, hooks: Sequence[str] = ()
) -> None:
    """Make Debian's smallest root with more packages, without manuals as `debian:slim` is.

    Args:
        suite: the name of Debian's release.
        packages: what to install beside the smallest set that apt works in.
        target: the file to write where its name ends in .tar, else the folder.
        hooks: lines of shell to run at the end, with the root as `$1`.

    Raises:
        Unavailable: without mmdebstrap, without root, or where it fails.
    """
    if os.geteuid() != 0 or not shutil.which("mmdebstrap"):
        raise Unavailable(f"a root of Debian {suite} needs mmdebstrap and root")
    made = subprocess.run(
        [
            "mmdebstrap",
            "--variant=minbase",
            f"--include={','.join(packages)}",
            "--dpkgopt=path-exclude=/usr/share/man/*",
            "--dpkgopt=path-exclude=/usr/share/locale/*",
            "--dpkgopt=path-exclude=/usr/share/doc/*",
            "--dpkgopt=path-include=/usr/share/doc/*/copyright",
            *(f"--customize-hook={line}" for line in hooks),
            suite,
            str(target),
            _mirror(),
        ],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    if made.returncode:
        raise Unavailable(f"mmdebstrap {suite} failed: {made.stderr.strip().splitlines()[-1]}")


def _mirror() -> str:
    """The Debian mirror that apt is set up with, else Debian's own."""
    try:
        shown = subprocess.run(
            ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        ).stdout.split()
    except OSError:
        shown = []
    return next((uri for uri in shown if uri.endswith("/debian/")), "http://deb.debian.org/debian/")
