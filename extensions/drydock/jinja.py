"""The thin layer that Copier's Jinja calls: the functions of `form` and `stack` with answers."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

from jinja2 import Environment, pass_context
from jinja2.ext import Extension

from .catalogue import Catalogue
from .form import check, choices, default, gpus_to_name, is_locked, preflight, stored
from .prompt import fit_the_prompt
from .questions import GPU_QUESTIONS, QUESTIONS, Answers
from .stack import stack_of
from .stack.keys import Stack

# A Jinja context, or a mapping in its place.
Context = Mapping[str, Any]


class Drydock:
    """What templates see as `drydock`."""

    @cached_property
    def _catalogue(self) -> Catalogue:
        """The catalogue, read when it is first asked for."""
        return Catalogue()

    @pass_context
    def choices(self, context: Context, question: str) -> list[str | list[str]]:
        """See `form.choices`."""
        return choices(self._catalogue, answers_before(context, question), question)

    @pass_context
    def default(self, context: Context, question: str) -> str | list[str] | None:
        """See `form.default`."""
        return default(self._catalogue, answers_before(context, question), question)

    @pass_context
    def check(self, context: Context, question: str, value: Any) -> str:
        """See `form.check`."""
        sentence = check(self._catalogue, answers_before(context, question), question, value)
        return fit_the_prompt(question, sentence)

    @pass_context
    def gpus_to_name(self, context: Context) -> str:
        """See `form.gpus_to_name`."""
        return gpus_to_name(self._catalogue, answers_before(context, "gpus"))

    def stored(self, answers: Answers) -> Answers:
        """See `form.stored`."""
        return stored(self._catalogue, answers)

    @pass_context
    def is_locked(self, context: Context) -> bool:
        """See `form.is_locked`."""
        return is_locked(context["_copier_conf"]["dst_path"])

    @pass_context
    def preflight(self, context: Context) -> bool:
        """See `form.preflight`."""
        answers = {name: context[name] for name in QUESTIONS if name in context}
        answers |= _kept_name(context)
        settings = context.get("_copier_conf")
        return preflight(self._catalogue, answers, settings["data"] if settings else None)

    @pass_context
    def stack(self, context: Context) -> Stack:
        """See `stack.stack_of`."""
        names = (*QUESTIONS, "today")
        return stack_of(self._catalogue, {name: context[name] for name in names if name in context})


def answers_before(context: Context, question: str) -> Answers:
    """Pick the answers that bind a question from a Jinja context or a mapping.

    Those of earlier questions do, and those given in advance. During an update the context also
    holds an earlier run's answers to later questions; they do not bind, because they are about
    to be asked again. A mapping without `_copier_conf` is taken whole.
    """
    settings = context.get("_copier_conf")
    names = [name for name in (*QUESTIONS, "_copier_conf", "today") if name in context]
    if settings:
        later = QUESTIONS[QUESTIONS.index(question) :]
        names = [name for name in names if name not in later or name in settings["data"]]
    return {name: context[name] for name in names} | _kept_name(context)


def _kept_name(context: Context) -> dict[str, str]:
    """Return the name that a project has already, as `{"kept_name": …}`, or nothing.

    It is one that an earlier run wrote down. Copier also gives it as data where it renders a side
    of an update into an empty folder: then every question has its answer there.
    """
    settings, stored = context.get("_copier_conf"), context.get("_copier_answers") or {}
    if not settings or "project_name" not in stored:
        return {}
    given = {*settings["data"]}
    always_asked = {*QUESTIONS[: QUESTIONS.index("advanced") + 1]} - {*GPU_QUESTIONS}
    earlier = "project_name" not in given or always_asked <= given
    return {"kept_name": stored["project_name"]} if earlier else {}


class DrydockExtension(Extension):
    """Adds the global `drydock` to Copier's Jinja environment."""

    def __init__(self, environment: Environment) -> None:
        """Add it to this environment."""
        super().__init__(environment)
        environment.globals["drydock"] = Drydock()
