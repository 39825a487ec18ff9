"""Tables and plots of what run.py measured: everything in them comes from results/*.json.

    uv run python -m benchmarks.report            write them
    uv run python -m benchmarks.report --check    only see whether they are what the JSON says

Writes the parts of README.md between `<!-- results WORKLOAD -->` and `<!-- end -->`, and
results/WORKLOAD.svg.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import sys
from html import escape
from pathlib import Path
from statistics import median

from benchmarks.contenders import CONTENDERS

HERE = Path(__file__).resolve().parent
ROWS = {
    "cold": "cold: no layer in the cache, downloads in the cache",
    "noop": "nothing",
    "main": "a line of main.py",
    "version": "the project's version",
    "dev": "a dev dependency",
    "small": "one small dependency",
    "framework": "another version of the framework",
}
STARTS = {
    "import_seconds": "framework imported",
    "health_seconds": "first health answer",
    "ready_seconds": "ready, model loaded",
}
WORKS = {
    "offline": "with no network",
    "foreign_user": "as user 42420",
    "read_only": "read-only, with a tmpfs on /tmp and the caches",
    "all_three": "all three at once",
}
OURS = "drydock"


def results() -> list[dict]:
    """The committed results, the small workload first."""
    read = [json.loads(path.read_text()) for path in sorted(HERE.glob("results/*.json"))]
    return sorted(read, key=lambda one: one["workload"] != "small")


def contenders(document: dict) -> list[str]:
    """The names of those that were measured, ours first and the others as they are listed."""
    listed = [one.name for one in CONTENDERS]
    return [name for name in listed if document["contenders"].get(name, {}).get("scenarios")]


def seconds(document: dict, contender: str, scenario: str) -> list[float]:
    """All samples of a build, in seconds; empty where it was not measured."""
    return [
        sample["seconds"]
        for sample in document["contenders"][contender]["scenarios"].get(scenario, [])
    ]


def middle(document: dict, contender: str, key: str) -> float | None:
    """The median of a scenario's or a start's seconds, or the image's bytes (`image_bytes`)."""
    one = document["contenders"][contender]
    if key == "image_bytes":
        found = [sample["image_bytes"] for sample in one["scenarios"].get("cold", [])]
    else:
        found = one.get(key) or seconds(document, contender, key)
    return median(found) if found else None


def new_bytes(document: dict, contender: str, scenario: str) -> float | None:
    """The median of the bytes in new layers."""
    samples = document["contenders"][contender]["scenarios"].get(scenario, [])
    return median(sample["new_bytes"] for sample in samples) if samples else None


def figure(number: float) -> str:
    """Three significant digits, without an exponent."""
    if number == 0:
        return "0"
    digits = max(0, 2 - math.floor(math.log10(abs(number))))
    return f"{number:,.{min(digits, 2)}f}"


def amount(size: float | None) -> str:
    """Bytes in the unit that suits."""
    if size is None:
        return "–"
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= scale:
            return f"{figure(size / scale)} {unit}"
    return f"{size:.0f} B"


def times(theirs: float | None, ours: float | None) -> str:
    """The ratio to ours as text."""
    return f" (×{figure(theirs / ours)})" if theirs and ours else ""


def table(document: dict) -> str:
    """The Markdown between the markers."""
    names = contenders(document)
    titles = [document["contenders"][name]["title"] for name in names]
    head = [f"| | {' | '.join(titles)} |", "| --- |" + " ---: |" * len(names)]

    def cells(key: str, text) -> list[str]:  # noqa: ANN001 a function of a number
        ours = middle(document, OURS, key)
        answer = []
        for name in names:
            value = middle(document, name, key)
            ratio = "" if name == OURS else times(value, ours)
            answer.append("–" if value is None else text(value) + ratio)
        return answer

    def clock(number: float) -> str:
        return f"{figure(number)} s"

    def row(label: str, columns: list[str]) -> str:
        return f"| {label} | {' | '.join(columns)} |"

    out = ["**Seconds to build again after an edit of** (ratio to Drydock's)", "", *head]
    if not seconds(document, OURS, "noop"):  # a run with --cold
        out += [row(ROWS["cold"], cells("cold", clock)), "", *_spread(document, names, ["cold"])]
        return "\n".join([*out, "", *_measured(document)])
    out += [row(label, cells(key, clock)) for key, label in ROWS.items()]
    out += ["", "**Bytes in layers that the image did not have before**", "", *head]
    for key, label in ROWS.items():
        if key != "noop":
            sizes = [amount(new_bytes(document, name, key)) for name in names]
            out.append(row(label.partition(":")[0], sizes))
    out += ["", "**The image, and its start** (from `docker run`)", "", *head]
    out.append(row("size, uncompressed", cells("image_bytes", amount)))
    out += [row(label, cells(key, clock)) for key, label in STARTS.items()]
    for key, label in WORKS.items():
        works = [document["contenders"][name].get("works", {}).get(key) for name in names]
        out.append(
            row(f"starts {label}", [{True: "yes", False: "no"}.get(one, "–") for one in works])
        )
    out.append(row("bytecode", [document["contenders"][name]["bytecode"] for name in names]))
    out += ["", *_spread(document, names, [*ROWS, *STARTS]), "", *_measured(document)]
    return "\n".join(out)


