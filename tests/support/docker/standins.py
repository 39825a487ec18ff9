"""Base images for the tests: the real ones where a registry answers, else stand-ins made here.

A stand-in bears the real reference, so that the Dockerfile under test is the one a user has, and
the label `drydock.standin=true`, so that nobody takes it for the real image.

What each stands for:

- `python:X.Y-slim-SUITE`: Debian's minimal root of that suite with the libraries CPython links, and
  this machine's CPython of that minor version under /usr/local, pip by ensurepip, no .pyc; and, for
  `uv python install`, a download list that points at this machine's CPythons.
- `nvidia/cuda:X.Y.Z-base-ubuntuNN.NN`: the same root with no Python, the variables of the real
  image, and its user `ubuntu` (uid 1000, from 24.04 on).
- `nvidia/cuda:X.Y.Z-devel-ubuntuNN.NN`: the same with Debian's compilers and the CUDA toolkit of
  this machine, whatever its version; where there is none, with an nvcc that is the C++ compiler;
  and the download list.
- `ghcr.io/astral-sh/uv:X`: nothing but /uv and /uvx, from the wheel of that version.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.support.docker.cache import recipe
from tests.support.docker.client import Engine
from tests.support.docker.cpython import cpython_tar
from tests.support.docker.debian import minbase
from tests.support.host import Unavailable, ca_bundle, cpython_version, find_cpython

LABEL = "drydock.standin"
_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_LIST_FOLDER = "/opt/drydock-standin"


class Standins:
    """Makes images exist: call it with a reference."""

    def __init__(self, docker: Engine) -> None:
        self.docker = docker
        self._refused: set[str] = set()

    def __call__(self, reference: str) -> bool:
        """Make sure that `reference` exists here; return whether it is a stand-in.

        Pulls it where a registry answers. Raises Unavailable where it can be neither had nor made.
        """
        known = self.docker.image(reference)
        if known:
            labels = known["Config"].get("Labels") or {}
            if labels.get(LABEL) != "true":
                return False
            if labels.get(f"{LABEL}.recipe") == recipe():
                return True
        elif self._pull(reference):
            return False
        self._make(reference)
        return True

    def _pull(self, reference: str) -> bool:
        first = reference.split("/")[0]
        named = "/" in reference and ("." in first or ":" in first)
        registry = first if named else "docker.io"
        if registry in self._refused:
            return False
        try:
            if self.docker("pull", reference, check=False, timeout=900).returncode == 0:
                return True
        except subprocess.TimeoutExpired:
            pass
        self._refused.add(registry)
        return False

    def _make(self, reference: str) -> None:
        with tempfile.TemporaryDirectory() as folder:
            context = Path(folder)
            lines = _lines(self.docker, context, reference)
            (context / "Dockerfile").write_text("\n".join(lines) + "\n")
            self.docker.build(context, None, extra=[f"--tag={reference}"])


def _lines(docker: Engine, context: Path, reference: str) -> list[str]:
    """The Dockerfile of the stand-in for `reference`, its files laid into `context`."""
    if found := re.search(r"(?:^|/)python:(\d+\.\d+)-slim-(\w+)$", reference):
        return _slim_python(docker, context, found[1], found[2])
    if found := re.search(r"(?:^|/)nvidia/cuda:([\d.]+)-base-ubuntu([\d.]+)$", reference):
        return _cuda_base(docker, context, found[1], found[2])
    if found := re.search(r"(?:^|/)nvidia/cuda:([\d.]+)-devel-ubuntu([\d.]+)$", reference):
        return _cuda_devel(docker, context, found[1], found[2])
    if found := re.search(r"(?:^|/)astral-sh/uv:(\d+\.\d+\.\d+)$", reference):
        return _uv_image(docker, context, found[1])
    raise Unavailable(f"no registry has {reference} for us, and there is no stand-in for it")


def _slim_python(docker: Engine, context: Path, minor: str, suite: str) -> list[str]:
    shutil.copy(cpython_tar(minor, ""), context / "python.tar.gz")
    version = cpython_version(find_cpython(minor), minor)
    return [
        f"FROM {_root(docker, suite)}",
        _labels(),
        *_certificates(context),
        f"ENV PATH={_SYSTEM_PATH} LANG=C.UTF-8 PYTHON_VERSION={version}",
        "ADD python.tar.gz /usr/local/",
        "RUN ldconfig && cd /usr/local/bin"
        f" && ln -sf python{minor} python3 && ln -sf python{minor} python"
        f" && PYTHONDONTWRITEBYTECODE=1 python -m ensurepip --default-pip >/dev/null"
        " && find /usr/local -name __pycache__ -prune -exec rm -rf {} + ",
        *_downloads(context, minor),
        'CMD ["python3"]',
    ]


def _downloads(context: Path, *minors: str) -> list[str]:
    """Dockerfile lines with this machine's CPythons of those versions, for `uv python install`."""
    downloads = {}
    for minor in minors:
        try:
            archive = cpython_tar(minor, "python")
        except Unavailable:
            continue
        full = cpython_version(find_cpython(minor), minor)
        shutil.copy(archive, context / f"cpython-{full}.tar.gz")
        machine = os.uname().machine
        major, small, patch = full.split(".")
        downloads[f"cpython-{full}-linux-{machine}-gnu"] = {
            "name": "cpython",
            "arch": {"family": machine, "variant": None},
            "os": "linux",
            "libc": "gnu",
            "major": int(major),
            "minor": int(small),
            "patch": int(patch),
            "prerelease": "",
            "url": f"file://{_LIST_FOLDER}/cpython-{full}.tar.gz",
            "sha256": hashlib.sha256(archive.read_bytes()).hexdigest(),
            "variant": None,
            "build": None,
        }
    if not downloads:
        raise Unavailable("no CPython outside /usr on this machine to make a stand-in of")
    (context / "downloads.json").write_text(json.dumps(downloads, indent=1))
    return [
        f"COPY downloads.json cpython-*.tar.gz {_LIST_FOLDER}/",
        f"ENV UV_PYTHON_DOWNLOADS_JSON_URL={_LIST_FOLDER}/downloads.json",
    ]


