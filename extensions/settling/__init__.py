"""Merge a file of Drydock's with the lines that its owner added, where git sees a conflict.

For settle.py. The edits that conflict are taken out, the rest is merged as Copier did, and each is
put back where it means the same in this version: in a Dockerfile by what may stand between the two
places, in YAML, TOML and HCL by comparing what the documents say. What is not shown to mean the
same raises `Unclear`, and the file keeps its conflict.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from difflib import SequenceMatcher
from pathlib import Path

from . import code, dockerfile, documents, patterns, readers
from .edit import Edit, Unclear

LISTS = (".dockerignore", ".gitignore")
HOOKS = ".pre-commit-config.yaml"
YAML = (".github/workflows/ci.yml", ".gitlab-ci.yml", HOOKS)
OTHERS = {"pyproject.toml": readers.toml_of, "docker-bake.hcl": readers.bake_of}


def is_known(name: str) -> bool:
    """Is it a file of which this module knows what its lines mean?"""
    return name in ("Dockerfile", *LISTS, *YAML, *OTHERS) or name.endswith(".py")


def lines(text: str) -> list[str]:
    """Cut a text into lines as git does, each with its end."""
    return re.findall(r"[^\n]*\n|[^\n]+", text)


def place(name: str, last: list[str], edit: Edit, text: list[str]) -> tuple[list[str], str]:
    """Put an edit where it means the same.

    Args:
        name: of the file.
        last: its lines as the last version made it; the edit is one of these.
        edit: what its owner did.
        text: the lines of the file to put it into.

    Returns:
        The lines with the edit, and where it stands, in words.

    Raises:
        Unclear: there is no such place, or more than one.
    """
    if name == "Dockerfile":
        return dockerfile.place(last, edit, text)
    if name in YAML:
        return documents.place(last, edit, text, ends_alike=name == HOOKS)
    if name in OTHERS:
        return documents.place(last, edit, text, ends_alike=False, load=OTHERS[name])
    return patterns.place(last, edit, text)


def merge(
    name: str, last: list[str], own: list[str], new: list[str]
) -> tuple[list[str], list[str]]:
    """Merge a file, with each edit that conflicts at the place where it means the same.

    Args:
        name: of the file, below the project.
        last, own, new: its lines, with line ends: as the last version made it, as the owner left
            it, as this version makes it.

    Returns:
        The lines, and a sentence for each edit that stands elsewhere now; of code, there is none.

    Raises:
        Unclear: some edit has no such place; the text says why.
    """
    if name.endswith(".py"):
        return code.settled(last, own, new), []
    # What is put elsewhere has to end with its line.
    own = [*own[:-1], "".join(own[-1:]).removesuffix("\n") + "\n"]
    edits = [
        Edit(start, last[start:end], own[first:after])
        for kind, start, end, first, after in _matcher(last, own).get_opcodes()
        if kind != "equal"
    ]
    conflicting = [edit for edit in edits if _merge(edit.applied_to(last), last, new) is None]
    rest = last
    for edit in reversed(edits):
        if edit not in conflicting:
            rest = edit.applied_to(rest)
    text = _merge(rest, last, new)
    if text is None or not conflicting:
        raise Unclear("your edits and this version's cannot be told apart")
    said = []
    gone = {line for edit in edits for line in edit.gone if line.strip()}.difference(new)
    for edit in conflicting:
        if gone.difference(edit.gone).intersection(edit.lines):
            raise Unclear(f"you moved {edit.shown()}, which this version does not have")
        text, where = place(name, last, edit, text)
        said.append(edit.moved(where))
    if name == "Dockerfile":
        dockerfile.check(last, own, text, conflicting)
    return text, said


def _matcher(last: list[str], own: list[str]) -> SequenceMatcher:
    return SequenceMatcher(None, last, own, autojunk=False)


def _merge(own: Sequence[str], last: Sequence[str], new: Sequence[str]) -> list[str] | None:
    """Merge as Copier does, with `git merge-file`; None where there is a conflict."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder, name) for name in ("own", "last", "new")]
        for path, side in zip(paths, (own, last, new), strict=True):
            path.write_text("".join(side), "utf-8", newline="")
        done = subprocess.run(
            [shutil.which("git") or "git", "merge-file", "-p", *map(str, paths)],
            capture_output=True,
        )
    return lines(done.stdout.decode()) if done.returncode == 0 else None
