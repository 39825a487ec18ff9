"""The command itself: what it shows, what it writes, what it refuses."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scripts.refresh.command import CATALOGUE, main
from scripts.refresh.rows import HAND_WRITTEN, Catalogue, insert, laid_out, newest_first
from tests.refresh.world import TODAY, World, small_catalogue, wheel, write

ROOT = Path(__file__).parents[2]


def test_a_dry_run_shows_the_change_and_writes_nothing(world: World) -> None:
    before = world.texts()
    shown = world.refresh("--dry-run")
    assert shown.code == 0
    assert shown.texts == before
    assert "## Would change" in shown.said
    written = world.refresh()
    assert written.changed == shown.changed
    assert written.texts != before


def test_a_dry_run_fails_like_a_real_one(read_once: World) -> None:
    before = read_once.texts()
    read_once.registry.delete("docker:29-cli")
    outcome = read_once.refresh("--dry-run")
    assert outcome.code == 1
    assert outcome.texts == before


def test_the_summary_is_what_is_shown(world: World, tmp_path: Path) -> None:
    file = tmp_path / "summary.md"
    outcome = world.refresh("--summary", str(file))
    assert file.read_text("utf-8") == outcome.said


def test_it_runs_from_the_root_as_the_manual_says(world: World) -> None:
    world.publish()
    command = [sys.executable, "-m", "scripts.refresh", *world.arguments()]
    assert "python -m scripts.refresh" in (ROOT / "docs" / "refresh.md").read_text("utf-8")
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert "digest none → sha256:" in done.stdout
    row = json.loads(world.texts()["uv"])["uv"][0]
    assert row["digest"] == world.digests["astral-sh/uv:0.9.8"]


def test_every_file_keeps_one_row_a_line_and_nothing_is_left_beside_it(world: World) -> None:
    outcome = world.refresh()
    for name, text in outcome.texts.items():
        assert text == laid_out(outcome.files[name])
    assert {path.suffix for path in world.folder.iterdir()} == {".json"}


def test_what_is_shown_names_the_new_rows_with_their_facts(read_once: World) -> None:
    read_once.push("python:3.14-slim-trixie")
    outcome = read_once.refresh()
    line = next(line for line in outcome.changed if "is new" in line)
    assert line.startswith("python: python:3.14-slim-trixie is new: ")
    assert "os debian 13" in line


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--catalogue", "/nowhere"], "holds no catalogue"),
        (["--index", "pypi.org"], "write it as https://host/path"),
        (["--registry", "quay.io=https://quay.io"], "write docker.io or ghcr.io, and =URL"),
        (["--registry", "docker.io=http://x/proxy"], "write the registry's host alone"),
        (["--registry", "docker.io"], "write it as https://host/path"),
        (["--today", "tomorrow"], "--today"),
    ],
)
def test_a_bad_option_is_refused_with_a_sentence(
    arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    assert sentence in capsys.readouterr().err


words = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1, max_size=20)
HAND = ("note", "reason", "refused", "inferred")
names = st.sampled_from(HAND) | words.filter(lambda name: name not in ("source", "read"))


@settings(max_examples=25)
@given(field=st.sampled_from(HAND), text=words, facts=st.dictionaries(names, words, max_size=3))
def test_what_people_wrote_survives_any_update(
    tmp_path_factory: pytest.TempPathFactory, field: str, text: str, facts: dict[str, str]
) -> None:
    folder = tmp_path_factory.mktemp("catalogue")
    files = small_catalogue()
    for rows in files["nvidia-cuda"].values():
        for row in rows:
            row[field] = text
    write(folder, files)
    catalogue = Catalogue(folder, date.fromisoformat(TODAY))
    row = catalogue.rows("nvidia-cuda", "images")[0]
    if HAND_WRITTEN & facts.keys():
        with pytest.raises(ValueError, match="written by people"):
            catalogue.update(row, "registry", **facts)
    else:
        catalogue.update(row, "registry", **facts)
    catalogue.write()
    again = json.loads((folder / "nvidia-cuda.json").read_text("utf-8"))
    assert all(row[field] == text for rows in again.values() for row in rows)


def test_hand_written_fields_survive_a_run_in_which_every_row_changes(world: World) -> None:
    written = {}
    for name, section in (
        ("nvidia-cuda", "images"),
        ("nvidia-cuda", "rules"),
        ("pytorch", "releases"),
        ("uv", "uv"),
        ("systems", "systems"),
    ):
        with world.edit(name) as data:
            for place, row in enumerate(data[section]):
                row["note"] = f"note {place}"
                row["reason"] = f"reason {place}"
        written[name, section] = [(row["note"], row["reason"]) for row in data[section]]
    world.pages["torch"].append(wheel("torch", "2.9.1", "3.14"))
    outcome = world.refresh()
    for (name, section), texts in written.items():
        rows = outcome.files[name][section]
        assert [(row["note"], row["reason"]) for row in rows] == texts


def test_a_row_that_did_not_change_keeps_its_day_and_its_source(world: World) -> None:
    catalogue = Catalogue(world.folder, date.fromisoformat(TODAY))
    row = catalogue.rows("systems", "systems")[0]
    assert not catalogue.update(row, "elsewhere", end_of_life=row["end_of_life"])
    assert catalogue.changes() == []
    assert catalogue.write() == []
    assert row["source"] == "distributions"


@given(st.lists(st.tuples(st.integers(1, 30), st.integers(0, 30)), unique=True, min_size=1))
def test_a_row_is_inserted_where_its_rank_is_and_the_others_keep_their_order(
    numbers: list[tuple[int, int]],
) -> None:
    rows = [{"version": f"{major}.{minor}"} for major, minor in sorted(numbers, reverse=True)]
    new = rows.pop(len(rows) // 2)
    before = list(rows)
    insert(rows, new, lambda row: newest_first(row["version"]))
    assert [row for row in rows if row is not new] == before
    ranks = [newest_first(row["version"]) for row in rows]
    assert ranks == sorted(ranks)


def test_the_real_catalogue_is_read_and_written_as_it_is(tmp_path: Path) -> None:
    for path in CATALOGUE.glob("*.json"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    catalogue = Catalogue(tmp_path, date.fromisoformat("2030-01-01"))
    assert catalogue.changes() == []
    for name, data in catalogue.files.items():
        assert laid_out(data) == (CATALOGUE / f"{name}.json").read_text("utf-8")
