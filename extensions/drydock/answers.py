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

_NAME = r"[A-Za-z0-9][A-Za-z0-9 .()-]*"
_IN_QUOTES = rf"""(?:{_NAME}|"{_NAME}"|'{_NAME}')\s*"""
# What Copier, which reads it as YAML, takes for one text or for a list of texts.
_NAMES = re.compile(
    rf"(?:{_NAME}(?:,\s*{_NAME})*,?)?\s*|\[\s*(?:{_IN_QUOTES}(?:,\s*{_IN_QUOTES})*,?\s*)?\]\s*"
)


def as_names(catalogue: Catalogue, value: Any) -> tuple[str, ...]:
    """Read an answer to `gpus`, in any of its forms.

    Args:
        catalogue: the facts.
        value: a list; a text such as "T4, L4" or "[T4, L4]"; a number, which YAML makes of 8.6; or
            nothing, which means "any".

    Returns:
        Each name once, in the order of the catalogue; at the end those that it does not have.
    """
    if isinstance(value, str):
        value = value.strip().removeprefix("[").removesuffix("]").split(",")
    elif not isinstance(value, (list, tuple)):
        value = [] if value is None else [value]
    texts = {str(item).strip().strip("'\"") for item in value} - {""}
    known = [name for name in ("any", *catalogue.gpus) if name in texts]
    return (*known, *sorted(texts.difference(known))) or ("any",)


def check_alone(catalogue: Catalogue, answers: Answers, question: str, value: Any) -> str:
    """Return "" if a value is acceptable by itself, else one sentence: what to answer instead.

    Args:
        catalogue: the facts.
        answers: the others; the framework among them decides which versions there are, and
            `kept_name` is the name that the project has already.
        question: the name of a question.
        value: the answer to it.

    Raises:
        KeyError: there is no such question.
    """
    if question == "gpus":
        return check_gpus(catalogue, value)
    if question == "extras":
        return check_extras(every_value(catalogue, answers, question), value)
    if value is None:
        return "It has no value; answer one, or leave the question out."
    if not isinstance(value, (str, int, float)):
        # Copier would end in a traceback.
        return f"{quoted(str(value))} is not one text; answer one, in quotes where YAML needs them."
    if question in TEXT_CHECKS:
        return TEXT_CHECKS[question](str(value))
    if question == "project_name":
        return check_project_name(catalogue, str(value), answers.get("kept_name"))
    if question in ("advanced", "forward_compat", "compile_cuda"):
        return check_bool(value)
    if question == "driver":
        return check_driver(catalogue, value)
    if question == "python_version":
        return check_python_version(catalogue, value)
    return check_choice(every_value(catalogue, answers, question), str(value))


def check_bool(value: Any) -> str:
    """Refuse what Copier does not read as a truth value."""
    return "" if as_bool(value) is not None else f"{quoted(str(value))}: answer true or false."


def check_gpus(catalogue: Catalogue, value: Any) -> str:
    """Refuse unknown models, "any" beside a model, and what Copier would not read."""
    if isinstance(value, str) and not _NAMES.fullmatch(value.strip()):
        return (
            f"{quoted(value)} is no list of GPUs; answer names with commas between them, "
            "for example: T4, L4."
        )
    names = as_names(catalogue, value)
    if "any" in names and len(names) > 1:
        return (
            f"any stands alone; leave it out and keep {', '.join(n for n in names if n != 'any')}."
        )
    for name in names:
        if name != "any" and name not in catalogue.gpus:
            hint = _did_you_mean(name, catalogue.gpus)
            hint = hint or "answer models such as L4, or a compute capability such as 8.6."
            return f"{quoted(name)} is no GPU of the catalogue; {hint}"
    return ""


def check_extras(values: list[str], value: Any) -> str:
    """Refuse what is no list of extras: a list, or the text of one such as "[kubernetes]"."""
    if isinstance(value, str) and re.fullmatch(r"\s*\[.*\]\s*", value):
        value = [item.strip().strip("'\"") for item in value.strip()[1:-1].split(",")]
        value = value if value != [""] else []
    if not isinstance(value, (list, tuple)):
        return f"{quoted(str(value))} is no list; answer some of [{', '.join(values)}], or []."
    return next((s for s in (check_choice(values, str(item)) for item in value) if s), "")


def check_driver(catalogue: Catalogue, value: Any) -> str:
    """Refuse what is no driver version, and the number that YAML makes of one such as 550.90."""
    text = str(value)
    if re.fullmatch(r"[1-9][0-9]{2}(\.[0-9]{1,3}){0,2}", text):
        if isinstance(value, float) and len(text.partition(".")[2]) < 3:
            return f"YAML reads {text}0 as the number {text}, too; put it in quotes: '{text}'."
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
    """List the values to answer instead: all of a few; of many the similar ones, if there are."""
    names = list(values)
    if len(names) > 12:
        lowered = {name.lower(): name for name in names}
        near = difflib.get_close_matches(text.lower(), list(lowered), n=3, cutoff=0.3)
        similar = {"auto", *(lowered[name] for name in near)}
        names = [name for name in names if name in similar]
    return f"answer one of {', '.join(names)}." if names else ""
