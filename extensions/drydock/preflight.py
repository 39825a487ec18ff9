"""The look at the answers that are known before the first question is asked.

They come from this run's `--data` and from an earlier run, whose answers an update goes on with.
Nothing is written yet, so a refusal leaves a project as it was.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from copier.errors import UserMessageError

from .answers import as_names, check_alone
from .catalogue import Catalogue
from .form import possible
from .questions import (
    ADVANCED,
    FIXED,
    FORMER,
    GPU_QUESTIONS,
    ON_KUBERNETES,
    QUESTIONS,
    Answers,
    as_bool,
    every_value,
    is_asked,
)
from .refusal import explain, sentence_of
from .request import SOLVER_QUESTIONS, read_request
from .solver import solve
from .texts import quoted
from .versions import nearest


def preflight(
    catalogue: Catalogue, answers: Answers, given: Answers | None = None, *, asks: bool = True
) -> bool:
    """Look at the answers that are known before the first question is asked.

    Args:
        catalogue: the facts.
        answers: every answer known by now, an earlier run's among them.
        given: the ones given for this run, by --data or --data-file; all of them by default.
        asks: are questions asked? Then an earlier run's answer that no longer works is asked again
            before anybody's eyes. Where they are not (`--defaults`), it would become the default.

    Returns:
        True.

    Raises:
        UserMessageError: the first bad answer, or answers that conflict, in one line.
    """
    given = answers if given is None else given
    known = {
        name: value
        for name, value in answers.items()
        if name in (*QUESTIONS, "today", "kept_name", "kept_python")
    }
    gpu = str(known.get("accelerator", "cpu")) == "gpu"
    for name in QUESTIONS:
        if name not in given or (name in GPU_QUESTIONS and "accelerator" in known and not gpu):
            continue
        sentence = check_alone(catalogue, known, name, given[name])
        sentence = sentence or _not_asked(known, name, given[name])
        if sentence:
            raise UserMessageError(f"{name}: {sentence}")
    stale = _stale(catalogue, known, given)
    if stale and asks:
        # Copier asks these questions again.
        return True
    if stale:
        raise UserMessageError(_no_longer(catalogue, known, stale))
    known = {name: value for name, value in known.items() if _binds(known, name)}
    request = read_request(catalogue, known)
    if solve(catalogue, request) is None:
        conflict = explain(catalogue, request)
        if any(name in given for name, _ in conflict.answers):
            raise UserMessageError(sentence_of(catalogue, request, conflict))
        if not asks:
            # What an update cannot change is no fix.
            fixes = [fix for fix in conflict.fixes if not any(name in FIXED for name, _ in fix)]
            conflict = replace(conflict, fixes=tuple(fixes))
            sentence = sentence_of(catalogue, request, conflict)
            raise UserMessageError(
                f"Answers that this project was made with no longer work: {sentence} "
                "Nothing was changed; give another answer with --data."
            )
    return True


def _not_asked(answers: Answers, question: str, value: Any) -> str:
    """Say that an answer given in advance has no effect, or one that would not be remembered."""
    if str(value).lower() in ("", "auto", "false", "[]"):
        return ""
    if question in GPU_QUESTIONS and "accelerator" not in answers:
        return "It is asked only for a GPU; give accelerator=gpu too."
    if question in ADVANCED and not as_bool(answers.get("advanced", False)):
        return f"It is asked only if advanced is true; give advanced=true too, or no {question}."
    if question == "extras" and not is_asked(answers, question):
        return (
            f"It is not asked for the platform {answers['platform']}; leave it out, or answer "
            f"platform={' or platform='.join(ON_KUBERNETES)}."
        )
    if question == "forward_compat" and "gpus" not in answers:
        return "It is for data centre GPUs; give gpus too, for example gpus=A100."
    return ""


def _binds(answers: Answers, name: str) -> bool:
    """Tell whether an answer counts: one to a question that is no longer asked is dropped."""
    return name not in QUESTIONS or is_asked(answers, name)


def _stale(catalogue: Catalogue, known: Answers, given: Answers) -> list[str]:
    """List the questions that are asked and whose answer of an earlier run is none any more."""
    return [
        name
        for name in QUESTIONS
        if name in known
        and name not in given
        and is_asked(known, name)
        and check_alone(catalogue, known, name, known[name])
    ]


def _no_longer(catalogue: Catalogue, known: Answers, stale: list[str]) -> str:
    """Say which answer of an earlier run no longer works, why, and what works instead."""
    name = stale[0]
    value = known[name]
    reason = check_alone(catalogue, known, name, value).partition("; ")[0].rstrip(".")
    shown = ", ".join(as_names(catalogue, value)) if name == "gpus" else str(value)
    text = f"{name}: this project was made with {shown}, which no longer works: {reason}."
    others = {
        other: answer
        for other, answer in known.items()
        if other not in stale and _binds(known, other)
    }
    words = list(_instead(catalogue, others, name, value))
    if name in FIXED:
        text += (
            " An update cannot change it: stay with the version of the template that has it, or "
            "make a new project beside this one."
        )
    elif words:
        text += f" Beside its other answers this works: --data {', or --data '.join(words)}."
    return f"{text} Nothing was changed."


def _instead(catalogue: Catalogue, others: Answers, name: str, value: Any) -> Iterable[str]:
    """Yield up to three answers that are solved beside the others, the nearest first."""
    if name not in SOLVER_QUESTIONS:
        return []
    if name == "driver":
        values = list(catalogue.notable_drivers)
    elif name in ("compile_cuda", "forward_compat"):
        values = ["false"]
    else:
        values = every_value(catalogue, others, name)
    if name == "gpus":
        return _gpus_instead(catalogue, others, value)
    working = list(possible(catalogue, others, name, values))
    return [f"{name}={value}" for value in _nearest(str(value), working)]


def _gpus_instead(catalogue: Catalogue, others: Answers, value: Any) -> list[str]:
    """The GPUs that are left; where none is, those with the most similar names.

    "any" is none of them: no build for any GPU needs to run on an old one.
    """
    left = [gpu for gpu in as_names(catalogue, value) if gpu in catalogue.gpus]
    if left:
        return [f"'gpus=[{', '.join(left)}]'"]
    working = list(possible(catalogue, others, "gpus", catalogue.gpus))
    names = [
        name
        for gpu in as_names(catalogue, value)
        for name in difflib.get_close_matches(gpu, working, 3, 0)
    ]
    return [f"'gpus=[{name}]'" for name in list(dict.fromkeys(names))[:3]]


def _nearest(value: str, values: list[str]) -> list[str]:
    """The nearest of some values: by version where they are versions, else the first."""
    versions = [each for each in values if each[:1].isdigit()]
    is_version = re.fullmatch(r"\d+(\.\d+)*", value)
    return (nearest(value, versions) if is_version and versions else values)[:3]


def refuse_former(names: Iterable[str]) -> None:
    """Refuse answers of an earlier run to questions that this version of the template lacks.

    They would be dropped without a word. Those to questions that Drydock itself renamed, split or
    dropped are in `FORMER`; any other is of a fork, whose project is about to be rendered by a
    version without the fork's part.

    Raises:
        UserMessageError: there is one.
    """
    strange = sorted(set(names) - {*QUESTIONS, *FORMER})
    if strange:
        raise UserMessageError(
            f"{strange[0]}: this project was made with an answer to {quoted(strange[0])}, which "
            "this version of the template does not ask, so it would be lost. If the template is a "
            "fork, this is a version without the fork's part: docs/platform-team.md says how to "
            "tag one. Nothing was changed."
        )
