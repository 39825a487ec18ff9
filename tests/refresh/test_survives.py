"""Whatever a source says, the run ends with a summary, and what is written fits the schema."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scripts.refresh.command import CATALOGUE
from scripts.refresh.rows import SCHEMA, misfits, one_line
from tests.refresh.servers import Answer, StandIn
from tests.refresh.world import HTML, JSON, Outcome, World, ended, small_catalogue, wheel, write

# --- versions and names -------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["1.8.0.post1", "1.9.0.post2", "1!0.1", "1!1.8.0"])
def test_a_release_that_is_no_plain_number_is_left_to_a_person_and_the_rest_goes_on(
    read_once: World, version: str
) -> None:
    read_once.pages["scikit-learn"].append(wheel("scikit_learn", version))
    read_once.pages["tensorflow"].append(wheel("tensorflow", "2.20.0", "3.14"))
    outcome = read_once.refresh()
    assert outcome.code == 0
    assert outcome.left == [
        f"scikit-learn {version} is out, which is no plain release number: if it is wanted, "
        "write it by hand."
    ]
    assert version not in outcome.texts["scikit-learn"]
    assert outcome.files["tensorflow"]["releases"][0]["pythons"] == ["3.13", "3.14"]


@pytest.mark.parametrize("version", ["1.9.0.dev1", "1.9.0rc1", "1.9.0a1.post1", "1.8.0+local.1"])
def test_what_comes_before_a_release_and_what_is_local_is_no_news(
    read_once: World, version: str
) -> None:
    read_once.pages["scikit-learn"].append(wheel("scikit_learn", version))
    assert read_once.refresh().said == "Nothing changed.\n"


def test_a_plain_release_is_taken_beside_a_post_release(read_once: World) -> None:
    read_once.pages["ruff"] += [
        wheel("ruff", version, "py3") for version in ("0.14.0.post1", "0.14.1", "0.14.0.post2")
    ]
    outcome = read_once.refresh()
    assert outcome.files["tools"]["ruff"]["version"] == "0.14.1"
    assert outcome.left == []


def test_a_post_release_of_uv_moves_nothing_and_its_digest_is_read(read_once: World) -> None:
    read_once.pages["uv"].append(wheel("uv", "0.9.8.post1", "py3"))
    digest = read_once.push("astral-sh/uv:0.9.8", content="rebuilt")
    outcome = read_once.refresh()
    assert outcome.code == 0
    row = outcome.files["uv"]["uv"][0]
    assert (row["version"], row["build"]) == ("0.9.8", "uv_build>=0.9,<0.10")
    assert row["digest"] == digest
    assert "uv 0.9.8.post1 is out" in outcome.left[0]


@pytest.mark.parametrize(
    "name", ["3.16-rc1", "3.99\n", "٤.٠", "４.٠", "3.16.1", "3", "", "3.x", "3." + "9" * 5000]
)
def test_a_name_that_is_no_python_version_gets_no_row_and_the_rest_goes_on(
    read_once: World, name: str
) -> None:
    read_once.ends["python"].insert(0, ended(name, "2031-10-31", released="2026-01-01"))
    read_once.ends["ubuntu"][0] = ended("24.04", "2029-06-30")
    outcome = read_once.refresh()
    assert outcome.code == 0
    assert [row["version"] for row in outcome.files["python"]["versions"]] == ["3.14", "3.13"]
    assert len(outcome.left) == 1
    assert "lists a Python" in outcome.left[0]
    assert outcome.row("systems", "systems", name="ubuntu 24.04")["end_of_life"] == "2029-06-30"


def test_a_python_that_is_only_announced_may_be_named_as_it_likes(read_once: World) -> None:
    read_once.ends["python"].append(ended("3.16-rc1", None, released=None))
    assert read_once.refresh().said == "Nothing changed.\n"


def test_a_python_of_which_the_name_is_no_minor_takes_the_step_back(read_once: World) -> None:
    """3.016 is 3.16 to PEP 440, but no tag and no wheel is called so."""
    read_once.ends["python"].append(ended("3.016", "2031-10-31", released="2026-01-01"))
    read_once.ends["ubuntu"][0] = ended("24.04", "2029-06-30")
    outcome = read_once.refresh()
    assert outcome.code == 1
    assert outcome.failed[0].startswith("The new Pythons: a source says what cannot be (python/")
    assert "3.016" not in outcome.texts["python"]
    assert outcome.row("systems", "systems", name="ubuntu 24.04")["end_of_life"] == "2029-06-30"


def test_a_release_that_does_not_fit_takes_its_builds_back_with_it(read_once: World) -> None:
    """The extension joins each build with its release, and stops at one that has none."""
    read_once.pages["scikit-learn"] += [
        wheel("scikit_learn", "1.9.0.0.0.0.1"),
        wheel("scikit_learn", "1.8.0", "3.15"),
    ]
    read_once.pages["tensorflow"].append(wheel("tensorflow", "2.20.0", "3.14"))
    before = read_once.texts()
    outcome = read_once.refresh()
    assert outcome.code == 1
    (sentence,) = outcome.failed
    assert "The rows of scikit-learn" in sentence
    assert "'1.9.0.0.0.0.1' is not a release number" in sentence
    assert outcome.texts["scikit-learn"] == before["scikit-learn"]
    assert outcome.files["tensorflow"]["releases"][0]["pythons"] == ["3.13", "3.14"]


def test_a_file_that_demands_no_python_known_to_man_adds_none(read_once: World) -> None:
    read_once.pages["tensorflow"] = [
        wheel("tensorflow", "2.20.0"),
        wheel("tensorflow", "2.20.0", "3.14"),
    ]
    for file in read_once.pages["tensorflow"]:
        file["requires-python"] = ">>=3 or so"
    assert read_once.refresh().said == "Nothing changed.\n"


def test_a_day_in_another_form_of_iso_8601_is_not_written(read_once: World) -> None:
    read_once.ends["ubuntu"][0] = ended("24.04", "20290630")
    before = read_once.texts()
    outcome = read_once.refresh()
    assert outcome.code == 1
    assert "'20290630' is not a day" in outcome.failed[0]
    assert outcome.texts == before


# --- text ---------------------------------------------------------------------------------------

REASON = "bad\n\n## Merge me\n\n- @everyone #1 <img src=x> [a](javascript:b) `c` \u202e\x1b[31m\x00"


def plain(outcome: Outcome) -> None:
    """Assert that a summary is headings of ours and lines of code, and nothing else."""
    lines = [line for line in outcome.said.splitlines() if line]
    for line in lines:
        assert line == "Nothing changed." or re.fullmatch(
            r"## (Failed|For a person|Changed) \([0-9]+\)|- `[^`]{1,1000}`", line
        ), line
        assert line.isprintable()


def test_a_reason_of_several_lines_stays_one_line_of_code(read_once: World) -> None:
    read_once.pages["tensorflow"] = [wheel("tensorflow", "2.20.0", yanked=REASON)]
    outcome = read_once.refresh()
    plain(outcome)
    reason = outcome.row("tensorflow", "releases", version="2.20.0")["broken"]
    assert reason == (
        "withdrawn from the index: bad ## Merge me - @everyone #1 <img src=x> "
        "[a](javascript:b) `c` [31m"
    )
    assert sum("## Merge me" in line for line in outcome.said.splitlines()) == 1


def test_a_reason_without_end_is_cut(read_once: World) -> None:
    read_once.pages["torchvision"] = [wheel("torchvision", "0.24.1", yanked="x" * 10_000)]
    read_once.pages["tensorflow"] = [wheel("tensorflow", "2.20.0", yanked="y" * 10_000)]
    outcome = read_once.refresh()
    plain(outcome)
    assert len(outcome.row("tensorflow", "releases", version="2.20.0")["broken"]) < 250
    assert max(map(len, outcome.said.splitlines())) < 500


@given(st.text(max_size=2000), st.integers(1, 400))
def test_any_text_becomes_one_line_of_bounded_length(text: str, longest: int) -> None:
    line = one_line(text, longest)
    assert len(line) <= longest
    assert line.isprintable()
    assert line.strip() == line
    assert one_line(line, longest) == line


# --- the schema ---------------------------------------------------------------------------------


def shipped() -> dict[str, Any]:
    """The files of the committed catalogue."""
    return {path.stem: json.loads(path.read_text("utf-8")) for path in CATALOGUE.glob("*.json")}


def test_the_committed_catalogue_fits_the_schema() -> None:
    assert misfits(shipped()) == []


def test_the_small_catalogue_of_these_tests_fits_the_schema() -> None:
    assert misfits(small_catalogue()) == []


def nodes(schema: Any) -> Iterator[dict[str, Any]]:
    """Every object in a schema."""
    if isinstance(schema, dict):
        yield schema
        for each in schema.values():
            yield from nodes(each)
    elif isinstance(schema, list):
        for each in schema:
            yield from nodes(each)


def test_the_schema_lets_no_unknown_key_in_and_its_patterns_hold_for_all_of_a_text() -> None:
    rows = [node for node in nodes(SCHEMA) if node.get("type") == "object"]
    assert len(rows) > 20
    assert all("additionalProperties" in node for node in rows)
    assert all(node["additionalProperties"] is False for node in rows if "properties" in node)
    patterns = [node["pattern"] for node in nodes(SCHEMA) if isinstance(node.get("pattern"), str)]
    assert len(patterns) > 20
    for pattern in patterns:
        assert pattern.startswith("^")
        assert pattern.endswith("$")
        # Both mean the digits and letters of every script.
        assert not re.search(r"\\[dwDW]", pattern), pattern


def test_every_file_of_the_catalogue_is_in_the_schema() -> None:
    assert set(shipped()) <= set(SCHEMA["properties"])
    assert misfits({"another": {}}) != []


@pytest.mark.parametrize(
    ("file", "section", "key", "value"),
    [
        ("python", "versions", "version", "3.99\n"),
        ("python", "versions", "version", "٤.٠"),
        ("python", "versions", "version", "４.٠"),
        ("python", "versions", "version", "3.14-rc1"),
        ("python", "versions", "end_of_life", "2030-02-30"),
        ("python", "versions", "end_of_life", False),
        ("python", "versions", "unknown", "key"),
        ("python", "images", "image", "python:3.13-slim-trixie\n"),
        ("python", "images", "digest", "sha256:abc"),
        ("python", "images", "status", "offered"),
        ("scikit-learn", "releases", "version", "1.9.1.post1"),
        ("scikit-learn", "releases", "broken", "two\nlines"),
        ("scikit-learn", "releases", "released", "yesterday"),
        ("scikit-learn", "builds", "requirements", ["x; import os"]),
        ("drivers", "branches", "branch", "590"),
        ("drivers", "branches", "branch", True),
        ("nvidia-cuda", "rules", "driver_branches", [True]),
        ("nvidia-cuda", "images", "cudnn", "9"),
        ("uv", "uv", "image", "ghcr.io/astral-sh/uv:latest"),
    ],
)
def test_a_row_with_a_value_of_another_kind_does_not_fit(
    file: str, section: str, key: str, value: Any
) -> None:
    files = small_catalogue()
    assert misfits(files) == []
    files[file][section][0][key] = value
    assert misfits(files) != []


# --- any answer at all --------------------------------------------------------------------------

TEXTS = st.sampled_from(
    ["1.8.0.post1", "1!2.0", "9.9rc1", "3.16-rc1", "3.99\n", "٤.٠", "４.٠", "3.014", "99.99"]
    + ["", " ", "\x00", "\ud800", "9" * 5000, "x" * 5000, REASON, "../../etc/passwd", "sha256:0"]
    + ["2026-13-01", "20260101", "2026-W01-1", "9999-12-31", "NaN", "cuda>=13.0", "9.9", "13.9.9"]
    + ["13.1.0-base-ubuntu24.04", "3.14-slim-trixie", "１３.1.0-base-ubuntu24.04", "3.14-slim-x\n"]
)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | TEXTS | st.text(max_size=8)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every place in a document: what holds it, and its key there."""
    for key in value if isinstance(value, dict) else range(len(value)):
        yield value, key
        if isinstance(value[key], (dict, list)):
            yield from places(value[key])


