"""The facts, read from `extensions/catalogue/*.json` and joined into rows."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from .rows import (
    Dependency,
    DriverBranch,
    Framework,
    Gpu,
    Image,
    Library,
    Platform,
    System,
    Toolkit,
    Uv,
    Wheel,
)
from .versions import Version, is_supported, version

FOLDER = Path(__file__).parents[1] / "catalogue"

# In the order in which the form lists them.
FRAMEWORKS = ("scikit-learn", "pytorch", "jax", "tensorflow", "onnxruntime", "xgboost")

Row = TypeVar("Row")


class Catalogue:
    """All facts.

    Args:
        folder: where the `*.json` files lie; a fork's rows are in files of the same names in its
            folder `fork`, and join those lists at their end.

    Raises:
        OSError, ValueError, KeyError, TypeError: a file is missing or is not the catalogue it
            should be.
    """

    def __init__(self, folder: Path = FOLDER) -> None:
        """Read the folder."""
        data = _read(folder)
        for name, more in _read(folder / "fork").items():
            for key, rows in more.items():
                data[name][key] = [*data[name][key], *rows]
        self.as_of: str = data["calendar"]["as_of"]
        self.tools: dict[str, dict[str, Any]] = data["tools"]
        self.dependencies = _rows(Dependency, data["dependencies"]["dependencies"])
        self.uv = _row(Uv, data["uv"]["uv"][0])
        self.platforms = _by_name(_rows(Platform, data["platforms"]["platforms"]))
        self.systems = _by_name(_rows(System, data["systems"]["systems"]))
        models = _rows(Gpu, data["gpus"]["gpus"])
        self.gpus = _by_name((*models, *_capabilities(models, data["capabilities"])))
        self.python_end: dict[str, str | None] = {
            row["version"]: row["end_of_life"] for row in data["python"]["versions"]
        }
        self.floors: dict[int, str] = {
            row["cuda_major"]: row["driver"] for row in data["drivers"]["floors"]
        }
        libraries = _rows(Library, data["libraries"]["libraries"])
        self.libraries = _by_package(row for row in libraries if row.binds == "lock")
        self.notes = tuple(row for row in libraries if row.binds == "note")
        self.addresses: dict[str, str] = {
            row["name"]: row["address"] for row in data["sources"]["sources"]
        }
        self.branches = _rows(DriverBranch, data["drivers"]["branches"])
        # The first NVIDIA Container Toolkit that loads the cuda-compat of an image.
        self.container_toolkit: str = data["drivers"]["container_toolkit"][0]["version"]
        self.forward: dict[str, list[int]] = {
            row["cuda"]: row["branches"] for row in data["drivers"]["forward"]
        }
        self.toolkits = {row.cuda: row for row in _rows(Toolkit, data["nvidia-cuda"]["toolkits"])}
        self.frameworks = {
            name: _row(Framework, {**row, "module": row["import"]})
            for name in FRAMEWORKS
            for row in [data[name]["framework"]]
        }
        self.wheels = {name: _best_first(_wheels(name, data[name])) for name in FRAMEWORKS}
        self.images = (*_nvidia_images(data["nvidia-cuda"]), *_python_images(data["python"]))

    def wheels_of(self, framework: str | None) -> Iterator[Wheel]:
        """Yield the wheels of a framework, or of all of them; the best of each first."""
        for name in [framework] if framework else self.frameworks:
            yield from self.wheels[name]

    @cached_property
    def builders(self) -> tuple[Image, ...]:
        """The images that have nvcc."""
        return tuple(image for image in self.images if "devel" in (image.flavour or ""))

    @cached_property
    def pythons(self) -> tuple[str, ...]:
        """Python versions, newest first."""
        return tuple(sorted(self.python_end, key=version, reverse=True))

    @cached_property
    def imaged_pythons(self) -> frozenset[str]:
        """Python versions that have a plain image."""
        return frozenset(image.python for image in self.images if image.python)

    @cached_property
    def common_python(self) -> str:
        """The newest Python that the newest release of every framework supports.

        It is the default: a project can then change its framework without changing Python, and
        a machine is likely to have it already.
        """
        newest = [set(wheels[0].pythons) for wheels in self.wheels.values()]
        return next(python for python in self.pythons if all(python in some for some in newest))

    @cached_property
    def pythons_by_preference(self) -> tuple[str, ...]:
        """The common Python first, then the newest."""
        others = (python for python in self.pythons if python != self.common_python)
        return (self.common_python, *others)

    def python_image(self, python: str) -> Image:
        """Return the plain image of a Python version on the newest system."""
        rows = [row for row in self.images if row.kind == "slim" and row.python == python]
        return min(rows, key=lambda row: row.os_age)

    def branch(self, driver: Version) -> DriverBranch | None:
        """Return the branch of a driver: the newest row not above it, None where all are.

        A number on Windows, and so in WSL2, runs past that of its branch: 581.80 is of 580.
        """
        return next((row for row in self.branches if row.branch <= driver[0]), None)

    def branch_number(self, driver: Version) -> int:
        """Return the number of a driver's branch; older than the rows, it is taken for its own."""
        row = self.branch(driver)
        return row.branch if row else driver[0]

    def driver_cuda(self, driver: Version) -> Version:
        """Return the newest CUDA that a driver supports, (0, 0) if it is older than the rows.

        It is a property of the driver's branch: 550.54.14 and 550.144.03 both support 12.4.
        """
        row = self.branch(driver)
        return version(row.cuda) if row else (0, 0)

    def driver_of_cuda(self, cuda: str) -> str | None:
        """Return the driver branch that first supports a CUDA version, None where none does."""
        wanted = version(cuda)
        fitting = [row.branch for row in self.branches if version(row.cuda) >= wanted]
        return str(min(fitting)) if fitting else None

    def cuda_of_ptx(self, language: str) -> str:
        """Return the first CUDA that knows a version of the PTX language."""
        rows = self.toolkits.values()
        known = [row.cuda for row in rows if version(row.ptx) >= version(language)]
        return min(known, key=version)

    def driver_supports(self, driver: Version, image: Image) -> bool:
        """Tell whether a driver, and so every newer one, supports the CUDA of an image.

        A branch that NVIDIA_REQUIRE_CUDA lists says nothing of the next branch, and it relies on
        the image's compatibility libraries, which are not made for GeForce.
        """
        return self.driver_cuda(driver) >= version(image.min_cuda or "0.0")

    def stands_in(self, image: Image, driver: Version) -> bool:
        """Tell whether the cuda-compat package of an image takes the place of a newer driver.

        NVIDIA's table is of branches on Linux. Numbers of Windows, and so of WSL2, are not in it.
        """
        return bool(image.compat) and driver[0] in self.forward.get(image.cuda or "", ())

    @cached_property
    def notable_drivers(self) -> tuple[str, ...]:
        """Drivers at which something changes: the wheels' floors and the branches."""
        return (*self.floors.values(), *(str(row.branch) for row in self.branches))

    def long_term_driver(self, today: str) -> str:
        """Return the oldest driver branch that has long-term support on a day, else the newest.

        Hosts that must not change stay on it, and what runs on it runs on every newer one.
        """
        rows = [row for row in reversed(self.branches) if row.kind == "long-term"]
        alive = [row for row in rows if is_supported(row.end_of_life, today)]
        return str((alive or rows[-1:])[0].branch)


