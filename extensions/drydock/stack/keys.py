"""The keys of `stack`: all that a template can read beside the answers themselves.

The values are JSON. A key that no template reads is a defect, which a test finds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypedDict


class Stack(TypedDict):
    """What the solver and the catalogue say about one set of answers."""

    base: BaseImage
    devel: DevelImage | None
    """The builder image that compiles CUDA code; None where nothing has to be compiled."""
    python: Python
    uv: Uv
    framework: Framework
    indexes: list[Index]
    """For [[tool.uv.index]]: none where all comes from PyPI."""
    sources: list[Source]
    """For [tool.uv.sources]."""
    companions: list[Companion]
    """Packages that are built for this release of the framework."""
    constraints: list[Constraint]
    """For constraint-dependencies of [tool.uv]: libraries that no longer run one of the GPUs."""
    dependencies: list[str]
    """Requirements that a project starts with, beside its framework."""
    serve_dependencies: list[str]
    """What only the server imports, in a project that also trains."""
    dev_dependencies: list[str]
    build_dependencies: list[str]
    """Requirements of the environment in which a dependency is compiled."""
    platform: Platform
    registry: str
    """The host that `image_name` begins with; empty where it names none, and CI pushes nothing."""
    tools: dict[str, dict[str, str]]
    """For each tool of CI and of the hooks, by name, its `version`, `pin` or image."""
    why: list[str]
    """Three lines for a reviewer: why this image, which driver, what to run to see it."""
    summary: list[str]
    """What was chosen, for the terminal."""


class BaseImage(TypedDict):
    """The image that the project's own starts FROM."""

    image: str
    """As FROM names it: behind the mirror, and with its digest where that is known."""
    kind: str
    """ "slim" (python:slim) or "nvidia" (nvidia/cuda)."""


class DevelImage(TypedDict):
    """The image of the builder stage."""

    image: str
    targets: list[str]
    """The compute capabilities to compile for, such as "8.0" and "9.0+PTX", oldest first."""


class Python(TypedDict):
    """Where Python comes from."""

    source: str
    """ "image" where the base image has it, "managed" where uv installs it."""
    image: str
    """The plain Python image in which CI tests the project and the Dockerfile installs packages."""
    manylinux: str | None
    """The tag of the newest wheels that the base image can load, such as "manylinux_2_39", where it
    has an older glibc than that image; else None (https://peps.python.org/pep-0600/).
    """


class Uv(TypedDict):
    """The uv of the image and of CI."""

    image: str
    version: str
    build: str
    """The requirement of its build backend."""


class Framework(TypedDict):
    """The framework, for a machine without a GPU and for one with it."""

    title: str
    artefact: str
    """The file name of a trained model."""
    threads: list[str]
    """The variables that say how many threads compute on the CPU."""
    cpu: Build
    gpu: GpuBuild | None


class Build(TypedDict):
    """One build of the framework."""

    requirements: list[str]


class GpuBuild(Build):
    """One build for CUDA."""

    bundles_cuda: bool
    """Do the wheels bring CUDA along, so that NVIDIA's libraries get a layer of their own?"""


class Index(TypedDict):
    """An index that only packages of the framework come from."""

    name: str
    url: str


class Source(TypedDict):
    """The indexes of a package."""

    package: str
    origins: list[Origin]


class Origin(TypedDict):
    """For which dependency group, and on which machines, an index is asked."""

    index: str
    group: str
    marker: str | None


class Companion(TypedDict):
    """A package that is built for one release of the framework, such as torchvision."""

    package: str
    version: str
    available: bool
    """Has it a wheel for the project's Python?"""


class Constraint(TypedDict):
    """A library that the lock holds back for a GPU."""

    requirement: str
    reason: str
    source: str
    """Where that can be read."""


class Platform(TypedDict):
    """The row of the platform (`rows.Platform`) that the project is made for."""

    title: str
    uid: int
    gid: int
    home: str
    workdir: str
    port: int
    architecture: str | None
    """The Docker platform to build for, such as "linux/arm64"; None: that of the builder."""
    runs_as: str
    registry: str
    compression: str
    """Of the layers of an image that is published: "gzip" or "zstd"."""
    shared_cache: str
    """The variable that names another project's image to take layers from. BuildKit leaves their
    compression as it is, so there is one for each."""
    routes: Mapping[str, str | None]
    variables: Mapping[str, str]
    paths: Mapping[str, str]
