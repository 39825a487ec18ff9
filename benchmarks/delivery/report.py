"""Make the table and the plot of benchmarks/delivery/README.md from results/*.json.

uv run python -m benchmarks.delivery.report [--check]
"""

from __future__ import annotations

import argparse
import json
import math
import re
import sys
from html import escape
from pathlib import Path

HERE = Path(__file__).resolve().parent
OURS = "drydock"
BUILDS = {
    "build": "a cold build, which Docker keeps",
    "first": "first publish",
    "line": "a line of main.py",
    "version": "the project's version",
    "dependency": "one small dependency",
    "base": "a new base image",
    "second": "a second project, the same lock",
    "shared": "the same, told of the first one's image",
}
PULLS = {
    "pull-empty": "an empty node",
    "pull-line": "a line of main.py, the node has the former",
    "pull-dependency": "one small dependency, the node has the former",
    "pull-base": "a new base image, the node has the former",
    "pull-second": "the second project, the node has the first",
}


def results() -> dict[str, dict]:
    """Every committed run by the name of its file: a workload may have more than one."""
    return {path.stem: json.loads(path.read_text()) for path in sorted(HERE.glob("results/*.json"))}


def amount(count: float) -> str:
    """Bytes for people, with three figures."""
    for unit in ("B", "kB", "MB"):
        if count < 999.5:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} GB"


def cell(document: dict, way: str, scenario: str, key: str) -> str:
    """A figure, with its ratio to ours where it is a time; a dash where it was not measured."""
    sample = document["ways"][way]["samples"].get(scenario)
    if sample is None:
        return "–"
    if key != "seconds":
        return amount(sample[key])
    ours = document["ways"].get(OURS, {}).get("samples", {}).get(scenario)
    text = f"{sample[key]:.3g} s"
    if way == OURS or not ours:
        return text
    ratio = sample[key] / ours[key]
    return f"{text} (×{ratio:.2g})" if ratio < 100 else f"{text} (×{ratio:.0f})"


def table(document: dict) -> str:
    """The tables of a run, as Markdown."""
    ways = list(document["ways"])
    titles = " | ".join(document["ways"][way]["title"] for way in ways)
    parts = [
        ("Seconds to build and to push (ratio to Drydock's)", BUILDS, "seconds"),
        ("Bytes up: from the builder to the registry", BUILDS, "up"),
        ("Bytes down: from the registry to the builder", BUILDS, "down"),
        ("Bytes that the registry holds more than before", BUILDS, "grown"),
        ("Seconds to pull and to unpack (ratio to Drydock's)", PULLS, "seconds"),
        ("Bytes pulled", PULLS, "down"),
    ]
    lines = []
    for title, rows, key in parts:
        lines += [f"**{title}**", "", f"| | {titles} |", "| --- |" + " ---: |" * len(ways)]
        for scenario, label in rows.items():
            # A local build moves no bytes.
            if not any(key in document["ways"][way]["samples"].get(scenario, {}) for way in ways):
                continue
            cells = " | ".join(cell(document, way, scenario, key) for way in ways)
            lines.append(f"| {label} | {cells} |")
        lines.append("")
    for one in document["ways"].values():
        if "error" in one:
            lines += [f"{one['title']} failed: `{one['error'].splitlines()[-1]}`", ""]
    machine, base = document["machine"], document["base"]
    own = document["buildkit"] or machine["builder"]
    standin = " (a stand-in made of Debian's packages and a CPython)" if base["standin"] else ""
    lines.append(
        f"Measured on {document['date']} with `{document['command']}`, one sample each: "
        f"{machine['cores']} cores ({machine['cpu']}), {machine['memory_gb']} GB of memory, Linux "
        f"{machine['kernel']}, Docker {machine['docker']}, built with {own}, "
        f"{machine['storage']}. Load average before {document['load'][0]}, after "
        f"{document['load'][1]}. Base `{base['image']}`{standin}."
    )
    return "\n".join(lines)


_COLOURS = {"former": "#8c959f", "uv-multistage": "#0083c4", "article-cuda": "#d55e00"}


