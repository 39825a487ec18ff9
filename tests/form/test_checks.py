"""Each bad answer is refused with one sentence that says what to answer instead."""

from __future__ import annotations

import keyword
import sys
from pathlib import Path
from typing import Any

import pytest
from copier.errors import UserMessageError
from hypothesis import given
from hypothesis import strategies as some

from drydock import form
from drydock.answers import check_alone
from drydock.catalogue import Catalogue
from drydock.names import check_project_name, slug, taken_names
from drydock.preflight import preflight
from drydock.questions import QUESTIONS

shipped = Catalogue()

GOOD = {
    "project_name": ["churn", "demand-forecast", "a1", "my-torch"],
    "description": [
        "Forecasts demand",
        "Say \"hi\" and 'bye' to C:\\new",
        "Größe 🚢 {{ x }} # y",
        "Family 👨\u200d👩\u200d👧 and می\u200cخواهم",
        "x",
    ],
    "workload": ["train", "serve", "both"],
    "accelerator": ["cpu", "gpu"],
    "framework": ["scikit-learn", "pytorch"],
    "gpus": [["any"], ["V100"], ["V100", "RTX 4090"], "[V100, A100]", "[8.6]", "[any]"]
    + ["L4", "T4, RTX 4090,", "['8.6', \"GB10 (DGX Spark)\"]", 8.6, None, "", [], "[]"],
    "driver": ["580", "535.183.01", "525.60.13", 580],
    "python_version": ["3.11", "3.14", 3.13],
    "platform": ["docker", "openshift", "ovh", "sagemaker", "vertex"],
    "image_name": [
        "churn",
        "team/churn",
        "ghcr.io/acme/churn",
        "localhost:5000/churn",
        "registry.example.com:5000/a/b_c/d.e",
        "myhost:5000/x__y",
    ],
    "ci": ["github", "gitlab", "none"],
    "extras": [[], ["kubernetes"], "[kubernetes]", "[]", '["kubernetes"]'],
    "advanced": [True, False, "true", "no"],
    "framework_version": ["auto", "2.15.0"],
    "cuda": ["auto", "12.6"],
    "gpu_base": ["auto", "nvidia", "slim"],
    "compile_cuda": [True, "false"],
    "forward_compat": [True, "false"],
    "apt_packages": [
        "",
        "libgl1",
        "libgl1 ffmpeg g++",
        "libstdc++6  git",
        "python3.11-dev libdb5.3++-dev memtest86+ 7zip",
        "golang-github-sean--pager-dev linux-headers-6.12.117+deb12-common-rt astrometry.net",
    ],
    "package_index": [
        "",
        "https://pypi.example.com/simple",
        "http://10.0.0.1:8080/simple/",
        "https://pypi.example.com/team@latest/simple",
    ],
    "pytorch_index": ["", "https://mirror.example.com/whl"],
    "image_mirror": ["", "registry.example.com/proxy", "localhost:5000", "mirror:5000/docker.io"],
    "python_mirror": ["", "https://mirror.example.com/python-build-standalone"],
}

