"""Tags, digests and driver rules, read from a real registry."""

from __future__ import annotations

import pytest

from scripts.refresh.images import build_bound, driver_rule
from scripts.refresh.registry import split
from tests.refresh.world import BRANDS, GEFORCE, TODAY, World, demand, wheel

TRIXIE = "python:3.13-slim-trixie"
BOOKWORM = "python:3.13-slim-bookworm"
CUDA_13 = "nvidia/cuda:13.0.3-base-ubuntu24.04"
CUDNN = "nvidia/cuda:13.0.3-cudnn-runtime-ubuntu24.04"
CUDA_12 = "nvidia/cuda:12.8.1-base-ubuntu24.04"
CUDA_12_OLD_UBUNTU = "nvidia/cuda:12.8.1-base-ubuntu22.04"


def test_a_first_refresh_writes_the_digest_of_the_whole_image_into_every_row(world: World) -> None:
    outcome = world.refresh()
    assert outcome.code == 0, outcome.said
    for image in (TRIXIE, BOOKWORM, CUDA_13, CUDNN, CUDA_12, CUDA_12_OLD_UBUNTU):
        row = outcome.image(image)
        assert row["digest"] == world.digests[image]
        assert (row["source"], row["read"]) == ("registry", TODAY)
    uv = outcome.files["uv"]["uv"][0]
    assert uv["digest"] == world.digests["astral-sh/uv:0.9.8"]
    assert outcome.failed == outcome.left == []


def test_the_digest_is_the_one_by_which_the_image_can_be_pulled(world: World) -> None:
    digest = world.refresh().image(TRIXIE)["digest"]
    pulled, _ = world.registry.repository("library/python").get_manifest_and_response(digest)
    assert '"amd64"' in pulled
    assert '"arm64"' in pulled


def test_a_second_refresh_changes_nothing_and_leaves_every_file_as_it_is(read_once: World) -> None:
    before = read_once.texts()
    outcome = read_once.refresh()
    assert outcome.said == "Nothing changed.\n"
    assert outcome.texts == before


def test_a_tag_that_moved_changes_its_row_and_no_other(read_once: World) -> None:
    before = read_once.texts()
    old = read_once.digests[TRIXIE]
    new = read_once.push(TRIXIE, content="rebuilt with a fix")
    outcome = read_once.refresh()
    assert outcome.code == 0
    assert outcome.image(TRIXIE)["digest"] == new != old
    assert outcome.image(TRIXIE)["read"] == TODAY
    assert outcome.image(TRIXIE)["note"] == "written by a person"
    assert outcome.image(BOOKWORM)["read"] != TODAY
    lines = [set(texts["python"].splitlines()) for texts in (before, outcome.texts)]
    assert len(lines[1] - lines[0]) == 1
    assert {name for name in before if before[name] != outcome.texts[name]} == {
        "python",
        "calendar",
    }
    assert f"python: {TRIXIE}: digest {old[:19]} → {new[:19]}" in outcome.changed


def test_an_offered_tag_that_is_gone_fails_the_run_and_keeps_its_row(read_once: World) -> None:
    read_once.registry.delete(CUDA_12)
    read_once.registry.delete(BOOKWORM)
    outcome = read_once.refresh()
    assert outcome.code == 1
    assert len(outcome.failed) == 2
    for image in (CUDA_12, BOOKWORM):
        assert any(image in line and "gone" in line and "merge" in line for line in outcome.failed)
        assert outcome.image(image)["status"] == "gone"
        assert outcome.image(image)["digest"] == read_once.digests[image]
    assert outcome.image(CUDA_12_OLD_UBUNTU)["status"] == "current"


def test_a_row_that_is_gone_fails_no_later_run(read_once: World) -> None:
    read_once.registry.delete(CUDA_12)
    read_once.registry.delete(BOOKWORM)
    assert read_once.refresh().code == 1
    outcome = read_once.refresh()
    assert outcome.code == 0
    assert outcome.said == "Nothing changed.\n"


def test_a_tag_that_came_back_is_offered_again(read_once: World) -> None:
    for image in (CUDA_12, BOOKWORM):
        read_once.registry.delete(image)
    read_once.refresh()
    new = read_once.push(BOOKWORM, content="back")
    read_once.push_cuda("12.8.1-base-ubuntu24.04", [470, 535])
    outcome = read_once.refresh()
    assert outcome.code == 0
    assert outcome.image(BOOKWORM)["status"] == "current"
    assert outcome.image(BOOKWORM)["digest"] == new
    assert outcome.image(CUDA_12)["status"] == "current"


def test_a_tag_that_was_not_offered_is_marked_without_failing(read_once: World) -> None:
    with read_once.edit("nvidia-cuda") as data:
        data["images"][2]["status"] = "superseded"
    read_once.registry.delete(CUDA_12)
    outcome = read_once.refresh()
    assert outcome.code == 0
    assert outcome.image(CUDA_12)["status"] == "gone"


