"""The request: the answers that the solver reads, tidied."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

from .answers import as_names, check_alone
from .catalogue import Catalogue
from .questions import GPU_QUESTIONS, Answers, as_bool
from .questions import today as day_of
from .rows import Gpu
from .versions import Version, version


@dataclass(frozen=True)
class Request:
    """What is asked of the solver. The fields are named after the questions of the form.

    `None`, or an empty tuple, means that the answer is free: any value will do. `gpus` holds
    names of the catalogue, or "any" alone. `today` is an ISO date. `accelerator` and
    `forward_compat` are never free: they say which rules hold for the others. `kept_python` is the
    Python that the project has already: its end of life does not take it away.
    """

    today: str
    accelerator: str = "cpu"
    workload: str | None = None
    framework: str | None = None
    gpus: tuple[str, ...] = ()
    driver: str | None = None
    python_version: str | None = None
    platform: str | None = None
    framework_version: str | None = None
    cuda: str | None = None
    gpu_base: str | None = None
    compile_cuda: bool = False
    forward_compat: bool = False
    kept_python: str | None = None

    @cached_property
    def driver_version(self) -> Version | None:
        """The driver as numbers, None if it is free."""
        return version(self.driver) if self.driver else None

    @cached_property
    def work(self) -> frozenset[str]:
        """What the project does, of "train" and "serve"; nothing if that is free."""
        words = {"both": ("train", "serve"), None: ()}.get(self.workload, (self.workload,))
        return frozenset(word for word in words if word)


SOLVER_QUESTIONS = tuple(
    field.name for field in fields(Request) if field.name not in ("today", "kept_python")
)


class BadAnswerError(ValueError):
    """One answer is not acceptable by itself; the message names the question and says why."""


def read_request(catalogue: Catalogue, answers: Answers) -> Request:
    """Turn answers into a request. An answer that is absent stays free.

    Args:
        catalogue: the facts.
        answers: question to answer; strings as they stand on a command line are understood.
            `today` (an ISO date) may be among them and defaults to the catalogue's own date, and
            `kept_python`.

    Raises:
        BadAnswerError: an answer is malformed or not in the catalogue.
    """
    values: dict[str, Any] = {
        "today": day_of(catalogue, answers),
        "kept_python": answers.get("kept_python"),
    }
    given = {name: answers[name] for name in SOLVER_QUESTIONS if name in answers}
    if given.get("accelerator", "cpu") == "cpu":
        given = {name: value for name, value in given.items() if name not in GPU_QUESTIONS}
    for name, value in given.items():
        sentence = check_alone(catalogue, answers, name, value)
        if sentence:
            raise BadAnswerError(f"{name}: {sentence}")
        if name == "gpus":
            values[name] = as_names(catalogue, value)
        elif name in ("compile_cuda", "forward_compat"):
            values[name] = as_bool(value)
        elif str(value) != "auto":
            values[name] = str(value)
    return Request(**values)


def gpu_rows(catalogue: Catalogue, request: Request) -> tuple[Gpu, ...]:
    """Return the rows of the GPUs that the request names; "any" names none."""
    return tuple(catalogue.gpus[name] for name in request.gpus if name != "any")


def host_of(catalogue: Catalogue, request: Request) -> str | None:
    """Return the CPU architecture of the machines, for which the image is built.

    It is the platform's where that has only one, else one that all the named GPUs may sit in,
    and of two the usual one. It is None where no architecture fits, and where nothing says which.
    """
    gpus = gpu_rows(catalogue, request)
    forced = catalogue.platforms[request.platform].architecture if request.platform else None
    usual = [forced] if forced else sorted({gpu.host for gpu in gpus})
    return next((host for host in usual if all(host in gpu.hosts for gpu in gpus)), None)


# An answer of the request: the question, and its value as one answers it; for `gpus` one of the
# names, so that a conflict can be about one GPU of several.
Answer = tuple[str, str]


def given_answers(request: Request) -> list[Answer]:
    """List the answers that are not free, in the order of the form, except those that never are."""
    answers: list[Answer] = []
    for name in SOLVER_QUESTIONS:
        value = getattr(request, name)
        if name in ("accelerator", "forward_compat") or not value:
            continue
        if name == "gpus":
            answers += [(name, gpu) for gpu in value]
        else:
            answers.append((name, "true" if value is True else value))
    return answers


def keep(request: Request, answers: Iterable[Answer]) -> Request:
    """Return the request with only these answers, and those that are never free."""
    kept = list(answers)
    values: dict[str, Any] = {
        name: True if name == "compile_cuda" else value for name, value in kept if name != "gpus"
    }
    values |= {"accelerator": request.accelerator, "forward_compat": request.forward_compat}
    gpus = tuple(value for name, value in kept if name == "gpus")
    return Request(today=request.today, kept_python=request.kept_python, gpus=gpus, **values)