# What is refused, and a word of the sentence that says what to answer instead.
BAD = {
    "project_name": [
        ("My Project", "my-project"),
        ("Torch", "torch-project"),
        ("torch", "torch-project"),
        ("numpy", "numpy-project"),
        ("fastapi", "fastapi-project"),
        ("scikit-learn", "scikit-learn-project"),
        ("sklearn", "sklearn-project"),
        ("json", "json-project"),
        ("class", "class-project"),
        ("main", "main-project"),
        ("src", "src-project"),
        ("tests", "tests-project"),
        ("it's", "it-s"),
        ('say "hi"', "say-hi"),
        ("under_score", "under-score"),
        ("-dash", "dash"),
        ("dash-", "dash"),
        ("two--dashes", "two-dashes"),
        ("3d", "d"),
        ("", "project"),
        ("a" * 41, "40"),
        ("naïve", "naive"),
        ("a/b", "a-b"),
    ],
    "description": [
        ("two\nlines", "one line"),
        ("tab\there", "U+0009"),
        ("bell\x07", "U+0007"),
        ("line\u2028separator", "U+2028"),
        ("right to \u202eleft", "U+202E"),
        ("isolated \u2068text\u2069", "U+2068"),
        ("isolated text\u2069", "U+2069"),
        ("nothing\u200bto see", "U+200B"),
        ("\ufeffmarked", "U+FEFF"),
        ("tagged\U000e0041", "U+E0041"),
        ("", "for example"),
        ("   ", "for example"),
        ("x" * 301, "300"),
    ],
    "workload": [("serving", "serve")],
    "accelerator": [("cuda", "cpu, gpu"), ("tpu", "gpu")],
    "framework": [("torch", "pytorch"), ("keras", "tensorflow"), ("scikit", "scikit-learn")],
    "gpus": [
        # Copier, to which it is YAML, would end in a traceback.
        *((text, "T4, L4") for text in ('"T4', "[T4", "T4]", "T4: L4", '"T4", "L4"', "T4,, L4")),
        ({"T4": 1}, "no GPU"),
        (["V1OO"], "V100"),
        (["rtx 4090"], "RTX 4090"),
        (["any", "V100"], "V100"),
        ("[V100, H900]", "H100"),
        (3, "A30"),
        ("zebra", "such as L4"),
        ([8.8], "8.6"),
    ],
    "driver": [
        ("latest", "580"),
        ("12.4", "nvidia-smi"),
        ("v580", "580"),
        ("580.", "580"),
        ("", "580"),
        ("580.95.05.1", "580"),
        (550.9, "550.90"),
        (None, "no value"),
        (["580"], "one text"),
    ],
    "python_version": [("3.9", "3.13"), ("3", "3.13"), (3.1, "quotes"), ("3.13.1", "3.13")],
    "platform": [("kubernetes", "docker"), ("SageMaker", "sagemaker")],
    "image_name": [
        ("churn:latest", "churn."),
        ("ghcr.io/acme/churn:1.0", "ghcr.io/acme/churn."),
        ("ghcr.io/acme/churn@sha256:" + "0" * 64, "ghcr.io/acme/churn."),
        ("Acme/Churn", "lower-case"),
        ("https://ghcr.io/acme", "registry/namespace/name"),
        ("a b", "registry/namespace/name"),
        ("churn/", "registry/namespace/name"),
        ("a//b", "registry/namespace/name"),
        ("", "registry/namespace/name"),
        ("x" * 256, "registry/namespace/name"),
        ("churn$(id)", "registry/namespace/name"),
    ],
    "ci": [("jenkins", "github"), ("", "github")],
    "extras": [
        ("kubernetes", "[kubernetes]"),
        (["helm"], "kubernetes"),
        ("[helm]", "kubernetes"),
        ({"a": 1}, "list"),
    ],
    "advanced": [("maybe", "true or false")],
    "framework_version": [("2.15", "2.15.0"), ("newest", "auto")],
    "cuda": [("12", "12.6"), ("cu126", "12.6")],
    "gpu_base": [("cuda", "auto"), ("alpine", "slim")],
    "compile_cuda": [("perhaps", "true or false")],
    "forward_compat": [("sometimes", "true or false")],
    "apt_packages": [
        ("libgl1,ffmpeg", "separated by spaces"),
        ("libgl1=1.0", "without versions"),
        ("Git", "libgl1 ffmpeg"),
        ("git && reboot", "libgl1 ffmpeg"),
        ("git\nvim", "libgl1 ffmpeg"),
        ("-y", "libgl1 ffmpeg"),
        ("tzdata-", "remove"),
        ("lib.+", "pattern"),
        ("python3.", "pattern"),
        ("libgtk-.3-0", "pattern"),
        ("lib.*", "libgl1 ffmpeg"),
        ("curl/sid", "libgl1 ffmpeg"),
        ("libc6:i386", "libgl1 ffmpeg"),
    ],
    "package_index": [
        ("pypi.example.com", "https://pypi.example.com/simple"),
        ("ftp://pypi.example.com", "https://"),
        ("https://user:secret@pypi.example.com/simple", "secret"),
        ("https://token@pypi.example.com/simple", "without them"),
        ("https://", "https://pypi.example.com"),
        ("https://:80/simple", "names no host"),
        ("https://pypi.example.com:99999/simple", "https://"),
        ('https://pypi.example.com/"', "https://"),
        ("https://pypi.example.com/$(id)", "https://"),
        ("https://pypi.example.com/a b", "https://"),
    ],
    "pytorch_index": [("download.pytorch.org/whl", "https://")],
    "image_mirror": [
        ("https://registry.example.com", "without https://"),
        ("registry.example.com/", "slash at the end"),
        ("Registry.example.com", "lower-case"),
        ("proxy", "registry.example.com/proxy"),
        ("registry.example.com/proxy:1", "registry.example.com/proxy"),
    ],
    "python_mirror": [("mirror.example.com/python-build-standalone", "https://mirror.example")],
}


def test_every_question_has_good_and_bad_answers_here() -> None:
    assert set(GOOD) == set(BAD) == set(QUESTIONS)


