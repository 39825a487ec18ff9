"""What package indexes say about releases, read from stand-ins of PyPI and of PyTorch's index."""

from __future__ import annotations

from typing import Any

import pytest

from tests.refresh.servers import Answer
from tests.refresh.world import TODAY, World, release, wheel


def released(outcome: Any, name: str, version: str) -> dict[str, Any]:
    """Return the row of a release."""
    return outcome.row(name, "releases", version=version)


def test_a_release_that_got_wheels_for_another_python_says_so(read_once: World) -> None:
    read_once.pages["torch"].append(wheel("torch", "2.9.1", "3.14", day="2026-01-02"))
    outcome = read_once.refresh()
    assert outcome.code == 0
    row = released(outcome, "pytorch", "2.9.1")
    assert row["pythons"] == ["3.13", "3.14"]
    assert row["released"] == "2025-12-01"
    assert row["read"] == TODAY
    assert outcome.changed == [
        "calendar: as_of 2026-01-15 → 2026-01-20",
        'pytorch: 2.9.1: pythons ["3.13"] → ["3.13", "3.14"]',
    ]


@pytest.mark.parametrize(
    "other",
    [
        wheel("torch", "2.9.1", "3.14", platform="win_amd64"),
        wheel("torch", "2.9.1", "3.14", platform="macosx_14_0_arm64"),
        wheel("torch", "2.9.1", "3.14", platform="manylinux_2_28_aarch64"),
        wheel("torch", "2.9.1", "3.14", abi="cp314t"),
        wheel("torch", "2.9.1", "3.19"),
        wheel("torch", "2.9.1", "3.14", requires="<3.14"),
        wheel("torch", "2.9.1.post1", "3.14"),
        {"filename": "torch-2.9.1.tar.gz", "url": "https://example.org/x", "hashes": {}},
        {"filename": "torch-2.9.1.win32.exe", "url": "https://example.org/x", "hashes": {}},
        {"filename": "nonsense.whl", "url": "https://example.org/x", "hashes": {}},
    ],
    ids=lambda file: file["filename"],
)
def test_a_file_that_helps_no_ordinary_python_on_linux_adds_none(
    read_once: World, other: dict[str, Any]
) -> None:
    if other.get("requires-python"):
        read_once.pages["torch"] = [wheel("torch", "2.9.1", requires="<3.14")]
    read_once.pages["torch"].append(other)
    outcome = read_once.refresh()
    assert outcome.code == 0
    assert released(outcome, "pytorch", "2.9.1")["pythons"] == ["3.13"]


def test_a_wheel_for_the_stable_abi_serves_all_newer_pythons(read_once: World) -> None:
    read_once.pages["tensorflow"] = [wheel("tensorflow", "2.20.0", "3.11", abi="abi3")]
    row = released(read_once.refresh(), "tensorflow", "2.20.0")
    assert row["pythons"] == ["3.13", "3.14"]


def test_the_pythons_of_jax_are_those_of_its_jaxlib(read_once: World) -> None:
    read_once.pages["jaxlib"] += [
        wheel("jaxlib", "0.8.1", "3.14"),
        wheel("jaxlib", "0.8.2", "3.13"),  # newer than jax, and so not its own
    ]
    assert released(read_once.refresh(), "jax", "0.8.1")["pythons"] == ["3.13", "3.14"]
    read_once.pages["jax"] = [wheel("jax", "0.8.1", "py3", requires=">=3.14")]
    assert released(read_once.refresh(), "jax", "0.8.1")["pythons"] == ["3.14"]


def test_a_withdrawn_release_is_broken_until_it_is_back(read_once: World) -> None:
    good = read_once.pages["tensorflow"]
    read_once.pages["tensorflow"] = [wheel("tensorflow", "2.20.0", yanked="it crashes")]
    outcome = read_once.refresh()
    assert outcome.code == 0
    assert released(outcome, "tensorflow", "2.20.0")["broken"] == (
        "withdrawn from the index: it crashes"
    )
    read_once.pages["tensorflow"] = good
    outcome = read_once.refresh()
    assert "broken" not in released(outcome, "tensorflow", "2.20.0")
    assert "tensorflow: 2.20.0: broken withdrawn from the index: it crashes → none" in (
        outcome.changed
    )