def bytecode_results() -> list[dict]:
    """What bytecode.py measured, the small workload first."""
    read = [json.loads(path.read_text()) for path in sorted(HERE.glob("results/bytecode/*.json"))]
    return sorted(read, key=lambda one: one["workload"] != "small")


def bytecode_table(document: dict) -> str:
    """The Markdown of one run of bytecode.py."""
    keys = {
        "build_seconds": "cold build, the downloads in the cache",
        "image_bytes": "image",
        "import_seconds": "start, to the framework imported",
        "health_seconds": "start, to the first health answer",
    }
    variants = list(document["variants"].values())
    out = [f"| {document['title']} | {' | '.join(one['title'] for one in variants)} |"]
    out.append("| --- |" + " ---: |" * len(variants))
    for key, label in keys.items():
        middles = [median(one[key]) for one in variants]
        text = amount if key == "image_bytes" else lambda number: f"{figure(number)} s"
        out.append(f"| {label} | {' | '.join(map(text, middles))} |")
    samples = len(variants[0]["build_seconds"]), len(variants[0]["import_seconds"])
    machine = document["machine"]
    told = f"Measured on {document['date']} with `{document['command']}`: medians of {samples[0]} "
    told += f"builds and {samples[1]} starts, {machine['cores']} cores ({machine['cpu']}), Docker "
    told += f"{machine['docker']}. Load average before {document['load_before']}, after "
    return "\n".join([*out, "", f"{told}{document['load_after']}."])


def _spread(document: dict, names: list[str], keys: list[str]) -> list[str]:
    """Fastest and slowest sample of each figure, and how many there were."""
    titles = [document["contenders"][name]["title"] for name in names]
    lines = ["<details><summary>Fastest to slowest sample in seconds, and their number</summary>"]
    lines += ["", f"| | {' | '.join(titles)} |", "| --- |" + " ---: |" * len(names)]
    for key in keys:
        label = {**ROWS, **STARTS}[key]
        columns = []
        for name in names:
            found = document["contenders"][name].get(key) or seconds(document, name, key)
            columns.append(
                f"{figure(min(found))}–{figure(max(found))}, {len(found)}" if found else "–"
            )
        lines.append(f"| {label.partition(':')[0]} | {' | '.join(columns)} |")
    return [*lines, "", "</details>"]


def _measured(document: dict) -> list[str]:
    machine, base = document["machine"], document["base"]
    standin = " (a stand-in made of Debian's packages and a CPython)" if base["standin"] else ""
    return [
        f"Measured on {document['date']} with `{document['command']}`: {machine['cores']} cores "
        f"({machine['cpu']}), {machine['memory_gb']} GB of memory, Linux {machine['kernel']}, "
        f"Docker {machine['docker']} with {machine['builder']}, {machine['storage']}. Load average "
        f"before {document['load_before']}, after {document['load_after']}. Base "
        f"`{base['image']}`{standin}, `{document['uv']}`, Poetry {document['poetry']}, "
        f"{len(document['packages'])} packages; the bump is to `{document['bump']}`."
    ]


# -- the plot ------------------------------------------------------------------------------------

_COLOURS = ["#d55e00", "#e08a00", "#b8860b", "#0083c4", "#1a9a6c", "#b5608f"]
_LEFT, _RIGHT, _TOP, _STEP = 250, 40, 108, 34
_WIDTH = 860


