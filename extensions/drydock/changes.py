"""Which answers of an earlier run an update can change, and which it must not.

An update carries a changed answer into Drydock's files. `main.py` and the modules of `src/` and
`tests/` are the owner's: what an answer changes in those is merged by `extensions/carry.py`, where
it is some lines or files more. Where nearly every line is another (another framework), or where the
project's code is from before it could be, the change is refused before anything is written.
"""

from __future__ import annotations

from copier.errors import UserMessageError

from .catalogue import Catalogue
from .questions import FIXED, Answers

# The one change of the workload that takes nothing away.
ADDS_SERVER = ("train", "both")


def refuse_change(
    catalogue: Catalogue,
    earlier: Answers,
    answers: Answers,
    source: str = "TEMPLATE",
    *,
    has_runtime: bool = True,
) -> None:
    """Refuse a changed answer that decides what stands in the owner's files.

    Args:
        catalogue: the facts.
        earlier: the answers that the project was made with; empty for a new project.
        answers: those of this run.
        source: where the template is, as the project remembers it.
        has_runtime: does Drydock's code stand in a folder of its own? In projects from before
            0.5.0 it does not, and theirs is not what the new answer's lines are made for.

    Raises:
        UserMessageError: there is one. The message says why, and how to get there.
    """
    for name in (*FIXED, "accelerator", "platform"):
        if name not in earlier or name not in answers:
            continue
        old, new = str(earlier[name]), str(answers[name])
        if old == new or (has_runtime and (name not in FIXED or (old, new) == ADDS_SERVER)):
            continue
        if _is_in_the_owners_files(catalogue, answers, name, old, new):
            label = str(earlier.get("project_name", "project"))
            beside = new if name == "project_name" else f"{label}-{new}"
            raise UserMessageError(
                f"{name}: an update cannot change it from {old} to {new}, because it leaves "
                f"main.py and your modules in src/ and tests/ alone, and they are made for {old}; "
                "nothing was changed. Make a project for it beside this one, with "
                "`copier copy --trust --data-file .copier-answers.yml "
                f"--data {name}={new} {source} ../{beside}`, and go on in that as "
                "docs/updating.md of the template says."
            )


def refuse_upstream(earlier: str, now: str) -> None:
    """Refuse an update that leaves a fork: one from a version with a label to one without.

    A fork tags what it has merged with a label of its own, v0.5.0+acme.1. Copier updates to the
    newest tag of a repository, which may be one of the template that the fork was made from.

    Args:
        earlier: the version that the project was made with, as its answers file says.
        now: the version of this run.

    Raises:
        UserMessageError: it would be left.
    """
    if "+" in earlier and "+" not in now:
        raise UserMessageError(
            f"This project was made with {earlier}, a fork's version, and {now} has no such label, "
            "so that what the fork adds would be lost; nothing was changed. Update to a version "
            "of the fork with --vcs-ref; docs/platform-team.md of the template says how to tag one."
        )


def _is_in_the_owners_files(
    catalogue: Catalogue, answers: Answers, name: str, old: str, new: str
) -> bool:
    """Tell whether the owner's files of a project depend on an answer."""
    if name == "accelerator":
        # Its model.py lists the execution providers.
        return str(answers.get("framework")) == "onnxruntime"
    if name == "platform":
        return _code(catalogue, old) != _code(catalogue, new)
    return True


def _code(catalogue: Catalogue, platform: str) -> object:
    """What settings.py and app.py read of a platform."""
    row = catalogue.platforms.get(platform)
    return row and (row.port, row.routes, row.variables, row.paths)
