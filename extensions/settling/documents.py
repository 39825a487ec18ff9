"""Where an edit of YAML, TOML or HCL goes: where it changes in the document what it did before."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from difflib import SequenceMatcher
from itertools import combinations
from typing import Any

from .edit import AGAIN, YOURS, Edit, Unclear, same_lines, says_nothing
from .readers import yaml_of

ABSENT = object()
"""What stands where there is no such key; a key may be there and hold nothing."""


def place(
    last: list[str],
    edit: Edit,
    text: list[str],
    *,
    ends_alike: bool,
    load: Callable[[Sequence[str]], Any] | None = None,
) -> tuple[list[str], str]:
    """Put a job, a step or a changed line where it changes in `text` what it changed in `last`.

    Args:
        last, edit, text: as in the function of the same name of the package.
        ends_alike: does an item at the end of the last list mean the same whatever is above it?
            Hooks do; a step may use what those above it have made.
        load: reads the lines, if they are no YAML of a CI.
    """
    is_ci, load = load is None, load or yaml_of
    own = load(edit.applied_to(last))
    wanted = list(_changes(load(last), own))
    a_comment = not wanted and not edit.gone
    only_new = bool(wanted) and all(old is ABSENT for _, old, _ in wanted)
    at_end = only_new or (ends_alike and edit.start == len(last) and not a_comment)
    anywhere = [*_beside(edit, last, text)] if only_new and not edit.gone else []
    # Of requirements, the order has no meaning either.
    come = [path[0] == "dependency-groups" and gone == [] for path, gone, _ in wanted]
    if not is_ci and not edit.gone and come and all(come):
        anywhere = [(at, 0, "in the same list") for at in reversed(range(len(text)))]
    torn = [*_torn(last, edit, text)]
    for at, replaced, where in (*torn, *_candidates(last, edit, text, at_end=at_end), *anywhere):
        lines = _filled(edit, text[at : at + replaced]) if torn and replaced else edit.lines
        if where == "at the end" and lines[0].strip() and text[-1].strip():
            lines = ["\n", *lines] if only_new else lines
        result = [*text[:at], *lines, *text[at + replaced :]]
        try:
            document = load(result)
        except Unclear:
            continue
        found = list(_changes(load(text), document))
        if (wanted or a_comment) and found == wanted and _in_order(own, document, wanted):
            if is_ci:
                _require_what_jobs_need(document, wanted)
            return result, where
    raise Unclear(f"{edit.shown()} stands beside lines that this version changed")


def _changes(old: Any, new: Any, path: tuple = ()) -> Iterator[tuple[tuple, Any, Any]]:
    """What differs between two documents: the path, what is gone and what has come.

    Of two lists, it is the items that one has and the other has not.
    """
    if isinstance(old, dict) and isinstance(new, dict):
        for key in [*old, *(key for key in new if key not in old)]:
            yield from _changes(old.get(key, ABSENT), new.get(key, ABSENT), (*path, key))
    elif isinstance(old, list) and isinstance(new, list):
        gone = [item for item in old if item not in new]
        come = [item for item in new if item not in old]
        if old != new:
            yield path, gone, come
    elif old != new:
        yield path, old, new


def _in_order(own: Any, document: Any, changes: Sequence[tuple[tuple, Any, Any]]) -> bool:
    """Is each item that came below those that it was below, and above the others?"""
    for path, gone, come in changes:
        if gone or not isinstance(come, list) or path[0] == "dependency-groups":
            continue
        sides = [own, document]
        for key in path:
            sides = [side[key] for side in sides]
        kinds = [[_kind(one) for one in side] for side in sides]
        others = [one for one in kinds[0] if [kind.count(one) for kind in kinds] == [1, 1]]
        above = [
            [[kind.index(one) < side.index(item) for one in others] for item in come]
            for side, kind in zip(sides, kinds, strict=True)
        ]
        if above[0] != above[1]:
            return False
    return True


def _kind(item: Any) -> Any:
    """A step's action without its version, and anything else as it is."""
    action = item.get("uses") if isinstance(item, dict) else None
    return action.partition("@")[0] if isinstance(action, str) else item


