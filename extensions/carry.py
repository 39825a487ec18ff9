"""Carry a changed answer into the files that are the owner's: a migration after every update.

An update leaves those files alone, so that what the template learns about them never disturbs an
owner's code. An answer that is changed on purpose is another matter: a trainer that shall serve as
well needs another `main.py`. This renders the version that is updated to twice, with the old answer
and with the new one, and merges the difference between the two, as git merges two branches: no
other change of the template comes with it. `drydock/changes.py` says which answers that can be.

Its arguments are the template and the answers file, as Copier names them. It runs with Copier's own
Python in the project, whose last commit holds the old answers. Files it cannot merge are named on
the terminal; conflicts in code are marked as Copier marks its own.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import yaml

# The answers that decide what stands in the owner's files, among those that an update can change.
CARRIED = ("workload", "platform", "accelerator", "extras")
# Prose is nothing that starts or fails to: where its owner rewrote it, no marker may stand in it.
PROSE = ("README.md", "AGENTS.md")


def carry(template: Path, answers_file: str) -> list[str]:
    """Merge what a changed answer changes in the owner's files into those of the project.

    Args:
        template: the template's folder, with its `copier.yml`.
        answers_file: the name of Copier's answers file, below the working directory.

    Returns:
        Lines for the terminal: files that have to be looked at. None where no such answer changed.
    """
    earlier = yaml.safe_load(_git("show", f"HEAD:./{answers_file}") or "{}")
    answers = yaml.safe_load(Path(answers_file).read_text("utf-8"))
    answers = {name: value for name, value in answers.items() if not name.startswith("_")}
    old, new = ({n: side[n] for n in CARRIED if side.get(n)} for side in (earlier, answers))
    if not earlier or old == new:
        return []
    # Only now: its import takes most of a second, and few updates change such an answer.
    from copier.errors import UserMessageError

    others = {name: value for name, value in answers.items() if name not in CARRIED}
    left = []
    with tempfile.TemporaryDirectory() as folder:
        before, after = Path(folder, "before"), Path(folder, "after")
        try:
            _render(template, before, others | old)
        except UserMessageError:
            # The old answer does not go with another one that changed as well. All of the old do.
            _render(template, before, {n: v for n, v in earlier.items() if not n.startswith("_")})
        patterns = _render(template, after, answers)
        for name in sorted(_owned(before, patterns) | _owned(after, patterns)):
            if not _merge(name, before / name, after / name):
                left.append(name)
    if not left:
        return []
    changed = ", ".join(
        f"{name}={new.get(name, 'none')}" for name in CARRIED if old.get(name) != new.get(name)
    )
    return [
        f"by hand    {', '.join(left)}: yours differs too much from what the template makes for "
        f"{changed}; `copier copy --trust --data-file {answers_file}` into another folder shows it."
    ]


def _render(template: Path, side: Path, answers: dict[str, object]) -> Sequence[str]:
    """Make a project of this version of the template, without its tasks.

    Returns:
        The patterns of the files in it that are its owner's.
    """
    from copier import run_copy

    worker = run_copy(
        str(template),
        side,
        data=answers,
        defaults=True,
        quiet=True,
        skip_tasks=True,
        unsafe=True,
        vcs_ref="HEAD",
    )
    return worker.template.skip_if_exists


def _owned(side: Path, patterns: Sequence[str]) -> set[str]:
    """Name the files of a rendered project that are its owner's."""
    return {
        path.relative_to(side).as_posix()
        for pattern in patterns
        for path in side.glob(pattern.lstrip("/"))
        if path.name != "uv.lock"
    }


def _merge(name: str, before: Path, after: Path) -> bool:
    """Bring one file from `before` to `after`, with what its owner changed.

    A file that the owner deleted stays deleted. One that only the new answer has comes, one that
    only the old answer had goes, each unless the owner has another of that name.

    Returns:
        Whether that was possible; a conflict in code, which is marked, counts as possible.
    """
    mine = Path(name)
    old, new = (side.read_bytes() if side.is_file() else None for side in (before, after))
    own = mine.read_bytes() if mine.is_file() else None
    if old == new:
        return True
    if own is None:
        if old is None:
            mine.parent.mkdir(parents=True, exist_ok=True)
            mine.write_bytes(new or b"")
        return True
    if b"\r\n" in own:
        old, new = (side and side.replace(b"\n", b"\r\n") for side in (old, new))
    if own in (old, new):
        if new is None:
            mine.unlink()
        else:
            mine.write_bytes(new)
        return True
    if old is None or new is None:
        return False
    before.write_bytes(old)
    after.write_bytes(new)
    labels = ("-L", "before updating", "-L", "last update", "-L", "after updating")
    command = [_program(), "merge-file", "-p", *labels, name, str(before), str(after)]
    done = subprocess.run(command, capture_output=True)
    # The number of conflicts; from 128 on, git failed.
    if done.returncode >= 128 or (done.returncode and name in PROSE):
        return False
    mine.write_bytes(done.stdout)
    if done.returncode:
        _mark_unmerged(name, before, after)
    return True


def _mark_unmerged(name: str, before: Path, after: Path) -> None:
    """Tell git's index of a conflict, so that it and every hook that asks it see one."""
    prefix = _git("rev-parse", "--show-prefix").strip()
    mode, mine = _git("ls-files", "--stage", "--", name).split()[:2]
    theirs = [_git("hash-object", "-w", str(side)).strip() for side in (before, after)]
    stages = zip((1, 2, 3), (theirs[0], mine, theirs[1]), strict=True)
    lines = [
        f"0 {'0' * 40}\t{prefix}{name}",
        *(f"{mode} {h} {n}\t{prefix}{name}" for n, h in stages),
    ]
    _git("update-index", "--index-info", given="\n".join(lines) + "\n")


def _git(*words: str, given: str = "") -> str:
    """What git says; nothing where it does not answer."""
    done = subprocess.run(
        [_program(), *words], input=given, capture_output=True, encoding="utf-8", errors="replace"
    )
    return done.stdout


def _program() -> str:
    """Where git is: an update does not begin without it."""
    return shutil.which("git") or "git"


if __name__ == "__main__":
    for line in carry(Path(sys.argv[1]), sys.argv[2]):
        print(line, file=sys.stderr)
