"""The tables and plots of benchmarks/delivery are what its figures say, losses included."""

from __future__ import annotations

import copy
import xml.etree.ElementTree as ET

from benchmarks.delivery import report


def run() -> dict:
    """A run of two ways: the other one is slower to publish, and faster to pull."""
    builds = {name: {"seconds": 10.0, "up": 5, "down": 7, "grown": 3} for name in report.BUILDS}
    pulls = {name: {"seconds": 8.0, "down": 9} for name in report.PULLS}
    ours = {"title": "Drydock", "samples": {**builds, **pulls}}
    other = copy.deepcopy(ours)
    other["title"] = "pip"
    other["samples"]["first"]["seconds"] = 40.0
    other["samples"]["pull-empty"]["seconds"] = 4.0
    del other["samples"]["second"]
    machine = dict.fromkeys(("cores", "cpu", "memory_gb", "kernel", "docker"), "x")
    return {
        "workload": "small",
        "title": "A test",
        "date": "2026-11-26",
        "command": "python -m benchmarks.delivery",
        "machine": {**machine, "builder": "x", "storage": "x"},
        "buildkit": None,
        "load": ["1.0", "2.0"],
        "base": {"image": "python", "standin": True},
        "ways": {"drydock": ours, "pip": other},
    }


def test_a_time_stands_with_its_ratio_to_ours_also_where_we_lose() -> None:
    lines = report.table(run()).splitlines()
    assert "| first publish | 10 s | 40 s (×4) |" in lines
    assert "| an empty node | 8 s | 4 s (×0.5) |" in lines
    assert "| a second project, the same lock | 10 s | – |" in lines


def test_the_plot_is_a_drawing_with_a_mark_for_every_ratio() -> None:
    drawing = ET.fromstring(report.plot(run()))
    marks = [node for node in drawing.iter() if node.tag.endswith("circle")]
    # One in the legend; `second` was not measured for the other way.
    assert len(marks) == 1 + len(report.BUILDS) + len(report.PULLS) - 1


def test_what_is_committed_is_what_the_results_say() -> None:
    stale = [path.name for path, text in report.files().items() if path.read_text() != text]
    assert not stale, f"run python -m benchmarks.delivery.report: {stale}"
