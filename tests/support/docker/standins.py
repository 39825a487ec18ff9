"""Base images for the tests: the real ones where a registry answers, else stand-ins made here.

A stand-in bears the real reference, so that the Dockerfile under test is the one a user has, and
the label `drydock.standin=true`, so that nobody takes it for the real image.

What each stands for:

- `python:X.Y-slim-SUITE`: Debian's minimal root of that suite with the libraries CPython links, and
  this machine's CPython of that minor version under /usr/local, pip by ensurepip, no .pyc.
- `nvidia/cuda:X.Y.Z-base-ubuntuNN.NN`: the same root with no Python, the variables of the real
  image, its user `ubuntu` (uid 1000, from 24.04 on), and, for `uv python install`, a download list
  that points at this machine's CPythons.
- `nvidia/cuda:X.Y.Z-devel-ubuntuNN.NN`: the same with Debian's compilers and the CUDA toolkit of
  this machine, whatever its version; where there is none, with an nvcc that is the C++ compiler.
- `ghcr.io/astral-sh/uv:X`: nothing but /uv and /uvx, from the wheel of that version.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from tests.support.docker.engine import Engine, Unavailable, cache_folder

LABEL = "drydock.standin"

# What Debian's `python:slim` images install: the certificates and zones, and what CPython links.
_SLIM_PACKAGES = {
    "trixie": "ca-certificates netbase tzdata libbz2-1.0 libexpat1 libffi8 liblzma5 libncursesw6 "
    "libreadline8t64 libsqlite3-0 libssl3t64 libuuid1 zlib1g",
    "bookworm": "ca-certificates netbase tzdata libbz2-1.0 libexpat1 libffi8 liblzma5 libncursesw6 "
    "libreadline8 libsqlite3-0 libssl3 libuuid1 zlib1g",
}
_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_LIST_FOLDER = "/opt/drydock-standin"


def _recipe() -> str:
    """A short digest of this file and of the CA switch: a stand-in made otherwise is made again."""
    seen = hashlib.sha256(Path(__file__).read_bytes())
    bundle = _ca_bundle()
    seen.update(bundle.read_bytes() if bundle else b"")
    return seen.hexdigest()[:12]


def _ca_bundle() -> Path | None:
    """The bundle of certificates this machine is told to trust, if it is told so."""
    named = os.environ.get("SSL_CERT_FILE", "")
    return Path(named) if named and Path(named).is_file() else None


# -- this machine's CPythons ---------------------------------------------------------------------


def find_cpython(minor: str) -> Path:
    """The prefix of a CPython `minor` ("3.13") that can be copied: not the system's own in /usr.

    Looks at what uv finds, at PATH and at pyenv's versions. Raises Unavailable where there is none.
    """
    candidates: list[str] = []
    if shutil.which("uv"):
        listed = subprocess.run(
            ["uv", "python", "list", "--only-installed", "--output-format=json", minor],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        if listed.returncode == 0:
            candidates += [row["path"] for row in json.loads(listed.stdout) if row.get("path")]
    if sys.version_info[:2] == tuple(map(int, minor.split("."))):
        candidates.append(sys.executable)
    candidates += [str(Path(place, f"python{minor}")) for place in os.get_exec_path()]
    if shutil.which("pyenv"):
        root = subprocess.run(["pyenv", "root"], capture_output=True, text=True).stdout.strip()
        candidates += map(str, Path(root, "versions").glob(f"{minor}.*/bin/python{minor}"))
    for candidate in dict.fromkeys(candidates):
        try:
            asked = subprocess.run(
                [candidate, "-c", "import sys; print(sys.base_prefix, *sys.version_info[:2])"],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                cwd="/",
            )
        except OSError:
            continue
        if asked.returncode or asked.stdout.split()[1:] != minor.split("."):
            continue
        prefix = Path(asked.stdout.split()[0])
        if prefix != Path("/usr") and Path(prefix, "bin", f"python{minor}").is_file():
            return prefix
    raise Unavailable(f"no CPython {minor} outside /usr on this machine to make a stand-in of")


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


def cpython_tar(minor: str, top: str) -> Path:
    """A tar.gz of this machine's CPython under the folder `top` ("python" is the layout that uv
    expects of an `install_only` build), as the official image trims it: no tests, no .pyc, no
    packages but the standard library. Cached. Owner root, times zero, so that it is the same again.
    """
    prefix = find_cpython(minor)
    version = _full_version(prefix, minor)
    target = cache_folder() / f"cpython-{version}-{top.strip('/') or 'root'}-{_recipe()}.tar.gz"
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
        _keep(part, target)
    return target


def _keep(part: Path, target: Path) -> None:
    """Put a finished file into the cache, and remove what former recipes left there."""
    stem = target.name.partition(_recipe())[0]
    for former in target.parent.glob(f"{stem}*"):
        former.unlink()
    part.rename(target)


def _walk(prefix: Path, folder: str) -> list[Path]:
    return sorted(Path(prefix, folder).rglob("*"))


def _full_version(prefix: Path, minor: str) -> str:
    python = Path(prefix, "bin", f"python{minor}")
    asked = [str(python), "-c", "import platform; print(platform.python_version())"]
    return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()


# -- Debian roots --------------------------------------------------------------------------------


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


def minbase(suite: str) -> Path:
    """A tar of Debian's minimal root of that suite, without manuals as `debian:slim` is. Cached."""
    if not shutil.which("mmdebstrap") or os.geteuid() != 0:
        raise Unavailable("no registry answers, and a stand-in needs mmdebstrap and root")
    target = cache_folder() / f"minbase-{suite}-{_recipe()}.tar"
    if target.exists():
        return target
    with tempfile.TemporaryDirectory(dir=cache_folder()) as scratch:
        part = Path(scratch, "part.tar")
        made = subprocess.run(
            [
                "mmdebstrap",
                "--variant=minbase",
                f"--include={','.join(_SLIM_PACKAGES[suite].split())}",
                "--dpkgopt=path-exclude=/usr/share/man/*",
                "--dpkgopt=path-exclude=/usr/share/locale/*",
                "--dpkgopt=path-exclude=/usr/share/doc/*",
                "--dpkgopt=path-include=/usr/share/doc/*/copyright",
                suite,
                str(part),
                _mirror(),
            ],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        if made.returncode:
            raise Unavailable(f"mmdebstrap {suite} failed: {made.stderr.strip().splitlines()[-1]}")
        _keep(part, target)
    return target


def _root(docker: Engine, suite: str) -> str:
    """The minimal root as a local image; its tag names the recipe."""
    tag = f"drydock-standin/{suite}:{_recipe()}"
    if docker.image(tag) is None:
        docker("import", str(minbase(suite)), tag, timeout=300)
        for former in docker("images", "--quiet", f"drydock-standin/{suite}").stdout.split():
            if former not in docker.image(tag)["Id"]:
                docker("image", "rm", "--force", former, check=False)
    return tag


# -- the stand-ins -------------------------------------------------------------------------------


def _labels() -> str:
    return f"LABEL {LABEL}=true {LABEL}.recipe={_recipe()}"


def _certificates(context: Path) -> list[str]:
    """Dockerfile lines that hand this machine's certificates on, if it is told to trust any."""
    bundle = _ca_bundle()
    if not bundle:
        return []
    shutil.copy(bundle, context / "ca-certificates.crt")
    inside = "/etc/ssl/certs/ca-certificates.crt"
    return [f"COPY ca-certificates.crt {inside}", f"ENV SSL_CERT_FILE={inside}"]


def _slim_python(docker: Engine, context: Path, minor: str, suite: str) -> list[str]:
    shutil.copy(cpython_tar(minor, ""), context / "python.tar.gz")
    version = _full_version(find_cpython(minor), minor)
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
        'CMD ["python3"]',
    ]