def plot(document: dict) -> str:
    """An SVG: a row for each time, a dot for each other way at its ratio to ours, on a log axis."""
    others = [way for way in document["ways"] if way != OURS]
    rows = []
    for scenario, label in {
        **BUILDS,
        **{key: f"pull: {text}" for key, text in PULLS.items()},
    }.items():
        ours = document["ways"][OURS]["samples"].get(scenario)
        found = {way: document["ways"][way]["samples"].get(scenario) for way in others}
        ratios = {
            way: one["seconds"] / ours["seconds"] for way, one in found.items() if one and ours
        }
        if ratios:
            rows.append((label, ratios))
    every = [ratio for _, ratios in rows for ratio in ratios.values()] or [1.0]
    low, high = min(0.5, *every) / 1.2, max(2.0, *every) * 1.2
    left, width, top, step = 330, 860, 92, 30
    bottom = top + step * len(rows)

    def x(ratio: float) -> float:
        return round(left + (width - left - 30) * math.log(ratio / low) / math.log(high / low), 1)

    title = f"{document['title']}: seconds, as a multiple of Drydock's"
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {bottom + 40}" role="img" '
        f'aria-label="{escape(title)}" font-family="system-ui, sans-serif" font-size="13">',
        "<style>text{fill:#1f2328}.grid{stroke:#8c959f;stroke-opacity:.35}.one{stroke:#1f2328}"
        "@media(prefers-color-scheme:dark){text{fill:#e6edf3}.one{stroke:#e6edf3}}</style>",
        f'<text x="16" y="26" font-size="16" font-weight="600">{escape(title)}</text>',
    ]
    for number, way in enumerate(others):
        at, colour = 24 + number * 170, _COLOURS.get(way, "#1a9a6c")
        out.append(f'<circle cx="{at}" cy="52" r="6" fill="{colour}"/>')
        out.append(f'<text x="{at + 12}" y="57">{escape(document["ways"][way]["title"])}</text>')
    for tick in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500):
        if low <= tick <= high:
            kind = "one" if tick == 1 else "grid"
            out.append(
                f'<line class="{kind}" x1="{x(tick)}" x2="{x(tick)}" y1="72" y2="{bottom}"/>'
            )
            name = "Drydock" if tick == 1 else f"×{tick:g}"
            out.append(f'<text x="{x(tick)}" y="{bottom + 18}" text-anchor="middle">{name}</text>')
    for number, (label, ratios) in enumerate(rows):
        y = top + step * number
        out.append(f'<text x="{left - 12}" y="{y + 5}" text-anchor="end">{escape(label)}</text>')
        out.append(f'<line class="grid" x1="{left}" x2="{width - 30}" y1="{y}" y2="{y}"/>')
        for way, ratio in ratios.items():
            colour = _COLOURS.get(way, "#1a9a6c")
            out.append(
                f'<circle cx="{x(ratio)}" cy="{y}" r="6" fill="{colour}" fill-opacity=".8"/>'
            )
    out.append("</svg>")
    return "\n".join(out) + "\n"


def files() -> dict[Path, str]:
    """Every file that this program writes, with its content.

    Raises ValueError where the README has no place for a run.
    """
    readme = HERE / "README.md"
    text = readme.read_text()
    answer = {}
    for name, document in results().items():
        start, end = f"<!-- results {name} -->", "<!-- end -->"
        block = re.compile(rf"{re.escape(start)}\n.*?{re.escape(end)}", re.DOTALL)
        if not block.search(text):
            raise ValueError(f"benchmarks/delivery/README.md has no line {start!r}")
        new = f"{start}\n\n{table(document)}\n\n{end}"
        text = block.sub(lambda _found, new=new: new, text)
        answer[HERE / "results" / f"{name}.svg"] = plot(document)
    return {readme: text, **answer}


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--check", action="store_true", help="write nothing, exit 1 on a difference"
    )
    check = parser.parse_args().check
    stale = {
        path: text
        for path, text in files().items()
        if not path.exists() or path.read_text() != text
    }
    for path, text in stale.items():
        if check:
            print(f"{path.name} is not what the results say: run this without --check")
        else:
            path.write_text(text)
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
