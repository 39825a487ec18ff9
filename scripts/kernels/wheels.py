"""Wheels: found on PyPI, downloaded, and their libraries scanned one at a time."""

from __future__ import annotations

import mmap
import re
import tempfile
import zipfile
from pathlib import Path
from shutil import copyfileobj

from packaging.utils import parse_wheel_filename
from packaging.version import Version
from pypi_simple import DistributionPackage, PyPISimple

from scripts.kernels.fatbin import Library, scan

# How the platform tags of wheels end (https://packaging.python.org/en/latest/specifications/
# platform-compatibility-tags/), by the names that the catalogue has for hosts.
MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
LIBRARY = re.compile(r"\.so(\.\d+)*$")


def libraries(wheel: Path) -> dict[str, Library]:
    """Return the GPU code of each library of a wheel that has any, by its name in the wheel.

    A library is unpacked into a temporary file (TMPDIR) of its size, up to 2 GB, one at a time.

    Raises:
        OSError, zipfile.BadZipFile: the wheel cannot be read.
    """
    found = {}
    with zipfile.ZipFile(wheel) as archive:
        for member in archive.infolist():
            if not LIBRARY.search(member.filename) or not member.file_size:
                continue
            with tempfile.TemporaryFile() as unpacked:
                with archive.open(member) as packed:
                    copyfileobj(packed, unpacked, 1 << 20)
                unpacked.flush()
                with mmap.mmap(unpacked.fileno(), 0, access=mmap.ACCESS_READ) as data:
                    library = scan(data)
            if library:
                found[member.filename] = library
    return found


def find(client: PyPISimple, project: str, version: str, host: str) -> DistributionPackage | None:
    """Find the wheel of a release for one host.

    Of the wheels for several Pythons, which differ in their Python bindings alone, take that for
    the newest Python with a GIL; of several builds of the same wheel the last, as pip does.

    Args:
        client: an index.
        project: such as "torch".
        version: such as "2.15.0".
        host: "amd64" or "arm64".

    Returns:
        None if there is none, or if it was withdrawn (PEP 592).

    Raises:
        NoSuchProjectError: the index does not have the project.
        requests.RequestException: it does not answer.
    """
    ranked = []
    for package in client.get_project_page(project).packages:
        if package.package_type != "wheel" or package.is_yanked:
            continue
        _, its_version, build, tags = parse_wheel_filename(package.filename)
        for tag in tags:
            if (
                its_version == Version(version)
                and "linux" in tag.platform
                and tag.platform.endswith(MACHINES[host])
                and not tag.abi.endswith("t")
            ):
                python = int(re.sub(r"\D", "", tag.interpreter))
                ranked.append(((python, build), package.filename, package))
    return max(ranked, default=(None, None, None), key=lambda each: each[:2])[2]


def download(client: PyPISimple, package: DistributionPackage, folder: Path) -> Path:
    """Download a wheel, compare it with the digest that the index states, and return its path.

    Raises:
        requests.RequestException: it cannot be downloaded.
        pypi_simple.DigestMismatchError, NoDigestsError: it is not what the index says.
    """
    path = folder / package.filename
    client.download_package(package, path)
    return path
