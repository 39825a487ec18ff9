"""How rules are written: a rule names what it reads, and nothing else."""

from __future__ import annotations

import ast
import inspect

import pytest

from drydock.rules import RULES
from drydock.rules.rule import LEVELS, Rule, rule


def unread(function: ast.FunctionDef) -> set[str]:
    """The parameters of a function that its body does not name."""
    body = [node for statement in function.body for node in ast.walk(statement)]
    read = {node.id for node in body if isinstance(node, ast.Name)}
    return {argument.arg for argument in function.args.args} - read


@pytest.mark.parametrize("each", RULES, ids=lambda each: each.name)
def test_a_rule_reads_every_parameter_that_it_has(each: Rule) -> None:
    (function,) = ast.parse(inspect.getsource(each.function)).body
    assert isinstance(function, ast.FunctionDef)
    assert function.args.args
    assert unread(function) == set()


def test_the_test_above_sees_a_parameter_that_is_not_read() -> None:
    (function,) = ast.parse("def one(wheel, image):\n    'image'\n    return wheel\n").body
    assert isinstance(function, ast.FunctionDef)
    assert unread(function) == {"image"}


def test_what_a_rule_names_decides_when_it_is_asked() -> None:
    levels = {each.name: each.level for each in RULES}
    assert levels["driver-knows-gpu"] == "answers"
    assert levels["release-installs"] == "wheel"
    assert levels["python-has-image"] == "python", "it names no wheel, but comes after one"
    assert levels["image-is-current"] == "image"
    assert levels["one-cuda-major"] == "fit"
    assert levels["compiler-is-current"] == "devel"
    order = list(LEVELS)
    places = [order.index(each.level) for each in RULES]
    assert places == sorted(places)


def test_each_object_reaches_the_parameter_of_its_name() -> None:
    @rule
    def all_differ(devel: str, catalogue: str, wheel: str) -> bool:
        return (devel, catalogue, wheel) == ("devel", "catalogue", "wheel")

    @rule(silent=True)
    def alone(image: str) -> bool:
        return image == "image"

    assert all_differ.level == "devel" and not all_differ.silent
    assert all_differ.holds(LEVELS["devel"])
    assert alone.level == "image" and alone.silent
    assert alone.holds(LEVELS["image"])


def test_a_name_that_no_level_has_is_refused_at_once() -> None:
    with pytest.raises(TypeError, match="no_such.*wheels"):

        @rule
        def no_such(wheels: str) -> bool:
            return bool(wheels)

    with pytest.raises(TypeError, match="python, devel"):

        @rule
        def never_together(python: str, devel: str) -> bool:
            return python == devel
