"""The learning curve, as an SVG file that any browser shows."""

from collections.abc import Mapping, Sequence
from html import escape

WIDTH, HEIGHT, MARGIN = 640, 220, 48  # of one panel, in pixels
COLOURS = ("#1f77b4", "#d62728", "#2ca02c", "#9467bd")  # told apart on white
Metrics = Mapping[str, float | str]


def draw(metrics: Sequence[Metrics]) -> str:
    """Return the picture: a panel for each kind of metric, such as every `..loss`.

    It is drawn over the epochs, or over the steps where there are none.
    """
    over = "epoch" if any("epoch" in row for row in metrics) else "step"
    rows = [row for row in metrics if over in row]
    kinds: dict[str, list[str]] = {}
    for name in dict.fromkeys(name for row in rows for name in row):
        if name not in ("epoch", "step"):
            kinds.setdefault(name.rpartition("_")[2], []).append(name)
    panels = [
        _panel(kind, [(name, _points(rows, over, name)) for name in names], number * HEIGHT)
        for number, (kind, names) in enumerate(kinds.items())
    ]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" '
            f'height="{max(len(panels), 1) * HEIGHT}" font-family="sans-serif" font-size="12">',
            '<rect width="100%" height="100%" fill="white"/>',
            *panels,
            "</svg>\n",
        ]
    )


def _points(rows: Sequence[Metrics], over: str, name: str) -> list[tuple[float, float]]:
    return [(float(row[over]), float(row[name])) for row in rows if name in row]


def _panel(kind: str, series: list[tuple[str, list[tuple[float, float]]]], top: int) -> str:
    left, right, bottom = min_max([x for _, points in series for x, _ in points]) + (HEIGHT,)
    low, high = min_max([y for _, points in series for _, y in points])

    def place(x: float, y: float) -> str:
        across = MARGIN + (x - left) / (right - left) * (WIDTH - 2 * MARGIN)
        down = bottom - MARGIN - (y - low) / (high - low) * (HEIGHT - 2 * MARGIN)
        return f"{across:.1f},{down:.1f}"

    frame = f'<rect x="{MARGIN}" y="{MARGIN}" width="{WIDTH - 2 * MARGIN}"'
    lines = [
        f'<g transform="translate(0 {top})">',
        f'{frame} height="{HEIGHT - 2 * MARGIN}" fill="none" stroke="#ccc"/>',
        _text(MARGIN - 4, MARGIN + 8, f"{high:.4g}", "end"),
        _text(MARGIN - 4, HEIGHT - MARGIN, f"{low:.4g}", "end"),
        _text(MARGIN, HEIGHT - MARGIN + 16, f"{left:.4g}", "start"),
        _text(WIDTH - MARGIN, HEIGHT - MARGIN + 16, f"{right:.4g}", "end"),
    ]
    for number, (name, points) in enumerate(series):
        colour = COLOURS[number % len(COLOURS)]
        path = " ".join(place(x, y) for x, y in points)
        lines.append(f'<polyline points="{path}" fill="none" stroke="{colour}"/>')
        lines.append(_text(MARGIN + 150 * number, MARGIN - 8, name, "start", colour))
    return "\n".join([*lines, "</g>"])


def min_max(values: Sequence[float]) -> tuple[float, float]:
    """Return the ends of an axis for these values, which are never the same."""
    low, high = min(values), max(values)
    return (low, high) if low < high else (low - 0.5, high + 0.5)


def _text(x: float, y: float, text: str, anchor: str, colour: str = "#333") -> str:
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}" fill="{colour}">{escape(text)}</text>'
