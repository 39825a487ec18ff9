"""The refusal: the smallest set of answers that conflict, why, and the nearest that do not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from .catalogue import Catalogue
from .fixes import for_other_accelerator, nearest_fixes, with_other_compat
from .questions import GPU_QUESTIONS
from .request import Answer, Request, given_answers, keep
from .rules import RULES
from .rules.rule import Rule
from .solver import solve
from .versions import version


@dataclass(frozen=True)
class Conflict:
    """Why a request has no solution.

    Attributes:
        answers: a smallest set of answers that cannot stand together.
        rules: the rules that they break, in words.
        fixes: changes of one, two or three answers, each of which was solved.
    """

    answers: tuple[Answer, ...]
    rules: tuple[str, ...]
    fixes: tuple[tuple[Answer, ...], ...]


def refusal(catalogue: Catalogue, request: Request) -> str:
    """Return "" for a request that has a solution, else one sentence that says why it has none."""
    if solve(catalogue, request) is not None:
        return ""
    return sentence_of(catalogue, request, explain(catalogue, request))


def explain(catalogue: Catalogue, request: Request) -> Conflict:
    """Explain a request that has no solution.

    Raises:
        ValueError: it has one.
    """
    answers = smallest_conflict(catalogue, request)
    if answers and not any(name in GPU_QUESTIONS for name, _ in answers):
        # No answer says so, but the conflict may be one of this accelerator only.
        other = for_other_accelerator(keep(request, answers))
        if solve(catalogue, other) is not None:
            answers = (("accelerator", request.accelerator), *answers)
    if request.forward_compat:
        other = with_other_compat(keep(request, answers))
        if solve(catalogue, other) is not None:
            answers = (*answers, ("forward_compat", "true"))
    return Conflict(
        answers=answers,
        rules=broken_rules(catalogue, keep(request, answers)),
        fixes=nearest_fixes(catalogue, request, answers),
    )


def smallest_conflict(catalogue: Catalogue, request: Request) -> tuple[Answer, ...]:
    """Return a smallest set of answers that has no solution by itself.

    It is empty where nothing of the catalogue is supported any more on the day that is asked for.

    Raises:
        ValueError: the request has a solution.
    """
    if solve(catalogue, request) is not None:
        raise ValueError("the answers do not conflict")
    answers = given_answers(request)
    for size in range(len(answers)):
        for some in combinations(answers, size):
            if solve(catalogue, keep(request, some)) is None:
                return some
    return tuple(answers)


def broken_rules(catalogue: Catalogue, request: Request) -> tuple[str, ...]:
    """Return the rules that stand in the way of a request, in words.

    They are those without any one of which it has a solution; where there is none, a set of
    rules without all of which it has one, and from which none can be taken.
    """
    candidates = [rule for rule in RULES if not rule.silent]

    def solvable_without(dropped: Sequence[Rule]) -> bool:
        left = [rule for rule in RULES if rule not in dropped]
        return solve(catalogue, request, left) is not None

    broken = [rule for rule in candidates if solvable_without([rule])]
    if not broken and solvable_without(candidates):
        broken = candidates
        for rule in candidates:
            fewer = [other for other in broken if other is not rule]
            broken = fewer if solvable_without(fewer) else broken
    return tuple(rule.sentence for rule in broken)


def sentence_of(catalogue: Catalogue, request: Request, conflict: Conflict) -> str:
    """Put a conflict into one sentence: the answers, the rules, the nearest answers that work."""
    if not conflict.answers:
        return f"Nothing in the catalogue is supported on {request.today}; use a newer template."
    answers = [_with_its_fact(catalogue, request, answer) for answer in conflict.answers]
    verdict = "cannot be had" if len(answers) == 1 else "cannot stand together"
    text = f"{' and '.join(answers)} {verdict}"
    if conflict.rules:
        rules = [rule[0].lower() + rule[1:].rstrip(".") for rule in conflict.rules]
        text += f", because {'; and '.join(rules)}"
    if conflict.fixes:
        fixes = [" with ".join(f"{name}: {value}" for name, value in fix) for fix in conflict.fixes]
        text += f"; the nearest that works is {', or '.join(fixes)}"
    return f"{text}."


def _with_its_fact(catalogue: Catalogue, request: Request, answer: Answer) -> str:
    """Name an answer together with the fact about it that a conflict turns on."""
    name, value = answer
    if name == "gpus" and value in catalogue.gpus:
        gpu = catalogue.gpus[value]
        return f"gpus: {value} (compute capability{f' {gpu.compute}' if gpu.is_model else ''})"
    if name == "driver":
        cuda = ".".join(str(part) for part in catalogue.driver_cuda(version(value)))
        return f"driver: {value}" + ("" if cuda == "0.0" else f" (supports CUDA {cuda})")
    if name == "framework_version" and request.accelerator == "gpu":
        # A build may have two rows, one of PyPI and one of its own index.
        builds = dict.fromkeys(
            wheel.build
            for wheel in catalogue.wheels_of(request.framework)
            if wheel.version == value and wheel.accelerator == "gpu"
        )
        return f"framework_version: {value}" + (
            f" (built as {', '.join(builds)})" if builds else ""
        )
    return f"{name}: {value}"