def test_a_release_with_one_withdrawn_file_is_not_broken(read_once: World) -> None:
    read_once.pages["tensorflow"].append(wheel("tensorflow", "2.20.0", "3.14", yanked=True))
    assert "broken" not in released(read_once.refresh(), "tensorflow", "2.20.0")


def test_a_release_that_is_gone_fails_the_run_once_and_keeps_its_row(read_once: World) -> None:
    read_once.pages["torch"] = [wheel("torch", "2.8.0")]
    outcome = read_once.refresh()
    assert outcome.code == 1
    assert any("torch 2.9.1 is offered, but gone" in line for line in outcome.failed)
    assert released(outcome, "pytorch", "2.9.1")["broken"] == "gone from the index"
    assert released(outcome, "pytorch", "2.9.1")["companions"] == {"torchvision": "0.24.1"}
    assert read_once.refresh().code == 0


def test_a_persons_reason_is_kept_whatever_the_index_says(read_once: World) -> None:
    read_once.pages["onnxruntime"] = [
        wheel("onnxruntime", "1.23.2"),
        wheel("onnxruntime", "1.22.0", yanked="another reason"),
    ]
    outcome = read_once.refresh()
    assert released(outcome, "onnxruntime", "1.22.0")["broken"] == "a person's reason"
    read_once.pages["onnxruntime"] = [wheel("onnxruntime", "1.23.2")]
    outcome = read_once.refresh()
    assert outcome.code == 0
    assert released(outcome, "onnxruntime", "1.22.0")["broken"] == "a person's reason"


def test_a_build_that_is_another_package_is_looked_for_under_its_own_name(
    read_once: World,
) -> None:
    read_once.pages["onnxruntime-gpu"] = [wheel("onnxruntime-gpu", "1.23.1")]
    outcome = read_once.refresh()
    assert outcome.code == 1
    assert "onnxruntime-gpu 1.23.2" in outcome.failed[0]
    builds = outcome.files["onnxruntime"]["builds"]
    assert [build.get("broken") for build in builds] == ["gone from the index", None, None]


def test_a_build_that_left_pytorchs_index_is_marked_and_the_others_stay(read_once: World) -> None:
    read_once.torch["cu126"] = ["torch-2.9.1+cu128-cp313-cp313-manylinux_2_28_x86_64.whl"]
    outcome = read_once.refresh()
    assert outcome.code == 1
    assert "torch 2.9.1+cu126 is offered, but gone" in outcome.failed[0]
    builds = outcome.files["pytorch"]["builds"]
    assert [build.get("broken") for build in builds] == [None, "gone from the index", None]


def test_a_folder_of_pytorchs_index_that_vanished_is_offered_no_more(read_once: World) -> None:
    page = read_once.torch.pop("cu126")
    read_once.index.answers.pop("/whl/cu126/torch/")
    outcome = read_once.refresh()
    assert outcome.code == 1
    assert len(outcome.failed) == 1
    assert "torch 2.9.1+cu126 is offered, but gone" in outcome.failed[0]
    builds = outcome.files["pytorch"]["builds"]
    assert [build.get("broken") for build in builds] == [None, "gone from the index", None]
    read_once.torch["cu126"] = page
    builds = read_once.refresh().files["pytorch"]["builds"]
    assert all("broken" not in build for build in builds)


def test_an_index_of_which_every_folder_is_missing_is_the_wrong_address(read_once: World) -> None:
    before = read_once.texts()
    for label in list(read_once.torch):
        read_once.torch.pop(label)
        read_once.index.answers.pop(f"/whl/{label}/torch/")
    outcome = read_once.refresh()
    assert outcome.code == 1
    assert {"/whl/cu126/", "/whl/cpu/"} == {
        part for line in outcome.failed for part in ("/whl/cu126/", "/whl/cpu/") if part in line
    }
    assert all("has no project torch" in line for line in outcome.failed)
    assert all("--pytorch-index" in line for line in outcome.failed)
    assert outcome.texts == before


