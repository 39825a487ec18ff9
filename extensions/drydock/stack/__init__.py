"""The stack: the solution as the mapping that templates read. `keys` says what it holds."""

from __future__ import annotations

from dataclasses import asdict

from copier.errors import UserMessageError

from ..catalogue import Catalogue
from ..form import with_defaults
from ..questions import Answers
from ..refusal import refusal
from ..request import BadAnswerError, read_request
from ..solver import Solution, solve
from ..texts import cautions
from .images import architecture, base_image, devel_image, python_of, registry, uv_of
from .keys import Platform, Stack
from .packages import (
    companions,
    constraints,
    framework_of,
    indexes_and_sources,
    notes,
    requirements,
    tools,
)
from .reasons import python_age, summary, why


def stack_of(catalogue: Catalogue, answers: Answers) -> Stack:
    """Compute what the templates read from the answers; an absent answer means its default.

    Raises:
        UserMessageError: an answer is malformed, or the answers conflict. The message is one
            line that says what to answer instead.
    """
    # The given answers alone first, so that a refusal names what was answered and no default.
    solution_of(catalogue, answers)
    complete = with_defaults(catalogue, answers)
    solution = solution_of(catalogue, complete)
    mirror = str(answers.get("image_mirror") or "")
    index_url = str(answers.get("pytorch_index") or solution.framework.index_url or "")
    platform = str(complete["platform"])
    indexes, sources = indexes_and_sources(solution, index_url)
    return {
        "base": base_image(solution, mirror),
        "devel": devel_image(catalogue, solution, mirror),
        "python": python_of(catalogue, solution, mirror),
        "uv": uv_of(catalogue, mirror),
        "framework": framework_of(solution),
        "indexes": indexes,
        "sources": sources,
        "companions": companions(solution),
        "constraints": constraints(catalogue, solution),
        "dependencies": requirements(catalogue, solution, platform, "dependencies"),
        "serve_dependencies": requirements(catalogue, solution, platform, "serve"),
        "dev_dependencies": requirements(catalogue, solution, platform, "dev"),
        "build_dependencies": requirements(catalogue, solution, platform, "build"),
        "platform": _platform(catalogue, solution, platform),
        "registry": registry(str(answers.get("image_name") or "")),
        "tools": tools(catalogue),
        "why": why(catalogue, solution),
        "summary": [
            *summary(catalogue, solution, mirror),
            *python_age(catalogue, solution),
            *notes(catalogue, solution),
            *cautions(answers),
        ],
    }


def solution_of(catalogue: Catalogue, answers: Answers) -> Solution:
    """Return the solution of answers.

    Raises:
        UserMessageError: see `stack_of`.
    """
    try:
        request = read_request(catalogue, answers)
    except BadAnswerError as error:
        raise UserMessageError(str(error)) from error
    solution = solve(catalogue, request)
    if solution is None:
        raise UserMessageError(refusal(catalogue, request))
    return solution


def _platform(catalogue: Catalogue, solution: Solution, platform: str) -> Platform:
    row = asdict(catalogue.platforms[platform])
    del row["name"], row["workloads"]
    return {
        **row,
        "architecture": architecture(catalogue, solution),
        "shared_cache": f"SHARED_CACHE_{row['compression'].upper()}",
    }
