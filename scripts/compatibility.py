"""Write docs/compatibility.md from the catalogue: run it after a change of the catalogue.

    uv run python -m scripts.compatibility          writes the page
    uv run python -m scripts.compatibility --check  says if the page is fresh, writes nothing

Everything on the page is solved or read; nothing on it is typed.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from drydock.catalogue import Catalogue
from drydock.request import Request
from drydock.rows import Framework
from drydock.rules import RULES
from drydock.solver import solve
from drydock.versions import version
from scripts.markdown import table

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "compatibility.md"


def gpu_groups(catalogue: Catalogue) -> dict[tuple[str, bool, str], list[str]]:
    """Group the GPUs that every rule treats alike: capability, GeForce or not, machine."""
    groups: dict[tuple[str, bool, str], list[str]] = {}
    ordered = sorted(
        (gpu for gpu in catalogue.gpus.values() if gpu.is_model and not gpu.refused),
        key=lambda gpu: [int(part) for part in gpu.compute.split(".")],
    )
    for gpu in ordered:
        key = (gpu.compute, gpu.brand == "geforce", gpu.host)
        groups.setdefault(key, []).append(gpu.name)
    return groups


def drivers(catalogue: Catalogue) -> list[str]:
    """List the drivers to show: the floors, those that brought new GPUs, the live branches.

    One that is older than every floor runs nothing.
    """
    shown = set(catalogue.floors.values())
    shown |= {gpu.driver_from.split(".")[0] for gpu in catalogue.gpus.values() if gpu.driver_from}
    shown |= {str(row.branch) for row in catalogue.branches if row.kind not in (None, "ended")}
    oldest = min(map(version, catalogue.floors.values()))
    return sorted((one for one in shown if version(one) >= oldest), key=version)


def cell(catalogue: Catalogue, framework: str, gpu: str, driver: str) -> str:
    """Say what one GPU with one driver gets: version and build, and the image."""
    request = Request(
        today=catalogue.as_of,
        accelerator="gpu",
        framework=framework,
        gpus=(gpu,),
        driver=driver,
        python_version=catalogue.common_python,
    )
    solution = solve(catalogue, request)
    if solution is None:
        return "–"
    image = "slim" if solution.image.kind == "slim" else solution.image.image.split(":")[1]
    return f"{solution.wheel.version} {solution.wheel.build}<br>{image}"


def by_gpu_and_driver(catalogue: Catalogue, framework: Framework) -> Iterator[str]:
    """Yield the table of GPUs and drivers for one framework."""
    columns = drivers(catalogue)
    rows = []
    for (compute, geforce, host), names in gpu_groups(catalogue).items():
        label = f"{', '.join(names)} ({compute}{', ARM' if host == 'arm64' else ''})"
        first = names[0]
        cells = [cell(catalogue, framework.name, first, driver) for driver in columns]
        rows.append([f"**GeForce** {label}" if geforce else label, *cells])
    cells = [cell(catalogue, framework.name, "any", driver) for driver in columns]
    rows.append(["any (not known yet)", *cells])
    yield from table(["GPU", *columns], rows)


def releases(catalogue: Catalogue, framework: Framework) -> Iterator[str]:
    """Yield the table of a framework's releases, builds and Pythons."""
    rows: dict[str, dict[str, str]] = {}
    pythons: dict[str, str] = {}
    for wheel in catalogue.wheels[framework.name]:
        builds = rows.setdefault(wheel.version, {})
        pythons[wheel.version] = f"{wheel.pythons[0]}–{wheel.pythons[-1]}"
        if wheel.cuda:
            kernels = wheel.kernels["amd64"]
            arm = ", also ARM" if "arm64" in wheel.kernels else ""
            builds[wheel.build] = f"{wheel.build} ({kernels[0]}–{kernels[-1]}{arm})"
        else:
            builds[wheel.build] = wheel.build
    yield from table(
        ["Release", "Python", "Builds (compute capabilities)"],
        ([name, pythons[name], ", ".join(builds.values())] for name, builds in rows.items()),
    )


HEAD = ["nvidia/cuda", "Driver", "Or a driver of branch", "GeForce too", "cuda-compat on"]


