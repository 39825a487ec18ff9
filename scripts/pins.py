"""Write docs/pins.md from the catalogue: which torch the wheels of others want, and what to answer.

uv run python -m scripts.pins          writes the page
uv run python -m scripts.pins --check  says whether the page is fresh, and writes nothing
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from packaging.specifiers import SpecifierSet

from drydock.catalogue import FOLDER, Catalogue
from drydock.rows import Wheel
from scripts.markdown import table

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "pins.md"
Row = dict[str, Any]
INTRODUCTION = """\
# Packages that want one release of PyTorch

Wheels that are compiled against PyTorch load beside that release alone, so their packages pin it,
and uv refuses them in a project with another: `… depends on torch==…`. The answer is the release
that they want. This page is written by `uv run python -m scripts.pins`; what it says stands in
[`pins.json`](../extensions/catalogue/pins.json), as PyPI had it on the day that its rows name.

## With wheels

`uv add` takes them from PyPI. For a new project, or for one that there is, with `copier update`:

```sh
copier copy --trust … --data framework=pytorch --data advanced=true --data framework_version=2.14.0
```

- **torch** is what the package requires, **also** what it requires of torchvision and torchaudio,
  which go to the group `companions` with that version.
- **Answer** is the newest release of the catalogue that fits, with the CUDA of PyPI's build. That
  such wheels are made for this CUDA and no other is inferred, since PyPI has one wheel of each. The
  driver is the oldest for that CUDA.
- A package that only runs on a GPU brings NVIDIA's libraries to every machine when it stands in
  `dependencies`. With `compile_cuda: true` it can go to the group of the image alone:
  `uv add --group cuda --no-sync vllm`.
"""
SOURCES = """\
## Without wheels

PyPI has their source code only, which is compiled against the PyTorch that the project has, so that
any release will do. Answer `compile_cuda: true`, which adds a stage with the CUDA toolkit to the
image, and put them into its group: `uv add --group cuda --no-sync flash-attn`. Wheels that some
projects publish elsewhere are each for one release of PyTorch, CUDA and Python.
"""


def pins() -> list[Row]:
    """Return the rows of pins.json."""
    return json.loads((FOLDER / "pins.json").read_text("utf-8"))["pins"]


def fitting(catalogue: Catalogue, torch: str) -> Wheel | None:
    """Return PyPI's build of the newest release that a requirement on torch admits."""
    wanted = SpecifierSet(torch)
    wheels = catalogue.wheels["pytorch"]
    return next(
        (
            wheel
            for wheel in wheels
            if wheel.cuda and wheel.index is None and not wheel.broken and wheel.version in wanted
        ),
        None,
    )


def line(catalogue: Catalogue, row: Row) -> list[str]:
    """Return the cells of a release with wheels."""
    wheel = fitting(catalogue, row["torch"])
    answer, driver = "no release of the catalogue", "–"
    if wheel:
        answer = f"`framework_version: {wheel.version}`, CUDA {wheel.cuda}"
        driver = catalogue.floors[wheel.cuda_version[0]]
    also = ", ".join(f"`{one}`" for one in row["companions"]) or "–"
    return [row["package"], row["version"], f"`{row['torch']}`", also, answer, driver]


def page(catalogue: Catalogue) -> str:
    """Return the whole page."""
    rows = pins()
    made = [line(catalogue, row) for row in rows if row["torch"]]
    head = ("Package", "Release", "torch", "also", "Answer", "Driver")
    free = [[row["package"], row["version"]] for row in rows if not row["torch"]]
    parts = [
        *(INTRODUCTION, *table(head, made)),
        *(SOURCES, *table(("Package", "Newest release"), free)),
    ]
    return "\n".join(parts)


def main(arguments: Sequence[str]) -> int:
    """Write the page, or say whether it is fresh; 1 if it is stale."""
    text = page(Catalogue())
    if "--check" in arguments:
        if PAGE.is_file() and PAGE.read_text("utf-8") == text:
            return 0
        print(f"docs/{PAGE.name} is stale; run: uv run python -m scripts.pins")
        return 1
    PAGE.write_text(text, "utf-8", newline="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
