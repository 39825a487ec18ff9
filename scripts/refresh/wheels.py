"""Rows of frameworks and tools: what package indexes have, for which Pythons, and since when.

Read through the simple API (PEP 503, PEP 691) by pypi-simple. A release that was withdrawn keeps
its row and gets a `broken` that says so, which the solver heeds; a reason that a person wrote there
stays. A new release is added where all its facts are in the index, as for a framework without CUDA
builds; kernels and CUDA versions are not, so another one is left to a person.

Versions are compared as PEP 440 says. Pre-releases and developmental ones are not taken. Rows, tags
and pins spell plain numbers, so a post-release or one of another epoch is left to a person.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, date, timedelta
from typing import Any

from packaging.metadata import parse_email
from packaging.requirements import Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import parse_sdist_filename, parse_wheel_filename
from packaging.version import Version
from pypi_simple import DistributionPackage, NoMetadataError, NoSuchProjectError, PyPISimple

from scripts.refresh.reading import Source, UnreadableError, session
from scripts.refresh.rows import Catalogue, Report, Row, insert, newest_first, one_line

SOURCE = "pypi"
FRAMEWORKS = ("scikit-learn", "pytorch", "jax", "tensorflow", "onnxruntime", "xgboost")
# A package without compiled files, and the one that has them; it goes with the newest version of
# that one which is not newer than itself (https://docs.jax.dev/en/latest/jep/9419-jax-versioning.html).
COMPILED = {"jax": "jaxlib"}
# Reasons that this command writes into `broken`, and may take back.
WITHDRAWN = "withdrawn from the index"
GONE = "gone from the index"
PLAIN = re.compile(r"[0-9]+(\.[0-9]+)*")
# What a wheel's platform ends with, by the name that images and the catalogue have for it.
HOSTS = {"amd64": "x86_64", "arm64": "aarch64"}


@dataclass
class Release:
    """One version of a project.

    Attributes:
        version: what is before a `+`: 2.15.0.
        packages: its files.
        labels: what is after the `+` in the names of its wheels: {"cu126"}.
    """

    version: Version
    packages: list[DistributionPackage] = field(default_factory=list)
    labels: set[str] = field(default_factory=set)

    @property
    def withdrawn(self) -> str | None:
        """Why all its files are yanked (PEP 592), None if they are not."""
        if not all(package.is_yanked for package in self.packages):
            return None
        reasons = [package.yanked_reason for package in self.packages if package.yanked_reason]
        return f"{WITHDRAWN}: {one_line(reasons[0], 200)}" if reasons else WITHDRAWN

    @property
    def uploaded(self) -> date | None:
        """The day of its first file, in UTC; None where the index does not say."""
        times = [package.upload_time for package in self.packages if package.upload_time]
        return min(time.astimezone(UTC) for time in times).date() if times else None

    def admits(self, python: str) -> bool:
        """Whether the `Requires-Python` of its files admits a version such as "3.13"."""
        demanded = {package.requires_python or "" for package in self.packages}
        return any(_admits(text, f"{python}.99") for text in demanded)

    def hosts(self, label: str) -> set[str]:
        """Return the hosts, such as "arm64", that have a wheel for Linux with a label."""
        return {
            host
            for package in self.packages
            if package.package_type == "wheel"
            for _, version, _, tags in [parse_wheel_filename(package.filename)]
            if version.local == label
            for tag in tags
            for host, machine in HOSTS.items()
            if _is_linux(tag.platform, machine)
        }

    def pythons(self, known: list[str]) -> list[str] | None:
        """Return those of the known Pythons that have a wheel for Linux on x86_64.

        Args:
            known: versions such as "3.13", in any order.

        Returns:
            them, oldest first; None if the wheels are not compiled, and so name no Python.
        """
        found = set()
        compiled = False
        for package in self.packages:
            if package.package_type != "wheel":
                continue
            for tag in parse_wheel_filename(package.filename)[3]:
                if tag.platform == "any":
                    continue
                compiled = True
                if not _is_linux(tag.platform, "x86_64"):
                    continue
                match = re.fullmatch(r"cp3([0-9]{1,3})", tag.interpreter)
                if not match or tag.abi not in (tag.interpreter, "abi3"):
                    continue
                for python in known:
                    minor = int(python.partition(".")[2])
                    fits = minor >= int(match[1]) if tag.abi == "abi3" else minor == int(match[1])
                    if fits and self.admits(python):
                        found.add(python)
        return sorted(found, key=newest_first, reverse=True) if compiled else None


def _admits(demanded: str, python: str) -> bool:
    try:
        return SpecifierSet(demanded).contains(python)
    except InvalidSpecifier:
        return False  # a file from before there were rules for it


def _is_linux(platform: str, machine: str) -> bool:
    return "linux" in platform and platform.endswith(machine)


class MissingError(UnreadableError):
    """An index answers that it does not have a project."""


class Index:
    """A package index.

    Args:
        address: URL of its simple API.
        source: how it is asked; folders of one host share it.
        settled: the last day of upload that `newest` considers, so that a release that is
            withdrawn within days is never taken; None for any.
    """

    def __init__(self, address: str, source: Source, settled: date | None = None) -> None:
        """Prepare; nothing is read yet."""
        self.address = address
        self.source = source
        self._client = PyPISimple(address, session=session())
        self._settled = settled
        self._pages: dict[str, dict[Version, Release]] = {}
        self._missing: dict[str, MissingError] = {}

    def close(self) -> None:
        """Close its connections."""
        self._client.s.close()

    def releases(self, project: str) -> dict[Version, Release]:
        """Return all releases of a project by version, without what is after a `+`.

        Raises:
            MissingError: the index answers that it has no such project.
            UnreadableError: the index does not answer, or not with files of this project.
        """
        if project in self._missing:
            raise self._missing[project]
        if project not in self._pages:
            try:
                self._pages[project] = self.source.ask(lambda: self._read(project))
            except NoSuchProjectError as error:
                self._missing[project] = MissingError(
                    f"{self.address} has no project {project}: check that this is the right "
                    f"index, and name another one with {self.source.option}."
                )
                raise self._missing[project] from error
        return self._pages[project]

    def has(self, project: str) -> bool:
        """Whether the index answers with files of a project."""
        try:
            return bool(self.releases(project))
        except UnreadableError:
            return False

    def _read(self, project: str) -> dict[Version, Release]:
        page = self._client.get_project_page(project, timeout=self.source.patience.timeout)
        releases: dict[Version, Release] = {}
        for package in page.packages:
            try:
                if package.package_type == "wheel":
                    version = parse_wheel_filename(package.filename)[1]
                elif package.package_type == "sdist":
                    version = parse_sdist_filename(package.filename)[1]
                else:
                    continue
            except ValueError:
                continue  # files from before there were rules for their names
            public = Version(version.public)
            release = releases.setdefault(public, Release(public))
            release.packages.append(package)
            if version.local:
                release.labels.add(version.local)
        if not releases:
            raise ValueError(f"the page of {project} names no file")
        return releases

    def newest(self, project: str, current: str, report: Report) -> str | None:
        """Return the newest final release that is neither withdrawn nor too young.

        Args:
            project: its name.
            current: the version that the catalogue has.
            report: is told of a newer one whose version is more than plain numbers.

        Returns:
            its version; None if it is not newer than the current one.

        Raises:
            UnreadableError: see `releases`.
        """
        newer = [
            version
            for version, release in self.releases(project).items()
            if version > Version(current)
            and not version.is_prerelease
            and not release.withdrawn
            and (not self._settled or not release.uploaded or release.uploaded <= self._settled)
        ]
        plain = [version for version in newer if PLAIN.fullmatch(str(version))]
        newest = max(plain, default=None)
        if newer and max(newer) != newest:
            report.leave(
                f"{project} {max(newer)} is out, which is no plain release number: if it is "
                "wanted, write it by hand."
            )
        return None if newest is None else str(newest)

    def requirements(self, project: str, version: Version) -> list[Requirement] | None:
        """Return what a wheel of a release for Linux on x86_64 requires, from its metadata alone.

        Returns:
            None where the index does not show metadata by itself (PEP 658).

        Raises:
            UnreadableError: see `releases`.
        """
        for package in self.releases(project)[version].packages:
            if package.has_metadata and package.package_type == "wheel":
                platforms = {tag.platform for tag in parse_wheel_filename(package.filename)[3]}
                if any(each == "any" or _is_linux(each, "x86_64") for each in platforms):
                    return self._required(package)
        return None

    def _required(self, package: DistributionPackage) -> list[Requirement] | None:
        def read() -> list[Requirement]:
            text = self._client.get_package_metadata(package, timeout=self.source.patience.timeout)
            return [Requirement(each) for each in parse_email(text)[0].get("requires_dist", [])]

        try:
            return self.source.ask(read)
        except NoMetadataError:
            return None

    def pythons(self, project: str, version: Version, known: list[str]) -> list[str] | None:
        """Return the Pythons of a release, or of the compiled package that it needs.

        Returns:
            as `Release.pythons`.

        Raises:
            UnreadableError: see `releases`.
        """
        release = self.releases(project)[version]
        pythons = release.pythons(known)
        if pythons is not None or project not in COMPILED:
            return pythons
        compiled = self.releases(COMPILED[project])
        fitting = [other for other in compiled if other <= version and not other.is_prerelease]
        if not fitting:
            return None
        pythons = compiled[max(fitting)].pythons(known) or []
        return [python for python in pythons if release.admits(python)]


def settled_on(today: date, days: int) -> date:
    """Return the last day of upload of a release that is so many days old."""
    return today - timedelta(days=days)


def refresh_wheels(
    catalogue: Catalogue, index: Index, mirrors: dict[str, Index], report: Report
) -> None:
    """Read what the indexes say about every framework, and about the tools.

    Args:
        catalogue: its rows are changed.
        index: PyPI.
        mirrors: of a framework with an index of its own, that index by the name of its folder.
        report: what is gone, unreadable, or left to a person.
    """
    for name in FRAMEWORKS:
        for step in (_releases, _builds, _companions, _news):
            with catalogue.step(f"The rows of {name}", report):
                step(catalogue, name, index, mirrors, report)
    with catalogue.step("The versions of the tools", report):
        _tools(catalogue, index, report)


def _releases(
    catalogue: Catalogue, name: str, index: Index, mirrors: dict[str, Index], report: Report
) -> None:
    package = catalogue.files[name]["framework"]["package"]
    known = [row["version"] for row in catalogue.rows("python", "versions")]
    there = index.releases(package)
    for row in catalogue.rows(name, "releases"):
        version = Version(row["version"])
        release = there.get(version)
        _mark(catalogue, row, f"{package} {version}", release, index, report)
        if release is None:
            continue
        if uploaded := release.uploaded:
            catalogue.update(row, SOURCE, released=uploaded.isoformat())
        if pythons := index.pythons(package, version, known):
            catalogue.update(row, SOURCE, pythons=pythons)


def _builds(
    catalogue: Catalogue, name: str, index: Index, mirrors: dict[str, Index], report: Report
) -> None:
    """Builds from another index, and those that are packages of their own."""
    framework = catalogue.files[name]["framework"]["package"]
    for row in catalogue.rows(name, "builds"):
        version = Version(row["version"])
        packages = {Requirement(text).name for text in row["requirements"]}
        if row["index"] is not None:
            origin = mirrors[row["index"]]
            label = {row["index"]}
        else:
            origin = index
            label = set()
            packages -= {framework}
        for package in sorted(packages):
            what = f"{package} {version}{'+' if label else ''}{''.join(label)}"
            try:
                release = origin.releases(package).get(version)
            except MissingError as error:
                # One folder is gone if the others are there; if none is, the address is wrong.
                if not any(other.has(package) for other in mirrors.values()):
                    report.fail(str(error))
                    continue
                release = None
            except UnreadableError as error:
                report.fail(str(error))
                continue
            if release and not label <= release.labels:
                release = None
            _mark(catalogue, row, what, release, origin, report)
            if release and label and row["cuda"]:
                _compare_hosts(row, name, what, release.hosts(row["index"]), report)


def _compare_hosts(row: Row, name: str, what: str, hosts: set[str], report: Report) -> None:
    """Say which hosts gained or lost the wheels of a build; a row has kernels for each."""
    known = set(row["kernels"])
    proposal = f"its hosts in {name}.json are {_and(known)}, and should be {_and(hosts)}"
    if lost := known - hosts:
        report.fail(f"{what} is offered, but its wheels for {_and(lost)} are gone: {proposal}.")
    if gained := hosts - known:
        report.leave(f"{what} has wheels for {_and(gained)}: {proposal}, with their kernels.")


def _and(names: set[str]) -> str:
    return " and ".join(sorted(names)) or "none"


def _companions(
    catalogue: Catalogue, name: str, index: Index, mirrors: dict[str, Index], report: Report
) -> None:
    for row in catalogue.rows(name, "releases"):
        for package, pinned in row["companions"].items():
            release = index.releases(package).get(Version(pinned))
            if release is None or release.withdrawn:
                report.fail(
                    f"{package} {pinned}, the companion of {name} {row['version']}, is "
                    f"{release.withdrawn if release else GONE}: name another one in {name}.json."
                )


def _mark(
    catalogue: Catalogue, row: Row, what: str, release: Release | None, index: Index, report: Report
) -> None:
    """Say in a row that its release is gone or withdrawn, or that it is back."""
    reason = GONE if release is None else release.withdrawn
    written = row.get("broken")
    if written and not written.startswith((GONE, WITHDRAWN)):
        return  # a person's reason, and so not offered
    if reason is None:
        if written:
            catalogue.update(row, broken=None)
            del row["broken"]
        return
    if release is None and not written:
        report.fail(
            f"{what} is offered, but gone from {index.address}: merge the changed row, release, "
            "and update the projects."
        )
    catalogue.update(row, broken=reason)


def _news(
    catalogue: Catalogue, name: str, index: Index, mirrors: dict[str, Index], report: Report
) -> None:
    """Add the newest release if the index says all about it, else tell a person."""
    framework = catalogue.files[name]["framework"]
    releases = catalogue.rows(name, "releases")
    builds = catalogue.rows(name, "builds")
    last = max(releases, key=lambda row: Version(row["version"]))
    newest = index.newest(framework["package"], last["version"], report)
    if newest is None:
        return
    known = [row["version"] for row in catalogue.rows("python", "versions")]
    release = index.releases(framework["package"])[Version(newest)]
    pythons = index.pythons(framework["package"], release.version, known)
    of_last = [row for row in builds if row["version"] == last["version"]]
    uploaded = release.uploaded
    if any(row["cuda"] or row["index"] for row in of_last) or not pythons or not uploaded:
        # Wheels that hold compiled files but no part of Python, as XGBoost's, do not say for which.
        named = pythons or [f"{one}?" for one in known if release.admits(one)] or ["unknown"]
        report.leave(
            f"{framework['title']} {newest} is out (Python {', '.join(named)}): "
            f"add it to {name}.json with the CUDA versions and kernels of its builds."
        )
        return
    origin = {"source": SOURCE, "read": catalogue.today}
    row: dict[str, Any] = {
        "version": newest,
        "released": uploaded.isoformat(),
        "pythons": pythons,
        "companions": {},
        **origin,
    }
    insert(releases, row, _rank)
    for build in of_last:
        requirements = [
            text.removesuffix(last["version"]) + newest for text in build["requirements"]
        ]
        changed = {"version": newest, "requirements": requirements, "download_mb": None, **origin}
        copied = {key: value for key, value in build.items() if key != "broken"}
        insert(builds, copied | changed, _rank)


def _rank(row: Row) -> Any:
    return newest_first(row["version"])


def _tools(catalogue: Catalogue, index: Index, report: Report) -> None:
    for name, row in catalogue.files["tools"].items():
        if row["source"] != SOURCE or "version" not in row:
            continue
        if newest := index.newest(name, row["version"], report):
            catalogue.update(row, version=newest)
