"""Driver branches and CUDA releases, as NVIDIA lists them: what is new is left to a person.

Neither list says all that a row does. releases.json has no end of life, which NVIDIA states on
the page beside it, and no CUDA; a manifest of CUDA names the driver that came with it only up to
13.3. So nothing is written from here: a person is told what moved, and where the row stands.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from typing import Any

import requests
from packaging.version import Version

from scripts.refresh.reading import Answer, Source, session
from scripts.refresh.rows import Catalogue, Report, Row

# https://docs.nvidia.com/datacenter/tesla/drivers/supported-drivers-and-cuda-toolkit-versions.html
# offers this file to programs.
DRIVERS = "https://docs.nvidia.com/datacenter/tesla/drivers/releases.json"
# A listing of folders and of one redistrib_X.Y.Z.json for each release.
TOOLKITS = "https://developer.download.nvidia.com/compute/cuda/redist/"
KINDS = {
    "lts branch": "long-term",
    "production branch": "production",
    "new feature branch": "new-feature",
}
DRIVER = re.compile(r"[0-9]{3,4}(\.[0-9]{1,4}){1,2}")
MANIFEST = re.compile(r"""href=['"]redistrib_([0-9]{1,3}\.[0-9]{1,3})\.([0-9]{1,3})\.json['"]""")


@dataclass
class Branch:
    """A driver branch: what NVIDIA calls it, its newest release, and the day of that."""

    kind: str | None
    newest: str
    released: str


class Nvidia:
    """The two lists.

    Args:
        drivers: the URL of releases.json.
        asking_drivers: how it is asked.
        toolkits: the URL of the folder of CUDA's manifests.
        asking_toolkits: how it is asked.
    """

    def __init__(
        self, drivers: str, asking_drivers: Source, toolkits: str, asking_toolkits: Source
    ) -> None:
        """Prepare; nothing is read yet."""
        self._drivers = drivers
        self._asking_drivers = asking_drivers
        self._toolkits = toolkits
        self._asking_toolkits = asking_toolkits
        self._session = session()

    def close(self) -> None:
        """Close its connections."""
        self._session.close()

    def branches(self) -> dict[int, Branch]:
        """Return the driver branches by number.

        Raises:
            UnreadableError: the file does not answer, or is not what it was.
        """

        def read() -> dict[int, Branch]:
            listed = self._get(self._asking_drivers, self._drivers).json().items()
            return {int(name): _branch(name, said) for name, said in listed}

        return _asked(self._asking_drivers, read)

    def toolkits(self) -> dict[str, int]:
        """Return the newest patch of each CUDA: {"13.4": 2, …}.

        Raises:
            UnreadableError: the listing does not answer, or names no manifest.
        """

        def read() -> dict[str, int]:
            listing = self._get(self._asking_toolkits, self._toolkits).text
            found: dict[str, int] = {}
            for cuda, patch in MANIFEST.findall(listing):
                found[cuda] = max(found.get(cuda, 0), int(patch))
            if not found:
                raise ValueError("the listing names no redistrib_X.Y.Z.json")
            return found

        return _asked(self._asking_toolkits, read)

    def _get(self, source: Source, url: str) -> requests.Response:
        response = self._session.get(url, timeout=source.patience.timeout)
        response.raise_for_status()
        return response


def _asked(source: Source, question: Callable[[], Answer]) -> Answer:
    try:
        return source.ask(question)
    except requests.HTTPError as error:
        raise source.given_up(error) from error


def _branch(name: str, said: Any) -> Branch:
    """Read what releases.json says of a branch; a release may be without a day."""
    releases = {each["release_version"]: each["release_date"] for each in said["driver_info"]}
    for version, day in releases.items():
        if not DRIVER.fullmatch(version) or version.partition(".")[0] != name:
            raise ValueError(f"{version!r} is no driver of the branch {name!r}")
        if day:
            date.fromisoformat(day)
    newest = max(releases, key=Version)
    return Branch(KINDS.get(said["type"]), newest, releases[newest])


def refresh_nvidia(catalogue: Catalogue, nvidia: Nvidia, report: Report) -> None:
    """Compare drivers.json and the toolkits of nvidia-cuda.json with NVIDIA's lists."""
    with catalogue.step("The driver branches", report):
        rows = catalogue.rows("drivers", "branches")
        for sentence in _moved(rows, nvidia.branches()):
            report.leave(sentence)
    with catalogue.step("The CUDA releases", report):
        known = {row["cuda"] for row in catalogue.rows("nvidia-cuda", "toolkits")}
        newest = max(known, key=Version)
        for cuda, patch in nvidia.toolkits().items():
            if Version(cuda) > Version(newest):
                report.leave(
                    f"CUDA {cuda} is out ({cuda}.{patch}): add it to the toolkits of "
                    "nvidia-cuda.json, with the capabilities that its compiler knows."
                )


def _moved(rows: list[Row], listed: dict[int, Branch]) -> Iterator[str]:
    """Say what NVIDIA's list of branches has that the rows do not."""
    known = {row["branch"]: row for row in rows}
    for number, branch in sorted(listed.items(), reverse=True):
        what = f"driver branch {number} ({branch.newest} of {branch.released or 'no day'})"
        if number not in known:
            if number > min(known):
                yield (
                    f"NVIDIA lists the {what}, of the kind {branch.kind or 'unknown'}: add it to "
                    "drivers.json, with its CUDA and its end of life."
                )
            continue
        row = known[number]
        if row["kind"] != "ended" and branch.kind not in (None, row["kind"]):
            yield (
                f"NVIDIA lists the {what} as {branch.kind}, and drivers.json as {row['kind']}: "
                "look its kind and its end of life up."
            )
        # The row says a month or a day.
        end = row["end_of_life"]
        if end and branch.released[: len(end)] > end:
            yield (
                f"The {what} was released after its end of life, {end}: look that up again for "
                "drivers.json."
            )
    for number, row in known.items():
        if row["kind"] not in ("ended", None) and number not in listed:
            yield f"NVIDIA no longer lists the driver branch {number}: look its end of life up."