def _cuda_base(docker: Engine, context: Path, version: str, ubuntu: str) -> list[str]:
    major = version.split(".")[0]
    # Ubuntu's own root has the user since 24.04: who adds an account with uid 1000 must see it.
    user = "useradd --create-home --shell /bin/bash --uid 1000 ubuntu"
    return [
        f"FROM {_root(docker, 'trixie')}",
        _labels(),
        *_certificates(context),
        # Ubuntu's login shells keep the PATH of the image; Debian's set their own.
        "RUN sed -i '/^if .*id -u.*then$/,/^export PATH$/d' /etc/profile"
        " && ! grep -q '^ *PATH=' /etc/profile" + (f" && {user}" if float(ubuntu) >= 24.04 else ""),
        f"ENV PATH=/usr/local/nvidia/bin:/usr/local/cuda/bin:{_SYSTEM_PATH} CUDA_VERSION={version}"
        " LD_LIBRARY_PATH=/usr/local/nvidia/lib:/usr/local/nvidia/lib64"
        " NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility"
        f' NVIDIA_REQUIRE_CUDA="cuda>={major}.{version.split(".")[1]}"',
        'CMD ["/bin/bash"]',
    ]


def _cuda_devel(docker: Engine, context: Path, version: str, ubuntu: str) -> list[str]:
    toolkit = _toolkit()
    if toolkit:
        left = shutil.ignore_patterns("doc", "samples", "extras", "nsight*", "compute-sanitizer")
        shutil.copytree(toolkit, context / "cuda", symlinks=True, ignore=left)
    else:
        (context / "cuda" / "bin").mkdir(parents=True)
        (context / "cuda" / "bin" / "nvcc").write_text(_NVCC)
        (context / "cuda" / "bin" / "nvcc").chmod(0o755)
    return [
        *_cuda_base(docker, context, version, ubuntu)[:-1],
        *_downloads(context, "3.10", "3.11", "3.12", "3.13", "3.14"),
        "RUN apt-get update && apt-get install --yes --no-install-recommends build-essential",
        "COPY cuda /usr/local/cuda",
        'CMD ["/bin/bash"]',
    ]


# Enough for code that is the same in C++: it compiles the host's half and no kernel.
_NVCC = """#!/bin/sh
# A stand-in for nvcc: the C++ compiler, told to leave out what only nvcc knows.
for word; do
    shift
    case $word in
        -gencode=*) ;;
        -Xcompiler=*) set -- "$@" "${word#*=}" ;;
        *) set -- "$@" "$word" ;;
    esac
done
exec g++ -x c++ "$@"
"""


def _toolkit() -> Path | None:
    """The folder of this machine's CUDA toolkit."""
    folder = Path(os.environ.get("CUDA_HOME", "/usr/local/cuda"))
    return folder.resolve() if (folder / "bin" / "nvcc").exists() else None


def _uv_image(docker: Engine, context: Path, version: str) -> list[str]:
    uv_binary(version, context)
    return ["FROM scratch", _labels(), "COPY uv uvx /", 'ENTRYPOINT ["/uv"]']


def uv_binary(version: str, folder: Path) -> None:
    """Put `uv` and `uvx` of that version into a folder, from its wheel on the package index."""
    with tempfile.TemporaryDirectory() as scratch:
        if shutil.which("uv"):
            words = ["uv", "pip", "install", "--python", sys.executable]
        else:
            words = [sys.executable, "-m", "pip", "install"]
        got = subprocess.run(
            [*words, "--no-deps", "--target", scratch, f"uv=={version}"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        if got.returncode:
            last = got.stderr.strip().splitlines()[-1]
            raise Unavailable(f"the wheel of uv {version} cannot be had: {last}")
        for name in ("uv", "uvx"):
            shutil.copy(Path(scratch, "bin", name), folder / name)


def _root(docker: Engine, suite: str) -> str:
    """The minimal root as a local image; its tag names the recipe."""
    tag = f"drydock-standin/{suite}:{recipe()}"
    if docker.image(tag) is None:
        docker("import", str(minbase(suite)), tag, timeout=300)
        for former in docker("images", "--quiet", f"drydock-standin/{suite}").stdout.split():
            if former not in docker.image(tag)["Id"]:
                docker("image", "rm", "--force", former, check=False)
    return tag


def _labels() -> str:
    return f"LABEL {LABEL}=true {LABEL}.recipe={recipe()}"


def _certificates(context: Path) -> list[str]:
    """Dockerfile lines that hand this machine's certificates on, if it is told to trust any."""
    bundle = ca_bundle()
    if not bundle:
        return []
    shutil.copy(bundle, context / "ca-certificates.crt")
    inside = "/etc/ssl/certs/ca-certificates.crt"
    return [f"COPY ca-certificates.crt {inside}", f"ENV SSL_CERT_FILE={inside}"]
