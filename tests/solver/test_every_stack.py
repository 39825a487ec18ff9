"""What holds for every stack, through the way that a user's answers go: the form, then `stack_of`.

No error but a UserMessageError may leave it, which Copier shows as one line.
"""

from __future__ import annotations

from typing import Any

import pytest
from copier.errors import UserMessageError
from hypothesis import example, given, settings
from hypothesis import strategies as some

from drydock.catalogue import Catalogue
from drydock.form import check, with_defaults
from drydock.preflight import preflight
from drydock.questions import QUESTIONS
from drydock.stack import stack_of
from tests.support import stacks
from tests.support.random_answers import DAYS, DRIVERS

shipped = Catalogue()
ROWS = stacks.raw()
GPUS = sorted(row["name"] for row in ROWS["gpus"]["gpus"])
CAPABILITIES = sorted(row["compute"] for row in ROWS["capabilities"]["capabilities"])


@some.composite
def answer_sets(draw: Any) -> dict[str, Any]:
    """Draw answers to some of the questions, as a data file may hold them."""
    framework = draw(some.sampled_from(sorted(shipped.frameworks)))
    gpus = some.lists(some.sampled_from(GPUS + CAPABILITIES), min_size=1, max_size=3, unique=True)
    builds = ROWS[framework]["builds"]
    answers = {
        "accelerator": draw(some.sampled_from(("cpu", "gpu", "gpu", "gpu"))),
        "framework": framework,
        "platform": draw(some.sampled_from(sorted(shipped.platforms))),
        "gpus": draw(some.just(["any"]) | gpus),
        "compile_cuda": draw(some.booleans()),
    }
    rest = {
        "workload": some.sampled_from(("train", "serve", "both")),
        "driver": some.sampled_from([one for one in DRIVERS if one]),
        "python_version": some.sampled_from(shipped.pythons),
        "framework_version": some.sampled_from([row["version"] for row in builds]),
        "cuda": some.sampled_from([row["cuda"] for row in builds if row["cuda"]] or ["auto"]),
        "gpu_base": some.sampled_from(("auto", "nvidia", "slim")),
        "forward_compat": some.booleans(),
        "image_name": some.sampled_from(("demo", "ghcr.io/acme/demo", "localhost:5000/demo")),
        "today": some.sampled_from(DAYS),
    }
    return answers | draw(some.fixed_dictionaries({}, optional=rest))


def complete(answers: dict[str, Any]) -> dict[str, Any]:
    """The answers with the defaults that the form gives for the others."""
    return with_defaults(shipped, answers)


@settings(max_examples=200, deadline=None)
@given(answer_sets())
def test_a_stack_is_one_of_rows_or_there_is_a_sentence_that_names_answers(
    answers: dict[str, Any],
) -> None:
    asked_for_gpu = answers["accelerator"] == "gpu"
    try:
        stack = stack_of(shipped, answers)
    except UserMessageError as error:
        message = str(error)
        ended = answers.get("today", "") > shipped.systems["debian 13"].end_of_life
        assert stacks.is_a_sentence_about_answers(message) or (
            ended and message.startswith("Nothing in the catalogue is supported on")
        ), message
        return
    full = complete(answers)
    if not asked_for_gpu:
        full["compile_cuda"] = False
    stacks.check(ROWS, full, stack)


@settings(max_examples=100, deadline=None)
@given(answer_sets())
def test_before_the_first_question_the_same_answers_are_refused(answers: dict[str, Any]) -> None:
    answers.pop("today", None)
    given_ = {**answers, "advanced": True}
    try:
        preflight(shipped, given_)
        early = ""
    except UserMessageError as error:
        early = str(error)
    try:
        stack_of(shipped, given_)
        late = ""
    except UserMessageError as error:
        late = str(error)
    assert early == late


YAML = some.recursive(
    some.none() | some.booleans() | some.integers() | some.floats() | some.text(max_size=12),
    lambda inner: (
        some.lists(inner, max_size=3) | some.dictionaries(some.text(max_size=3), inner, max_size=2)
    ),
    max_leaves=4,
)
ALMOST = ("any", "[any]", "8.6", 8.6, 580, 3.13, "V100", "[V100, 9.0]", "auto", 2.15, "٥٨٠", "1.0a")
ANYTHING = YAML | some.sampled_from(ALMOST)


@settings(max_examples=300, deadline=None)
@given(some.sampled_from(QUESTIONS), ANYTHING, some.sampled_from(("cpu", "gpu")))
@example("gpus", {"V100": None}, "gpu")
@example("gpus", None, "gpu")
@example("driver", "٥٨٠", "gpu")
@example("framework_version", None, "cpu")
def test_whatever_a_data_file_holds_no_traceback_reaches_a_user(
    question: str, value: Any, accelerator: str
) -> None:
    answers = {"accelerator": accelerator, "advanced": True, question: value}
    check(shipped, {**answers}, question, value)
    for ask in (preflight, stack_of):
        try:
            ask(shipped, answers)
        except UserMessageError as error:
            assert stacks.is_a_sentence_about_answers(str(error)), str(error)


# One that has machines of any CPU, and one that has not.
@pytest.mark.parametrize("platform", ["docker", "ovh"])
@pytest.mark.parametrize("framework", sorted(shipped.frameworks))
def test_every_gpu_and_capability_has_a_stack_or_a_sentence(framework: str, platform: str) -> None:
    found = 0
    for name in [*GPUS, *CAPABILITIES, "any"]:
        for compile_cuda in (False, True):
            answers = {
                "accelerator": "gpu",
                "framework": framework,
                "platform": platform,
                "gpus": [name],
                "compile_cuda": compile_cuda,
                "workload": "serve",
            }
            try:
                stack = stack_of(shipped, answers)
            except UserMessageError as error:
                assert stacks.is_a_sentence_about_answers(str(error)), str(error)
                continue
            stacks.check(ROWS, complete(answers), stack)
            found += 1
    assert (found == 0) if framework == "scikit-learn" else (found > 100)
