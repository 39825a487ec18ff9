"""docs/kernels.md is what was measured, beside what the catalogue says."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from packaging.utils import parse_wheel_filename
from packaging.version import Version

from scripts.kernels import page, rows
from scripts.kernels.__main__ import main
from scripts.kernels.fatbin import Code, Library

LARGE = {"fatbins": 8, "cubin": {"8.0": 8, "9.0": 2, "9.0a": 1}, "ptx": {"9.0": 6}, "isa": ["8.5"]}
SMALL = {"fatbins": 2, "cubin": {"7.5": 2, "8.0": 2}, "ptx": {"12.0": 2}, "isa": ["9.0"]}


def test_the_page_is_fresh() -> None:
    assert main(["--check"]) == 0, "run: python -m scripts.kernels --page"


def test_a_stale_page_is_told_and_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(page, "PAGE", tmp_path / "kernels.md")
    assert main(["--check"]) == 1
    assert "is stale" in capsys.readouterr().out
    assert main(["--page"]) == 0
    assert main(["--check"]) == 0


def test_every_measured_row_is_of_a_wheel_that_a_build_installs() -> None:
    measured = rows.read_measured()
    assert measured
    told = Counter(
        (subject.project, subject.version, subject.host)
        for row in measured
        for subject in rows.subjects()
        if subject.is_told_by(row)
    )
    assert set(told.values()) == {1}
    assert told.total() == len(measured)
    for row in measured:
        project, version, _, _ = parse_wheel_filename(row["wheel"])
        assert (project, version) == (row["project"], Version(row["version"]))


def test_every_newest_release_was_measured_on_its_hosts() -> None:
    measured = rows.read_measured()
    for framework in rows.FRAMEWORKS:
        newest = next(rows.gpu_builds(framework))
        for host in newest["kernels"]:
            assert page.of_build(measured, framework, newest, host), (framework, host)


def test_the_measured_rows_stand_in_the_order_of_the_builds() -> None:
    order = rows.subjects()
    places = [
        next(at for at, each in enumerate(order) if each.is_told_by(row))
        for row in rows.read_measured()
    ]
    assert places == sorted(places)


def test_a_result_becomes_one_row_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second, *_ = rows.subjects()
    shared = frozenset({Code("cubin", "8.0"), Code("cubin", "10.0a"), Code("ptx", "8.0", "9.0")})
    found = {
        "b.so": Library(Counter({shared: 3, frozenset({Code("cubin", "8.0")}): 2}), Counter()),
        "a.so": Library(
            Counter(), Counter({Code("cubin", "7.0"): 4, Code("ptx", "5.0", "4.2"): 1})
        ),
    }
    row = rows.measured_row(first, "some.whl", "abc", found, "2026-11-26")
    other = rows.measured_row(second, "other.whl", "def", {}, "2026-11-26")
    monkeypatch.setattr(rows, "subjects", lambda: [first, second])
    monkeypatch.setattr(rows, "CATALOGUE", tmp_path)
    (tmp_path / "calendar.json").write_text('{"as_of": "2026-12-31"}')
    rows.write_measured([other, row])
    assert rows.read_measured() == [row, other]
    lines = (tmp_path / "measured.json").read_text("utf-8").splitlines()
    assert [json.loads(line.strip(" ,")) for line in lines[2:4]] == [row, other]
    assert (tmp_path / "calendar.json").read_text() == '{"as_of": "2026-12-31"}'
    assert row["cubin"] == ["8.0", "10.0a"]
    assert row["ptx"] == ["8.0"]
    assert row["libraries"] == {
        "a.so": {
            "fatbins": 0,
            "cubin": {},
            "ptx": {},
            "isa": [],
            "embedded": {"cubin": {"7.0": 4}, "ptx": {"5.0": 1}, "isa": ["4.2"]},
        },
        "b.so": {"fatbins": 5, "cubin": {"8.0": 5, "10.0a": 3}, "ptx": {"8.0": 3}, "isa": ["9.0"]},
    }


@pytest.mark.parametrize(
    ("kernel", "gpus"),
    [
        ("8.6", "8.6 8.7 8.9"),
        ("9.0", "9.0"),
        ("10.0", "10.0 10.3"),
        ("9.0a", "9.0"),
        ("10.0a", "10.0"),
        ("10.0f", "10.0 10.3"),
        ("10.3f", "10.3"),
        ("8.9+PTX", "8.9 9.0 10.0 10.3 11.0 12.0 12.1"),
        ("9.0a+PTX", "9.0"),
        ("10.0f+PTX", "10.0 10.3"),
    ],
)
def test_code_runs_on_its_own_kind_of_gpu(kernel: str, gpus: str) -> None:
    every = ["7.5", "8.0", "8.6", "8.7", "8.9", "9.0", "10.0", "10.3", "11.0", "12.0", "12.1"]
    assert [gpu for gpu in every if page.runs(kernel, gpu)] == gpus.split()


def test_an_architecture_of_few_kernels_is_told_apart_by_the_largest_library() -> None:
    assert page.split([SMALL, LARGE], "cubin") == (["8.0", "9.0"], ["7.5", "9.0a"])
    assert page.split([SMALL, LARGE], "ptx") == (["9.0"], ["12.0"])
    assert page.as_kernels([SMALL, LARGE]) == ["8.0", "9.0", "9.0+PTX"]


@pytest.mark.parametrize(
    ("read", "says"),
    [
        pytest.param(["8.0", "9.0+PTX"], "as read", id="the same"),
        pytest.param(["8.0", "9.0", "9.0+PTX"], "as read", id="cubin and PTX apart"),
        pytest.param(["8.0", "9.0"], "**also 9.0 PTX**", id="no word of PTX"),
        pytest.param(["7.5", "8.0", "9.0a", "9.0+PTX"], "as read", id="few are no error"),
        pytest.param(["8.0", "8.6", "9.0+PTX"], "**not 8.6**", id="one too many"),
        pytest.param(["8.0", "9.0", "9.0+PTX", "12.0+PTX"], "as read", id="PTX without a cubin"),
        pytest.param(["8.0+PTX"], "**not 8.0 PTX**; **also 9.0, 9.0 PTX**", id="both"),
    ],
)
def test_what_a_row_has_wrong_is_told(read: list[str], says: str) -> None:
    assert page.of_row(read, [LARGE, SMALL]) == says


def test_the_gpus_that_a_wrong_row_decides_wrongly_are_told() -> None:
    assert page.of_gpus(["8.0"], ["8.0", "9.0"], "amd64") == "**also 9.0**"
    assert page.of_gpus(["9.0+PTX"], ["9.0"], "amd64").startswith("**not 10.0, ")
    assert page.of_gpus(["8.0", "8.6"], ["8.0"], "amd64") == "as read"


def test_a_wheel_without_gpu_code_is_told_with_all_that_its_row_promises() -> None:
    build = {"version": "1.0", "build": "plain", "kernels": {"amd64": ["9.0+PTX"]}}
    wheel = {"libraries": {}}
    assert page.line(build, "arm64", [wheel])[3:] == ["–", "–", "–", "–", "as read", "as read"]
    cells = page.line(build, "amd64", [wheel])
    assert cells[3] == "9.0+PTX"
    assert cells[7] == "**not 9.0, 9.0 PTX**"
    assert cells[8].startswith("**not 9.0")
