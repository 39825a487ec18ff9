"""The files of the catalogue: read, change, check, compare, write.

A file holds one row a line, in an order that a person chose. Rows keep that order and their
fields keep theirs, so that the difference in git is what changed in the world. schema.json says
what a row may be: what a source says is written only if it fits.
"""

from __future__ import annotations

import copy
import json
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from functools import cmp_to_key
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator, FormatChecker, ValidationError
from jsonschema.validators import extend
from packaging.version import Version

from scripts.refresh.reading import NONSENSE, UnreadableError

Row = dict[str, Any]

SCHEMA = json.loads(Path(__file__).with_name("schema.json").read_text("utf-8"))

# What people write. The refresh adds a `broken` of its own to a row that has none, never another.
HAND_WRITTEN = frozenset({"note", "reason", "refused", "inferred", "what"})
# Where a row was read, and when: they follow the facts and are no change by themselves.
ORIGIN = ("source", "read")
# What a row is called; the rows of a section that is not named here are never added or removed.
NAMES = {
    "images": ("image",),
    "rules": ("release",),
    "releases": ("version",),
    "builds": ("version", "build"),
    "pulled": ("framework", "build", "package"),
    "versions": ("version",),
    "systems": ("name",),
    "sources": ("name",),
}


@dataclass
class Report:
    """What a run has to say besides the changes: sentences, each of them once.

    `failures` make the command exit with 1; `by_hand` is what only a person can add.
    """

    failures: list[str] = field(default_factory=list)
    by_hand: list[str] = field(default_factory=list)

    def fail(self, sentence: str) -> None:
        """Note that something offered is gone, or that a source could not be read."""
        if sentence not in self.failures:
            self.failures.append(sentence)

    def leave(self, sentence: str) -> None:
        """Note what a person has to look up."""
        if sentence not in self.by_hand:
            self.by_hand.append(sentence)


def _whole(_: Any, pattern: str, text: Any, schema: Any) -> Iterator[ValidationError]:
    """Match all of a text: for Python, but for no other reader of a schema, `$` allows a newline.

    https://docs.python.org/3/library/re.html#index-2
    """
    if isinstance(text, str) and not re.fullmatch(pattern, text):
        yield ValidationError(f"{text!r} is not {schema.get('title', pattern)}")


_Validator = extend(Draft202012Validator, {"pattern": _whole})


def misfits(files: dict[str, Any]) -> list[str]:
    """Return what in files of the catalogue, by name, does not fit schema.json: where and why."""
    validator = _Validator(SCHEMA, format_checker=FormatChecker(["date"]))
    return [_misfit(error) for error in validator.iter_errors(files)]


def _misfit(error: ValidationError) -> str:
    while error.context:  # of alternatives, such as a day or null, the first is the one meant
        error = error.context[0]
    return f"{'/'.join(map(str, error.absolute_path))}: {error.message}"


class Catalogue:
    """The catalogue as it lies in a folder, and as it will be written.

    Args:
        folder: where the `*.json` files lie.
        today: the day of this run, which goes into `read` of every row that changes.

    Raises:
        OSError, ValueError: a file cannot be read or holds no JSON.
    """

    def __init__(self, folder: Path, today: date) -> None:
        """Read the folder."""
        self.folder = folder
        self.today = today.isoformat()
        self.files: dict[str, dict[str, Any]] = {
            path.stem: json.loads(path.read_text("utf-8")) for path in sorted(folder.glob("*.json"))
        }
        self._before = copy.deepcopy(self.files)

    def rows(self, name: str, section: str) -> list[Row]:
        """Return the rows of a section of a file; changing them changes what is written."""
        return self.files[name][section]

    def update(self, row: Row, source: str | None = None, **facts: Any) -> bool:
        """Put facts that were read into a row.

        The day, and the source if one is given, change only if a fact did.

        Returns:
            whether something changed.

        Raises:
            ValueError: a fact is one that people write.
        """
        if forbidden := HAND_WRITTEN & facts.keys():
            raise ValueError(f"{sorted(forbidden)} is written by people")
        if all(name in row and row[name] == value for name, value in facts.items()):
            return False
        row.update(facts)
        row["read"] = self.today
        if source:
            row["source"] = source
        return True

    @contextmanager
    def step(self, what: str, report: Report) -> Iterator[None]:
        """Do a step of the run whole or not at all, and note why it was not done.

        What was read before a source stopped to answer stays. What a source says that no row can
        hold is taken back, with all that was made of it: a release without its builds is none.

        Args:
            what: the step, as the subject of a sentence.
            report: gets the sentence.
        """
        before = copy.deepcopy(self.files)
        wrong: list[str] = []
        try:
            yield
        except UnreadableError as error:
            report.fail(str(error))
        except NONSENSE as error:
            wrong = [f"{type(error).__name__}: {error}"]
        changed = {name: data for name, data in self.files.items() if data != before[name]}
        if wrong := wrong or misfits(changed):
            self.files = before
            report.fail(
                f"{what}: a source says what cannot be ({wrong[0][:200]}). Nothing of it was "
                "taken; if it lasts, scripts/refresh has to learn to read it."
            )

    def changes(self) -> list[str]:
        """Compare with the files as they were read: one line a row, in the order of the files."""
        lines = []
        for name, data in self.files.items():
            for section, now in data.items():
                before = self._before[name].get(section)
                lines += [f"{name}: {line}" for line in _compared(section, before, now)]
        return lines

    def sources_in_use(self, before: bool = False) -> set[str]:
        """Return the sources that rows name, now or as the files were read."""
        files = self._before if before else self.files
        return {
            row["source"] for name, data in files.items() if name != "sources" for row in _all(data)
        }

    def write(self) -> list[Path]:
        """Write the files that changed, each of them whole or not at all; return their paths."""
        written = []
        for name, data in self.files.items():
            if data != self._before[name]:
                path = self.folder / f"{name}.json"
                _replace(path, laid_out(data))
                written.append(path)
        return written


