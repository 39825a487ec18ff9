"""An edit of a file, and what is raised where its place is not clear."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

# The lines around the owner's place in Drydock's files, since 0.5.0.
YOURS = re.compile(r"\s*# Yours: ")
AGAIN = re.compile(r"\s*# Drydock's again")


class Unclear(Exception):
    """Where an edit belongs is for its owner to say; the text says why, as half a sentence."""


@dataclass(frozen=True)
class Edit:
    """Lines that stand in place of others, `gone`, from `start` on; both may be none."""

    start: int
    gone: list[str]
    lines: list[str]

    @property
    def end(self) -> int:
        """The line behind those that are gone."""
        return self.start + len(self.gone)

    def applied_to(self, text: Sequence[str]) -> list[str]:
        """The file with this edit."""
        return [*text[: self.start], *self.lines, *text[self.end :]]

    def shown(self) -> str:
        """Its first line that says something, for a sentence."""
        lines = self.lines or self.gone
        told = [line.strip() for line in lines if line.strip()]
        told = [line for line in told if not line.startswith("#")] or told or ["an empty line"]
        more = len([line for line in lines if line.strip()]) - 1
        text = f"`{told[0]}`" + (f" with {more} more line{'s' * (more > 1)}" if more > 0 else "")
        return text if self.lines else f"{text}, which you deleted,"

    def moved(self, where: str) -> str:
        """What happened to it, as a sentence."""
        return f"{self.shown()} {f'stands now {where}' if self.lines else 'is gone there too'}."


def same_lines(last: Sequence[str], text: Sequence[str], lines: Sequence[str]) -> int | None:
    """Where lines are in `text`, if they are once in each of the two."""
    found = [
        [n for n in range(len(side)) if list(side[n : n + len(lines)]) == list(lines)]
        for side in (last, text)
    ]
    return found[1][0] if lines and [len(one) for one in found] == [1, 1] else None


def says_nothing(line: str) -> bool:
    """Is it empty or a comment?"""
    return not line.strip() or line.lstrip().startswith("#")
