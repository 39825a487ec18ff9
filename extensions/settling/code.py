"""Whether the owner of a project changed code, or its format only."""

from __future__ import annotations

import ast
import io
import tokenize
from collections.abc import Sequence

from .edit import Unclear


def settled(last: Sequence[str], own: Sequence[str], new: list[str]) -> list[str]:
    """This version's lines, if the owner's say what the last version's did.

    Who sets another length of lines has the formatter go over Drydock's code, too.
    """
    try:
        same = [_said("".join(side)) for side in (last, own)]
    except (SyntaxError, ValueError, tokenize.TokenError):
        same = []
    if not same or same[0] != same[1]:
        raise Unclear("you changed more in it than its format")
    return new


def _said(text: str) -> tuple[str, list[str]]:
    """What code says, with its comments."""
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    comments = [token.string for token in tokens if token.type == tokenize.COMMENT]
    return ast.dump(ast.parse(text)), comments
