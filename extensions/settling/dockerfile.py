"""Where an edit of a Dockerfile goes: above or below all that fills the image, or to its lines."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from .edit import AGAIN, Edit, Unclear, same_lines
from .instructions import (
    Instruction,
    beginning,
    environment,
    instructions,
    is_apt,
    is_plain,
    named,
    overlap,
    read,
    stage,
    value,
    written,
)

# What its owner may change or delete where it stands; RUN, COPY and FROM fill the image.
ABOUT = ("CMD", "ENTRYPOINT", "EXPOSE", "HEALTHCHECK", "LABEL", "STOPSIGNAL", "USER")
# These may change places with each other where none reads what the other one sets.
APART = ("ENV", "EXPOSE", "LABEL")


def place(last: list[str], edit: Edit, text: list[str]) -> tuple[list[str], str]:
    """Put whole instructions at the end of the owner's place, behind all that fills the image.

    Steps that stand above all that fills a stage stay there, and what its owner changed within an
    instruction goes to the same lines of this version.
    """
    old, now = instructions(last), instructions(text)
    if edit.gone or any(one.start < edit.start < one.end for one in old):
        return _changed(last, edit, text), "where this version has the same lines"
    own = instructions(edit.lines)
    ends = _ends(text)
    if not own or len(ends) != 1:
        raise Unclear(f"there is no place for {edit.shown()}")
    folders = _folders_of(last, text)
    at = _top(last, edit.start, text)
    if at is not None and all(is_apt(one) or is_plain(one, folders, alone=True) for one in own):
        return [*text[:at], *edit.lines, *text[at:]], "at the beginning of the same stage"
    passed = [one for one in old if one.start >= edit.start]
    if stage(old, edit.start)[:1] != stage(old, _own_place(last))[:1]:
        raise Unclear(f"{edit.shown()} stands in a stage that is Drydock's")
    later = [one for one in now if one.start >= ends[0]]
    above = (stage(old, edit.start), stage(now, ends[0]))
    for one in own:
        if reason := _not_to_move(one, passed, later, above, folders):
            raise Unclear(f"`{one.text}` {reason}")
    text = [*text[: ends[0]], *edit.lines, *text[ends[0] :]]
    return text, "among the lines that are yours, near the end"


def _top(last: list[str], line: int, text: list[str]) -> int | None:
    """The line of `text` that is above all that fills a stage, as this one of `last` is.

    Packages are installed in stages of their own since 0.5.0. `is_plain` knows what they may need.
    """
    old, now = instructions(last), instructions(text)
    first, *above = stage(old, line) or [None]
    places = _own_place(last), _own_place(text)
    if first is None or first.word != "FROM" or not all(map(is_apt, above)):
        return None
    if first.text == beginning(old, places[0]):
        begins = beginning(now, places[1])
    elif "base" in named([first]):  # what is the same for all stages
        begins = first.text
    else:
        return None
    here = [one for one in now if one.text == begins]
    if len(here) != 1 or sum(one.text == first.text for one in old) != 1:
        return None
    at = here[0].end
    for one in (one for one in now if one.start >= at):
        if not is_apt(one):
            break
        at = one.end
    return at


def _folders_of(*sides: list[str]) -> set[str]:
    """The folders that Drydock fills in the image, as absolute paths."""
    found = {"/opt/venv", "/opt/python"}
    for side in sides:
        known = instructions(side)
        found |= {one.words[0] for one in stage(known, _own_place(side)) if one.word == "WORKDIR"}
        found.add(value(known, sum(one.start < _own_place(side) for one in known), "HOME"))
    return {folder for folder in found if folder.startswith("/")}


def check(last: list[str], own: list[str], text: list[str], moved: Sequence[Edit]) -> None:
    """Raise where what moved is in another stage, reads another value or passed what may need it.

    Args:
        last, own: as `merge` has them.
        text: the lines as they are to be.
        moved: the edits that stand elsewhere in it.
    """
    mine, result = instructions(own), instructions(text)
    known = {one.text for one in instructions(last)}
    come = [number for number, one in enumerate(mine) if one.text not in known]
    places = {one.text: number for number, one in enumerate(result)}
    there = [number for number in come if mine[number].text in places]
    for before in there:
        for after in (number for number in there if number > before):
            one, other = mine[before], mine[after]
            if places[one.text] > places[other.text] and not _apart(one, other):
                raise Unclear(f"`{other.text}` may need `{one.text}`, which would stand below it")
    for number in there:
        one, other = mine[number], result[places[mine[number].text]]
        if _needs_folder(one) and _folders(mine, one) != _folders(result, other):
            raise Unclear(f"`{one.text}` would stand in another folder")
        if one.word != "FROM" and not _same_stage(last, own, one.start, text, other.start):
            raise Unclear(f"`{one.text}` would stand in another stage")
    whole = {one.text for edit in moved if not edit.gone for one in _whole(edit)}
    for number in (number for number in there if mine[number].text in whole):
        one, at = mine[number], places[mine[number].text]
        if sum(other.text == one.text for other in (*mine, *result)) != 2:
            raise Unclear(f"`{one.text}` would stand there twice")
        for name in one.values:
            held = [
                [other.values[name] for other in side if name in other.values][-1:]
                for side in (mine, result)
            ]
            if held[0] != held[1]:  # by a variable more in a list of Drydock's, say
                raise Unclear(f"`{one.text}` is set again by a line below it")
        whole_run = one.word == "RUN" and not is_apt(one) and not is_plain(one, ())
        for name in environment(mine, result) if whole_run else read(one):
            if value(mine, number, name) != value(result, at, name):
                raise Unclear(f"`{one.text}` takes another value of {name} there")
        source = re.search(r" --from=(\S+)", one.text)
        if source and not _is_image(source[1]) and not _own_stage(source[1], last, mine, result):
            raise Unclear(f"`{one.text}` copies from a stage that may be another one there")


def astray(before: str, after: str) -> list[str]:
    """What git has merged without a conflict into another stage or folder, in words.

    Drydock's own lines have never changed theirs without changing their words.

    Args:
        before: the file as the owner left it.
        after: as the update left it. Of a conflict in it, this version's side is looked at.
    """
    conflict = r"(?ms)^<{7} before updating$.*?^={7}\n(.*?)^>{7} after updating$"
    own, text = before.split("\n"), re.sub(conflict, r"\1", after).split("\n")
    try:
        mine, result = instructions(own), instructions(text)
    except Unclear:
        return []
    said = []
    for one in mine:
        others = [other for other in result if other.text == one.text]
        twice = sum(other.text == one.text for other in mine) > 1
        if one.word == "FROM" or twice or len(others) != 1:
            continue
        if _names(mine, one, own).isdisjoint(_names(result, others[0], text)):
            said.append(f"`{one.text}` is in another stage now. Move it to where it belongs.")
        elif _needs_folder(one) and _folders(mine, one) != _folders(result, others[0]):
            said.append(f"`{one.text}` is below another WORKDIR now. Are its paths the same?")
    return said


def _names(known: list[Instruction], one: Instruction, lines: list[str]) -> set[str]:
    """What the stage of an instruction may be called."""
    begins = beginning(known, one.start)
    ours = begins == beginning(known, _own_place(lines))
    return {begins, *re.findall(r" AS (\S+)$", begins), *["the owner's"] * ours}


def _ends(lines: Sequence[str]) -> list[int]:
    """Where the owner's place ends."""
    return [number for number, line in enumerate(lines) if AGAIN.match(line)]


