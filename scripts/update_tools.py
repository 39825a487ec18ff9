"""Write the requirements, with hashes, of what the update of a generated project runs.

    uv run python -m scripts.update_tools

They are Copier and its loader of extensions, in the versions of the catalogue, and what those need,
in the newest versions that an index has on the day; so run it after a refresh of the tools.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[1]
FILE = ROOT / "template/scripts/{% if ci != 'none' %}.{% endif %}/template-update.txt"
HEADER = """\
# What the weekly update runs, pinned to the hashes of its files. Written by Drydock's
# scripts/update_tools.py: nothing to edit here.
"""


def pins() -> list[str]:
    """Return the tools themselves, as requirements."""
    tools = json.loads((ROOT / "extensions/catalogue/tools.json").read_text("utf-8"))
    names = ("copier", "copier-template-extensions")
    return [f"{name}=={tools[name]['version']}" for name in names]


def main() -> None:
    """Resolve the tools for every system and every Python that can run them, and write the file."""
    words = ("--universal", "--generate-hashes", "--no-header", "--no-annotate", "--quiet")
    resolved = subprocess.run(
        ["uv", "pip", "compile", *words, "--python-version", "3.11", "-"],
        input="\n".join(pins()),
        text=True,
        capture_output=True,
        check=True,
    ).stdout
    FILE.write_text(HEADER + resolved, "utf-8")


if __name__ == "__main__":
    main()
