"""Choices, defaults, the look at answers given in advance, and the layer over Jinja."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import islice
from typing import Any

import pytest
from copier.errors import UserMessageError
from jinja2 import StrictUndefined
from jinja2.sandbox import SandboxedEnvironment

from drydock import form, solver
from drydock.catalogue import Catalogue
from drydock.jinja import DrydockExtension
from drydock.preflight import preflight
from drydock.questions import QUESTIONS, every_value
from drydock.request import BadAnswerError, read_request
from drydock.stack import solution_of, stack_of
from drydock.stack.drivers import driver_floor
from drydock.stack.images import behind_mirror
from drydock.stack.reasons import why
from tests.support import projects
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
def environment() -> SandboxedEnvironment:
    """A Jinja environment like Copier's."""
    return SandboxedEnvironment(undefined=StrictUndefined, extensions=[DrydockExtension])


def test_every_framework_that_does_the_work_can_be_chosen(catalogue: Catalogue) -> None:
    every = ["scikit-learn", "pytorch", "jax", "tensorflow", "onnxruntime", "xgboost"]
    serve = {"workload": "serve"}
    assert values_of(form.choices(catalogue, serve, "framework")) == every
    trains = [name for name in every if name != "onnxruntime"]
    assert values_of(form.choices(catalogue, {"workload": "train"}, "framework")) == trains
    gpu = {"accelerator": "gpu"}
    assert values_of(form.choices(catalogue, gpu | serve, "framework")) == every[1:]
    platforms = values_of(form.choices(catalogue, {}, "platform"))
    assert platforms == ["docker", "openshift", "ovh", "sagemaker", "vertex", "kserve"]


def test_a_choice_that_cannot_succeed_is_not_offered(catalogue: Catalogue) -> None:
    answers = {"accelerator": "gpu", "framework": "pytorch", "gpus": ["V100"]}
    versions = form.choices(catalogue, answers, "framework_version")
    assert versions[:2] == ["auto", "2.14.1"]
    assert "13.0" not in form.choices(catalogue, answers, "cuda")
    gpus = values_of(form.choices(catalogue, {**answers, "cuda": "13.0"}, "gpus"))
    assert "V100" not in gpus and "Jetson Nano" not in gpus
    assert "any" in gpus and "H100" in gpus
    assert "3.10" not in form.choices(catalogue, {}, "python_version")
    assert "3.15" not in form.choices(catalogue, {}, "python_version")


def test_choices_are_what_the_solver_solves(catalogue: Catalogue, rows: dict[str, Any]) -> None:
    for answers in islice(random_answers(rows, seed=23), 40):
        known = {name: value for name, value in answers.items() if value not in (None, ())}
        known |= {"framework": "pytorch", "platform": "docker", "today": catalogue.as_of}
        for question in CHOSEN:
            others = {name: value for name, value in known.items() if name != question}
            offered = values_of(form.choices(catalogue, others, question))
            for value in every_value(catalogue, others, question):
                picked = [value] if question == "gpus" else value
                try:
                    request = read_request(catalogue, {**others, question: picked})
                except BadAnswerError:
                    assert value not in offered
                    continue
                possible = solver.solve(catalogue, request) is not None
                assert (value in offered) == possible, (others, question, value)


