"""Settle conflicts that are none: lines that an owner added where a release rewrote what was there.

Until 0.5.0 Drydock's files had no place for lines of their owner's, and every release has rewritten
some line of them. To git an added line beside a rewritten one is a conflict, though both can stand.
This is a migration after every update: the package `settling` merges what it can. Either all of a
file's conflicts are settled or the file stays as Copier left it, with its markers. What was moved
where is said on the terminal, one sentence each.

It runs with Copier's own Python in the project. Copier keeps the three versions of a file with
conflicts in git's index: made by the last version, the owner's, made by this version.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from report import changed
from settling import is_known, lines, merge
from settling.dockerfile import astray
from settling.edit import Unclear

LAST, OWN, NEW = 1, 2, 3  # git's numbers of the three versions, which it calls stages


def settle() -> list[str]:
    """Settle what can be, in the working directory.

    Returns:
        Lines for the terminal: what stands elsewhere now, and which file waits for its owner. A
        line of the Dockerfile that git put into another stage is among them.
    """
    said = []
    for name in filter(is_known, changed("--diff-filter=U")):
        versions = [_git("show", f":{stage}:./{name}") for stage in (LAST, OWN, NEW)]
        if not all(versions):
            continue
        try:
            text, places = merge(name, *map(lines, versions))
        except Unclear as error:
            said.append(f"stays      {name} has a conflict: {error}.")
            continue
        path, whole = Path(name), "".join(text)
        # Where git checks files out with line ends of its own, the index has them without.
        if "\r" not in whole and b"\r\n" in path.read_bytes():
            whole = whole.replace("\n", "\r\n")
        path.write_bytes(whole.encode())
        _git("reset", "--quiet", "--", name)  # to git, the conflict is there until then
        said += [f"moved      in {name}: {line}" for line in places]
        if name.endswith(".py"):
            said.append(f"formatted  {name} is as this version has it: format it as you do.")
    # What git merged by itself has no versions in the index.
    if "Dockerfile" in changed("HEAD") and (own := _git("show", "HEAD:./Dockerfile")):
        text = Path("Dockerfile").read_text("utf-8", errors="replace")
        said += [f"elsewhere  in Dockerfile: {line}" for line in astray(own, text)]
    return said


def _git(*words: str) -> str:
    """What git says; nothing where it does not answer, or not in UTF-8."""
    done = subprocess.run([_program(), *words], capture_output=True)
    try:
        return done.stdout.decode() if done.returncode == 0 else ""
    except UnicodeDecodeError:
        return ""


def _program() -> str:
    """Where git is: an update does not begin without it."""
    return shutil.which("git") or "git"


if __name__ == "__main__":
    for line in settle():
        print(line, file=sys.stderr)
