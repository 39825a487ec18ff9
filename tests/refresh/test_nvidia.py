"""Driver branches and CUDA releases, read from a stand-in of NVIDIA's lists.

The stand-in answers in the form that copies of releases.json (2026-09-28) and of the listing of
redistrib_*.json have.
"""

from __future__ import annotations

import pytest

from tests.refresh.servers import Answer
from tests.refresh.world import World, driver_branch


def test_a_new_driver_branch_is_left_to_a_person_with_its_kind_and_day(read_once: World) -> None:
    read_once.drivers["620"] = driver_branch("lts branch", ("620.70.06", "2026-01-14"))
    outcome = read_once.refresh()
    assert (outcome.code, outcome.changed) == (0, [])
    assert outcome.left == [
        "NVIDIA lists the driver branch 620 (620.70.06 of 2026-01-14), of the kind long-term: "
        "add it to drivers.json, with its CUDA and its end of life."
    ]


def test_a_branch_older_than_all_rows_is_not_missed(read_once: World) -> None:
    assert "460" in read_once.drivers
    assert read_once.refresh().left == []


def test_the_newest_release_of_a_branch_is_told_and_not_the_first_listed(read_once: World) -> None:
    read_once.drivers["620"] = driver_branch(
        "mystery branch", ("620.9.1", "2026-01-10"), ("620.70.06", "")
    )
    assert "(620.70.06 of no day), of the kind unknown" in read_once.refresh().left[0]


def test_a_branch_of_another_kind_is_left_to_a_person(read_once: World) -> None:
    read_once.drivers["590"]["type"] = "production branch"
    (sentence,) = read_once.refresh().left
    assert "590" in sentence
    assert "as production, and drivers.json as new-feature" in sentence


@pytest.mark.parametrize(
    ("day", "moved"), [("2026-12-31", False), ("2027-01-01", True), ("", False)]
)
def test_a_branch_that_lives_longer_than_its_row_says_is_left_to_a_person(
    read_once: World, day: str, moved: bool
) -> None:
    read_once.drivers["590"] = driver_branch("new feature branch", ("590.60.01", day))
    left = read_once.refresh(today="2027-01-02").left
    assert any("after its end of life, 2026-12" in line for line in left) is moved


def test_a_branch_that_is_no_longer_listed_is_left_to_a_person(read_once: World) -> None:
    del read_once.drivers["590"]
    assert read_once.refresh().left == [
        "NVIDIA no longer lists the driver branch 590: look its end of life up."
    ]


def test_a_new_cuda_is_left_to_a_person_with_its_newest_patch(read_once: World) -> None:
    read_once.toolkits += ["13.10.0", "13.10.2", "13.10.1", "12.9.1"]
    assert read_once.refresh().left == [
        "CUDA 13.10 is out (13.10.2): add it to the toolkits of nvidia-cuda.json, with the "
        "capabilities that its compiler knows."
    ]


@pytest.mark.parametrize(
    "answer",
    [
        Answer([1, 2]),
        Answer({"620": {"type": "lts branch", "driver_info": []}}),
        Answer({"620": {"type": [], "driver_info": [{"release_version": "620.1"}]}}),
        Answer({"620": driver_branch("lts branch", ("621.70.06", "2026-01-14"))}),
        Answer({"620": driver_branch("lts branch", ("620.70\n.06", "2026-01-14"))}),
        Answer({"620": driver_branch("lts branch", ("620.70.06", "soon"))}),
        Answer({"٦٢٠": driver_branch("lts branch", ("٦٢٠.70.06", "2026-01-14"))}),
        Answer("gone", 404),
        Answer("[" * 100_000),
    ],
    ids=lambda answer: str(answer.body)[:60],
)
def test_a_list_of_drivers_that_makes_no_sense_is_told_and_the_toolkits_are_read(
    read_once: World, answer: Answer
) -> None:
    read_once.toolkits.append("13.1.0")
    read_once.instead["/releases.json"] = answer
    outcome = read_once.refresh()
    assert outcome.code == 1
    (sentence,) = outcome.failed
    assert "--drivers URL" in sentence
    assert [line[:12] for line in outcome.left] == ["CUDA 13.1 is"]


def test_a_listing_without_a_manifest_is_no_list_of_toolkits(read_once: World) -> None:
    read_once.toolkits = []
    (sentence,) = read_once.refresh().failed
    assert "names no redistrib_X.Y.Z.json" in sentence
    assert "--toolkits URL" in sentence
