"""The files of a project in a fraction of a second: rendered as Copier does, without Copier."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from functools import cache
from typing import Any

from jinja2 import FileSystemLoader, StrictUndefined
from jinja2.sandbox import SandboxedEnvironment

from drydock import form
from drydock.catalogue import Catalogue
from drydock.jinja import DrydockExtension
from drydock.questions import QUESTIONS
from tests.support import projects

CATALOGUE = Catalogue()


@cache
def environment() -> SandboxedEnvironment:
    """A Jinja environment with the settings of copier.yml."""
    settings = projects.settings()["_envops"]
    return SandboxedEnvironment(
        **{**settings, "undefined": StrictUndefined},
        loader=FileSystemLoader(projects.ROOT / "template"),
        extensions=["jinja2_ansible_filters.AnsibleCoreFiltersExtension", DrydockExtension],
    )


def answered(**given: Any) -> dict[str, Any]:
    """The context of a template: what is given, then the form's defaults, then what it computes."""
    known: dict[str, Any] = {"_copier_conf": {"data": given, "dst_path": "/tmp/churn"}, **given}
    for question in QUESTIONS:
        if question in given:
            continue
        text = projects.form()[question]["default"]
        if "drydock.default" in str(text):
            known[question] = form.default(CATALOGUE, known, question)
        else:
            known[question] = text
    known["package"] = known["project_name"].replace("-", "_")
    known["stack"] = environment().globals["drydock"].stack(known)  # type: ignore[attr-defined]
    return known


def rendered(context: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Each file of the template whose text or place an answer changes, as the project has it."""
    folder = projects.ROOT / "template"
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if (
            not path.is_file()
            or "answers_file" in name
            or not (name.endswith(".jinja") or "{%" in name)
        ):
            continue
        where = environment().from_string(name).render(context)
        if not all(where.split("/")):  # a folder that renders to nothing is left out
            continue
        if name.endswith(".jinja"):
            text = environment().get_template(name).render(context)
        else:
            text = path.read_text("utf-8")
        yield posixpath.normpath(where.removesuffix(".jinja")), text
