"""End-of-life dates, read from a stand-in of endoflife.date's API, and the catalogue's own day."""

from __future__ import annotations

from tests.refresh.world import READ, TODAY, World, ended


def test_a_date_that_moved_is_written_and_the_rest_of_the_row_stays(read_once: World) -> None:
    read_once.ends["ubuntu"][0] = ended("24.04", "2029-06-30")
    read_once.ends["python"][1] = ended("3.13", "2029-11-30")
    outcome = read_once.refresh()
    assert outcome.code == 0
    row = outcome.row("systems", "systems", name="ubuntu 24.04")
    assert row["end_of_life"] == "2029-06-30"
    assert (row["glibc"], row["source"], row["read"]) == ("2.39", "distributions", TODAY)
    row = outcome.row("python", "versions", version="3.13")
    assert (row["end_of_life"], row["source"]) == ("2029-11-30", "endoflife")
    assert outcome.row("systems", "systems", name="debian 13")["read"] == READ


def test_a_python_that_came_out_gets_a_row_and_an_announced_one_does_not(
    read_once: World,
) -> None:
    read_once.ends["python"] += [
        ended("3.15", "2031-10-31", released="2026-01-12"),
        ended("3.16", "2032-10-31", released="2027-10-01"),
        ended("3.12", "2028-10-31", released="2023-10-02"),
    ]
    outcome = read_once.refresh()
    versions = outcome.files["python"]["versions"]
    assert [row["version"] for row in versions] == ["3.15", "3.14", "3.13"]
    assert versions[0] == {
        "version": "3.15",
        "end_of_life": "2031-10-31",
        "source": "endoflife",
        "read": TODAY,
    }


def test_a_date_that_is_not_known_yet_does_not_erase_one(read_once: World) -> None:
    read_once.ends["python"][0] = ended("3.14", None)
    outcome = read_once.refresh()
    assert outcome.said == "Nothing changed.\n"
    assert outcome.row("python", "versions", version="3.14")["end_of_life"] == "2030-10-31"


def test_a_release_that_is_not_listed_is_left_to_a_person(read_once: World) -> None:
    del read_once.ends["debian"][1]
    outcome = read_once.refresh()
    assert (outcome.code, outcome.changed) == (0, [])
    assert outcome.left == ["endoflife.date does not know debian 12: look its date up."]


def test_a_product_that_is_missing_is_a_failure(read_once: World) -> None:
    read_once.publish()
    del read_once.ends["ubuntu"]
    del read_once.dates.answers["/api/v1/products/ubuntu/"]
    outcome = read_once.refresh()
    assert outcome.code == 1
    assert "404" in outcome.failed[0]
    assert "--end-of-life" in outcome.failed[0]


def test_the_day_of_the_catalogue_moves_with_a_change(world: World) -> None:
    assert world.refresh().files["calendar"] == {"as_of": TODAY, "note": "a note"}


def test_the_day_of_the_catalogue_stays_when_nothing_changed(read_once: World) -> None:
    before = read_once.refresh().files["calendar"]["as_of"]
    assert read_once.refresh(today="2026-02-20").files["calendar"]["as_of"] == before


def test_the_day_of_the_catalogue_moves_when_an_end_of_life_has_passed(read_once: World) -> None:
    """Else what has ended would be offered for as long as nothing else changes."""
    assert read_once.refresh(today="2026-07-10").changed == []
    outcome = read_once.refresh(today="2026-07-11")  # the end of life of debian 12
    assert outcome.changed == ["calendar: as_of 2026-01-15 → 2026-07-11"]


def test_the_day_of_the_catalogue_never_goes_back(read_once: World) -> None:
    read_once.ends["ubuntu"][0] = ended("24.04", "2029-06-30")
    outcome = read_once.refresh(today="2026-01-01")
    assert outcome.files["calendar"]["as_of"] == "2026-01-15"


def test_a_date_that_is_none_is_not_written(read_once: World) -> None:
    read_once.ends["ubuntu"][0] = ended("24.04", "some day")
    before = read_once.texts()
    outcome = read_once.refresh()
    assert outcome.code == 1
    assert "its answer makes no sense" in outcome.failed[0]
    assert "some day" in outcome.failed[0]
    assert outcome.texts == before