def _own_place(lines: Sequence[str]) -> int:
    """A line of the stage that the owner's place is in, or was: it was the last one."""
    return (_ends(lines) or [len(lines)])[0]


def _whole(edit: Edit) -> list[Instruction]:
    """The instructions of an edit, if it is made of whole ones."""
    try:
        return instructions(edit.lines)
    except Unclear:
        return []


def _same_stage(last: list[str], own: list[str], line: int, text: list[str], there: int) -> bool:
    """Is a line of `own` in the stage that another line of `text` is in?"""
    begins = beginning(instructions(own), line), beginning(instructions(text), there)
    places = (
        beginning(instructions(last), _own_place(last)),
        beginning(instructions(text), _own_place(text)),
    )
    counts = [sum(line.strip() == begins[0] for line in side) for side in (last, own)]
    if counts[0] != counts[1]:  # one more stage that begins like this one
        return False
    return begins == places or (begins[0] == begins[1] and begins[0] not in places)


def _needs_folder(one: Instruction) -> bool:
    """Does it mean something else in another working directory?"""
    copies = one.word in ("COPY", "ADD") and not one.words[-1].startswith("/")
    return (
        copies
        or one.word == "WORKDIR"
        or (one.word == "RUN" and not is_apt(one) and not is_plain(one, ()))
    )