def test_an_inferred_tag_that_the_registry_has_is_confirmed(world: World) -> None:
    outcome = world.refresh()
    assert outcome.image(CUDNN)["status"] == "current"
    assert outcome.image(CUDNN)["source"] == "registry"


def test_an_inferred_tag_that_the_registry_lacks_is_gone_and_fails_nothing(world: World) -> None:
    world.registry.delete(CUDNN)
    outcome = world.refresh()
    assert outcome.code == 0
    assert outcome.image(CUDNN)["status"] == "gone"
    assert outcome.image(CUDNN)["source"] == "registry"


def test_a_source_that_no_row_names_any_more_goes_and_the_registry_comes(world: World) -> None:
    names = [row["name"] for row in world.refresh().files["sources"]["sources"]]
    assert "registry" in names
    assert "inferred" not in names
    assert "nvidia-list" not in names
    assert "pypi" in names


def test_a_new_tag_of_a_release_gets_a_row_in_its_place(read_once: World) -> None:
    digest = read_once.push_cuda("13.0.3-base-ubuntu22.04", [535])
    cudnn = read_once.push_cuda("13.0.3-cudnn-devel-ubuntu24.04", [535])
    outcome = read_once.refresh()
    assert outcome.code == 0
    images = [row["image"] for row in outcome.files["nvidia-cuda"]["images"]]
    assert images == [
        CUDA_13,
        CUDNN,
        "nvidia/cuda:13.0.3-cudnn-devel-ubuntu24.04",
        "nvidia/cuda:13.0.3-base-ubuntu22.04",
        CUDA_12,
        CUDA_12_OLD_UBUNTU,
    ]
    assert outcome.image("nvidia/cuda:13.0.3-base-ubuntu22.04") == {
        "image": "nvidia/cuda:13.0.3-base-ubuntu22.04",
        "release": "13.0.3",
        "cuda": "13.0",
        "flavour": "base",
        "cudnn": None,
        "os": "ubuntu 22.04",
        "status": "current",
        "source": "registry",
        "read": TODAY,
        "digest": digest,
    }
    row = outcome.image("nvidia/cuda:13.0.3-cudnn-devel-ubuntu24.04")
    assert (row["flavour"], row["cudnn"], row["digest"]) == ("cudnn-devel", 9, cudnn)


def test_a_cudnn_image_that_does_not_say_its_version_is_left_to_a_person(read_once: World) -> None:
    read_once.push_cuda("13.0.3-cudnn-devel-ubuntu24.04", [535], NV_CUDNN_VERSION="")
    outcome = read_once.refresh()
    assert outcome.code == 0
    assert "cudnn-devel" not in outcome.texts["nvidia-cuda"]
    assert "which cuDNN" in outcome.left[0]


def test_a_new_patch_takes_the_place_of_the_older_one(read_once: World) -> None:
    read_once.push_cuda("12.8.2-base-ubuntu24.04", [535, 550])
    outcome = read_once.refresh()
    assert outcome.code == 0
    new = outcome.image("nvidia/cuda:12.8.2-base-ubuntu24.04")
    assert new["status"] == "current"
    assert outcome.image(CUDA_12)["status"] == "superseded"
    assert outcome.image(CUDA_13)["status"] == "current"
    rules = [row["release"] for row in outcome.files["nvidia-cuda"]["rules"]]
    assert rules == ["13.0.3", "12.8.2", "12.8.1"]
    assert outcome.row("nvidia-cuda", "rules", release="12.8.2") == {
        "release": "12.8.2",
        "min_cuda": "12.8",
        "driver_branches": [535, 550],
        "geforce": False,
        "library_path": True,
        "read_from": "12.8.2",
        "source": "registry",
        "read": TODAY,
        "read_digest": new["digest"],
    }


def test_a_release_whose_rule_is_unreadable_gets_no_rows(read_once: World) -> None:
    read_once.push_cuda("12.8.2-base-ubuntu24.04", [535], NVIDIA_REQUIRE_CUDA="something else")
    outcome = read_once.refresh()
    assert outcome.code == 0
    assert "12.8.2" not in outcome.texts["nvidia-cuda"]
    assert any("something" in line for line in outcome.left)


def test_a_cuda_without_a_toolkit_row_is_left_to_a_person_until_it_has_one(
    read_once: World,
) -> None:
    read_once.push_cuda("13.1.0-base-ubuntu24.04", [580])
    outcome = read_once.refresh()
    assert outcome.code == 0
    assert outcome.changed == []
    assert outcome.left == [
        "nvidia/cuda 13.1.0 is out: add CUDA 13.1 to the toolkits of nvidia-cuda.json, "
        "then its images are read."
    ]
    with read_once.edit("nvidia-cuda") as data:
        data["toolkits"].append(data["toolkits"][0] | {"cuda": "13.1"})
    outcome = read_once.refresh()
    assert outcome.image("nvidia/cuda:13.1.0-base-ubuntu24.04")["cuda"] == "13.1"
    assert outcome.left == []