def _candidates(
    last: list[str], edit: Edit, text: list[str], *, at_end: bool
) -> Iterator[tuple[int, int, str]]:
    """Lines of `text` at which an edit may stand: a number, how many it replaces, and in words."""
    if edit.gone:
        if (at := same_lines(last, text, edit.gone)) is not None:
            yield at, len(edit.gone), "beside lines that this version changed"
        return
    before, after = last[edit.start - 1 : edit.start], last[edit.start : edit.start + 1]
    above = same_lines(last, text, before)
    if above is not None and YOURS.match("".join(text[above + 1 : above + 2])):
        ends = (n for n in range(above, len(text)) if AGAIN.match(text[n]))
        yield next(ends, above + 1), 0, "among the lines that are yours"
    if (below := same_lines(last, text, after)) is not None:
        yield below, 0, f"above `{after[0].strip()}`"
    if above is not None:
        yield above + 1, 0, f"below `{before[0].strip()}`"
    if at_end:
        yield len(text), 0, "at the end"


def _torn(last: list[str], edit: Edit, text: list[str]) -> Iterator[tuple[int, int, str]]:
    """As `_candidates`, for lines that are gone and have nothing but comments between them now."""
    bare = [number for number, line in enumerate(text) if not says_nothing(line)]
    told = [text[number] for number in bare]
    if any(map(says_nothing, edit.gone + edit.lines)):
        return
    if not len(edit.lines) <= len(edit.gone) <= 8:  # `_filled` tries all ways to put them
        return
    at = same_lines(last, told, edit.gone)
    if at is not None and same_lines(last, text, edit.gone) is None:
        first, end = bare[at], bare[at + len(edit.gone) - 1] + 1
        yield first, end - first, "beside lines that this version changed"


def _filled(edit: Edit, between: list[str]) -> list[str]:
    """Put each line in place of the one that is most like it, and leave the comments."""
    places = [number for number, line in enumerate(between) if not says_nothing(line)]

    def likeness(chosen: tuple[int, ...]) -> float:
        pairs = zip(chosen, edit.lines, strict=True)
        return sum(SequenceMatcher(None, between[at], line).ratio() for at, line in pairs)

    chosen = max(combinations(places, len(edit.lines)), key=likeness)
    filled = dict(zip(chosen, edit.lines, strict=True))
    return [
        filled.get(at, line) for at, line in enumerate(between) if at in filled or at not in places
    ]


def _beside(edit: Edit, last: list[str], text: list[str]) -> Iterator[tuple[int, int, str]]:
    """As `_candidates`, for a key that is new: the order of keys has no meaning."""
    before, after = last[edit.start - 1 : edit.start], last[edit.start : edit.start + 1]
    for number, line in enumerate(text):
        if [line] == before:
            yield number + 1, 0, f"below `{line.strip()}`"
        if [line] == after:
            yield number, 0, f"above `{line.strip()}`"


def _require_what_jobs_need(document: dict, changes: Sequence[tuple[tuple, Any, Any]]) -> None:
    """Raise where a job that came or changed names a job or a stage that this version has not."""
    jobs, above = document.get("jobs", document), ("jobs",) * ("jobs" in document)
    for name in dict.fromkeys(
        path[len(above)] for path, *_ in changes if path[:-1][: len(above)] == above
    ):
        job = jobs.get(name)
        if not isinstance(job, dict) or name in ("default", "variables", "workflow"):
            continue
        named = [name for tag, given in _tagged(job) if tag == "reference" for name in given[:1]]
        for key in ("needs", "dependencies", "extends"):
            value = job.get(key, [])
            named += value if isinstance(value, list) else [value]
        for one in named:
            one = one.get("job") if isinstance(one, dict) else one
            if one is not None and one not in jobs:
                raise Unclear(f"{name} names {one}, which this version does not have")
        stages = document.get("stages", [])
        stage = job.get("stage", "test")
        if stages and not str(name).startswith(".") and stage not in (*stages, ".pre", ".post"):
            raise Unclear(f"{name} is of the stage {stage}, which this version does not have")


def _tagged(value: Any) -> Iterator[tuple[str, list]]:
    """The tags in a part of a document, each with what it is given."""
    if isinstance(value, tuple):
        yield value
    elif isinstance(value, dict | list):
        for one in value.values() if isinstance(value, dict) else value:
            yield from _tagged(one)
