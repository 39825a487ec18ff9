"""Is one answer acceptable by itself, whatever the others are?"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from typing import Any

from .catalogue import Catalogue
from .names import check_project_name
from .questions import Answers, as_bool, every_value
from .texts import CHECKS as TEXT_CHECKS
from .texts import quoted


def as_list(value: Any) -> tuple[str, ...]:
    """Read a list, or the text of one as it stands on a command line: "[V100, T4]"."""
    if isinstance(value, str):
        value = value.strip().removeprefix("[").removesuffix("]").split(",")
    texts = [str(item).strip().strip("'\"") for item in value]
    return tuple(dict.fromkeys(text for text in texts if text))


def check_alone(catalogue: Catalogue, answers: Answers, question: str, value: Any) -> str:
    """Return "" if a value is acceptable by itself, else one sentence: what to answer instead.

    Args:
        catalogue: the facts.
        answers: the others; the framework among them decides which versions there are.
        question: the name of a question.
        value: the answer to it.

    Raises:
        KeyError: there is no such question.
    """
    if question in TEXT_CHECKS:
        return TEXT_CHECKS[question](str(value))
    if question == "project_name":
        return check_project_name(catalogue, str(value))
    if question in ("advanced", "compile_cuda"):
        return check_bool(value)
    if question == "gpus":
        return check_gpus(catalogue, value)
    if question == "driver":
        return check_driver(catalogue, str(value))
    if question == "python_version":
        return check_python_version(catalogue, value)
    return check_choice(every_value(catalogue, answers, question), str(value))


def check_bool(value: Any) -> str:
    """Refuse what Copier does not read as a truth value."""
    return "" if as_bool(value) is not None else f"{quoted(str(value))}: answer true or false."


def check_gpus(catalogue: Catalogue, value: Any) -> str:
    """Refuse unknown models, an empty list, and "any" beside a model."""
    if not isinstance(value, (list, tuple)) and not re.fullmatch(r"\s*\[.*\]\s*", str(value)):
        # Copier itself would end in a traceback.
        return f"{quoted(str(value))} is no list; put it in brackets, for example [L4] or [8.6]."
    names = as_list(value)
    if not names:
        return "Choose at least one GPU, for example L4, or any if you do not know yet."
    if "any" in names and len(names) > 1:
        return (
            f"any stands alone; leave it out and keep {', '.join(n for n in names if n != 'any')}."
        )
    for name in names:
        if name != "any" and name not in catalogue.gpus:
            return (
                f"{quoted(name)} is no GPU of the catalogue; {_did_you_mean(name, catalogue.gpus)}"
            )
    return ""


def check_driver(catalogue: Catalogue, text: str) -> str:
    """Refuse what is no driver version."""
    if re.fullmatch(r"[1-9][0-9]{2}(\.[0-9]{1,3}){0,2}", text):
        return ""
    return (
        f"{quoted(text)} is no driver version; answer the oldest driver of your hosts as "
        f"`nvidia-smi` prints it, for example {catalogue.notable_drivers[0]} or 535.183.01."
    )


def check_python_version(catalogue: Catalogue, value: Any) -> str:
    """Refuse what is no Python of the catalogue."""
    text = str(value)
    if text in catalogue.pythons:
        return ""
    if text == "3.1" and not isinstance(value, str):
        return "YAML reads 3.10 as the number 3.1; put it in quotes, for example '3.13'."
    known = ", ".join(catalogue.pythons)
    return f"{quoted(text)} is no Python of the catalogue; answer one of {known}."


def check_choice(values: list[str], text: str) -> str:
    """Refuse what is none of the values of a question."""
    if text in values:
        return ""
    return f"{quoted(text)} is none of its values; {_did_you_mean(text, values)}"


def _did_you_mean(text: str, values: Iterable[str]) -> str:
    """List the values to answer instead: all of a few, the most similar of many."""
    names = list(values)
    if len(names) > 12:
        lowered = {name.lower(): name for name in names}
        near = difflib.get_close_matches(text.lower(), list(lowered), n=3, cutoff=0.3)
        similar = {"auto", *(lowered[name] for name in near)}
        names = [name for name in names if name in similar] or names
    return f"answer one of {', '.join(names)}."
