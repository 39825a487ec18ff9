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
    """Lines that stand in place of those from `start` to before `end` of a file; it may be none."""

    start: int
    end: int
    lines: list[str]

    def applied_to(self, text: Sequence[str]) -> list[str]:
        """The file with this edit."""
        return [*text[: self.start], *self.lines, *text[self.end :]]

    def shown(self) -> str:
        """Its first line that says something, for a sentence."""
        told = [line.strip() for line in self.lines if line.strip()]
        told = [line for line in told if not line.startswith("#")] or told or ["an empty line"]
        more = len([line for line in self.lines if line.strip()]) - 1
        return f"`{told[0]}`" + (f" with {more} more line{'s' * (more > 1)}" if more > 0 else "")