def _row(cls: type[Row], row: Mapping[str, Any]) -> Row:
    """Build a dataclass from a JSON row, leaving out what the class does not hold."""
    wanted = {field.name for field in fields(cls)}
    return cls(
        **{
            name: tuple(value) if isinstance(value, list) else value
            for name, value in row.items()
            if name in wanted
        }
    )


def _read(folder: Path) -> dict[str, Any]:
    """Read the JSON files of a folder, by name."""
    return {path.stem: json.loads(path.read_text("utf-8")) for path in folder.glob("*.json")}


def _rows(cls: type[Row], rows: Iterable[Mapping[str, Any]]) -> tuple[Row, ...]:
    return tuple(_row(cls, row) for row in rows)


def _by_name(rows: Iterable[Row]) -> dict[str, Row]:
    return {row.name: row for row in rows}


def _by_package(rows: Iterable[Library]) -> dict[str, tuple[Library, ...]]:
    """Sort the rows of each package by version."""
    found: dict[str, tuple[Library, ...]] = {}
    for row in sorted(rows, key=lambda row: version(row.version)):
        found[row.package] = (*found.get(row.package, ()), row)
    return found


def _capabilities(models: Sequence[Gpu], data: Mapping[str, Any]) -> Iterator[Gpu]:
    """Make a GPU of each compute capability: any of those that have it, known by name or not.

    Its machines are those of the models. A Tegra chip without a driver of the ordinary branches
    needs what NVIDIA makes for that chip.
    """
    for row in data["capabilities"]:
        hosts = {host for gpu in models if gpu.compute == row["compute"] for host in gpu.hosts}
        hosts = {"arm64"} if row["tegra"] else hosts or {"amd64", "arm64"}
        yield Gpu(
            name=row["compute"],
            compute=row["compute"],
            generation=row["generation"],
            brand=None,
            host=min(hosts),
            hosts=tuple(sorted(hosts)),
            driver_from=row["first_driver"],
            driver_to=row["last_driver"],
            tegra=row["tegra"],
            refused="no ordinary driver" if row["tegra"] and not row["first_driver"] else None,
        )


def _nvidia_images(data: Mapping[str, Any]) -> Iterator[Image]:
    """Join the images with the driver rules of their releases."""
    rules = {row["release"]: row for row in data["rules"]}
    return (_row(Image, {**rules[row["release"]], **row}) for row in data["images"])


def _python_images(data: Mapping[str, Any]) -> Iterator[Image]:
    return (
        _row(Image, {**row, "status": "current"})
        for row in data["images"]
        if row.get("status") != "gone"
    )


def _wheels(framework: str, data: Mapping[str, Any]) -> Iterator[Wheel]:
    """Join the builds of a framework with their releases.

    A project has the CPU build too, for its tests, so a release is broken where that is.
    """
    releases = {row["version"]: row for row in data["releases"]}
    cpu_broken = {row["version"]: row.get("broken") for row in data["builds"] if not row["cuda"]}
    for build in data["builds"]:
        release = releases[build["version"]]
        yield _row(
            Wheel,
            {
                **build,
                "framework": framework,
                "kernels": {host: tuple(row) for host, row in build["kernels"].items()},
                "partly_ptx": build.get("partly_ptx", {}),
                "pythons": release["pythons"],
                "companions": release["companions"],
                "companion_gaps": {
                    name: tuple(pythons)
                    for name, pythons in release.get("companion_gaps", {}).items()
                },
                "libraries": build.get("libraries", []),
                "unknown_targets": release.get("unknown_targets", []),
                "broken": build.get("broken")
                or release.get("broken")
                or cpu_broken[build["version"]],
            },
        )


def _best_first(wheels: Iterable[Wheel]) -> tuple[Wheel, ...]:
    """Sort by release, newest first; of one the build with its own CUDA, PyPI's, newest CUDA."""
    by_cuda = sorted(wheels, key=lambda wheel: wheel.cuda_version, reverse=True)
    by_build = sorted(by_cuda, key=lambda wheel: (not wheel.bundles_cuda, wheel.index is not None))
    return tuple(sorted(by_build, key=lambda wheel: version(wheel.version), reverse=True))
