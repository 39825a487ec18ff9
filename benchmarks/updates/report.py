"""The figures of a fleet, as JSON and as tables in README.md."""

from __future__ import annotations

import json
import re
import statistics
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from packaging.version import Version

from benchmarks.updates.fleet import Repository
from scripts.markdown import table

RESULTS = Path(__file__).with_name("results.json")
PAGE = Path(__file__).with_name("README.md")


def summary(fleet: Sequence[Repository]) -> dict[str, Any]:
    """The figures of a fleet: of each release that repositories began with, and of all."""
    updates = [note for one in fleet for note in one.updates]
    begun = dict.fromkeys(one.release for one in fleet)
    return {
        "repositories": len(fleet),
        "all": _figures(fleet),
        "by release": {
            release: _figures([one for one in fleet if one.release == release])
            for release in sorted(begun)
        },
        "refused": Counter(note["refused"] for note in updates if "refused" in note),
        "conflicts by file": Counter(name for note in updates for name in note["conflicts"]),
        "conflicts by reason": Counter(reason for note in updates for reason in _reasons(note)),
        "moved": Counter(line for note in updates for line in note["moved"]),
        "problems": [f"{one.folder.parent.name}: {text}" for one in fleet for text in one.problems],
        "updates with a conflict": [
            {"repository": one.folder.parent.name, "edits": one.edits, **note}
            for one in fleet
            for note in one.updates
            if note["conflicts"]
        ],
    }


def _figures(fleet: Sequence[Repository]) -> dict[str, Any]:
    """Updates, conflicts, lost lines and the median of the seconds of some repositories."""
    done = [note for one in fleet for note in one.updates if "refused" not in note]
    clean = sum(not note["conflicts"] for note in done)
    return {
        "updates": len(done),
        "without a conflict": clean,
        "of them with lines moved": sum(bool(n["moved"]) and not n["conflicts"] for n in done),
        "lost lines": sum(text.startswith("lost ") for one in fleet for text in one.problems),
        "median seconds": round(statistics.median(n["seconds"] for n in done), 1) if done else None,
    }


def page(result: dict[str, Any]) -> str:
    """The tables of a result, as Markdown."""
    rows = [
        (f"Drydock from {release}", *_row(figures))
        for release, figures in result["by release"].items()
    ]
    rows.append(("Drydock, all", *_row(result["all"])))
    rows += [
        (
            f"{name} from {', '.join(sorted(of_one['by release'], key=Version))}",
            *_row(of_one["all"]),
        )
        for name, of_one in result["rivals"].items()
    ]
    head = ("made by", "updates", "without a conflict", "with lines moved", "lost lines", "median")
    lines = list(table(head, rows))
    if result["conflicts by reason"]:
        rows = sorted(result["conflicts by reason"].items(), key=lambda row: (-row[1], row[0]))
        lines += table(("Drydock's conflicts: in which file, and why", "number"), rows)
    return "\n".join(lines)


def _reasons(note: dict[str, Any]) -> Iterator[str]:
    """Why an update left each of its conflicts, without what differs between repositories."""
    for name in note["conflicts"]:
        begin = f"{name} has a conflict: "
        said = [line.removeprefix(begin) for line in note["stays"] if line.startswith(begin)]
        edits = ", ".join(sorted(set(note["edits of these"][name])))
        why = said[0] if said else f"a file that is not settled, edited by {edits}."
        yield f"{name}: {re.sub(r'[0-9]+', 'N', why)}"


def _row(figures: dict[str, Any]) -> tuple[object, ...]:
    updates, clean = figures["updates"], figures["without a conflict"]
    share = f"{clean} ({100 * clean / updates:.0f} %)" if updates else "none"
    return (
        updates,
        share,
        figures["of them with lines moved"],
        figures["lost lines"],
        f"{figures['median seconds']} s",
    )


def write_page(text: str, name: str = "fleet") -> None:
    """Put tables into README.md, between the two marks of that name."""
    begin, end = f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->\n"
    before, _, rest = PAGE.read_text("utf-8").partition(begin)
    after = rest.partition(end)[2]
    PAGE.write_text(f"{before}{begin}\n{text.strip()}\n\n{end}{after}", "utf-8")


if __name__ == "__main__":
    write_page(page(json.loads(RESULTS.read_text("utf-8"))))
