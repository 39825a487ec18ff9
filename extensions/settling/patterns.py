"""Where patterns of .gitignore or .dockerignore go: of these, the last one that fits counts."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

from .edit import Edit, Unclear


def place(last: list[str], edit: Edit, text: list[str]) -> tuple[list[str], str]:
    """Put patterns at the end, if they were there or if the order has no meaning."""
    if edit.gone:
        raise Unclear(f"{edit.shown()} stands beside lines that this version changed")
    # Without a pattern that lets in, a file is left out whichever comes first.
    ordered = any(line.startswith("!") for line in (*last, *edit.lines, *text))
    if ordered and edit.start < len(last):
        raise Unclear(f"the order of patterns counts, and {edit.shown()} is not at the end")
    for needed in (line for line in text if line.startswith("!") and line not in last):
        if own := _keeping_out(edit.lines, needed[1:].strip()):
            raise Unclear(f"`{own}` would keep out {needed[1:].strip()}, which this version needs")
    return [*text, *edit.lines], "at the end"


def _keeping_out(patterns: Sequence[str], path: str) -> str:
    """The first pattern that fits a path or a folder that it is in; nothing where none does."""
    parts = path.split("/")
    above = ["/".join(parts[:count]) for count in range(1, len(parts) + 1)]
    for line in patterns:
        pattern = line.strip().strip("/").removeprefix("**/")
        if line.strip() and not line.startswith(("!", "#")):
            names = [*above, *parts] if "**/" in line else above
            if any(fnmatchcase(name, pattern) for name in names):
                return line.strip()
    return ""