def _folders(known: list[Instruction], one: Instruction) -> list[str]:
    """The WORKDIR lines above an instruction in its stage."""
    return [other.text for other in stage(known, one.start) if other.word == "WORKDIR"]


def _apart(one: Instruction, other: Instruction) -> bool:
    """May these two change places?"""
    if not {one.word, other.word} <= {*APART, "COPY", "ADD"}:
        return False
    if one.word not in APART and other.word not in APART:
        return False
    return not (read(one) | read(other) or one.values.keys() & other.values.keys())


def _is_image(name: str) -> bool:
    """Is it the name of an image, and not of a stage or its number?"""
    return bool(re.search("[:@/]", name)) and "$" not in name


def _own_stage(
    name: str, last: Sequence[str], own: list[Instruction], result: list[Instruction]
) -> bool:
    """Is it a stage of the owner's, which stands there as it is?"""
    if name.lower() in named(instructions(last)):
        return False
    sides = []
    for side in (own, result):
        if (first := named(side).get(name.lower())) is None:
            return False
        ends = (n for n in range(first + 1, len(side)) if side[n].word == "FROM")
        sides.append(side[first : next(ends, len(side))])
    texts = [[one.text for one in side] for side in sides]
    return texts[0] == texts[1] and sides[0][0].words[0].lower() not in named(result)


def _not_to_move(
    own: Instruction,
    passed: Sequence[Instruction],
    later: Sequence[Instruction],
    above: tuple[list[Instruction], list[Instruction]],
    folders: set[str],
) -> str:
    """Why an instruction would mean something else in the owner's place; nothing if it would not.

    Args:
        own: the owner's instruction.
        passed: what the last version has below it, which its new place may be below.
        later: what this version has below the new place.
        above: what stands above it in its stage, at the old place and at the new one.
        folders: those that Drydock fills.
    """
    if any(one.word == "RUN" and "install --directory" not in one.text for one in passed):
        return "stands above a step that may need it"
    if own.word in ("ENV", "ARG", "LABEL"):
        return _not_to_set_there(own, [*passed, *later])
    if own.word == "EXPOSE":
        return ""
    if own.word == "RUN":
        if any(one.word in ("USER", "SHELL") for side in above for one in side):
            return "stands below a change of the user or the shell"
        return _not_to_run_there(own, [*passed, *later], folders)
    if own.word in ("COPY", "ADD"):
        return _not_to_copy_there(own, passed, above)
    return "may need what stands around it"


def _not_to_set_there(own: Instruction, below: Sequence[Instruction]) -> str:
    """As `_not_to_move`, for what sets variables or labels."""
    for name in own.values:
        if any(name in one.values for one in below):
            return "is set again by a line below it"
        if any(re.search(rf"\$\{{?{re.escape(name)}\b", one.text) for one in below):
            return "is read by a line below it"
    return ""


