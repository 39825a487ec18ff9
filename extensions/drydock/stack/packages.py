"""Packages for the templates: the framework's wheels, their indexes, and what goes with them."""

from __future__ import annotations

from ..catalogue import Catalogue
from ..request import gpu_rows
from ..rows import Framework, Gpu, Library, Wheel
from ..rules.libraries import too_new
from ..solver import Solution
from ..versions import version
from . import keys


def framework_of(solution: Solution) -> keys.Framework:
    """Return the framework with its build for the CPU, and that for the GPU if there is one."""
    wheel = solution.wheel
    gpu: keys.GpuBuild | None = None
    if wheel.accelerator == "gpu":
        gpu = {"requirements": list(wheel.requirements), "bundles_cuda": wheel.bundles_cuda}
    return {
        "title": solution.framework.title,
        "artefact": solution.framework.artefact,
        "threads": list(solution.framework.threads),
        "cpu": {"requirements": list(solution.cpu_wheel.requirements)},
        "gpu": gpu,
    }


def companions(solution: Solution) -> list[keys.Companion]:
    """Return the packages that are built for this release of the framework."""
    gaps = solution.wheel.companion_gaps
    return [
        {"package": name, "version": one, "available": solution.python not in gaps.get(name, ())}
        for name, one in solution.wheel.companions.items()
    ]


def indexes_and_sources(
    solution: Solution, index_url: str
) -> tuple[list[keys.Index], list[keys.Source]]:
    """Return what [[tool.uv.index]] and [tool.uv.sources] say of the CPU and the GPU build.

    Companions come from the same index: those of another build do not load.
    Source: https://github.com/pytorch/vision/issues/8985 and 9174.

    Args:
        solution: what was chosen.
        index_url: where the framework's indexes lie, one below it for each build.
    """
    indexes: list[keys.Index] = []
    origins: dict[str, list[keys.Origin]] = {}
    builds = {"cpu": solution.cpu_wheel}
    if solution.wheel.accelerator == "gpu":
        builds["gpu"] = solution.wheel
    for group, wheel in builds.items():
        index = _index(solution.framework, wheel, index_url)
        if index is None:
            continue
        indexes.append(index)
        groups = [group]
        if group == "gpu" and solution.devel:
            # uv applies a source by the group that is asked for, and `cuda` includes `gpu`.
            groups.append("cuda")
        routed = [row["package"] for row in companions(solution) if row["available"]]
        for package in (*wheel.packages, *routed):
            origins.setdefault(package, []).extend(
                {"index": index["name"], "marker": wheel.marker, "group": one} for one in groups
            )
    return indexes, [{"package": name, "origins": rows} for name, rows in origins.items()]


def _index(framework: Framework, wheel: Wheel, index_url: str) -> keys.Index | None:
    """The index of a build, None where that is PyPI."""
    if wheel.index is None:
        return None
    url = f"{index_url.rstrip('/')}/{wheel.index}"
    return {"name": f"{framework.name}-{wheel.index}", "url": url}


def constraints(catalogue: Catalogue, solution: Solution) -> list[keys.Constraint]:
    """Return the libraries to hold back, each for the oldest of the GPUs that are named.

    The rules have made sure that an older version is admitted by the build and runs every GPU.
    """
    bounds: dict[str, tuple[Library, Gpu]] = {}
    gpus = gpu_rows(catalogue, solution.request)
    for gpu in sorted(gpus, key=lambda gpu: version(gpu.compute), reverse=True):
        for found in too_new(catalogue, gpu, solution.wheel):
            bounds[found.library.package] = found.library, gpu
    return [
        {
            "requirement": f"{package}<{row.version}",
            "reason": f"{row.version} needs compute capability {row.oldest_compute} for "
            f"{row.part}, and {_named(gpu)}.",
            "source": catalogue.addresses[row.source],
        }
        for package, (row, gpu) in bounds.items()
    ]


def notes(catalogue: Catalogue, solution: Solution) -> list[str]:
    """Return a line for each part of the framework that does not run on one of the GPUs."""
    return [
        f"note       {row.part} needs compute capability {row.oldest_compute}, and {_named(gpu)}."
        for row in catalogue.notes
        for gpu in gpu_rows(catalogue, solution.request)
        if row.framework == solution.framework.name
        and version(gpu.compute) < version(row.oldest_compute)
    ]


def _named(gpu: Gpu) -> str:
    """Say what a GPU has, which is its name where it was answered as its compute capability."""
    return (
        f"{gpu.compute} was asked for"
        if gpu.name == gpu.compute
        else f"{gpu.name} has {gpu.compute}"
    )


def requirements(catalogue: Catalogue, solution: Solution, platform: str, group: str) -> list[str]:
    """Return what a project of this kind starts with in a group, beside the framework.

    A project that trains and serves has what only its server imports in a group of its own,
    `serve`, so that the image of the trainer goes without.
    """
    framework, workload = solution.framework.name, solution.request.workload

    def listed(workload: str | None, group: str) -> list[str]:
        return [
            row.requirement
            for row in catalogue.dependencies
            if row.group == group
            and (row.frameworks is None or framework in row.frameworks)
            and (row.workloads is None or workload in row.workloads)
            and (row.platforms is None or platform in row.platforms)
        ]

    if workload != "both":
        return listed(workload, group)
    trainer = listed("train", "dependencies")
    if group == "dependencies":
        return trainer
    more = (
        listed("serve", "dependencies")
        if group == "serve"
        else sorted({*listed("train", group), *listed("serve", group)})
    )
    return [requirement for requirement in more if requirement not in trainer]


def tools(catalogue: Catalogue) -> dict[str, dict[str, str]]:
    """Return the tools of a project's CI and hooks, without where each row was read.

    One that says `projects: false` is for Drydock's own tests, or for scripts/update_tools.py.
    """
    return {
        name: {
            key: value
            for key, value in row.items()
            if key in ("version", "pin", "image", "service")
        }
        for name, row in catalogue.tools.items()
        if row.get("projects", True)
    }