def plot(document: dict) -> str:
    """An SVG: a row for each figure, a mark for each rival at its ratio to ours, on a log axis."""
    rivals = [name for name in contenders(document) if name != OURS]
    keys = [*ROWS, *STARTS, "image_bytes"]
    labels = {
        **ROWS,
        **STARTS,
        "image_bytes": "image size",
        "cold": "cold build",
        "noop": "no edit",
    }
    rows = []
    for key in keys:
        ours = middle(document, OURS, key)
        values = {name: middle(document, name, key) for name in rivals}
        ratios = {name: value / ours for name, value in values.items() if value and ours}
        if ratios:
            rows.append((labels[key], ratios))
    every = [ratio for _, ratios in rows for ratio in ratios.values()]
    low = min(0.5, min(every) / 1.15)
    high = max(2.0, max(every) * 1.15)
    height = _TOP + _STEP * len(rows) + 76
    bottom = height - 70

    def x(ratio: float) -> float:
        part = (math.log(ratio) - math.log(low)) / (math.log(high) - math.log(low))
        return round(_LEFT + part * (_WIDTH - _LEFT - _RIGHT), 1)

    title = f"{document['title']}: time or size, as a multiple of Drydock's"
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img" '
        f'aria-label="{escape(title)}" font-family="system-ui, sans-serif" font-size="13">',
        "<style>text{fill:#1f2328}.quiet{fill:#59636e}.grid{stroke:#8c959f;stroke-opacity:.35}"
        ".one{stroke:#1f2328}@media(prefers-color-scheme:dark){text{fill:#e6edf3}"
        ".quiet{fill:#9198a1}.one{stroke:#e6edf3}}</style>",
        f'<text x="16" y="26" font-size="16" font-weight="600">{escape(title)}</text>',
    ]
    for number, name in enumerate(rivals):
        column, line = number % 3, number // 3
        at_x, at_y = 24 + column * 210, 52 + line * 22
        out.append(_mark(number, at_x, at_y))
        label = escape(document["contenders"][name]["title"])
        out.append(f'<text x="{at_x + 14}" y="{at_y + 5}">{label}</text>')
    for tick in _ticks(low, high):
        kind = "one" if tick == 1 else "grid"
        where = x(tick)
        out.append(
            f'<line class="{kind}" x1="{where}" x2="{where}" y1="{_TOP - 8}" y2="{bottom}"/>'
        )
        out.append(
            f'<text class="quiet" x="{where}" y="{bottom + 18}" text-anchor="middle">'
            f"{'Drydock' if tick == 1 else f'×{tick:g}'}</text>"
        )
    for number, (label, ratios) in enumerate(rows):
        y = _TOP + _STEP * number + 14
        out.append(f'<text x="{_LEFT - 16}" y="{y + 5}" text-anchor="end">{escape(label)}</text>')
        out.append(f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y}" y2="{y}"/>')
        # Marks at nearly the same place are moved apart, so that each can be seen.
        placed: list[float] = []
        for name, ratio in sorted(ratios.items(), key=lambda item: item[1]):
            near = sum(1 for other in placed if abs(other - x(ratio)) < 9)
            placed.append(x(ratio))
            shift = (0, -7, 7, -12, 12, -4)[near]
            out.append(_mark(rivals.index(name), x(ratio), y + shift))
    machine = document["machine"]
    caption = (
        f"{document['date']}, {machine['cores']} cores, {machine['memory_gb']} GB, "
        f"Docker {machine['docker']}: {document['command']}"
    )
    out.append(
        f'<text class="quiet" x="16" y="{height - 14}" font-size="12">{escape(caption)}</text>'
    )
    out.append("</svg>")
    return "\n".join(out) + "\n"


def _ticks(low: float, high: float) -> list[float]:
    every = [0.01, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000]
    return [tick for tick in every if low <= tick <= high]


def _mark(number: int, x: float, y: float) -> str:
    """A mark of its own for each rival: colour and shape."""
    fill = f'fill="{_COLOURS[number % len(_COLOURS)]}"'
    match number % 6:
        case 0:
            return f'<circle cx="{x}" cy="{y}" r="6" {fill}/>'
        case 1:
            return f'<rect x="{x - 5}" y="{y - 5}" width="10" height="10" {fill}/>'
        case 2:
            points = f"{x},{y - 7} {x + 7},{y + 5} {x - 7},{y + 5}"
        case 3:
            points = f"{x},{y - 7} {x + 7},{y} {x},{y + 7} {x - 7},{y}"
        case 4:
            points = f"{x},{y + 7} {x + 7},{y - 5} {x - 7},{y - 5}"
        case _:
            return f'<rect x="{x - 8}" y="{y - 3}" width="16" height="6" {fill}/>'
    return f'<polygon points="{points}" {fill}/>'


# -- files ---------------------------------------------------------------------------------------


def written(readme: str) -> str:
    """README.md with its result blocks as the JSON has them. Raises ValueError without a block."""
    blocks = {document["workload"]: table(document) for document in results()}
    blocks |= {"bytecode": "\n\n".join(map(bytecode_table, bytecode_results()))}
    for name, content in blocks.items():
        start, end = f"<!-- results {name} -->", "<!-- end -->"
        block = re.compile(rf"{re.escape(start)}\n.*?{re.escape(end)}", re.DOTALL)
        if not block.search(readme):
            raise ValueError(f"benchmarks/README.md has no line {start!r}")
        text = f"{start}\n\n{content}\n\n{end}"
        readme = block.sub(lambda _found, text=text: text, readme)
    return readme


def files() -> dict[Path, str]:
    """Every file that this program writes, with its content."""
    readme = HERE / "README.md"
    answer = {readme: written(readme.read_text())}
    for document in results():
        if seconds(document, OURS, "noop"):
            answer[HERE / "results" / f"{document['workload']}.svg"] = plot(document)
    return answer


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--check", action="store_true", help="write nothing, exit 1 on a difference"
    )
    check = parser.parse_args().check
    stale = [
        path for path, text in files().items() if not path.exists() or path.read_text() != text
    ]
    for path in stale:
        if check:
            print(f"{path.name} is not what the results say: run python -m benchmarks.report")
        else:
            path.write_text(files()[path])
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