@st.composite
def damaged(draw: st.DrawFn, document: Callable[[], Any]) -> Any:
    """A document in which a few values, keys or items are others."""
    whole = [document()]
    for _ in range(draw(st.integers(1, 4))):
        holder, key = draw(st.sampled_from(list(places(whole))))
        how = draw(st.sampled_from(["replace", "remove", "rename", "repeat"]))
        if how == "remove" and holder is not whole:
            del holder[key]
        elif how == "rename" and isinstance(holder, dict):
            holder[draw(TEXTS)] = holder.pop(key)
        elif how == "repeat" and isinstance(holder[key], list) and holder[key]:
            holder[key].append(draw(st.sampled_from(holder[key])))
        else:
            holder[key] = draw(VALUES)
    return whole[0]


def page() -> dict[str, Any]:
    """A page of the index that has news of every kind."""
    versions = ["1.8.0", "1.9.0", "1.9.1.post1", "0.14.1", "2.20.0", "0.9.9", "2.9.1"]
    files = [wheel("project", version) for version in versions]
    files.append(wheel("project", "1.8.0", "3.14", yanked=REASON, requires=">=3.9"))
    files[-1] |= {"url": "/files/project.whl", "core-metadata": {"sha256": "a" * 64}}
    return {"meta": {"api-version": "1.0"}, "name": "project", "files": files}


