"""What one row of the catalogue says. A class has the columns that the code reads."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from .versions import Version, version


@dataclass(frozen=True)
class Framework:
    """A machine-learning framework, for instance PyTorch.

    `module` is what Python imports, `artefact` the file of a trained model, `threads` the variables
    that say how many threads compute on the CPU, and `library_path` "unset" where the framework
    finds its CUDA only without LD_LIBRARY_PATH. One with `own_ptxas` compiles its PTX with the
    ptxas that it brings and not with the driver.
    """

    name: str
    title: str
    package: str
    module: str
    artefact: str
    workloads: tuple[str, ...]
    index_url: str | None
    library_path: str
    own_ptxas: bool = False
    threads: tuple[str, ...] = ("OMP_NUM_THREADS",)


@dataclass(frozen=True)
class Wheel:
    """One build of one release of a framework, for instance PyTorch 2.15.0 for CUDA 13.0.

    `cuda` is None for a CPU build. `kernels` maps a CPU architecture to the compute capabilities
    compiled in; "12.0+PTX" also runs on every newer one. `partly_ptx` maps those of which some
    kernels are PTX alone to the version of its language. `libraries` are what the wheels require
    of NVIDIA's libraries; there are none where they were not read. `companions` maps packages that
    are built for this release, such as torchvision, to their versions, and `companion_gaps` those
    without a wheel for some Pythons to these. `unknown_targets` are compute capabilities for which
    the release's own tools compile nothing. `broken` says why the build cannot be installed.
    """

    framework: str
    version: str
    build: str
    cuda: str | None
    cudnn: int | None
    index: str | None
    requirements: tuple[str, ...]
    kernels: Mapping[str, tuple[str, ...]]
    partly_ptx: Mapping[str, str]
    bundles_cuda: bool
    marker: str | None
    download_mb: int | None
    pythons: tuple[str, ...]
    companions: Mapping[str, str]
    companion_gaps: Mapping[str, tuple[str, ...]]
    libraries: tuple[str, ...]
    unknown_targets: tuple[str, ...]
    broken: str | None

    @property
    def accelerator(self) -> str:
        """What the build runs on: "gpu" or "cpu"."""
        return "cpu" if self.cuda is None else "gpu"

    @cached_property
    def cuda_version(self) -> Version:
        """The CUDA version as numbers, (0, 0) where there is none."""
        return version(self.cuda or "0.0")

    @property
    def packages(self) -> tuple[str, ...]:
        """The names of the packages that it requires."""
        return tuple(package_name(requirement) for requirement in self.requirements)


@dataclass(frozen=True)
class Library:
    """From a version of a library on, the oldest compute capability that it runs on.

    A row holds up to the next one of the same package. `part` is what fails on an older GPU.
    `binds` is "lock" where the project's lock must hold the library back for such a GPU, and
    "note" where users of `framework`, which brings it, only have to know.
    """

    package: str
    version: str
    oldest_compute: str
    part: str
    binds: str
    source: str
    framework: str | None = None


@dataclass(frozen=True)
class Image:
    """A base image: python:slim (`python` is set) or nvidia/cuda (`cuda` is set).

    An nvidia/cuda image starts on a driver that supports CUDA `min_cuda`, or is of one of
    `driver_branches`, which count for a GeForce only where `geforce` says so. `compat` tells
    whether it has NVIDIA's forward compatibility package of its CUDA, None where nobody looked.
    """

    image: str
    os: str
    status: str
    python: str | None = None
    cuda: str | None = None
    flavour: str | None = None
    cudnn: int | None = None
    min_cuda: str | None = None
    driver_branches: tuple[int, ...] = ()
    geforce: bool = False
    digest: str | None = None
    library_path: bool = False
    compat: bool | None = None

    @property
    def kind(self) -> str:
        """ "slim" for a python image, "nvidia" for one with CUDA."""
        return "slim" if self.cuda is None else "nvidia"

    @cached_property
    def cuda_version(self) -> Version:
        """The CUDA version as numbers, (0, 0) where there is none."""
        return version(self.cuda or "0.0")

    @cached_property
    def os_age(self) -> float:
        """A number that is the smaller the newer the system, among images of one distribution."""
        return -float(self.os.split()[1])


@dataclass(frozen=True)
class Gpu:
    """A GPU model, or any GPU of a compute capability, whose name is then that capability.

    `hosts` are the CPU architectures of machines that have it, and `host` is the usual one.
    `brand` is None where it may be any. The GPU of a `tegra` chip runs no binary code but its own.
    """

    name: str
    compute: str
    generation: str
    brand: str | None
    host: str
    hosts: tuple[str, ...]
    driver_from: str | None
    driver_to: str | None
    tegra: bool = False
    refused: str | None = None

    @property
    def is_model(self) -> bool:
        """Is it a model, and not a compute capability?"""
        return self.name != self.compute

    @property
    def compute_number(self) -> float:
        """The compute capability as a number, to measure how near two of them are."""
        major, minor = version(self.compute)
        return major + minor / 10


@dataclass(frozen=True)
class DriverBranch:
    """A branch of the NVIDIA driver, such as 580, and the newest CUDA that it supports.

    `kind` is "long-term", "production", "new-feature", "ended", or None where it is not known.
    """

    branch: int
    cuda: str
    kind: str | None
    end_of_life: str | None


@dataclass(frozen=True)
class System:
    """A release of Debian or Ubuntu."""

    name: str
    glibc: str
    end_of_life: str


@dataclass(frozen=True)
class Toolkit:
    """The compute capabilities for which the nvcc of a CUDA version compiles.

    `ptx` is the newest version of the PTX language that it knows, and a driver of that CUDA, too.
    """

    cuda: str
    computes: tuple[str, ...]
    ptx: str


@dataclass(frozen=True)
class Platform:
    """Where containers run: their user, folders, port, routes and variables.

    `workloads` are those that the platform has a place for, `architecture` is set where every
    machine has the same, `runs_as` is the user and group that the platform gives a container,
    `registry` an example of where its images lie, and `compression` what all that pulls images
    there can read.
    """

    name: str
    title: str
    uid: int
    gid: int
    home: str
    workdir: str
    port: int
    architecture: str | None
    workloads: tuple[str, ...]
    runs_as: str
    registry: str
    compression: str
    routes: Mapping[str, str | None]
    variables: Mapping[str, str]
    paths: Mapping[str, str]


@dataclass(frozen=True)
class Dependency:
    """A package that a project starts with; None stands for every framework, workload, platform."""

    requirement: str
    group: str
    frameworks: tuple[str, ...] | None
    workloads: tuple[str, ...] | None
    platforms: tuple[str, ...] | None


@dataclass(frozen=True)
class Uv:
    """The uv that the image and CI use, and the build backend that belongs to it."""

    image: str
    version: str
    build: str
    digest: str | None = None


def package_name(requirement: str) -> str:
    """Return the name that a requirement begins with."""
    return re.split(r"[\[=<>~! ;]", requirement, maxsplit=1)[0]
