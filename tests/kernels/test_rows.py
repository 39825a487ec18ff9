"""No row of the catalogue promises code that its wheel does not have."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from scripts.kernels import page, rows

# Every capability that a GPU of the last ten years has, and one that none has yet, for PTX.
CAPABILITIES = (
    *("5.0", "5.2", "5.3", "6.0", "6.1", "6.2", "7.0", "7.2", "7.5", "8.0", "8.6", "8.7", "8.9"),
    *("9.0", "10.0", "10.3", "11.0", "12.0", "12.1", "13.0"),
)
MEASURED = rows.read_measured()


def measured_builds() -> Iterator[Any]:
    """Yield each build on each host of which every wheel was measured."""
    for framework in rows.FRAMEWORKS:
        for build in rows.gpu_builds(framework):
            for host in rows.MACHINES:
                wheels = page.of_build(MEASURED, framework, build, host)
                if len(wheels) == len(rows.projects(framework, build)):
                    name = f"{framework}-{build['version']}-{build['build']}-{host}"
                    yield pytest.param(build, host, wheels, id=name)


def promised_alone(read: list[str], measured: list[str]) -> list[str]:
    """Return the capabilities that the row has code for and the wheel has not."""
    return [
        gpu
        for gpu in CAPABILITIES
        if any(page.runs(kernel, gpu) for kernel in read)
        and not any(page.runs(kernel, gpu) for kernel in measured)
    ]


@pytest.mark.parametrize(("build", "host", "wheels"), tuple(measured_builds()))
def test_a_row_promises_no_gpu_that_its_wheel_has_no_code_for(
    build: rows.Row, host: str, wheels: list[rows.Row]
) -> None:
    libraries = [library for wheel in wheels for library in wheel["libraries"].values()]
    assert promised_alone(build["kernels"].get(host, []), page.as_kernels(libraries)) == []


def as_ptx_alone(libraries: list[rows.Row]) -> dict[str, str]:
    """Return the capabilities for which code that lies in a library as data is PTX and nothing
    else, with the version of its language. A few helpers in PTX, which XLA compiles, do not count.
    """
    found: dict[str, str] = {}
    for library in libraries:
        code = library.get("embedded", {"cubin": {}, "ptx": {}})
        often = max(code["cubin"].values(), default=0)
        for arch, count in code["ptx"].items():
            if (
                often
                and count * 4 >= often
                and not any(page.runs(each, arch) for each in code["cubin"])
            ):
                found[arch] = code["isa"][-1]
    return found


@pytest.mark.parametrize(("build", "host", "wheels"), tuple(measured_builds()))
def test_a_row_says_where_a_part_of_its_wheel_is_ptx_alone(
    build: rows.Row, host: str, wheels: list[rows.Row]
) -> None:
    libraries = [library for wheel in wheels for library in wheel["libraries"].values()]
    told = build.get("partly_ptx", {}) if host in build["kernels"] else {}
    assert told == as_ptx_alone(libraries)


def test_the_test_above_sees_ptx_beside_code_for_others() -> None:
    code = {"cubin": {"8.0": 9}, "ptx": {"9.0": 9, "5.0": 2}, "isa": ["4.2", "8.5"]}
    assert as_ptx_alone([{}, {"embedded": code}]) == {"9.0": "8.5"}
    assert as_ptx_alone([{"embedded": {**code, "cubin": {"9.0": 9}}}]) == {}
    assert as_ptx_alone([{"embedded": {**code, "cubin": {}}}]) == {}


def test_the_first_test_sees_a_kernel_and_a_ptx_too_many() -> None:
    assert promised_alone(["8.0"], ["8.0"]) == []
    assert promised_alone(["8.0"], ["8.6"]) == ["8.0"]
    assert promised_alone(["12.0+PTX"], ["12.0"]) == ["13.0"]
    assert promised_alone(["9.0"], ["9.0a"]) == []


def test_enough_was_measured_to_tell() -> None:
    told = [case.id.split("-")[0] for case in measured_builds()]
    assert {name: told.count(name) >= 7 for name in rows.FRAMEWORKS} == dict.fromkeys(
        rows.FRAMEWORKS, True
    )
