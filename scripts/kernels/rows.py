"""extensions/catalogue/measured.json: what each wheel holds, beside what its build's row says.

The kernels of a build's row were read in build scripts and release notes. Those here were seen in
the wheel, and where the two disagree the row is wrong or more general than it may be.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.version import Version

from scripts.kernels.fatbin import CUBIN, PTX, Code, Library
from scripts.kernels.wheels import MACHINES

Row = dict[str, Any]

CATALOGUE = Path(__file__).parents[2] / "extensions" / "catalogue"
FRAMEWORKS = ("pytorch", "jax", "tensorflow", "onnxruntime", "xgboost")
# JAX's own package holds no GPU code: an extra brings the plugins of one CUDA major
# (https://docs.jax.dev/en/latest/installation.html).
PLUGINS = ("jax-{build}-plugin", "jax-{build}-pjrt")


@dataclass(frozen=True)
class Subject:
    """A wheel to measure.

    Attributes:
        framework: "pytorch".
        version: "2.15.0".
        builds: the builds of the catalogue that install it: ("cu132",).
        host: "amd64" or "arm64".
        project: "torch".
    """

    framework: str
    version: str
    builds: tuple[str, ...]
    host: str
    project: str

    def is_told_by(self, row: Row) -> bool:
        """Whether a measured row is of this wheel."""
        return all(
            row[name] == value
            for name, value in (
                ("framework", self.framework),
                ("version", self.version),
                ("builds", list(self.builds)),
                ("host", self.host),
                ("project", self.project),
            )
        )


def catalogue_file(name: str) -> dict[str, Any]:
    """Return one file of the catalogue."""
    return json.loads((CATALOGUE / f"{name}.json").read_text("utf-8"))


def gpu_builds(framework: str) -> Iterator[Row]:
    """Yield the builds that PyPI serves and that use a GPU, newest release first."""
    for row in catalogue_file(framework)["builds"]:
        if row["cuda"] and row["index"] is None:
            yield row


def projects(framework: str, build: Row) -> list[str]:
    """List the projects on PyPI whose wheels hold the GPU code of a build."""
    if framework == "jax":
        return [plugin.format(build=build["build"]) for plugin in PLUGINS]
    return [Requirement(text).name for text in build["requirements"]]


def subjects() -> list[Subject]:
    """List the wheels that the builds of the catalogue install, one of them once."""
    builds: dict[tuple[str, str, str, str], list[str]] = {}
    for framework in FRAMEWORKS:
        for row in gpu_builds(framework):
            for project in projects(framework, row):
                for host in MACHINES:
                    key = (framework, row["version"], host, project)
                    builds.setdefault(key, []).append(row["build"])
    return [
        Subject(framework, version, tuple(names), host, project)
        for (framework, version, host, project), names in builds.items()
    ]


def by_age(arch: str) -> tuple[Version, str]:
    """Return a rank of compute capabilities: "9.0", "9.0a", "10.0"."""
    number = arch.rstrip("af")
    return Version(number), arch[len(number) :]


def counted(codes: Counter[Code], kind: str) -> dict[str, int]:
    """Return how often each architecture occurs among pieces of one kind, oldest first."""
    found: Counter[str] = Counter()
    for code, count in codes.items():
        if code.kind == kind:
            found[code.arch] += count
    return {arch: found[arch] for arch in sorted(found, key=by_age)}


def isas(codes: Iterable[Code]) -> list[str]:
    """List the versions of the PTX language among pieces of code, oldest first."""
    return sorted({code.isa for code in codes if code.isa}, key=Version)


def library_row(library: Library) -> Row:
    """Return what is told of one library.

    Returns:
        `fatbins`, how many fat binaries cuobjdump lists; `cubin` and `ptx`, in how many of them
        each architecture is; `isa`, the versions of the PTX language; and the same of what is
        `embedded` as data, where there is such code.
    """
    codes: Counter[Code] = Counter()
    for fatbin, count in library.fatbins.items():
        codes.update(dict.fromkeys(fatbin, count))
    row: Row = {
        "fatbins": library.fatbins.total(),
        "cubin": counted(codes, CUBIN),
        "ptx": counted(codes, PTX),
        "isa": isas(codes),
    }
    if library.embedded:
        row["embedded"] = {
            "cubin": counted(library.embedded, CUBIN),
            "ptx": counted(library.embedded, PTX),
            "isa": isas(library.embedded),
        }
    return row


def union(libraries: Iterable[Row], kind: str) -> list[str]:
    """List the architectures that any of the libraries has."""
    return sorted({arch for row in libraries for arch in row[kind]}, key=by_age)


def isas_of(libraries: Iterable[Row]) -> list[str]:
    """List the versions of the PTX language in fat binaries of any of the libraries."""
    return sorted({isa for row in libraries for isa in row["isa"]}, key=Version)


def measured_row(
    subject: Subject, wheel: str, sha256: str, found: dict[str, Library], today: str
) -> Row:
    """Return the row of a wheel that was measured.

    Args:
        subject: which wheel it is.
        wheel: its file name.
        sha256: its digest.
        found: its libraries.
        today: the day, such as "2026-11-26".
    """
    libraries = {name: library_row(library) for name, library in sorted(found.items())}
    return {
        "framework": subject.framework,
        "version": subject.version,
        "builds": list(subject.builds),
        "host": subject.host,
        "project": subject.project,
        "cubin": union(libraries.values(), CUBIN),
        "ptx": union(libraries.values(), PTX),
        "wheel": wheel,
        "sha256": sha256,
        "libraries": libraries,
        "source": "pypi",
        "read": today,
    }


def read_measured() -> list[Row]:
    """Return the measured rows; none where nothing was measured yet."""
    path = CATALOGUE / "measured.json"
    return json.loads(path.read_text("utf-8"))["measured"] if path.is_file() else []


def write_measured(rows: list[Row]) -> None:
    """Write the measured rows, one a line, in the order of the catalogue's builds.

    The catalogue's `as_of` moves to the day of the newest of them, if it was earlier.
    """
    order = subjects()
    rows.sort(key=lambda row: next(at for at, each in enumerate(order) if each.is_told_by(row)))
    lines = ",\n".join(f"    {json.dumps(row)}" for row in rows)
    text = f'{{\n  "measured": [\n{lines}\n  ]\n}}\n'
    (CATALOGUE / "measured.json").write_text(text, "utf-8", newline="\n")
    calendar = CATALOGUE / "calendar.json"
    as_of = catalogue_file("calendar")["as_of"]
    newest = max([as_of, *(row["read"] for row in rows)])
    calendar.write_text(calendar.read_text("utf-8").replace(as_of, newest, 1), "utf-8")