def test_defaults_taken_one_after_the_other_always_end_in_a_stack(
    catalogue: Catalogue, rows: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `--defaults` does with any answers given in advance that do not conflict."""
    monkeypatch.setattr(form, "loaded_driver", lambda: "470.57.02")
    ended = 0
    for answers in islice(random_answers(rows, seed=29), 800):
        given = {name: value for name, value in answers.items() if value not in (None, ())}
        given |= {"platform": "docker", "today": catalogue.as_of}
        if answers["framework"] not in ("pytorch", "scikit-learn"):
            continue
        if solver.solve(catalogue, read_request(catalogue, given)) is None:
            continue
        known = dict(given)
        for question in QUESTIONS:
            if question in known:
                continue
            known[question] = projects.form()[question]["default"]
            if "drydock.default" in str(known[question]):
                known[question] = form.default(catalogue, known, question)
        assert stack_of(catalogue, known)["base"]["image"]
        ended += 1
    assert ended > 150


def test_the_defaults_of_a_gpu_project(catalogue: Catalogue) -> None:
    answers = {"accelerator": "gpu"}
    assert form.default(catalogue, answers, "framework") == "pytorch"
    assert form.default(catalogue, answers, "gpus") is None, "any, without a word to delete"
    assert form.default(catalogue, answers, "python_version") == "3.13"
    assert form.default(catalogue, {}, "framework") == "scikit-learn"
    # The newest that works where the usual one does not.
    old = {"framework": "pytorch", "framework_version": "2.4.0"}
    assert form.default(catalogue, old, "python_version") == "3.12"


def test_the_stack_is_json_and_says_what_the_templates_read(catalogue: Catalogue) -> None:
    answers = {
        "accelerator": "gpu",
        "gpus": ["V100"],
        "driver": "580",
        "platform": "ovh",
        "compile_cuda": True,
        "image_mirror": "registry.example.com/proxy",
        "pytorch_index": "https://mirror.example.com/whl/",
    }
    stack = stack_of(catalogue, answers)
    assert json.loads(json.dumps(stack)) == stack
    mirror = "registry.example.com/proxy"
    assert stack["base"]["image"] == f"{mirror}/nvidia/cuda:12.6.3-base-ubuntu24.04"
    assert stack["devel"]["image"] == f"{mirror}/nvidia/cuda:12.6.3-devel-ubuntu24.04"
    assert stack["uv"]["image"].startswith(f"{mirror}/astral-sh/uv:")
    assert stack["python"]["source"] == "managed"
    assert stack["framework"]["gpu"] == {"requirements": ["torch==2.14.1"], "bundles_cuda": True}
    index = "https://mirror.example.com/whl"
    assert stack["indexes"] == [
        {"name": "pytorch-cpu", "url": f"{index}/cpu"},
        {"name": "pytorch-cu126", "url": f"{index}/cu126"},
    ]
    assert [row["package"] for row in stack["sources"]] == ["torch", "torchvision", "torchaudio"]
    for source in stack["sources"]:
        assert [(row["index"], row["group"]) for row in source["origins"]] == [
            ("pytorch-cpu", "cpu"),
            ("pytorch-cu126", "gpu"),
            ("pytorch-cu126", "cuda"),
        ]
    ovh = stack["platform"]
    assert ovh["architecture"] == "linux/amd64"
    assert (ovh["uid"], ovh["gid"], ovh["workdir"]) == (42420, 42420, "/workspace")
    slim = stack_of(catalogue, {"image_mirror": mirror})
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
def test_a_mirror_takes_the_place_of_the_public_registry(image: str, behind: str) -> None:
    assert behind_mirror(image, "m.example.com") == behind
    assert behind_mirror(image, "") == image


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
    catalogue: Catalogue, answers: dict[str, Any], floor: str
) -> None:
    answers = {"accelerator": "gpu", "framework": "pytorch", **answers}
    first = solution_of(catalogue, answers)
    assert driver_floor(catalogue, first).driver == floor
    again = solution_of(catalogue, {**answers, "driver": floor})
    assert (again.image, again.wheel) == (first.image, first.wheel)


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ({"driver": "580"}, "580 or newer, which wheels of CUDA 13 need"),
        ({"driver": "595"}, "595 or newer, which an image of CUDA 13.2 demands"),
        ({"driver": "595", "gpu_base": "slim"}, "580 or newer, which wheels of CUDA 13 need"),
        (
            {"gpus": ["A100"], "driver": "535.183.01", "today": "2027-06-01"},
            "535 or newer of branch 535, which the image lists in NVIDIA_REQUIRE_CUDA, "
            "or 560 or newer",
        ),
        (
            {"gpus": ["A100"], "driver": "535.183.01", "forward_compat": True},
            "535 or newer of branch 535 with NVIDIA Container Toolkit 1.17.5 or newer, which "
            "loads the image's cuda-compat-13-2 in its place, or 595 or newer",
        ),
    ],
)
def test_the_driver_is_named_once_with_what_asks_for_it(
    catalogue: Catalogue, answers: dict[str, Any], words: str
) -> None:
    solution = solution_of(catalogue, {"accelerator": "gpu", "gpus": ["any"], **answers})
    assert driver_floor(catalogue, solution).words == words
    lines = why(catalogue, solution)
    assert f"Driver {words}." in lines[1]
    assert "river" not in lines[0]


def test_three_short_lines_say_why(catalogue: Catalogue) -> None:
    gpu = stack_of(catalogue, {"accelerator": "gpu", "gpus": ["L4"], "driver": "535"})["why"]
    assert len(gpu) == 3
    assert "12.2 base" in gpu[0]
    assert "Driver 535 or newer" in gpu[1] and "end of life in 2026-06" in gpu[1]
    assert "nvidia-smi --query-gpu=" in gpu[2]
    cpu = stack_of(catalogue, {})["why"]
    assert len(cpu) == 3
    assert "no CUDA" in cpu[0]
    assert "import sklearn" in cpu[2]
    assert all(len(line) < 250 and "\n" not in line for line in gpu + cpu)


@pytest.mark.parametrize(
    ("url", "plain"),
    [
        ("", False),
        ("https://pypi.example.com/simple", False),
        ("http://pypi.example.com/simple", True),
        ("http://10.0.0.1:8080/simple", True),
        ("http://localhost.example.com/simple", True),
        ("http://127.0.0.1.example.com/simple", True),
        ("http://localhost:3141/simple", False),
        ("http://127.0.0.1/simple", False),
        ("http://127.8.9.10/simple", False),
        ("http://[::1]:8080/simple", False),
    ],
)
@pytest.mark.parametrize("question", ["package_index", "pytorch_index"])
def test_an_index_without_encryption_is_taken_and_the_terminal_says_what_it_risks(
    catalogue: Catalogue, question: str, url: str, plain: bool
) -> None:
    answers = {"framework": "pytorch", question: url}
    assert form.check(catalogue, answers, question, url) == ""
    cautions = [line for line in stack_of(catalogue, answers)["summary"] if "caution" in line]
    assert len(cautions) == plain
    for line in cautions:
        assert question in line and "https://" in line and line.endswith(".")


def test_a_bad_answer_is_refused_where_the_templates_are_rendered_too(
    catalogue: Catalogue,
) -> None:
    with pytest.raises(UserMessageError, match="framework: .*answer one of scikit-learn"):
        stack_of(catalogue, {"framework": "caffe"})


def test_a_bad_answer_is_blamed_on_no_other_question(catalogue: Catalogue) -> None:
    answers = {"accelerator": "gpu", "framework": "caffe"}
    assert form.check(catalogue, answers, "framework", "caffe")
    assert form.check(catalogue, answers, "driver", "580") == ""


def test_a_default_that_depends_on_nothing_is_spelt_by_the_form_alone(
    catalogue: Catalogue,
) -> None:
    for question in set(QUESTIONS) - {"project_name", "image_name"}:
        if "drydock.default" not in str(projects.form()[question]["default"]):
            with pytest.raises(KeyError):
                form.default(catalogue, {}, question)


def test_a_refusal_names_the_answers_the_rule_and_what_works(catalogue: Catalogue) -> None:
    answers = {"accelerator": "gpu", "framework": "pytorch", "gpus": ["V100", "A100"]}
    with pytest.raises(UserMessageError) as caught:
        stack_of(catalogue, {**answers, "framework_version": "2.15.0"})
    message = str(caught.value)
    assert message.startswith("gpus: V100 (compute capability 7.0) and framework_version: 2.15.0")
    assert "A100" not in message
    assert "a GPU needs code in the build" in message
    assert "gpus: without V100, or framework_version: 2.14.1" in message


def test_an_answer_for_a_gpu_without_one_is_refused_and_not_forgotten(catalogue: Catalogue) -> None:
    with pytest.raises(UserMessageError, match="accelerator=gpu"):
        preflight(catalogue, {"gpus": ["V100"]})
    assert preflight(catalogue, {"gpus": ["V100"], "accelerator": "gpu"})
    assert preflight(catalogue, {"gpus": ["V100"], "accelerator": "cpu"})


def test_an_advanced_answer_that_would_not_be_remembered_is_refused(catalogue: Catalogue) -> None:
    with pytest.raises(UserMessageError, match="framework_version: .*advanced=true"):
        preflight(catalogue, {"framework_version": "1.8.0"})
    assert preflight(catalogue, {"framework_version": "auto"})
    assert preflight(catalogue, {"framework_version": "1.8.0", "advanced": "true"})


def test_answers_of_an_earlier_run_do_not_stop_the_next_one(catalogue: Catalogue) -> None:
    """A Python that has ended since is asked again; it is no reason to refuse the update."""
    assert preflight(catalogue, {"python_version": "3.10"}, given={})
    assert preflight(catalogue, {"python_version": "2.7"}, given={})
    with pytest.raises(UserMessageError, match="end of life"):
        preflight(catalogue, {"python_version": "3.10"})
    # But what is given for this run must go with them.
    earlier = {"accelerator": "gpu", "framework": "pytorch", "gpus": ["V100"]}
    with pytest.raises(UserMessageError, match="V100"):
        preflight(catalogue, {**earlier, "driver": "610"}, given={"driver": "610"})


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
    assert rendered("{{ drydock.stack().framework.title }}", known) == "PyTorch"
    assert rendered("{{ drydock.preflight() }}", known) == "True"


def test_jinja_shows_a_refusal_as_one_clean_message(environment: SandboxedEnvironment) -> None:
    for template in ("{{ drydock.preflight() }}", "{{ drydock.stack() }}"):
        known = context(given={"accelerator": "gpu", "gpus": "V100", "driver": "610"})
        with pytest.raises(UserMessageError) as caught:
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