def test_a_folder_that_an_index_refuses_to_show_is_not_taken_for_gone(read_once: World) -> None:
    before = read_once.texts()
    read_once.publish()
    del read_once.torch["cu126"]
    read_once.index.answers["/whl/cu126/torch/"] = Answer("no", 403)
    outcome = read_once.refresh()
    assert outcome.code == 1
    assert outcome.texts["pytorch"] == before["pytorch"]


def test_a_build_that_gained_wheels_for_arm_hosts_is_left_to_a_person(read_once: World) -> None:
    read_once.torch["cu126"].append("torch-2.9.1+cu126-cp313-cp313-manylinux_2_28_aarch64.whl")
    read_once.torch["cpu"].append("torch-2.9.1+cpu-cp313-cp313-manylinux_2_28_aarch64.whl")
    outcome = read_once.refresh()
    assert (outcome.code, outcome.changed) == (0, [])
    assert outcome.left == [
        "torch 2.9.1+cu126 has wheels for arm64: its hosts in pytorch.json are amd64, and should "
        "be amd64 and arm64, with their kernels."
    ]


def test_a_build_that_lost_its_wheels_for_arm_hosts_fails_the_run(read_once: World) -> None:
    with read_once.edit("pytorch") as data:
        data["builds"][1]["kernels"]["arm64"] = ["9.0"]
    outcome = read_once.refresh()
    assert outcome.code == 1
    assert outcome.failed == [
        "torch 2.9.1+cu126 is offered, but its wheels for arm64 are gone: its hosts in "
        "pytorch.json are amd64 and arm64, and should be amd64."
    ]


def test_wheels_of_another_build_say_nothing_about_this_ones_hosts(read_once: World) -> None:
    read_once.torch["cu126"].append("torch-2.9.1+cu128-cp313-cp313-manylinux_2_28_aarch64.whl")
    read_once.torch["cu126"].append("torch-2.9.1+cu126-cp313-cp313-macosx_14_0_aarch64.whl")
    assert read_once.refresh().said == "Nothing changed.\n"


def test_a_companion_that_is_gone_or_withdrawn_fails_the_run(read_once: World) -> None:
    read_once.pages["torchvision"] = [wheel("torchvision", "0.24.1", yanked="bad")]
    outcome = read_once.refresh()
    assert outcome.code == 1
    assert "torchvision 0.24.1, the companion of pytorch 2.9.1" in outcome.failed[0]
    assert "bad" in outcome.failed[0]


def test_a_new_release_without_cuda_builds_gets_its_rows(read_once: World) -> None:
    read_once.pages["scikit-learn"] += [
        wheel("scikit_learn", "1.9.0", "3.14", day="2026-01-05"),
        wheel("scikit_learn", "1.10.0rc1", "3.14", day="2026-01-05"),
        wheel("scikit_learn", "1.7.9", "3.13", day="2026-01-05"),
    ]
    outcome = read_once.refresh()
    assert outcome.code == 0
    assert outcome.files["scikit-learn"]["releases"][0] == {
        "version": "1.9.0",
        "released": "2026-01-05",
        "pythons": ["3.14"],
        "companions": {},
        "source": "pypi",
        "read": TODAY,
    }
    assert [row["version"] for row in outcome.files["scikit-learn"]["releases"]] == [
        "1.9.0",
        "1.8.0",
    ]
    new, old = outcome.files["scikit-learn"]["builds"]
    assert new == old | {
        "version": "1.9.0",
        "requirements": ["scikit-learn==1.9.0"],
        "read": TODAY,
    }


