"""What the templates can read and what they do read are the same."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from jinja2 import Environment, nodes

from drydock.catalogue import Catalogue
from drydock.stack import stack_of
from tests.support import projects

READERS = [
    *sorted(path for path in (projects.ROOT / "template").rglob("*") if path.suffix == ".jinja"),
    projects.ROOT / "copier.yml",
]
# Mappings whose keys are names and not words of ours.
ANSWERS: list[dict[str, Any]] = [
    {"platform": platform, "accelerator": "gpu", "compile_cuda": True, "gpus": ["V100"]}
    for platform in ("docker", "openshift", "ovh", "sagemaker", "vertex", "kserve")
]
# An old GPU whose wheels pin no cuDNN: the lock holds it back.
ANSWERS += [{"accelerator": "gpu", "framework": "jax", "gpus": ["V100"]}]

Path = tuple[str, ...]


def leaves(value: Any, path: Path = ()) -> Iterator[Path]:
    """Yield the path of each value that is no mapping; a list counts as its items."""
    if isinstance(value, dict) and value:
        for name, below in value.items():
            yield from leaves(below, (*path, name))
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        yield from leaves(value[0], path)
    else:
        yield path


def read_paths(source: str) -> set[Path]:
    """The paths below `stack` that a template names, through variables and loops of its own."""
    tree = Environment(extensions=["jinja2.ext.do"]).parse(source)
    names: dict[str, Path] = {"stack": ()}
    found: set[Path] = set()

    def path_of(node: nodes.Node) -> Path | None:
        if isinstance(node, nodes.Name):
            return names.get(node.name)
        if isinstance(node, nodes.Getattr):
            before, name = path_of(node.node), node.attr
        elif isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Const):
            before, name = path_of(node.node), str(node.arg.value)
        else:
            return None
        return None if before is None else (*before, name)

    def visit(node: nodes.Node) -> None:
        if isinstance(node, nodes.Assign) and isinstance(node.target, nodes.Name):
            path = path_of(node.node)
            if path is not None:
                names[node.target.name] = path
        if isinstance(node, nodes.For) and isinstance(node.target, nodes.Name):
            path = path_of(node.iter)
            if path is not None:
                names[node.target.name] = path
        if isinstance(node, nodes.Getattr | nodes.Getitem):
            path = path_of(node)
            if path:
                found.add(path)
        for child in node.iter_child_nodes():
            visit(child)

    visit(tree)
    return found


@pytest.fixture(scope="module")
def read() -> set[Path]:
    """Every path that some template reads, and those of the names of files."""
    found: set[Path] = set()
    for path in READERS:
        found |= read_paths(path.read_text("utf-8"))
        found |= read_paths(path.relative_to(projects.ROOT).as_posix())
    return found


def test_every_key_of_the_stack_is_read_by_a_template(
    catalogue: Catalogue, read: set[Path]
) -> None:
    offered = {path for answers in ANSWERS for path in leaves(stack_of(catalogue, answers))}
    assert len(offered) > 50
    assert {path for path in offered if path not in read} == set()


def test_the_test_above_follows_variables_loops_and_brackets() -> None:
    source = (
        "{% set home = stack.platform.home %}{% set paths = stack.platform.paths %}"
        "{{ paths.model }}{% for index in stack.indexes %}{{ index.url }}{% endfor %}"
        "{{ stack.tools['docker'].image }}"
    )
    assert read_paths(source) >= {
        ("platform", "home"),
        ("platform", "paths", "model"),
        ("indexes", "url"),
        ("tools", "docker", "image"),
    }
    assert ("platform", "paths", "failure") not in read_paths(source)
