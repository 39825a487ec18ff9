"""Which cuDNN the wheels of a framework pull, read from metadata that a stand-in shows."""

from __future__ import annotations

from tests.refresh.world import TODAY, World, wheel


def test_a_newer_cudnn_in_the_range_of_a_framework_is_written_and_left_to_a_person(
    read_once: World,
) -> None:
    read_once.pages["nvidia-cudnn-cu13"].append(wheel("nvidia-cudnn-cu13", "9.28.1.4", "py3"))
    outcome = read_once.refresh()
    assert outcome.code == 0
    assert outcome.left == [
        "jax 0.8.1 (plain) pulls nvidia-cudnn-cu13 9.28.1.4, and 9.10.2.21 before: read which "
        "GPUs that one is for."
    ]
    row = outcome.row("pulled", "pulled", framework="jax")
    assert (row["newest"], row["read"]) == ("9.28.1.4", TODAY)
    assert read_once.refresh().said == "Nothing changed.\n"


def test_a_pinned_cudnn_stays_whatever_comes_out(read_once: World) -> None:
    read_once.pages["nvidia-cudnn-cu12"].append(wheel("nvidia-cudnn-cu12", "9.28.0.42", "py3"))
    outcome = read_once.refresh()
    assert outcome.row("pulled", "pulled", framework="pytorch")["newest"] == "9.10.2.21"
    assert outcome.row("pulled", "pulled", framework="onnxruntime")["newest"] == "9.28.0.42"
    assert len(outcome.left) == 1


def test_a_cudnn_that_a_range_excludes_or_that_was_withdrawn_moves_nothing(
    read_once: World,
) -> None:
    read_once.pages["nvidia-cudnn-cu13"] += [
        wheel("nvidia-cudnn-cu13", "10.0.1", "py3"),
        wheel("nvidia-cudnn-cu13", "9.99.0", "py3", yanked="bad"),
        wheel("nvidia-cudnn-cu13", "9.99.0rc1", "py3"),
    ]
    assert read_once.refresh().said == "Nothing changed.\n"


def test_a_build_that_pulls_another_package_gets_a_row(read_once: World) -> None:
    read_once.requires["torch"] = ["nvidia-cudnn-cu13==9.10.2.21"]
    outcome = read_once.refresh()
    new = outcome.row("pulled", "pulled", package="nvidia-cudnn-cu13", framework="pytorch")
    assert new["newest"] == "9.10.2.21"
    assert "pulls nvidia-cudnn-cu13 9.10.2.21, and none before" in outcome.left[0]


def test_requirements_of_other_systems_and_extras_are_not_pulled(read_once: World) -> None:
    read_once.requires["torch"] += [
        "nvidia-cudnn-cu13; sys_platform == 'win32'",
        "nvidia-cudnn-cu13; platform_machine == 'aarch64'",
        "nvidia-cudnn-cu13; extra == 'other'",
    ]
    assert read_once.refresh().said == "Nothing changed.\n"


def test_an_index_that_shows_no_metadata_is_said_to_show_none(read_once: World) -> None:
    del read_once.requires["torch"]
    read_once.pages["torch"] = [wheel("torch", "2.9.1")]
    outcome = read_once.refresh()
    assert (outcome.code, outcome.changed) == (0, [])
    assert len(outcome.left) == 1
    assert "does not show the metadata of torch 2.9.1" in outcome.left[0]


def test_metadata_that_is_promised_and_missing_is_said_to_be_missing(read_once: World) -> None:
    read_once.publish()
    name = read_once.pages["torch"][0]["filename"]
    read_once.index.answers.pop(f"/files/{name}.metadata")
    show = read_once.requires.pop("torch")
    assert "does not show the metadata of torch 2.9.1" in read_once.refresh().left[0]
    read_once.requires["torch"] = show
    assert read_once.refresh().said == "Nothing changed.\n"


def test_the_newest_release_that_is_offered_is_the_one_that_is_read(read_once: World) -> None:
    with read_once.edit("onnxruntime") as data:
        data["releases"][0]["broken"] = "a person's reason"
    read_once.pages["nvidia-cudnn-cu12"].append(wheel("nvidia-cudnn-cu12", "9.28.0.42", "py3"))
    assert read_once.refresh().said == "Nothing changed.\n"


def test_a_range_that_no_release_fits_is_told_in_a_sentence(read_once: World) -> None:
    read_once.pages["nvidia-cudnn-cu13"] = [wheel("nvidia-cudnn-cu13", "10.0.1", "py3")]
    (sentence,) = read_once.refresh().failed
    assert "no release of nvidia-cudnn-cu13 fits <10.0,>=9.8" in sentence


def test_what_the_catalogue_says_a_build_asks_for_is_compared_by_what_it_admits(
    read_once: World,
) -> None:
    with read_once.edit("onnxruntime") as data:
        data["builds"][0]["libraries"] = ["nvidia-cudnn-cu12>=9.0,<10", "nvidia-nccl-cu12==2.30"]
    assert read_once.refresh().said == "Nothing changed.\n"
    with read_once.edit("onnxruntime") as data:
        data["builds"][0]["libraries"] = ["nvidia-cudnn-cu12>=9.11,<10"]
    assert read_once.refresh().left == [
        "onnxruntime 1.23.2 (plain) asks for nvidia-cudnn-cu12~=9.0, and not for "
        "nvidia-cudnn-cu12<10,>=9.11: mend onnxruntime.json."
    ]