def life() -> dict[str, Any]:
    """An answer of endoflife.date that has news."""
    releases = [ended("3.15", "2031-10-31"), ended("3.14", "2030-11-30"), ended("24.04", None)]
    return {"schema_version": "1.2.0", "result": {"name": "x", "releases": releases}}


def tags() -> dict[str, Any]:
    """A list of tags that has news."""
    new = ["3.14-slim-trixie", "13.1.0-base-ubuntu24.04", "13.0.4-cudnn-devel-ubuntu24.04"]
    return {"name": "library/python", "tags": ["3.13-slim-trixie", *new]}


def drivers() -> dict[str, Any]:
    """A releases.json that has news."""
    info = {"release_version": "620.70.06", "release_date": "2026-11-04"}
    return {"620": {"type": "lts branch", "driver_info": [info]}}


@pytest.fixture
def alone(world: World) -> Iterator[tuple[World, StandIn]]:
    """The world, and a stand-in of a registry beside its real one."""
    with StandIn() as registry:
        yield world, registry


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    project=damaged(page),
    product=damaged(life),
    listed=damaged(tags),
    branches=damaged(drivers),
    digest=st.sampled_from(["sha256:" + "a" * 64, "sha256:" + "a" * 64 + " ", "sha256:b", ""]),
    link=TEXTS.filter(str.isprintable),
    which=st.sets(st.sampled_from(["index", "dates", "registry", "nvidia"]), min_size=1),
)
def test_no_answer_ends_the_run_or_gets_a_row_that_does_not_fit(
    alone: tuple[World, StandIn],
    project: Any,
    product: Any,
    listed: Any,
    branches: Any,
    digest: str,
    link: str,
    which: set[str],
) -> None:
    world, registry = alone
    write(world.folder, small_catalogue())
    world.instead = {}
    more = ["--attempts", "1"]
    if "index" in which:
        for name in world.pages:
            world.instead[f"/simple/{name}/"] = Answer(json.dumps(project), headers=JSON)
        anchor = f"<a href='x' data-requires-python='{link}'>torch-{link}-cp313-cp313-linux.whl</a>"
        world.instead["/whl/cu126/torch/"] = Answer(anchor, headers=HTML)
    if "dates" in which:
        for name in world.ends:
            world.instead[f"/api/v1/products/{name}/"] = Answer(json.dumps(product))
    if "nvidia" in which:
        world.instead["/releases.json"] = Answer(json.dumps(branches))
        listing = f"<a href='redistrib_{link}.json'>"
        world.instead["/redist/"] = Answer(listing, headers=HTML)
    if "registry" in which:
        registry.everything = Answer(
            json.dumps(listed), headers={"Docker-Content-Digest": digest or "x"}
        )
        for name in ("docker.io", "ghcr.io"):
            more += ["--registry", f"{name}={registry.address}"]
    outcome = world.refresh(*more)
    assert outcome.code in (0, 1)
    plain(outcome)
    assert misfits(outcome.files) == []
    for name, data in small_catalogue().items():
        for section, rows in data.items():
            if isinstance(rows, list) and name != "sources":
                assert len(outcome.files[name][section]) >= len(rows)


def test_the_summary_is_written_when_a_source_says_nonsense(world: World, tmp_path: Path) -> None:
    world.instead["/simple/scikit-learn/"] = Answer({"files": 1}, headers=JSON)
    file = tmp_path / "summary.md"
    outcome = world.refresh("--summary", str(file))
    assert outcome.code == 1
    assert file.read_text("utf-8") == outcome.said
    plain(outcome)
