"""Measure the GPU code of wheels.

uv run python -m scripts.kernels                      what the catalogue's builds install
uv run python -m scripts.kernels torch==2.15.0        what this wheel holds; writes nothing
uv run python -m scripts.kernels ./some.whl
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path

import requests
from packaging.requirements import InvalidRequirement, Requirement
from pypi_simple import (
    PYPI_SIMPLE_ENDPOINT,
    DigestMismatchError,
    NoDigestsError,
    NoSuchProjectError,
    PyPISimple,
)

from scripts.kernels import page
from scripts.kernels.fatbin import Library
from scripts.kernels.rows import (
    library_row,
    measured_row,
    read_measured,
    subjects,
    write_measured,
)
from scripts.kernels.wheels import MACHINES, download, find, libraries

UNREADABLE = (
    requests.RequestException,
    NoSuchProjectError,
    DigestMismatchError,
    NoDigestsError,
    zipfile.BadZipFile,
    OSError,
)


def described(found: dict[str, Library]) -> Iterator[str]:
    """Yield lines about the libraries of a wheel: architecture, and in how many fat binaries."""
    if not found:
        yield "no GPU code"
    for name, library in sorted(found.items()):
        row = library_row(library)
        yield f"{name}: {row['fatbins']} fat binaries"
        for place, codes in (("", row), ("embedded ", row.get("embedded", {}))):
            for kind in ("cubin", "ptx"):
                if told := codes.get(kind):
                    isa = f" (ISA {', '.join(codes['isa'])})" if kind == "ptx" else ""
                    archs = ", ".join(f"{arch}: {count}" for arch, count in told.items())
                    yield f"  {place}{kind} {archs}{isa}"


def show(client: PyPISimple, wanted: str, host: str) -> int:
    """Print what one wheel holds; 1 if it cannot be had."""
    if wanted.endswith(".whl"):
        print(*described(libraries(Path(wanted))), sep="\n")
        return 0
    requirement = Requirement(wanted)
    pinned = [each.version for each in requirement.specifier if each.operator == "=="]
    if not pinned:
        print(f"{wanted}: name one version, such as torch==2.15.0", file=sys.stderr)
        return 1
    package = find(client, requirement.name, pinned[0], host)
    if package is None:
        print(f"{wanted}: no wheel for {MACHINES[host]}", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as folder:
        found = libraries(download(client, package, Path(folder)))
    print(package.filename, *described(found), sep="\n")
    return 0


def measure(client: PyPISimple, again: bool) -> int:
    """Measure what the catalogue's builds install, and write each result; 1 if one failed.

    Args:
        client: PyPI or a mirror.
        again: also what was measured before.
    """
    failed = 0
    order = subjects()
    rows = [row for row in read_measured() if any(each.is_told_by(row) for each in order)]
    for subject in order:
        old = [row for row in rows if subject.is_told_by(row)]
        if old and not again:
            continue
        try:
            package = find(client, subject.project, subject.version, subject.host)
            if package is None:
                continue
            with tempfile.TemporaryDirectory() as folder:
                found = libraries(download(client, package, Path(folder)))
        except UNREADABLE as error:
            print(f"{subject.project} {subject.version}: {error}", file=sys.stderr)
            failed = 1
            continue
        sha256 = package.digests["sha256"]
        today = date.today().isoformat()
        row = measured_row(subject, package.filename, sha256, found, today)
        rows = [each for each in rows if each not in old] + [row]
        write_measured(rows)
        print(package.filename, *row["cubin"], *(f"PTX {arch}" for arch in row["ptx"]), flush=True)
    page.write()
    return failed


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; see the module."""
    parser = argparse.ArgumentParser(
        prog="python -m scripts.kernels",
        description="List the GPU code in wheels. Without a wheel: measure those that the builds "
        "of the catalogue install from PyPI, and write measured.json and docs/kernels.md.",
    )
    parser.add_argument(
        "wheel", nargs="*", help="a wheel, or a requirement such as torch==2.15.0: print, only"
    )
    parser.add_argument(
        "--host", choices=MACHINES, default="amd64", help="of requirements (default: amd64)"
    )
    parser.add_argument(
        "--again", action="store_true", help="measure what was measured before, too"
    )
    parser.add_argument(
        "--index",
        default=PYPI_SIMPLE_ENDPOINT,
        metavar="URL",
        help="simple API of another index, such as a mirror of PyPI",
    )
    parser.add_argument("--page", action="store_true", help="write docs/kernels.md, only")
    parser.add_argument("--check", action="store_true", help="say whether docs/kernels.md is fresh")
    options = parser.parse_args(arguments)
    if options.check:
        return page.check()
    if options.page:
        page.write()
        return 0
    with PyPISimple(options.index) as client:
        if not options.wheel:
            return measure(client, options.again)
        try:
            return max(show(client, wanted, options.host) for wanted in options.wheel)
        except (*UNREADABLE, InvalidRequirement) as error:
            print(error, file=sys.stderr)
            return 1


if __name__ == "__main__":
    sys.exit(main())