def _cuda_base(docker: Engine, context: Path, version: str, ubuntu: str) -> list[str]:
    downloads = {}
    for minor in ("3.10", "3.11", "3.12", "3.13", "3.14"):
        try:
            archive = cpython_tar(minor, "python")
        except Unavailable:
            continue
        full = _full_version(find_cpython(minor), minor)
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
        f"COPY downloads.json cpython-*.tar.gz {_LIST_FOLDER}/",
        f"ENV UV_PYTHON_DOWNLOADS_JSON_URL={_LIST_FOLDER}/downloads.json",
        f"ENV PATH=/usr/local/nvidia/bin:/usr/local/cuda/bin:{_SYSTEM_PATH} CUDA_VERSION={version}"
        " LD_LIBRARY_PATH=/usr/local/nvidia/lib:/usr/local/nvidia/lib64"
        " NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility"
        f' NVIDIA_REQUIRE_CUDA="cuda>={major}.{version.split(".")[1]}"',
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
        "RUN apt-get update && apt-get install --yes --no-install-recommends build-essential",
        "COPY cuda /usr/local/cuda",
        'CMD ["/bin/bash"]',
    ]


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


def _uv_image(docker: Engine, context: Path, version: str) -> list[str]:
    uv_binary(version, context)
    return ["FROM scratch", _labels(), "COPY uv uvx /", 'ENTRYPOINT ["/uv"]']


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


class Standins:
    """Makes images exist: call it with a reference."""

    def __init__(self, docker: Engine) -> None:
        self.docker = docker
        self._refused: set[str] = set()

    def __call__(self, reference: str) -> bool:
        """Make sure that `reference` exists here; answers whether it is a stand-in.

        Pulls it where a registry answers. Raises Unavailable where it can be neither had nor made.
        """
        known = self.docker.image(reference)
        if known:
            labels = known["Config"].get("Labels") or {}
            if labels.get(LABEL) != "true":
                return False
            if labels.get(f"{LABEL}.recipe") == _recipe():
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