def test_a_new_release_with_cuda_builds_is_left_to_a_person(read_once: World) -> None:
    read_once.pages["torch"].append(wheel("torch", "2.10.0", "3.14"))
    outcome = read_once.refresh()
    assert (outcome.code, outcome.changed) == (0, [])
    assert outcome.left == [
        "Pytorch 2.10.0 is out (Python 3.14): add it to pytorch.json with the CUDA versions and "
        "kernels of its builds."
    ]


def test_a_release_of_this_week_is_not_taken_yet(read_once: World) -> None:
    read_once.pages["scikit-learn"].append(wheel("scikit_learn", "1.9.0", "3.14", day="2026-01-14"))
    read_once.pages["ruff"].append(wheel("ruff", "0.15.0", "py3", day="2026-01-14"))
    outcome = read_once.refresh()
    assert outcome.said == "Nothing changed.\n"
    outcome = read_once.refresh(today="2026-01-21")
    assert [row["version"] for row in outcome.files["scikit-learn"]["releases"]][0] == "1.9.0"
    assert outcome.files["tools"]["ruff"]["version"] == "0.15.0"


def test_a_tool_moves_on_and_keeps_its_note(read_once: World) -> None:
    read_once.pages["ruff"] += [
        wheel("ruff", "0.14.3", "py3"),
        wheel("ruff", "0.14.4", "py3", yanked="oops"),
        wheel("ruff", "0.13.9", "py3"),
    ]
    outcome = read_once.refresh()
    row = outcome.files["tools"]["ruff"]
    assert row["version"] == "0.14.3"
    assert row["note"] == "the newest that was a week old"
    assert outcome.files["tools"]["actions/checkout"]["pin"] == "actions/checkout@0 # v1"


def test_a_tool_never_goes_back(read_once: World) -> None:
    read_once.pages["ruff"] = [wheel("ruff", "0.13.9", "py3")]
    assert read_once.refresh().files["tools"]["ruff"]["version"] == "0.14.0"


def test_a_project_that_the_index_does_not_have_is_named(read_once: World) -> None:
    read_once.publish()
    del read_once.pages["tensorflow"]
    del read_once.index.answers["/simple/tensorflow/"]
    read_once.pages["torch"].append(wheel("torch", "2.9.1", "3.14"))
    outcome = read_once.refresh()
    assert outcome.code == 1
    assert len(outcome.failed) == 1
    assert "has no project tensorflow" in outcome.failed[0]
    assert "--index" in outcome.failed[0]
    assert released(outcome, "pytorch", "2.9.1")["pythons"] == ["3.13", "3.14"]


def test_the_wheels_of_a_python_that_the_catalogue_gains_are_counted_at_once(
    read_once: World,
) -> None:
    read_once.pages["torch"].append(wheel("torch", "2.9.1", "3.15"))
    with read_once.edit("python") as data:
        data["versions"].insert(0, data["versions"][0] | {"version": "3.15"})
    row = released(read_once.refresh(), "pytorch", "2.9.1")
    assert row["pythons"] == ["3.13", "3.15"]


def test_rows_of_older_releases_are_read_too(read_once: World) -> None:
    with read_once.edit("pytorch") as data:
        data["releases"].append(release("2.8.0", ["3.13"]))
    read_once.pages["torch"].append(wheel("torch", "2.8.0", "3.14", day="2025-08-06"))
    row = released(read_once.refresh(), "pytorch", "2.8.0")
    assert (row["pythons"], row["released"]) == (["3.14"], "2025-08-06")


def test_of_wheels_that_name_no_python_a_person_is_told_which_may_run_them(
    read_once: World,
) -> None:
    read_once.pages["xgboost"] = []
    for version, requires in (("3.2.0", ">=3.10"), ("3.3.0", ">=3.14")):
        file = wheel("xgboost", version, "py3", requires=requires)
        file["filename"] = f"xgboost-{version}-py3-none-manylinux_2_28_x86_64.whl"
        read_once.pages["xgboost"].append(file)
    outcome = read_once.refresh()
    assert released(outcome, "xgboost", "3.2.0")["pythons"] == ["3.13"]
    (told,) = outcome.left
    assert "3.3.0 is out (Python 3.14?" in told
