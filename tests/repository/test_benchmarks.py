"""The tables and plots of benchmarks/ are what the committed figures say."""

from __future__ import annotations

import copy
import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from benchmarks import report
from benchmarks.updates import cuda
from benchmarks.updates import report as updates
from tests.support import projects

FOLDER = projects.ROOT / "benchmarks"

measured = pytest.mark.skipif(
    not report.results(), reason="no results are committed yet: benchmarks/README.md"
)
RIVALS = sorted(FOLDER.glob("rivals/*/Dockerfile"))


# Without the runs that measured the cold build alone.
WHOLE = [document for document in report.results() if report.seconds(document, "drydock", "noop")]


def sizes(document: dict, scenario: str) -> list[int]:
    return [s["new_bytes"] for s in document["contenders"]["drydock"]["scenarios"][scenario]]


@measured
def test_the_tables_and_plots_are_made_from_the_committed_results() -> None:
    stale = [path.name for path, text in report.files().items() if path.read_text() != text]
    assert not stale, f"run python -m benchmarks.report: {stale}"


@pytest.mark.parametrize("module", [updates, cuda])
def test_the_tables_of_the_updates_are_made_from_the_committed_results(module) -> None:
    made = module.page(json.loads(module.RESULTS.read_text()))
    assert made.strip() in (FOLDER / "updates" / "README.md").read_text()


@measured
def test_another_figure_gives_another_table_and_another_plot() -> None:
    document = WHOLE[0]
    other = copy.deepcopy(document)
    for sample in other["contenders"]["pip"]["scenarios"]["cold"]:
        sample["seconds"] *= 3
    assert report.table(other) != report.table(document)
    assert report.plot(other) != report.plot(document)


@measured
@pytest.mark.parametrize("document", WHOLE, ids=lambda one: one["workload"])
def test_the_plot_is_a_drawing_with_a_mark_for_every_ratio(document: dict) -> None:
    drawing = ET.fromstring(report.plot(document))
    shapes = [node for node in drawing.iter() if node.tag.rpartition("}")[2] in SHAPES]
    rivals = [name for name in report.contenders(document) if name != report.OURS]
    keys = [*report.ROWS, *report.STARTS, "image_bytes"]
    figures = sum(report.middle(document, name, key) is not None for name in rivals for key in keys)
    assert len(shapes) == figures + len(rivals)


SHAPES = {"circle", "rect", "polygon"}


@measured
@pytest.mark.parametrize("document", WHOLE, ids=lambda one: one["workload"])
def test_a_new_version_and_a_dev_dependency_add_no_byte_and_install_nothing(document: dict) -> None:
    for scenario in ("version", "dev"):
        assert set(sizes(document, scenario)) == {0}
        samples = document["contenders"]["drydock"]["scenarios"][scenario]
        assert not any(sample["installed"] for sample in samples)


@measured
@pytest.mark.parametrize("document", report.results(), ids=lambda one: one["workload"])
def test_the_results_name_machine_date_and_command_and_no_path_of_it(document: dict) -> None:
    text = json.dumps(document)
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", document["date"])
    workload = document["workload"].removesuffix("-cold")
    # A result keeps the command of its day; until 0.3.0 the benchmark was run by its path.
    way = r"uv run (?:benchmarks/run\.py|python -m benchmarks\.run)"
    assert re.match(rf"{way} --workload {workload}\b", document["command"])
    assert document["machine"]["cores"] > 0
    assert not re.search(r'"/(?:root|home|tmp|work)/', text)


@pytest.mark.parametrize("dockerfile", RIVALS, ids=lambda path: path.parent.name)
def test_a_rival_says_what_it_stands_for_and_has_no_error(dockerfile: Path) -> None:
    assert dockerfile.read_text().startswith("# Stands for ")
    projects.run(
        projects.tool("hadolint"), "--failure-threshold", "error", dockerfile, cwd=projects.ROOT
    )
    assert f"](rivals/{dockerfile.parent.name}/Dockerfile)" in (FOLDER / "README.md").read_text()