def test_a_newer_ubuntu_without_a_row_is_left_to_a_person(read_once: World) -> None:
    read_once.push_cuda("13.0.3-base-ubuntu26.04", [535])
    outcome = read_once.refresh()
    assert (outcome.code, outcome.changed) == (0, [])
    assert "ubuntu 26.04" in outcome.left[0]


@pytest.mark.parametrize(
    "tag",
    [
        "12.8.0-base-ubuntu24.04",  # an older patch
        "12.4.1-base-ubuntu22.04",  # an older minor
        "13.0.3-base-ubuntu20.04",  # an older system
        "13.0.3-base-rockylinux9",
        "13.0.3-tensorrt-runtime-ubuntu24.04",
        "13.0-base-ubuntu24.04",
        "latest",
    ],
)
def test_a_tag_that_is_none_of_the_catalogues_family_is_ignored(read_once: World, tag: str) -> None:
    read_once.push_cuda(tag, [535])
    assert read_once.refresh().said == "Nothing changed.\n"


def test_a_rule_is_read_from_the_image_of_its_release(world: World) -> None:
    world.push_cuda("13.0.3-base-ubuntu24.04", [535, 550])
    rule = world.refresh().row("nvidia-cuda", "rules", release="13.0.3")
    assert rule["driver_branches"] == [535, 550]
    assert rule["read_from"] == "13.0.3"
    assert rule["source"] == "registry"
    assert rule["read_digest"] == world.digests[CUDA_13]


def test_a_rule_is_read_again_when_its_image_moved(read_once: World) -> None:
    read_once.push_cuda("13.0.3-base-ubuntu24.04", [580], LD_LIBRARY_PATH="")
    outcome = read_once.refresh()
    rule = outcome.row("nvidia-cuda", "rules", release="13.0.3")
    assert (rule["driver_branches"], rule["library_path"]) == ([580], False)
    other = outcome.row("nvidia-cuda", "rules", release="12.8.1")
    assert other["read"] != TODAY


def test_a_rule_that_the_row_cannot_say_stays_as_it_is(world: World) -> None:
    strange = demand("13.0", [535]) + " brand=tesla,driver>=570,driver<580"
    world.push_cuda("13.0.3-base-ubuntu24.04", [], NVIDIA_REQUIRE_CUDA=strange)
    outcome = world.refresh()
    assert outcome.code == 0
    rule = outcome.row("nvidia-cuda", "rules", release="13.0.3")
    assert (rule["driver_branches"], rule["source"]) == ([535], "nvidia-dockerfiles")
    assert "no single branch" in outcome.left[0]


def test_a_rule_that_demands_another_cuda_than_the_tag_says_stays_as_it_is(world: World) -> None:
    world.push_cuda("13.0.3-base-ubuntu24.04", [], NVIDIA_REQUIRE_CUDA=demand("12.9", [535]))
    outcome = world.refresh()
    rule = outcome.row("nvidia-cuda", "rules", release="13.0.3")
    assert rule["min_cuda"] == "13.0"
    assert "demands CUDA 12.9" in outcome.left[0]


def test_a_branch_that_only_some_brands_have_is_not_promised_to_all() -> None:
    text = demand("11.8", [470]) + " brand=tesla,driver>=450,driver<451"
    assert driver_rule({"NVIDIA_REQUIRE_CUDA": text})["driver_branches"] == [470]


def test_geforce_is_told_only_if_all_its_brands_have_the_branches() -> None:
    listed = {"NVIDIA_REQUIRE_CUDA": demand("12.4", [470, 535], BRANDS + GEFORCE)}
    assert driver_rule(listed)["geforce"] is True
    assert driver_rule({"NVIDIA_REQUIRE_CUDA": demand("12.6", [470])})["geforce"] is False
    partly = demand("12.4", [470, 535]) + " " + demand("12.4", [470], GEFORCE)
    assert driver_rule({"NVIDIA_REQUIRE_CUDA": partly})["geforce"] is False
    some = demand("12.4", [470], (*BRANDS, "geforce", "geforcertx"))
    assert driver_rule({"NVIDIA_REQUIRE_CUDA": some})["geforce"] is False
    assert driver_rule({"NVIDIA_REQUIRE_CUDA": "cuda>=13.5"}) == {
        "min_cuda": "13.5",
        "driver_branches": [],
        "geforce": False,
        "library_path": False,
    }


