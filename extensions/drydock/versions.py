"""Versions and dates of the catalogue, as values that compare."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

Version = tuple[int, ...]


@cache
def version(text: str) -> Version:
    """Turn "535.183.01" into (535, 183, 1), which compares the way versions do.

    A shorter version sorts before a longer one with the same beginning: "525" means the oldest
    of its branch, so it does not reach "525.60.13".
    """
    return tuple(int(part) for part in text.split("."))


def nearest(old: str, values: Iterable[str]) -> list[str]:
    """Sort versions by their distance from one of them, in steps; the newer of two first."""
    ordered = sorted({*values, old}, key=version, reverse=True)
    place = ordered.index(old)
    by_distance = sorted(range(len(ordered)), key=lambda index: abs(index - place))
    return [ordered[index] for index in by_distance if index != place]


def is_supported(end_of_life: str | None, today: str) -> bool:
    """Tell whether an end of life lies ahead, or is not known.

    Both are ISO dates, of a day or of a month ("2028-08"); as such they compare as text.
    """
    return end_of_life is None or today < end_of_life
