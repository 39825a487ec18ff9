"""docs/kernels.md: what was read about each build beside what was measured in its wheels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from scripts.kernels.rows import (
    CATALOGUE,
    FRAMEWORKS,
    Row,
    by_age,
    catalogue_file,
    gpu_builds,
    isas_of,
    read_measured,
    union,
)
from scripts.kernels.wheels import MACHINES
from scripts.markdown import table

PAGE = CATALOGUE.parents[1] / "docs" / "kernels.md"
# An architecture in less than this part of the fat binaries is there for a few kernels only.
FEW = 1 / 4
NO_LIBRARY = {"fatbins": 0, "cubin": {}, "ptx": {}}
INTRODUCTION = """\
# Kernels

The GPU code in the wheels that the catalogue's builds install from PyPI, measured: every library of
the wheel was searched for fat binaries, and their headers say what they hold. This page is written
by `python -m scripts.kernels`, which measures what is new, and a test holds it fresh. The digest of
each wheel, the day and all numbers are in
[`measured.json`](../extensions/catalogue/measured.json). To look into a wheel, and write nothing:

```sh
uv run python -m scripts.kernels torch==2.15.0 --host arm64
uv run python -m scripts.kernels ./some.whl
```

- **Read** is what the catalogue says, from build scripts and release notes, corrected by what was
  measured; the solver uses that.
- **Cubins** are machine code. One runs on its compute capability and on higher ones of the same
  major; with an `a` on its own alone, with an `f` on its family.
- **PTX** is compiled by the driver, for its own capability and all newer ones. A driver knows the
  ISA versions up to that of its CUDA and loads none newer ([PTX ISA, release notes][ptx]).
- **Few** are architectures in less than a quarter of the fat binaries of the largest library: there
  for some kernels and not for all.
- **Row** says where the row differs: what it has and the wheel has `not`, and what the wheel has
  `also`, apart from few. A row has less than its wheel on purpose, and its source in
  [`sources.json`](../extensions/catalogue/sources.json) says why; no row has code for a GPU that
  its wheel has none for, which a test holds.
- **GPUs** says for which capabilities, of the catalogue's GPUs for that host, that matters: `not`,
  they have no code although the row says so; `also`, they have. Code in few does not count.

XLA, in JAX and TensorFlow, and Triton, in PyTorch, compile further kernels for the GPU at hand. No
wheel shows that, nor what CUDA's own libraries can do.

[ptx]: https://docs.nvidia.com/cuda/parallel-thread-execution/#release-notes
"""
LIBRARIES = """\
## By library, newest release

In how many of a library's fat binaries an architecture is, where that is not all of them. A fat
binary is what nvcc made of one source file. Code embedded as data is loaded by the library itself;
`cuobjdump` does not list it, and a cubin there does not say whether it is for `9.0a` or `9.0`.
"""


def runs(kernel: str, capability: str) -> bool:
    """Tell whether a kernel, such as "8.6", "9.0a", "10.0f" or "12.0+PTX", runs on a GPU.

    Source: CUDA C++ Programming Guide, "Binary Compatibility" and "PTX Compatibility".
    """
    arch = kernel.removesuffix("+PTX")
    number = arch.rstrip("af")
    if arch.endswith("a"):
        return number == capability
    same_major = number.split(".")[0] == capability.split(".")[0]
    portable = kernel.endswith("+PTX") and not arch.endswith("f")
    return (same_major or portable) and by_age(number) <= by_age(capability)


def split(libraries: Sequence[Row], kind: str) -> tuple[list[str], list[str]]:
    """Divide the architectures of a wheel into those for its kernels in general and the few.

    Args:
        libraries: the libraries of the wheel, or of the wheels that are installed together.
        kind: "cubin" or "ptx".
    """
    largest = max(libraries, key=lambda row: row["fatbins"], default=NO_LIBRARY)
    most, few = [], []
    for arch in union(libraries, kind):
        share = largest[kind].get(arch, 0) / max(largest["fatbins"], 1)
        (few if share < FEW else most).append(arch)
    return most, few


def as_kernels(libraries: Sequence[Row]) -> list[str]:
    """Write what a wheel's kernels in general hold as the catalogue writes it: "12.0+PTX"."""
    cubins, ptxs = (split(libraries, kind)[0] for kind in ("cubin", "ptx"))
    return cubins + [f"{arch}+PTX" for arch in ptxs]


def capabilities(host: str) -> list[str]:
    """List the compute capabilities of the GPUs that the catalogue offers for a host."""
    rows = catalogue_file("gpus")["gpus"]
    found = {row["compute"] for row in rows if row["host"] == host and not row.get("refused")}
    return sorted(found, key=by_age)


def difference(missing: Iterable[str], more: Iterable[str]) -> str:
    """Write a cell of what is not there, and of what is there also; "as read" if neither."""
    told = [
        f"**{word} {listed(found)}**"
        for word, found in (("not", list(missing)), ("also", list(more)))
        if found
    ]
    return "; ".join(told) or "as read"


def spelled(kernels: Iterable[str]) -> set[str]:
    """Name the cubin and the PTX of kernels apart, which "12.0+PTX" has both of."""
    found = set()
    for kernel in kernels:
        arch, ptx, _ = kernel.partition("+PTX")
        found |= {arch, f"{arch} PTX"} if ptx else {arch}
    return found