def _not_to_run_there(own: Instruction, below: Sequence[Instruction], folders: set[str]) -> str:
    """As `_not_to_move`, for a step.

    Where nothing fills the image below it, neither here nor there, it finds the same image. `check`
    sees to its folder and its variables, but for the settings of uv, which are no longer there.
    """
    if is_apt(own) or is_plain(own, folders):
        return ""
    mounts = re.findall(r" --mount=(\S+)", own.text)
    if not all(re.match("type=(cache|secret|ssh|tmpfs),?(?!.*from=)", one) for one in mounts):
        return "mounts what may be another thing there"
    if re.search(r"\buv|\bUV_", own.text):
        return "may need settings of uv, which the image is made without now"
    if any(one.word in ("RUN", "COPY", "ADD", "FROM", "VOLUME") for one in below):
        return "may need what stands around it"
    return ""


def _not_to_copy_there(
    own: Instruction, passed: Sequence[Instruction], above: tuple[list[Instruction], ...]
) -> str:
    """As `_not_to_move`, for what copies files."""
    if "[" in own.text or " --parents" in own.text or "$" in own.words[-1]:
        return "is written as a list, or copies to where a pattern, a path or a variable says"
    # "" where there is another one than Drydock's.
    old, new = (
        folders[0] if len(folders) == 1 else ""
        for side in above
        for folders in [[one.words[0] for one in side if one.word == "WORKDIR"]]
    )
    paths = written(own, old if old == new else "")
    folder = old
    for one in passed:
        folder = one.words[0] if one.word == "WORKDIR" else folder
        if one.word in ("COPY", "ADD") and any(
            overlap(path, other) for path in paths for other in written(one, folder)
        ):
            return f"copies to where `{one.text}` does"
    return ""


def _changed(last: list[str], edit: Edit, text: list[str]) -> list[str]:
    """Change an instruction that this version has too, as its owner changed it."""
    unclear = Unclear(f"{edit.shown()} stands in lines that this version changed")
    old, now = instructions(last), instructions(text)
    wanted = _difference(old, instructions(edit.applied_to(last)))
    if wanted is None:
        raise unclear
    for at in _candidates(last, edit, text, now):
        result = [*text[:at], *edit.lines, *text[at + len(edit.gone) :]]
        try:
            found = _difference(now, instructions(result))
        except Unclear:
            continue
        if found == wanted and _same_stage(last, last, edit.start, text, at):
            return result
    raise unclear


def _candidates(
    last: list[str], edit: Edit, text: list[str], now: Sequence[Instruction]
) -> Iterator[int]:
    """Lines of `text` at which an edit within an instruction may stand."""
    if edit.gone:
        if (at := same_lines(last, text, edit.gone)) is not None:
            yield at
        return
    if (below := same_lines(last, text, last[edit.start : edit.start + 1])) is not None:
        yield below
    if (above := same_lines(last, text, last[edit.start - 1 : edit.start])) is not None:
        yield above + 1
    # The order within an ENV has no meaning.
    for one in (one for one in now if one.word == "ENV"):
        yield from range(one.start + 1, one.end)


def _difference(
    before: Sequence[Instruction], after: Sequence[Instruction]
) -> tuple[str, object, object] | None:
    """What was changed, where that is one instruction of which the place has no meaning."""
    old, new = [one.text for one in before], [one.text for one in after]
    start, shorter = 0, min(len(old), len(new))
    while start < shorter and old[start] == new[start]:
        start += 1
    while min(len(old), len(new)) > start and old[-1] == new[-1]:
        del old[-1], new[-1]
    if len(old) != start + 1 or len(new) > start + 1:
        return None
    one, other = before[start], after[start] if len(new) > start else None
    if other is None:
        return (one.word, one.text, "") if one.word in ABOUT else None
    if one.word != other.word:
        return None
    if one.word in ABOUT:
        return one.word, one.text, other.text
    if one.word != "ENV":
        return None
    changes = {
        name: (one.values.get(name), other.values.get(name))
        for name in {**one.values, **other.values}
        if one.values.get(name) != other.values.get(name)
    }
    again = {name for one in before[start + 1 :] for name in one.values}
    reads = any("$" in (new or "") for _, new in changes.values())
    return None if reads or again & changes.keys() else ("ENV", changes, None)
