"""Choices, defaults, the look at answers given in advance, and the layer over Jinja."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import islice
from types import ModuleType
from typing import Any

import pytest
from jinja2 import StrictUndefined
from jinja2.sandbox import SandboxedEnvironment

from tests.support.loading import EXTENSION
from tests.support.random_answers import random_answers

CHOSEN = (
    "framework",
    "gpus",
    "python_version",
    "platform",
    "framework_version",
    "cuda",
    "gpu_base",
)


def values_of(choices: list[Any]) -> list[str]:
    """Drop the labels."""
    return [choice[1] if isinstance(choice, list) else choice for choice in choices]


@pytest.fixture
def environment(drydock: ModuleType) -> SandboxedEnvironment:
    """A Jinja environment like Copier's."""
    return SandboxedEnvironment(undefined=StrictUndefined, extensions=[drydock.DrydockExtension])


def test_only_what_is_offered_can_be_chosen(drydock: ModuleType, catalogue: Any) -> None:
    every = ["scikit-learn", "pytorch", "jax", "tensorflow", "onnxruntime"]
    serve = {"workload": "serve"}
    assert values_of(drydock.choices(catalogue, serve, "framework")) == every
    assert values_of(drydock.choices(catalogue, {"workload": "train"}, "framework")) == every[:-1]
    gpu = {"accelerator": "gpu"}
    assert values_of(drydock.choices(catalogue, gpu | serve, "framework")) == every[1:]
    platforms = values_of(drydock.choices(catalogue, {}, "platform"))
    assert platforms == ["docker", "openshift", "ovh", "sagemaker", "vertex"]


def test_a_choice_that_cannot_succeed_is_not_offered(drydock: ModuleType, catalogue: Any) -> None:
    answers = {"accelerator": "gpu", "framework": "pytorch", "gpus": ["V100"]}
    versions = drydock.choices(catalogue, answers, "framework_version")
    assert versions[:2] == ["auto", "2.14.1"]
    assert "13.0" not in drydock.choices(catalogue, answers, "cuda")
    gpus = values_of(drydock.choices(catalogue, {**answers, "cuda": "13.0"}, "gpus"))
    assert "V100" not in gpus and "Jetson Nano" not in gpus
    assert "any" in gpus and "H100" in gpus
    assert "3.10" not in drydock.choices(catalogue, {}, "python_version")
    assert "3.15" not in drydock.choices(catalogue, {}, "python_version")


def test_choices_are_what_the_solver_solves(
    drydock: ModuleType, catalogue: Any, rows: dict[str, Any]
) -> None:
    for answers in islice(random_answers(rows, seed=23), 40):
        known = {name: value for name, value in answers.items() if value not in (None, ())}
        known |= {"framework": "pytorch", "platform": "docker", "today": catalogue.as_of}
        for question in CHOSEN:
            others = {name: value for name, value in known.items() if name != question}
            offered = values_of(drydock.choices(catalogue, others, question))
            for value in drydock.domain(catalogue, others, question):
                picked = [value] if question == "gpus" else value
                try:
                    request = drydock.read_request(catalogue, {**others, question: picked})
                except drydock.BadAnswerError:
                    assert value not in offered
                    continue
                solved = drydock.solve(catalogue, request) is not None
                assert (value in offered) == solved, (others, question, value)


