"""Where an edit of a Dockerfile goes: behind all that fills the image, if it may be there."""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from .edit import AGAIN, Edit, Unclear


@dataclass(frozen=True)
class Instruction:
    """An instruction of a Dockerfile, on the lines from `start` to before `end`."""

    start: int
    end: int
    text: str

    @property
    def word(self) -> str:
        """ENV, RUN and so on."""
        return self.text.split(maxsplit=1)[0].upper()

    @property
    def names(self) -> set[str]:
        """What it sets: variables, or labels, which are not mistaken for such."""
        if self.word not in ("ENV", "ARG", "LABEL"):
            return set()
        words = _words(self)
        pairs = words if "=" in words[0] or self.word == "ARG" else words[:1]
        return {("label " if self.word == "LABEL" else "") + pair.split("=")[0] for pair in pairs}


def _instructions(lines: Sequence[str]) -> list[Instruction]:
    """The instructions of a Dockerfile, or of some lines of one, without comments."""
    found: list[Instruction] = []
    open_at, parts = -1, []
    for number, line in enumerate(lines):
        bare = line.strip()
        if not bare or bare.startswith("#"):
            continue
        open_at = number if open_at < 0 else open_at
        parts.append(bare.removesuffix("\\").strip())
        if not bare.endswith("\\"):
            found.append(Instruction(open_at, number + 1, " ".join(parts)))
            open_at, parts = -1, []
    if parts:
        raise Unclear(f"`{parts[0]}` does not end where your lines do")
    return found


def _words(instruction: Instruction) -> list[str]:
    """The words of an instruction after its first, without options."""
    try:
        words = shlex.split(instruction.text)[1:]
    except ValueError as error:
        raise Unclear(f"`{instruction.text}` cannot be read ({error})") from None
    words = [word for word in words if not word.startswith("--")]
    if not words:
        raise Unclear(f"`{instruction.text}` says nothing")
    return words


def place(last: list[str], edit: Edit, text: list[str]) -> tuple[list[str], str]:
    """Put whole instructions at the end of the owner's place, behind all that fills the image."""
    if edit.start != edit.end:
        raise Unclear(f"you changed a line that this version changed, to {edit.shown()}")
    own, old = _instructions(edit.lines), _instructions(last)
    if any(one.start < edit.start < one.end for one in old):
        raise Unclear(f"{edit.shown()} stands inside an instruction")
    ends = [number for number, line in enumerate(text) if AGAIN.match(line)]
    if not own or len(ends) != 1:
        raise Unclear(f"there is no place for {edit.shown()}")
    now = _instructions(text)
    passed = [one for one in old if one.start >= edit.start]
    # The owner's place is in the stage that was the last one before there was such a place.
    places = [number for number, line in enumerate(last) if AGAIN.match(line)] or [len(last)]
    if _stage(old, edit.start)[:1] != _stage(old, places[0])[:1]:
        raise Unclear(f"{edit.shown()} stands in a stage that is Drydock's")
    later = [one for one in now if one.start >= ends[0]]
    above = (_stage(old, edit.start), _stage(now, ends[0]))
    for one in own:
        if reason := _not_to_move(one, passed, later, above):
            raise Unclear(f"`{one.text}` {reason}")
    result = [*text[: ends[0]], *edit.lines, *text[ends[0] :]]
    expected = [one.text for one in now if one.start < ends[0]]
    expected += [one.text for one in (*own, *later)]
    if [one.text for one in _instructions(result)] != expected:
        raise Unclear(f"{edit.shown()} would not be read as it is written")
    return result, "among the lines that are yours, near the end"


def _stage(instructions: Sequence[Instruction], line: int) -> list[Instruction]:
    """The instructions of a stage above a line of it."""
    above = [one for one in instructions if one.start < line]
    first = max((n for n, one in enumerate(above) if one.word == "FROM"), default=0)
    return above[first:]


def _not_to_move(
    own: Instruction,
    passed: Sequence[Instruction],
    later: Sequence[Instruction],
    above: tuple[list[Instruction], list[Instruction]],
) -> str:
    """Why an instruction would mean something else in the owner's place; nothing if it would not.

    Args:
        own: the owner's instruction.
        passed: what the last version has below it, which its new place may be below.
        later: what this version has below the new place.
        above: what stands above it in its stage, at the old place and at the new one.
    """
    if re.search(r"[$`]|<<", own.text):
        return "takes a value from what stands above it"
    if any(one.word == "RUN" and "install --directory" not in one.text for one in passed):
        return "stands above a step that may need it"
    # Steps of the owner's that git could merge: Drydock has none in this stage.
    if any(one.word == "RUN" and not _is_apt(one) for one in (*above[1], *later)):
        return "may belong to another step of yours"
    if own.names:
        after = set().union(*(one.names for one in (*passed, *later)))
        return "is set again by a line below it" if own.names & after else ""
    if own.word == "RUN":
        if any(one.word in ("USER", "SHELL") for side in above for one in side):
            return "stands below a change of the user or the shell"
        return "" if _is_apt(own) else "may need what stands around it"
    if own.word in ("COPY", "ADD"):
        return _not_to_copy_there(own, passed, above)
    return "may need what stands around it"


def _is_apt(run: Instruction) -> bool:
    """Does it install packages of the system, and nothing else?"""
    commands = re.sub(r"\s#.*", "", run.text[3:]).split("&&")
    apt = re.compile(r"(DEBIAN_FRONTEND=noninteractive )?apt(-get)? [^|;&<>]*")
    clean = re.compile(r"rm -rf /var/lib/apt/lists/\*")
    return all(apt.fullmatch(one.strip()) or clean.fullmatch(one.strip()) for one in commands)


def _not_to_copy_there(
    own: Instruction, passed: Sequence[Instruction], above: tuple[list[Instruction], ...]
) -> str:
    """As `_not_to_move`, for what copies files."""
    if "--from" in own.text or "[" in own.text:
        return "copies from another stage, or is written as a list"
    # "" where there is another one than Drydock's.
    old, new = (
        folders[0] if len(folders) == 1 else ""
        for side in above
        for folders in [[_words(one)[0] for one in side if one.word == "WORKDIR"]]
    )
    target = _words(own)[-1]
    if (old != new or not old) and not target.startswith("/"):
        return "copies into a folder that is another one there"
    whole = posixpath.normpath(posixpath.join(old, target))
    code = posixpath.join(old, "src")
    if any(one.word == "COPY" for one in passed) and (
        f"{code}/".startswith(f"{whole}/") or whole.startswith(f"{code}/")
    ):
        return "copies to where the code is"
    return ""
