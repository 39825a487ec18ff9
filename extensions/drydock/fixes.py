"""The nearest answers that work: which answers of a refused request to change, and to what."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import combinations

from .catalogue import Catalogue
from .questions import ACCELERATORS, GPU_QUESTIONS, WORKLOADS
from .request import Answer, Request, given_answers, keep
from .rows import Gpu
from .solver import solve
from .versions import nearest

# Another value for an answer: None leaves it free, or drops a GPU.
Value = str | bool | None


def nearest_fixes(
    catalogue: Catalogue, request: Request, conflict: Sequence[Answer]
) -> tuple[tuple[Answer, ...], ...]:
    """Return changes that make the request solvable: the answers to give instead.

    They are every change of one conflicting answer that does, or of `forward_compat`; or else one
    change of two or of three answers, of which one is in the conflict.
    """
    given = dict.fromkeys([*conflict, *given_answers(request)])
    answers = [answer for answer in given if answer[0] != "forward_compat"]
    fixes = []
    for size in (1, 2, 3):
        for changed in combinations(answers, size):
            if changed[0] not in conflict:
                break
            fix = _fix(catalogue, request, changed)
            if fix:
                fixes.append(fix)
            if fix and size > 1:
                break
        other = with_other_compat(request)
        if size == 1 and solve(catalogue, other) is not None:
            fixes.append((("forward_compat", str(other.forward_compat).lower()),))
        if fixes:
            break
    return tuple(fixes)


def _fix(
    catalogue: Catalogue, request: Request, changed: Sequence[Answer]
) -> tuple[Answer, ...] | None:
    """Find the nearest values of some answers, one after the other, that solve the request."""
    for answer in changed:
        request = _without(request, answer)
    if solve(catalogue, request) is None:
        return None
    fix = []
    for answer in changed:
        for value in alternatives(catalogue, request, answer):
            fixed = _with(request, answer, value)
            if solve(catalogue, fixed) is not None:
                request = fixed
                fix.append(_as_answered(answer, value))
                break
        else:
            return None
    return tuple(fix)


def _without(request: Request, answer: Answer) -> Request:
    """Return the request without one answer; without its accelerator it is for the other one."""
    if answer[0] == "accelerator":
        return for_other_accelerator(request)
    return keep(request, [each for each in given_answers(request) if each != answer])


def for_other_accelerator(request: Request) -> Request:
    """Return the request for the other accelerator, without what only a GPU is asked about."""
    other = next(value for value in ACCELERATORS if value != request.accelerator)
    rest = [each for each in given_answers(request) if each[0] not in GPU_QUESTIONS]
    return replace(keep(request, rest), accelerator=other)


def with_other_compat(request: Request) -> Request:
    """Return the request with the other answer to whether forward compatibility may be used."""
    return replace(request, forward_compat=not request.forward_compat)


def _with(request: Request, answer: Answer, value: Value) -> Request:
    """Return a request that lacks an answer with a value for it."""
    name, _ = answer
    if name == "gpus":
        return replace(request, gpus=(*request.gpus, value) if value else request.gpus)
    return replace(request, **{name: value})


def _as_answered(answer: Answer, value: Value) -> Answer:
    """Return a change the way a person would answer it."""
    name, old = answer
    if name == "gpus":
        return (name, f"{value} instead of {old}" if value else f"without {old}")
    if value is None:
        return (name, "auto")
    return (name, str(value).lower() if isinstance(value, bool) else value)


def alternatives(catalogue: Catalogue, request: Request, answer: Answer) -> Iterator[Value]:
    """Yield other values for an answer that the request lacks, nearest first."""
    name, old = answer
    if name == "gpus":
        yield from _other_gpus(catalogue, request, old)
    elif name in ("framework_version", "cuda"):
        column = "version" if name == "framework_version" else "cuda"
        values = {getattr(wheel, column) for wheel in catalogue.wheels_of(request.framework)}
        yield from nearest(old, values - {None})
        yield None
    elif name == "python_version":
        yield from nearest(old, catalogue.pythons)
    elif name == "driver":
        yield from nearest(old, catalogue.notable_drivers)
    elif name == "gpu_base":
        yield None
    elif name == "compile_cuda":
        yield False
    elif name == "accelerator":
        yield from _others(old, ACCELERATORS)
    elif name == "workload":
        yield from _others(old, WORKLOADS)
    elif name == "framework":
        yield from _others(old, catalogue.frameworks)
    elif name == "platform":
        yield from _others(old, catalogue.platforms)


def _others(old: str, values: Iterable[str]) -> Iterator[str]:
    return (value for value in values if value != old)


def _other_gpus(catalogue: Catalogue, request: Request, old: str) -> Iterator[str | None]:
    """Yield None for none, where others are left, then the models with the nearest capability."""
    if request.gpus:
        yield None
    if old == "any":
        return
    row = catalogue.gpus[old]

    def distance(gpu: Gpu) -> tuple[bool, float, bool]:
        away = abs(gpu.compute_number - row.compute_number)
        return (gpu.host != row.host, away, gpu.brand != row.brand)

    known = {old, *request.gpus}
    others = [
        gpu
        for gpu in catalogue.gpus.values()
        if gpu.is_model == row.is_model and gpu.name not in known and not gpu.refused
    ]
    yield from (gpu.name for gpu in sorted(others, key=distance))
