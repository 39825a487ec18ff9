"""The thin layer that Copier's Jinja calls: the functions of `form` and `stack` with answers."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from functools import cached_property
from pathlib import Path
from typing import Any

from copier_template_extensions import ContextHook
from jinja2 import Environment, pass_context
from jinja2.runtime import Context as JinjaContext

from .catalogue import Catalogue
from .changes import refuse_change, refuse_upstream
from .form import check, choices, default, gpus_to_name, is_locked, stored
from .preflight import preflight, refuse_former
from .prompt import fit_the_prompt
from .questions import ADVANCED, GPU_QUESTIONS, NEUTRAL, QUESTIONS, Answers, as_bool, is_asked
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
    def is_asked(self, context: Context, question: str) -> bool:
        """See `questions.is_asked`."""
        return is_asked(context, question)

    @pass_context
    def is_locked(self, context: Context) -> bool:
        """See `form.is_locked`."""
        return is_locked(context["_copier_conf"]["dst_path"])

    @pass_context
    def preflight(self, context: JinjaContext) -> bool:
        """See `preflight.preflight` and `preflight.refuse_former`."""
        answers = _answers(context)
        settings = context.get("_copier_conf")
        if not settings:
            return preflight(self._catalogue, answers)
        refuse_upstream(str(_earlier(context).get("_commit")), str(context.get("_commit")))
        refuse_former(_former(context))
        self._refuse_change(context)
        # What a program gives as defaults of its own, Copier checks at each question.
        defaults = {*settings.get("user_defaults", ())} - {*settings["data"]}
        answers = {name: value for name, value in answers.items() if name not in defaults}
        return preflight(
            self._catalogue, answers, settings["data"], asks=not settings.get("defaults")
        )

    @pass_context
    def stack(self, context: Context) -> Stack:
        """See `stack.stack_of`; and `changes.refuse_change`, for what was answered at a prompt."""
        self._refuse_change(context)
        stack = stack_of(self._catalogue, _answers(context))
        return {**stack, "summary": [*stack["summary"], *_unused(context)]}

    def _refuse_change(self, context: Context) -> None:
        """See `changes.refuse_change`."""
        source = str(context.get("_src_path", "TEMPLATE"))
        folder = Path(context.get("_copier_conf", {}).get("dst_path", "."))
        refuse_change(
            self._catalogue,
            _earlier(context),
            _answers(context),
            source,
            # A module that every project has there, since a folder of this name may be the owner's.
            has_runtime=any(folder.glob("src/*/runtime/signals.py")),
        )


def _earlier(context: Context) -> Answers:
    """Return the answers that the destination was made with: none where it is no project yet.

    `copier.yml` has Copier read them (`_external_data`); it warns where there is no such file.
    """
    settings = context.get("_copier_conf") or {}
    if "_external_data" not in context or "answers_file" not in settings:
        return {}
    file = Path(settings["dst_path"]) / settings["answers_file"]
    return context["_external_data"]["earlier"] if file.is_file() else {}


def _answers(context: Context) -> Answers:
    """Pick all answers from a Jinja context or a mapping."""
    names = [name for name in (*QUESTIONS, "today") if name in context]
    return {**{name: context[name] for name in names}, **_kept(context)}


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
    return {**{name: context[name] for name in names}, **_kept(context)}


def _kept(context: Context) -> dict[str, str]:
    """Return the name and the Python that a project has already: `kept_name`, `kept_python`.

    They are what an earlier run wrote down. Copier also gives them as data where it renders a side
    of an update into an empty folder: then every question has its answer there.
    """
    settings, stored = context.get("_copier_conf"), context.get("_copier_answers") or {}
    if not settings:
        return {}
    given = {*settings["data"]}
    always_asked = {*QUESTIONS[: QUESTIONS.index("advanced") + 1]} - {*GPU_QUESTIONS, "extras"}
    return {
        kept: str(stored[name])
        for kept, name in {"kept_name": "project_name", "kept_python": "python_version"}.items()
        if name in stored and (name not in given or always_asked <= given)
    }


def _former(context: JinjaContext) -> set[str]:
    """Name the answers of an earlier run to questions that `copier.yml` does not ask.

    Copier's `_copier_answers` holds all those that it does.
    """
    asked = context.get("_copier_answers")
    if asked is None:
        return set()
    own = {*context.environment.globals, "now", "make_secret"}
    known = {*asked, *context["_copier_conf"]["data"], *QUESTIONS, *own}
    return {name for name in context.get_all() if not name.startswith("_")} - known


def _unused(context: Context) -> list[str]:
    """Say which defaults of Copier's settings file have no effect, as lines for the terminal."""
    settings = context.get("_copier_conf") or {}
    if "settings" not in settings or as_bool(context.get("advanced")):
        return []
    return [
        f"note       {name} of Copier's settings file is not used: it is asked only if advanced is "
        "true, which that file can say too."
        for name, value in settings["settings"].defaults.items()
        if name in ADVANCED and name not in settings["data"] and value != NEUTRAL[name]
    ]


class DrydockExtension(ContextHook):
    """Adds the global `drydock` to Copier's Jinja environment."""

    def __init__(self, environment: Environment) -> None:
        """Add it to this environment."""
        super().__init__(environment)
        environment.globals["drydock"] = Drydock()

    def hook(self, context: MutableMapping[str, Any]) -> None:
        """Take away what Copier's settings file answers to questions that are not asked.

        Copier gives such an answer to the templates, but it does not write it down, so that the
        next machine would render something else. (One by --data is refused: `preflight`.)
        """
        if "advanced" not in context:
            return
        given = context["_copier_conf"]["data"]
        for name, neutral in NEUTRAL.items():
            if name in context and name not in given and not is_asked(context, name):
                context[name] = neutral