def named(cubins: Iterable[str], ptxs: Iterable[str]) -> set[str]:
    """Name cubins and PTX alike: "12.0" and "12.0 PTX"."""
    return {*cubins, *(f"{arch} PTX" for arch in ptxs)}


def of_row(read: Sequence[str], libraries: Sequence[Row]) -> str:
    """Say what a row has and the wheel has not, and the other way round.

    A row's "12.0+PTX" is right where the wheel has PTX and no cubin, which runs on the same GPUs.
    """
    says = spelled(read)
    has = named(*(split(libraries, kind)[0] for kind in ("cubin", "ptx")))
    any_of = named(*(union(libraries, kind) for kind in ("cubin", "ptx")))
    missing = {name for name in says - any_of if f"{name} PTX" not in says & any_of}
    return difference(sorted(missing, key=by_name), sorted(has - says, key=by_name))


def by_name(name: str) -> Any:
    """Return a rank of names such as "9.0a" and "12.0 PTX"."""
    arch, ptx, _ = name.partition(" ")
    return by_age(arch), ptx


def of_gpus(read: Sequence[str], measured: Sequence[str], host: str) -> str:
    """Say for which GPUs the row and the wheel disagree."""
    by_row, by_wheel = (
        [gpu for gpu in capabilities(host) if any(runs(kernel, gpu) for kernel in kernels)]
        for kernels in (read, measured)
    )
    return difference(
        (gpu for gpu in by_row if gpu not in by_wheel),
        (gpu for gpu in by_wheel if gpu not in by_row),
    )


def listed(archs: Sequence[str]) -> str:
    """Write a cell of architectures."""
    return ", ".join(archs) or "–"


def with_isa(archs: Sequence[str], libraries: Sequence[Row]) -> str:
    """Write a cell of PTX and the versions of its language."""
    return f"{listed(archs)} (ISA {', '.join(isas_of(libraries))})" if archs else "–"


def of_build(measured: Sequence[Row], framework: str, build: Row, host: str) -> list[Row]:
    """Return the measured wheels that a build installs on one host."""
    return [
        row
        for row in measured
        if row["framework"] == framework
        and row["version"] == build["version"]
        and build["build"] in row["builds"]
        and row["host"] == host
    ]


def line(build: Row, host: str, wheels: Sequence[Row]) -> list[str]:
    """Return the cells of a build on one host."""
    read = build["kernels"].get(host, [])
    libraries = [library for wheel in wheels for library in wheel["libraries"].values()]
    cubins, few = split(libraries, "cubin")
    ptxs, few_ptxs = split(libraries, "ptx")
    few += [f"{arch} PTX" for arch in few_ptxs]
    return [
        build["version"],
        build["build"],
        host,
        listed(read),
        listed(cubins),
        with_isa(ptxs, libraries),
        listed(few),
        of_row(read, libraries),
        of_gpus(read, as_kernels(libraries), host),
    ]


def lines(measured: Sequence[Row], framework: str) -> Iterator[list[str]]:
    """Yield the cells of each build and host that was measured."""
    for build in gpu_builds(framework):
        for host in MACHINES:
            if wheels := of_build(measured, framework, build, host):
                yield line(build, host, wheels)


def shares(counts: dict[str, int], fatbins: int) -> str:
    """Write architectures, each with its number where that is not all of the fat binaries."""
    return listed(
        [arch if count == fatbins else f"{arch} ({count})" for arch, count in counts.items()]
    )


def library_lines(measured: Sequence[Row]) -> Iterator[list[str]]:
    """Yield the cells of each library of each framework's newest release."""
    for framework in FRAMEWORKS:
        newest = [row for row in measured if row["framework"] == framework]
        for wheel in newest:
            if wheel["version"] != newest[0]["version"]:
                continue
            for name, library in wheel["libraries"].items():
                yield library_line(wheel, name, library)


def library_line(wheel: Row, name: str, library: Row) -> list[str]:
    """Return the cells of one library."""
    data = library.get("embedded", {"cubin": {}, "ptx": {}})
    pieces = [f"{arch} ({count})" for arch, count in data["cubin"].items()]
    pieces += [f"{arch} PTX ({count})" for arch, count in data["ptx"].items()]
    return [
        f"`{name}`",
        f"{wheel['version']} {', '.join(wheel['builds'])}",
        wheel["host"],
        str(library["fatbins"]),
        shares(library["cubin"], library["fatbins"]),
        shares(library["ptx"], library["fatbins"]),
        listed(pieces),
    ]


def page() -> str:
    """Return the whole page."""
    measured = read_measured()
    parts: list[Any] = [INTRODUCTION]
    head = ("Release", "Build", "Host", "Read", "Cubins", "PTX", "Few", "Row", "GPUs")
    for framework in FRAMEWORKS:
        title = catalogue_file(framework)["framework"]["title"]
        parts += [f"## {title}", "", *table(head, lines(measured, framework))]
    head = ("Library", "Release", "Host", "Fat binaries", "Cubins", "PTX", "Embedded as data")
    parts += [LIBRARIES, *table(head, library_lines(measured))]
    return "\n".join(parts)


def write() -> None:
    """Write the page."""
    PAGE.write_text(page(), "utf-8", newline="\n")


def check() -> int:
    """Say whether the page is fresh; 1 if it is stale."""
    if PAGE.is_file() and PAGE.read_text("utf-8") == page():
        return 0
    print(f"docs/{PAGE.name} is stale; run: python -m scripts.kernels --page")
    return 1