def images(catalogue: Catalogue) -> Iterator[str]:
    """Yield the table of the nvidia/cuda images that may be chosen, with their driver rule."""

    def driver(cuda: str) -> str:
        branch = catalogue.driver_of_cuda(cuda)
        return f"{branch} or newer" if branch else "none yet"

    rows = [
        [
            f"`{image.image.split(':')[1]}`",
            driver(image.min_cuda),
            ", ".join(str(branch) for branch in image.driver_branches) or "none",
            "yes" if image.geforce else "no",
            ", ".join(map(str, catalogue.forward.get(image.cuda or "", ()))) or "none"
            if image.compat
            else "not known",
        ]
        for image in catalogue.images
        if image.kind == "nvidia"
        and image.status == "current"
        and catalogue.systems[image.os].end_of_life > catalogue.as_of
    ]
    yield from table(HEAD, rows)


def ends(catalogue: Catalogue) -> Iterator[str]:
    """Yield the table of the ends of life that the solver looks at."""
    rows = [
        [f"Python {python}", end or "not known"] for python, end in catalogue.python_end.items()
    ]
    rows += [[name.title(), row.end_of_life] for name, row in catalogue.systems.items()]
    rows += [
        [f"NVIDIA driver {row.branch}", row.end_of_life or "ended"]
        for row in catalogue.branches
        if row.kind
    ]
    yield from table(["What", "End of life"], rows)


def page(catalogue: Catalogue) -> str:
    """Return the whole page."""
    lines = [
        "# Compatibility",
        "",
        f"What Drydock chooses, from its catalogue of {catalogue.as_of}. The page is",
        "written by `python -m scripts.compatibility`, and a test holds it fresh. Where and when",
        "each fact was read stands beside it in",
        "[`extensions/catalogue/`](../extensions/catalogue). A GPU that is not",
        "on the page can be answered by its compute capability, such as 8.6; it then counts as a",
        "GeForce.",
        "",
    ]
    for framework in catalogue.frameworks.values():
        lines += [f"## {framework.title}", ""]
        if any(wheel.cuda for wheel in catalogue.wheels[framework.name]):
            lines += [
                "By GPU and oldest host driver: the release and its CUDA build, then the base",
                "image. `slim` is a python image, taken where the driver runs the wheels and may",
                "start no nvidia/cuda image. – is refused, with the nearest answers that work.",
                "",
                *by_gpu_and_driver(catalogue, framework),
            ]
        lines += [*releases(catalogue, framework)]
    lines += [
        "## nvidia/cuda images",
        "",
        "An image is chosen for a driver that supports its CUDA, or for one of the branches that",
        "it lists, which for most images do not count for GeForce and Titan: Docker's legacy",
        "NVIDIA runtime starts it on no other. With CDI, which newer Docker prefers, nobody looks,",
        "but which of the two a host has is not asked. An image that starts on every newer driver",
        "as well is preferred.",
        "The wheels ask less: they need driver "
        + ", ".join(f"{driver} for CUDA {major}" for major, driver in catalogue.floors.items())
        + ".",
        "",
        "With `forward_compat: true`, wheels of a newer CUDA run on the branches of the last",
        "column too, on data centre GPUs that are named: NVIDIA Container Toolkit, from",
        f"{catalogue.container_toolkit} on, puts the image's [cuda-compat] before the driver's own",
        "libraries. The package has to be of the CUDA of the wheels or newer.",
        "",
        f"[cuda-compat]: {catalogue.addresses['cuda-forward-compatibility']}",
        "",
        *images(catalogue),
        "## Ends of life",
        "",
        "A Python or a system past its end is never chosen. A driver is the host's own affair: the",
        "generated project says so where its branch has ended.",
        "",
        *ends(catalogue),
        "## The rules",
        "",
        *(f"- {each.sentence}" for each in RULES if not each.silent),
        "",
    ]
    return "\n".join(lines)


def main(arguments: Sequence[str]) -> int:
    """Write the page, or check it; 1 if it is stale."""
    fresh = page(Catalogue())
    if "--check" not in arguments:
        PAGE.write_text(fresh, "utf-8", newline="\n")
        return 0
    if PAGE.is_file() and PAGE.read_text("utf-8") == fresh:
        return 0
    print(f"{PAGE.relative_to(ROOT)} is stale; run: uv run python -m scripts.compatibility")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