@pytest.mark.parametrize("text", ["", "brand=tesla,driver>=470,driver<471", "cuda<13.0", "x"])
def test_a_demand_without_a_cuda_version_is_no_rule(text: str) -> None:
    with pytest.raises(ValueError, match="NVIDIA_REQUIRE_CUDA"):
        driver_rule({"NVIDIA_REQUIRE_CUDA": text})


def test_a_new_python_image_of_a_known_version_gets_a_row(read_once: World) -> None:
    digest = read_once.push("python:3.14-slim-trixie")
    read_once.push("python:3.15-slim-trixie")  # a Python that the catalogue does not know
    read_once.push("python:3.12-slim-trixie")  # one that it does not offer
    read_once.push("python:3.14-slim")  # no name of a system
    outcome = read_once.refresh()
    assert outcome.code == 0
    images = [row["image"] for row in outcome.files["python"]["images"]]
    assert images == ["python:3.14-slim-trixie", TRIXIE, BOOKWORM]
    assert outcome.image("python:3.14-slim-trixie") == {
        "image": "python:3.14-slim-trixie",
        "python": "3.14",
        "os": "debian 13",
        "source": "registry",
        "read": TODAY,
        "digest": digest,
    }


def test_a_python_image_on_an_unknown_system_is_left_to_a_person(read_once: World) -> None:
    read_once.push("python:3.14-slim-forky")
    outcome = read_once.refresh()
    assert (outcome.code, outcome.changed) == (0, [])
    assert "python:3.14-slim-forky" in outcome.left[0]


def test_uv_moves_to_the_newest_version_that_has_an_image(read_once: World) -> None:
    read_once.pages["uv"] += [wheel("uv", "0.10.1", "py3"), wheel("uv", "0.11.0rc1", "py3")]
    outcome = read_once.refresh()
    assert outcome.changed == []
    assert "has no image ghcr.io/astral-sh/uv:0.10.1" in outcome.left[0]
    digest = read_once.push("astral-sh/uv:0.10.1")
    row = read_once.refresh().files["uv"]["uv"][0]
    assert row["image"] == "ghcr.io/astral-sh/uv:0.10.1"
    assert row["version"] == "0.10.1"
    assert row["build"] == "uv_build>=0.10,<0.11"
    assert row["digest"] == digest


def test_uv_with_a_build_bound_of_somebody_stays(read_once: World) -> None:
    with read_once.edit("uv") as data:
        data["uv"][0]["build"] = "uv_build>=0.9.5,<1"
    read_once.pages["uv"].append(wheel("uv", "0.10.1", "py3"))
    read_once.push("astral-sh/uv:0.10.1")
    outcome = read_once.refresh()
    assert outcome.files["uv"]["uv"][0]["version"] == "0.9.8"
    assert "build bound" in outcome.left[0]


def test_an_uv_image_that_is_gone_fails_the_run(read_once: World) -> None:
    read_once.push("astral-sh/uv:0.9.7")
    read_once.registry.delete("astral-sh/uv:0.9.8")
    outcome = read_once.refresh()
    assert outcome.code == 1
    assert "ghcr.io/astral-sh/uv:0.9.8" in outcome.failed[0]


def test_an_image_of_generated_ci_that_is_gone_fails_the_run(read_once: World) -> None:
    read_once.registry.delete("docker:29-dind")
    outcome = read_once.refresh()
    assert outcome.code == 1
    assert "docker:29-dind" in outcome.failed[0]
    assert "tools.json" in outcome.failed[0]


def test_an_empty_list_of_tags_is_no_reason_to_give_up_rows(read_once: World) -> None:
    """A registry that was emptied, or a wrong one: nothing is marked."""
    before = read_once.texts()
    for image in (TRIXIE, BOOKWORM):
        read_once.registry.delete(image)
    outcome = read_once.refresh()
    assert outcome.code == 1
    assert "library/python" in outcome.failed[0]
    assert outcome.texts["python"] == before["python"]


def test_an_image_for_one_platform_has_a_digest_too(read_once: World) -> None:
    digest = read_once.push(TRIXIE, architectures=("amd64",), content="one platform")
    assert read_once.refresh().image(TRIXIE)["digest"] == digest


def test_the_names_of_images_lead_to_their_registries() -> None:
    assert split("python:3.13-slim") == ("docker.io", "library/python", "3.13-slim")
    assert split("nvidia/cuda:13") == ("docker.io", "nvidia/cuda", "13")
    assert split("ghcr.io/astral-sh/uv:0.9") == ("ghcr.io", "astral-sh/uv", "0.9")
    assert split("localhost:5000/x/y:1") == ("localhost:5000", "x/y", "1")


def test_the_build_bound_reaches_to_the_next_minor() -> None:
    assert build_bound("0.13.9") == "uv_build>=0.13,<0.14"
    assert build_bound("1.0.0") == "uv_build>=1.0,<1.1"
