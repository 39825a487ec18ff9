"""The form: the choices, the default and the check of each question, beside the other answers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from textwrap import wrap
from typing import Any

from .answers import as_names, check_alone
from .catalogue import Catalogue
from .names import name_of_folder
from .questions import GPU_QUESTIONS, QUESTIONS, Answers, every_value, today
from .refusal import refusal
from .request import SOLVER_QUESTIONS, BadAnswerError, read_request
from .solver import solve


def choices(catalogue: Catalogue, answers: Answers, question: str) -> list[str | list[str]]:
    """List the values of a question that can still succeed, as values or [label, value] pairs.

    Args:
        catalogue: the facts.
        answers: the answers so far; an answer that is absent may still become anything.
        question: one that is answered by choosing, and that the solver reads.

    Raises:
        KeyError: the question has no list of values.
    """
    others = _without(answers, question)
    values = possible(catalogue, others, question, every_value(catalogue, others, question))
    if question == "framework":
        return [[catalogue.frameworks[value].title, value] for value in values]
    if question == "platform":
        return [[catalogue.platforms[value].title, value] for value in values]
    return list(values)


def _without(answers: Answers, question: str) -> dict[str, Any]:
    return {name: value for name, value in answers.items() if name != question}


def possible(
    catalogue: Catalogue, others: Answers, question: str, values: Iterable[str]
) -> Iterator[str]:
    """Yield the values of a question with which the other answers have a solution."""
    for value in values:
        picked = [value] if question == "gpus" else value
        try:
            request = read_request(catalogue, {**others, question: picked})
        except BadAnswerError:
            # The value itself, or what another answer becomes beside it.
            continue
        if solve(catalogue, request) is not None:
            yield value


def gpus_to_name(catalogue: Catalogue, answers: Answers) -> str:
    """Return the models that can be answered beside the other answers, for the question `gpus`.

    A few lines of at most 78 columns for each brand, the newest generation first.
    """
    titles = {
        "datacentre": "Data centre",
        "workstation": "Workstation",
        "geforce": "GeForce",
        "jetson": "Jetson",
    }
    names = [name for name in choices(catalogue, answers, "gpus") if name != "any"]
    newest_first = sorted(names, key=lambda name: -catalogue.gpus[name].compute_number)
    lines = []
    for brand, title in titles.items():
        models = [name for name in newest_first if catalogue.gpus[name].brand == brand]
        # A name stays on one line, so its spaces are no spaces until the lines are broken.
        text = f"{title}: " + ", ".join(name.replace(" ", "\0") for name in models)
        lines += wrap(text, 76, max_lines=3, placeholder=" …") if models else []
    return "\n".join(f"  {line}" for line in lines).replace("\0", " ")


def default(catalogue: Catalogue, answers: Answers, question: str) -> str | list[str] | None:
    """Return the default of a question: a value that is valid with every other answer given.

    For `gpus` it is None, which means "any": nothing that one would have to delete at the prompt.
    Where the answers given conflict already there is none; `stack` then says why.

    Raises:
        KeyError: the question has a default that depends on nothing, and `copier.yml` spells it.
    """
    if question == "image_name" and answers.get("project_name"):
        return str(answers["project_name"])
    if question in ("project_name", "image_name"):
        settings = answers.get("_copier_conf") or {}
        return name_of_folder(catalogue, str(settings.get("dst_path") or "."))
    others = _without(answers, question)
    preferred = _preferred(catalogue, others, question)
    value = next(possible(catalogue, others, question, preferred), preferred[0])
    if question == "gpus":
        return None if value == "any" else [value]
    return value


def stored(catalogue: Catalogue, answers: Answers) -> dict[str, Any]:
    """Return the answers as the answers file has them: `gpus`, however typed, is a list.

    In the order of the form, so that one which an update adds does not stand last: Copier's own
    entries come first, and a fork's questions after these.
    """
    names = {"gpus": list(as_names(catalogue, answers["gpus"]))} if "gpus" in answers else {}
    own = [name for name in answers if name.startswith("_")]
    order = [*own, *(name for name in QUESTIONS if name in answers), *answers]
    return {name: {**answers, **names}[name] for name in order}


def is_locked(folder: str) -> bool:
    """Tell whether a project has its lock; the task that writes it may have failed."""
    return (Path(folder) / "uv.lock").is_file()


def _preferred(catalogue: Catalogue, others: Answers, question: str) -> list[str]:
    """List the values that may become the default of a question, the best one first."""
    if question == "framework":
        first = ["pytorch"] if others.get("accelerator") == "gpu" else []
        return list(dict.fromkeys([*first, *catalogue.frameworks]))
    if question == "gpus":
        return every_value(catalogue, others, question)
    if question == "python_version":
        return list(catalogue.pythons_by_preference)
    if question == "driver":
        loaded = loaded_driver()
        long_term = catalogue.long_term_driver(today(catalogue, others))
        return [*([loaded] if loaded else []), long_term, *catalogue.notable_drivers]
    raise KeyError(question)


def loaded_driver(roots: Iterable[Path] = (Path("/proc"), Path("/sys"))) -> str | None:
    """Return the version of this machine's NVIDIA kernel module, None where none is loaded."""
    for root in roots:
        for path in (root / "driver/nvidia/version", root / "module/nvidia/version"):
            try:
                text = path.read_text("utf-8", errors="replace")
            except OSError:
                continue
            found = re.search(r"\b\d{3,4}(?:\.\d+){1,2}\b", text)
            if found:
                return found.group()
    return None


def check(catalogue: Catalogue, answers: Answers, question: str, value: Any) -> str:
    """Return "" if a value is acceptable beside the other answers, else what to answer instead.

    Raises:
        KeyError: there is no such question.
    """
    sentence = check_alone(catalogue, answers, question, value)
    if sentence or question not in SOLVER_QUESTIONS:
        return sentence
    try:
        return refusal(catalogue, read_request(catalogue, {**answers, question: value}))
    except BadAnswerError:
        # Another answer is at fault, and is refused at its own question.
        return ""


def with_defaults(catalogue: Catalogue, answers: Answers) -> dict[str, Any]:
    """Return the answers with the default of each absent one that the solver or `stack` reads."""
    complete = {"accelerator": "cpu", "platform": "docker", **answers}
    for question in ("framework", "gpus", "driver", "python_version"):
        if question in GPU_QUESTIONS and str(complete["accelerator"]) != "gpu":
            continue
        if question not in complete:
            complete[question] = default(catalogue, complete, question)
    return complete