def test_defaults_taken_one_after_the_other_always_end_in_a_stack(
    drydock: ModuleType, catalogue: Any, rows: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `--defaults` does with any answers given in advance that do not conflict."""
    monkeypatch.setattr(drydock, "loaded_driver", lambda: "470.57.02")
    ended = 0
    for answers in islice(random_answers(rows, seed=29), 800):
        given = {name: value for name, value in answers.items() if value not in (None, ())}
        given |= {"platform": "docker", "today": catalogue.as_of}
        if answers["framework"] not in ("pytorch", "scikit-learn"):
            continue
        if drydock.solve(catalogue, drydock.read_request(catalogue, given)) is None:
            continue
        known = dict(given)
        for question in drydock.QUESTIONS:
            if question not in known:
                known[question] = drydock.default(catalogue, known, question)
        assert drydock.stack(catalogue, known)["base"]["image"]
        ended += 1
    assert ended > 150


def test_the_defaults_of_a_gpu_project(drydock: ModuleType, catalogue: Any) -> None:
    answers = {"accelerator": "gpu"}
    assert drydock.default(catalogue, answers, "framework") == "pytorch"
    assert drydock.default(catalogue, answers, "gpus") == ["any"]
    assert drydock.default(catalogue, answers, "python_version") == "3.13"
    assert drydock.default(catalogue, {}, "framework") == "scikit-learn"
    # The newest that works where the usual one does not.
    old = {"framework": "pytorch", "framework_version": "2.4.0"}
    assert drydock.default(catalogue, old, "python_version") == "3.12"


def test_the_stack_is_json_and_says_what_the_templates_read(
    drydock: ModuleType, catalogue: Any
) -> None:
    answers = {
        "accelerator": "gpu",
        "gpus": ["V100"],
        "driver": "580",
        "platform": "ovh",
        "compile_cuda": True,
        "image_mirror": "registry.example.com/proxy",
        "pytorch_index": "https://mirror.example.com/whl/",
    }
    stack = drydock.stack(catalogue, answers)
    assert json.loads(json.dumps(stack)) == stack
    mirror = "registry.example.com/proxy"
    assert stack["base"]["image"] == f"{mirror}/nvidia/cuda:12.6.3-base-ubuntu24.04"
    assert stack["devel"]["image"] == f"{mirror}/nvidia/cuda:12.6.3-devel-ubuntu24.04"
    assert stack["uv"]["image"].startswith(f"{mirror}/astral-sh/uv:")
    assert stack["python"] | {"image": ""} == {"version": "3.13", "source": "managed", "image": ""}
    gpu = stack["framework"]["gpu"]
    assert gpu["requirements"] == ["torch==2.14.1"]
    assert gpu["packages"] == ["torch"]
    assert gpu["index"] == {"name": "pytorch-cu126", "url": "https://mirror.example.com/whl/cu126"}
    cpu = stack["framework"]["cpu"]
    assert cpu["index"] == {"name": "pytorch-cpu", "url": "https://mirror.example.com/whl/cpu"}
    assert stack["cuda"] == "12.6"
    assert stack["driver"]["floor"] == "560"
    row = catalogue.platforms["ovh"]
    assert stack["platform"] == row | {"architecture": "linux/amd64"}
    assert (row["uid"], row["gid"], row["workdir"]) == (42420, 42420, "/workspace")
    slim = drydock.stack(catalogue, {"image_mirror": mirror})
    assert slim["base"]["image"] == f"{mirror}/library/python:3.13-slim-trixie"
    assert slim["python"]["source"] == "image"


@pytest.mark.parametrize(
    ("image", "behind"),
    [
        ("python:3.13-slim", "m.example.com/library/python:3.13-slim"),
        ("nvidia/cuda:1", "m.example.com/nvidia/cuda:1"),
        ("ghcr.io/astral-sh/uv:1", "m.example.com/astral-sh/uv:1"),
    ],
)
def test_a_mirror_takes_the_place_of_the_public_registry(
    drydock: ModuleType, image: str, behind: str
) -> None:
    assert drydock.mirrored(image, "m.example.com") == behind
    assert drydock.mirrored(image, "") == image


@pytest.mark.parametrize(
    ("answers", "floor"),
    [
        ({"gpus": ["any"], "driver": "580"}, "580"),
        ({"gpus": ["H100"], "driver": "535.183.01"}, "535"),
        ({"gpus": ["H100"], "driver": "595.45.04"}, "595"),
        ({"gpus": ["any"], "driver": "580", "gpu_base": "slim"}, "580"),
        ({"gpus": ["V100"], "driver": "535", "gpu_base": "slim"}, "525.60.13"),
    ],
)
def test_the_driver_floor_is_one_with_which_the_same_answers_are_solved_again(
    drydock: ModuleType, catalogue: Any, answers: dict[str, Any], floor: str
) -> None:
    answers = {"accelerator": "gpu", "framework": "pytorch", **answers}
    stack = drydock.stack(catalogue, answers)
    assert stack["driver"]["floor"] == floor
    again = drydock.stack(catalogue, {**answers, "driver": floor})
    assert again["base"] == stack["base"]
    assert again["framework"] == stack["framework"]


def test_three_short_lines_say_why(drydock: ModuleType, catalogue: Any) -> None:
    gpu = drydock.stack(catalogue, {"accelerator": "gpu", "gpus": ["L4"], "driver": "535"})["why"]
    assert len(gpu) == 3
    assert "12.2 base" in gpu[0] and "535" in gpu[0]
    assert "Driver 535 or newer" in gpu[1] and "end of life in 2026-06" in gpu[1]
    assert "nvidia-smi --query-gpu=" in gpu[2]
    cpu = drydock.stack(catalogue, {})["why"]
    assert len(cpu) == 3
    assert "no CUDA" in cpu[0]
    assert "import sklearn" in cpu[2]
    assert all(len(line) < 250 and "\n" not in line for line in gpu + cpu)


def test_a_refusal_names_the_answers_the_rule_and_what_works(
    drydock: ModuleType, catalogue: Any
) -> None:
    answers = {"accelerator": "gpu", "framework": "pytorch", "gpus": ["V100", "A100"]}
    with pytest.raises(drydock.UserMessageError) as caught:
        drydock.stack(catalogue, {**answers, "framework_version": "2.15.0"})
    message = str(caught.value)
    assert message.startswith("gpus: V100 (compute capability 7.0) and framework_version: 2.15.0")
    assert "A100" not in message
    assert "a GPU needs code in the build" in message
    assert "gpus: without V100, or framework_version: 2.14.1" in message


def test_an_answer_for_a_gpu_without_one_is_refused_and_not_forgotten(
    drydock: ModuleType, catalogue: Any
) -> None:
    with pytest.raises(drydock.UserMessageError, match="accelerator=gpu"):
        drydock.preflight(catalogue, {"gpus": "V100"})
    assert drydock.preflight(catalogue, {"gpus": "V100", "accelerator": "gpu"})
    assert drydock.preflight(catalogue, {"gpus": "V100", "accelerator": "cpu"})


def test_an_advanced_answer_that_would_not_be_remembered_is_refused(
    drydock: ModuleType, catalogue: Any
) -> None:
    with pytest.raises(drydock.UserMessageError, match="framework_version: .*advanced=true"):
        drydock.preflight(catalogue, {"framework_version": "1.8.0"})
    assert drydock.preflight(catalogue, {"framework_version": "auto"})
    assert drydock.preflight(catalogue, {"framework_version": "1.8.0", "advanced": "true"})


def test_answers_of_an_earlier_run_do_not_stop_the_next_one(
    drydock: ModuleType, catalogue: Any
) -> None:
    """A Python that has ended since is asked again; it is no reason to refuse the update."""
    assert drydock.preflight(catalogue, {"python_version": "3.10"}, given={})
    assert drydock.preflight(catalogue, {"python_version": "2.7"}, given={})
    with pytest.raises(drydock.UserMessageError, match="end of life"):
        drydock.preflight(catalogue, {"python_version": "3.10"})
    # But what is given for this run must go with them.
    earlier = {"accelerator": "gpu", "framework": "pytorch", "gpus": ["V100"]}
    with pytest.raises(drydock.UserMessageError, match="V100"):
        drydock.preflight(catalogue, {**earlier, "driver": "610"}, given={"driver": "610"})


def context(**answers: Any) -> dict[str, Any]:
    """What Copier gives a template while it asks."""
    given = answers.pop("given", {})
    return {**answers, **given, "_copier_conf": {"data": given, "dst_path": "churn"}}


def test_jinja_sees_choices_defaults_checks_and_the_stack(
    environment: SandboxedEnvironment,
) -> None:
    def rendered(template: str, answers: Mapping[str, Any]) -> str:
        return environment.from_string(template).render(answers)

    known = context(accelerator="gpu", framework="pytorch", gpus=["V100"])
    assert rendered("{{ drydock.default('driver') }}", known) == "580"
    assert rendered("{{ drydock.default('project_name') }}", known) == "churn"
    assert rendered("{{ drydock.check('driver', '580') }}", known) == ""
    assert "V100" in rendered("{{ drydock.check('driver', '610') }}", known)
    assert "'2.14.1'" in rendered("{{ drydock.choices('framework_version') }}", known)
    assert rendered("{{ drydock.stack().framework.version }}", known) == "2.14.1"
    assert rendered("{{ drydock.preflight() }}", known) == "True"


def test_jinja_shows_a_refusal_as_one_clean_message(
    drydock: ModuleType, environment: SandboxedEnvironment
) -> None:
    for template in ("{{ drydock.preflight() }}", "{{ drydock.stack() }}"):
        known = context(given={"accelerator": "gpu", "gpus": "V100", "driver": "610"})
        with pytest.raises(drydock.UserMessageError) as caught:
            environment.from_string(template).render(known)
        assert "\n" not in str(caught.value)


def test_earlier_answers_to_later_questions_do_not_narrow_the_choices(
    environment: SandboxedEnvironment,
) -> None:
    """During an update they are in the context, although they are about to be asked again."""
    template = environment.from_string("{{ drydock.choices('framework') | length }}")
    everything = template.render(context())
    assert int(everything) > 1
    assert template.render(context(framework_version="2.15.0")) == everything
    assert template.render(context(given={"framework_version": "2.15.0"})) == "1"


def test_the_extension_reads_nothing_but_its_catalogue_and_the_driver() -> None:
    """The part of what --trust runs that this file is: short enough to be searched."""
    source = EXTENSION.read_text("utf-8")
    forbidden = ("import subprocess", "import os", "socket", "urllib.request", ".write", "open(")
    for word in (*forbidden, "exec(", "eval(", "__import__", "importlib"):
        assert word not in source, word
    assert source.count("read_text") == 2
