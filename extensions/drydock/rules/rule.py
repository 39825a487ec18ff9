"""How a rule is written: a function whose parameters are the rows that it reads.

    @rule
    def release_installs(wheel: Wheel) -> bool:
        \"\"\"A release that cannot be installed is never chosen.\"\"\"
        return not wheel.broken

The names of the parameters say what the rule gets, as those of a test do in pytest, and so when it
can be asked: the one above as soon as a wheel is picked, before any image is. The names are

- `catalogue`, `request`, and `gpus`, the rows of the GPUs that the request names;
- `wheel`, `python`, `image`: what is being tried;
- `devel`: the image of a builder stage, where CUDA code has to be compiled.

The docstring is the rule in words. It stands in refusals, behind "because", and in the
documentation.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any, overload

_GIVEN = ("catalogue", "request", "gpus")

# What a rule can read at each level, in the order in which the solver goes through the levels.
LEVELS: dict[str, tuple[str, ...]] = {
    "answers": _GIVEN,
    "wheel": (*_GIVEN, "wheel"),
    "python": (*_GIVEN, "wheel", "python"),
    "image": (*_GIVEN, "image"),
    "fit": (*_GIVEN, "wheel", "python", "image"),
    "devel": (*_GIVEN, "wheel", "image", "devel"),
}


@dataclass(frozen=True)
class Rule:
    """One rule. It can be called like the function that it is made from.

    Attributes:
        name: what it is called in tests and documents.
        level: the first of `LEVELS` that has all that the function reads.
        sentence: the rule in words.
        silent: the rule only says that an answer is obeyed. A refusal names the answer already, so
            it leaves the rule out.
        function: the function.
        holds: the function again, called with one tuple: all objects of its level.
    """

    name: str
    level: str
    sentence: str
    silent: bool
    function: Callable[..., bool]
    holds: Callable[[tuple[Any, ...]], bool] = field(repr=False)

    def __call__(self, *rows: Any) -> bool:
        """Ask the rule of the rows that it names, in its own order."""
        return self.function(*rows)


@overload
def rule(function: Callable[..., bool]) -> Rule: ...
@overload
def rule(*, silent: bool) -> Callable[[Callable[..., bool]], Rule]: ...
def rule(function: Callable[..., bool] | None = None, *, silent: bool = False) -> Any:
    """Make a rule of a function, with its docstring as the sentence.

    Args:
        function: its parameters are named as above.
        silent: see `Rule.silent`.

    Raises:
        TypeError: no level has all its parameters.
    """
    if function is None:
        return lambda function: _made(function, silent)
    return _made(function, silent)


def _made(function: Callable[..., bool], silent: bool) -> Rule:
    names = tuple(inspect.signature(function).parameters)
    level = next((level for level, known in LEVELS.items() if {*names} <= {*known}), None)
    if level is None or not names:
        raise TypeError(f"{function.__name__}: no level of the solver has {', '.join(names)}")
    return Rule(
        name=function.__name__.replace("_", "-"),
        level=level,
        sentence=" ".join((function.__doc__ or "").split()),
        silent=silent,
        function=function,
        holds=_of_level(function, [LEVELS[level].index(name) for name in names]),
    )


def _of_level(
    function: Callable[..., bool], places: list[int]
) -> Callable[[tuple[Any, ...]], bool]:
    """Bind a function's parameters to places in a tuple, once, as each is asked very often."""
    pick = itemgetter(*places)
    if len(places) == 1:
        return lambda objects: function(pick(objects))
    return lambda objects: function(*pick(objects))