def laid_out(data: dict[str, Any]) -> str:
    """Write JSON with one row of each list on a line, and one line for anything else."""
    parts = []
    for name, value in data.items():
        if isinstance(value, list):
            rows = ",\n".join(f"    {json.dumps(row, ensure_ascii=False)}" for row in value)
            parts.append(f"  {json.dumps(name)}: [\n{rows}\n  ]")
        else:
            parts.append(f"  {json.dumps(name)}: {json.dumps(value, ensure_ascii=False)}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def insert(rows: list[Row], row: Row, rank: Any) -> None:
    """Put a row before the first one that ranks after it.

    Args:
        rows: rows whose rank rises; none of them is moved.
        row: the new one.
        rank: a function from a row to what it is ordered by.
    """
    places = (place for place, other in enumerate(rows) if rank(other) > rank(row))
    rows.insert(next(places, len(rows)), row)


_falling = cmp_to_key(lambda one, other: (one < other) - (one > other))


def newest_first(version: str) -> Any:
    """Return a rank by which versions (PEP 440) fall: "13.4.2" before "13.3.1".

    Raises:
        InvalidVersion: the text is no version.
    """
    return _falling(Version(version))


def one_line(text: str, longest: int = 300) -> str:
    """Return a text from outside as one line of printable characters, shortened if need be."""
    line = " ".join("".join(each if each.isprintable() else " " for each in text).split())
    return line if len(line) <= longest else line[: longest - 1] + "…"


def _all(data: dict[str, Any]) -> Iterator[Row]:
    """Every row of a file that names a source."""
    for value in data.values():
        for row in value if isinstance(value, list) else [value]:
            if isinstance(row, dict) and "source" in row:
                yield row


def _compared(section: str, before: Any, now: Any) -> Iterator[str]:
    if before == now:
        return
    if not isinstance(now, list):
        yield _difference(section, before, now)
        return
    old = {_name(section, place, row): row for place, row in enumerate(before)}
    new = {_name(section, place, row): row for place, row in enumerate(now)}
    for name, row in new.items():
        if name not in old:
            yield f"{name} is new: {_facts(row)}"
        elif row != old[name]:
            yield _difference(name, old[name], row)
    for name in old.keys() - new.keys():
        yield f"{name} is no longer named by any row"


def _name(section: str, place: int, row: Row) -> str:
    fields = NAMES.get(section)
    return " ".join(str(row[name]) for name in fields) if fields else f"{section}[{place}]"


def _difference(name: str, old: Any, new: Any) -> str:
    if not isinstance(new, dict):
        return f"{name} {_shown(old)} → {_shown(new)}"
    parts = [
        f"{key} {_shown(old.get(key))} → {_shown(new.get(key))}"
        for key in [*new, *(key for key in old if key not in new)]
        if key not in ORIGIN and old.get(key) != new.get(key)
    ]
    return f"{name}: {', '.join(parts)}"


def _facts(row: Row) -> str:
    return ", ".join(f"{key} {_shown(value)}" for key, value in row.items() if key not in ORIGIN)


def _shown(value: Any) -> str:
    if isinstance(value, str):
        # A digest is told by its first digits, as docker does it.
        return value[:19] if value.startswith("sha256:") else value
    return "none" if value is None else json.dumps(value, ensure_ascii=False)


def _replace(path: Path, text: str) -> None:
    with tempfile.NamedTemporaryFile(
        "w", encoding="utf-8", newline="\n", dir=path.parent, prefix=f".{path.name}.", delete=False
    ) as file:
        file.write(text)
    os.chmod(file.name, path.stat().st_mode)
    os.replace(file.name, path)