@pytest.mark.parametrize(
    ("question", "value"), [(name, value) for name, values in GOOD.items() for value in values]
)
def test_a_good_answer_is_taken(question: str, value: Any) -> None:
    answers = {"accelerator": "gpu", "framework": "pytorch"}
    answers.pop(question, None)
    assert check_alone(shipped, answers, question, value) == ""


@pytest.mark.parametrize(
    ("question", "value", "hint"),
    [(name, value, hint) for name, values in BAD.items() for value, hint in values],
)
def test_a_bad_answer_is_refused_with_a_sentence_that_says_what_to_answer(
    question: str, value: Any, hint: str
) -> None:
    answers = {"accelerator": "gpu", "framework": "pytorch"}
    answers.pop(question, None)
    sentence = form.check(shipped, answers, question, value)
    assert hint in sentence
    assert sentence.endswith(".")
    assert "\n" not in sentence and sentence.isprintable()
    with pytest.raises(UserMessageError) as caught:
        preflight(shipped, {**answers, "advanced": True, question: value})
    assert str(caught.value) == f"{question}: {sentence}"


def test_an_answer_that_is_fine_by_itself_is_refused_beside_the_others() -> None:
    answers = {"accelerator": "gpu", "framework": "pytorch", "gpus": ["V100"]}
    sentence = form.check(shipped, answers, "driver", "595")
    assert "V100" in sentence and "driver: 580" in sentence
    assert form.check(shipped, answers, "driver", "580") == ""
    both = form.check(shipped, {**answers, "gpus": []}, "gpus", ["P100", "B200"])
    assert "without" in both


@given(some.text())
def test_the_default_name_of_any_folder_is_a_valid_name(folder: str) -> None:
    name = slug(folder)
    assert check_project_name(shipped, name) == "" or name in {
        taken.replace("_", "-") for taken in taken_names(shipped)
    }


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("Demand Forecast", "demand-forecast"),
        ("torch", "torch-project"),
        ("numpy", "numpy-project"),
        ("tests", "tests-project"),
        ("3d_render", "d-render"),
        ("Ünïcode", "unicode"),
        ("日本", "project"),
        ("123", "project"),
        ("x" * 80, "x" * 40),
    ],
)
def test_the_default_name_is_the_folder_as_a_slug(tmp_path: Path, folder: str, name: str) -> None:
    answers = {"_copier_conf": {"dst_path": tmp_path / folder}}
    assert form.default(shipped, answers, "project_name") == name
    assert form.check(shipped, answers, "project_name", name) == ""
    assert form.default(shipped, answers, "image_name") == name


def test_every_taken_name_becomes_a_free_one(tmp_path: Path) -> None:
    taken = {*sys.stdlib_module_names, *keyword.kwlist, "torch", "jax", "tqdm", "ruff", "main"}
    for folder in taken:
        answers = {"_copier_conf": {"dst_path": tmp_path / folder}}
        name = form.default(shipped, answers, "project_name")
        assert form.check(shipped, answers, "project_name", name) == "", folder
        assert form.check(shipped, answers, "image_name", name) == "", folder


def test_the_driver_of_this_machine_is_the_default_where_one_is_loaded(tmp_path: Path) -> None:
    proc, sys_folder = tmp_path / "proc", tmp_path / "sys"
    assert form.loaded_driver((proc, sys_folder)) is None
    (sys_folder / "module/nvidia").mkdir(parents=True)
    (sys_folder / "module/nvidia/version").write_text("570.86.15\n")
    assert form.loaded_driver((proc, sys_folder)) == "570.86.15"
    (proc / "driver/nvidia").mkdir(parents=True)
    (proc / "driver/nvidia/version").write_text(
        "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.14  Thu Feb 22 01:44:30 UTC 2024\n"
        "GCC version:  gcc version 12.2.0 (Debian 12.2.0-14)\n"
    )
    assert form.loaded_driver((proc, sys_folder)) == "550.54.14"


def test_the_default_driver_is_a_long_term_one_and_fits_the_gpus(
    catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = {"accelerator": "gpu", "framework": "pytorch", "gpus": ["V100"]}
    monkeypatch.setattr(form, "loaded_driver", lambda: None)
    assert form.default(catalogue, answers, "driver") == "580"
    assert form.default(catalogue, {**answers, "today": "2026-05-01"}, "driver") == "535"
    monkeypatch.setattr(form, "loaded_driver", lambda: "550.54.14")
    assert form.default(catalogue, answers, "driver") == "550.54.14"
    monkeypatch.setattr(form, "loaded_driver", lambda: "595.45.04")
    assert form.default(catalogue, answers, "driver") == "580", "595 has no V100 any more"
