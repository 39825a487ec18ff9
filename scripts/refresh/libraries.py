"""Libraries that the wheels of a framework pull in, read from the wheels' own metadata.

A cuDNN has kernels too: a newer one can refuse a GPU that the framework's wheels still know
(https://docs.nvidia.com/deeplearning/cudnn/backend/latest/reference/support-matrix.html). Most
frameworks admit a range, so that what a new project locks moves without any release of theirs.
pulled.json holds what they pull; when it moved, a person is told to read that matrix again.
"""

from __future__ import annotations

from collections.abc import Iterator

from packaging.requirements import Requirement
from packaging.version import Version

from scripts.refresh.rows import Catalogue, Report, Row
from scripts.refresh.wheels import FRAMEWORKS, SOURCE, Index

LIBRARY = "nvidia-cudnn-"
# https://packaging.python.org/en/latest/specifications/dependency-specifiers/#environment-markers
MACHINE = {"sys_platform": "linux", "platform_system": "Linux", "platform_machine": "x86_64"}


def refresh_libraries(catalogue: Catalogue, index: Index, report: Report) -> None:
    """Read which cuDNN the builds of the newest release of each framework pull from the index."""
    for name in FRAMEWORKS:
        with catalogue.step(f"The libraries of {name}", report):
            _refresh(catalogue, name, index, report)


def _refresh(catalogue: Catalogue, name: str, index: Index, report: Report) -> None:
    versions = [row["version"] for row in catalogue.rows(name, "releases") if not row.get("broken")]
    newest = max(versions, key=Version, default=None)
    for build in catalogue.rows(name, "builds"):
        if build["version"] != newest or not build["cuda"] or build["index"] or build.get("broken"):
            continue
        for text in build["requirements"]:
            for pulled in _pulled(index, Requirement(text), report):
                _note(catalogue, name, build, pulled, index, report)


def _note(
    catalogue: Catalogue, name: str, build: Row, pulled: Requirement, index: Index, report: Report
) -> None:
    """Put what a build pulls into its row, and tell a person where it is another one than before.

    What the catalogue says the build asks for, if it says so, is compared by what it admits:
    `~=9.0` and `>=9.0,<10` are the same.
    """
    what = f"{name} {build['version']} ({build['build']})"
    for stated in map(Requirement, build.get("libraries", ())):
        if stated.name == pulled.name and _admitted(index, stated) != _admitted(index, pulled):
            report.leave(f"{what} asks for {pulled}, and not for {stated}: mend {name}.json.")
    rows = catalogue.rows("pulled", "pulled")
    key = {"framework": name, "build": build["build"], "package": pulled.name}
    row = next((row for row in rows if key.items() <= row.items()), None)
    if row is None:
        row = {**key, "newest": None}
        rows.append(row)
    before = row["newest"]
    if catalogue.update(row, SOURCE, newest=str(_newest(index, pulled))):
        report.leave(
            f"{what} pulls {pulled.name} {row['newest']}, and {before or 'none'} before: read "
            "which GPUs that one is for."
        )


def _pulled(index: Index, wanted: Requirement, report: Report) -> Iterator[Requirement]:
    """Follow a requirement to those of cuDNN, through packages named after its own."""
    version = _newest(index, wanted)
    requirements = index.requirements(wanted.name, version)
    if requirements is None:
        report.leave(
            f"{index.address} does not show the metadata of {wanted.name} {version}: look up "
            "which cuDNN it pulls."
        )
    for requirement in requirements or ():
        marker = requirement.marker
        if marker and not any(
            marker.evaluate(MACHINE | {"extra": extra}) for extra in wanted.extras or {""}
        ):
            continue
        if requirement.name.startswith(LIBRARY):
            requirement.marker = None
            yield requirement
        elif requirement.name.startswith(f"{wanted.name}-"):
            yield from _pulled(index, requirement, report)


def _newest(index: Index, wanted: Requirement) -> Version:
    admitted = _admitted(index, wanted)
    if not admitted:
        raise ValueError(f"no release of {wanted.name} fits {wanted.specifier}")
    return max(admitted)


def _admitted(index: Index, wanted: Requirement) -> set[Version]:
    return {
        version
        for version, release in index.releases(wanted.name).items()
        if wanted.specifier.contains(version, prereleases=False) and not release.withdrawn
    }
