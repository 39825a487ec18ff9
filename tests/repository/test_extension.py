"""The package of the extension is one that a person can walk through."""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from pathlib import Path

from tests.support import projects

FOLDER = projects.ROOT / "extensions" / "drydock"
MODULES = sorted(FOLDER.rglob("*.py"))


def module_of(path: Path) -> str:
    """The dotted name of a file, below the package."""
    return ".".join(path.relative_to(FOLDER).with_suffix("").parts).removesuffix(".__init__")


def siblings(path: Path) -> set[str]:
    """The modules of the package that a file imports."""
    known = {module_of(other) for other in MODULES}
    package = list(path.parent.relative_to(FOLDER).parts)
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = package[: len(package) - node.level + 1]
            base += node.module.split(".") if node.module else []
            # `from .name import function`, or `from . import name`.
            below = {".".join([*base, alias.name]) for alias in node.names}
            found |= (below & known) or {".".join(base)}
    return found


def test_no_module_has_more_than_300_lines() -> None:
    for path in MODULES:
        assert len(path.read_text("utf-8").splitlines()) <= 300, path


def test_no_modules_import_each_other_in_a_circle() -> None:
    graph = {module_of(path): siblings(path) for path in MODULES}
    assert graph["solver"] >= {"rules", "rules.rule", "catalogue"}
    assert "versions" in graph["rules.drivers"]
    TopologicalSorter(graph).prepare()


def test_the_map_names_every_room_and_no_other() -> None:
    text = (FOLDER / "__init__.py").read_text("utf-8")
    rooms = {module_of(path).split(".")[0] for path in MODULES} - {"__init__"}
    table = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]
    named = {word.strip("`/, ") for cell in table for word in cell.split()}
    assert named == rooms
