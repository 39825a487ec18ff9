"""Hardware cases (tests/solver/cases.md): what is wrong with what the solver says of one.

    uv run python -m tests.support.cases FILE

runs the cases of a file and prints those that go wrong, and how many are right.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, TypedDict

from copier.errors import UserMessageError

from drydock.catalogue import Catalogue
from drydock.form import with_defaults
from drydock.preflight import preflight
from drydock.solver import Solution
from drydock.stack import solution_of, stack_of
from drydock.versions import version

FILE = Path(__file__).parents[1] / "solver" / "cases.json"


class Case(TypedDict, total=False):
    """One case; the table in cases.md says what each key means."""

    id: str
    kind: str
    question: str
    answers: dict[str, Any]
    verdict: str
    because: str
    expect: dict[str, Any]
    why: str
    source: str
    read: str
    certainty: str
    offered: bool


class Answered:
    """What a project is made from when somebody answers the form as a case does.

    Args:
        catalogue: the facts.
        answers: those of the case.

    Raises:
        UserMessageError: the answers are refused.
    """

    def __init__(self, catalogue: Catalogue, answers: dict[str, Any]) -> None:
        """Go the way that a user's answers go: before the first question, then the stack."""
        self.catalogue = catalogue
        preflight(catalogue, {**answers, "advanced": True})
        self.stack: dict[str, Any] = {**stack_of(catalogue, answers)}
        self.solution: Solution = solution_of(catalogue, with_defaults(catalogue, answers))

    @cached_property
    def driver(self) -> str:
        """The oldest driver, as the project states it."""
        (line,) = (line for line in self.stack["summary"] if line.startswith("driver "))
        found = re.search(r"\d{3}[\d.]*", line)
        assert found, line
        return found.group()

    @cached_property
    def targets(self) -> set[str]:
        """What a compiler builds for: "9.0", or "9.0+PTX"; empty without a compiler."""
        return set((self.stack["devel"] or {}).get("targets", ()))


def _is(found: str | None, wanted: str) -> str:
    return "" if found == wanted else f"it is {found}"


def _holds_below(answered: Answered, wanted: dict[str, str]) -> str:
    """Some requirement holds the package below the version, or below an older one."""
    name, below = wanted["package"], version(wanted["below"])
    bounds = [
        found.group(1)
        for row in answered.stack["constraints"]
        if (found := re.match(rf"{re.escape(name)}\s*(?:.*,)?\s*<\s*([\d.]+)", row["requirement"]))
    ]
    ok = any(version(bound) <= below for bound in bounds)
    return "" if ok else f"the constraints are {answered.stack['constraints']}"


def _ptx_at_most(answered: Answered, wanted: str) -> str:
    """PTX that a compiler in the image makes is of its own CUDA; does a GPU have nothing else?"""
    devel = answered.solution.devel
    if devel is None or version(devel.cuda or "") <= version(wanted):
        return ""
    binaries = [version(target.removesuffix("+PTX")) for target in answered.targets]
    oldest_ptx = min(
        (version(target[:-4]) for target in answered.targets if target.endswith("+PTX")),
        default=(99,),
    )
    alone = sorted(
        {
            gpu.compute
            for gpu in answered.catalogue.gpus.values()
            if version(gpu.compute) >= oldest_ptx
            and not any(
                code[0] == version(gpu.compute)[0] and code <= version(gpu.compute)
                for code in binaries
            )
        }
    )
    return f"{', '.join(alone)} have PTX of {devel.cuda} alone" if alone else ""


def _at_least(found: str, wanted: str) -> str:
    return "" if version(found) >= version(wanted) else f"it is {found}"


def _below(found: str | None, wanted: str) -> str:
    ok = found is None or version(found) < version(wanted)
    return "" if ok else f"it is {found}"


def _at_most(found: str, wanted: str) -> str:
    return "" if version(found) <= version(wanted) else f"it is {found}"


def _compiles_for(answered: Answered, wanted: list[str]) -> str:
    built = {target.removesuffix("+PTX") for target in answered.targets}
    return "" if built >= set(wanted) else f"it compiles for {sorted(answered.targets)}"


# For each key of `expect` of a case that works: "" if it holds, else what there is instead.
CHECKS: dict[str, Callable[[Answered, Any], str]] = {
    "cuda": lambda it, wanted: _is(it.solution.wheel.cuda, wanted),
    "cuda_major": lambda it, wanted: _is((it.solution.wheel.cuda or "").split(".")[0], wanted),
    "framework_version_at_least": lambda it, wanted: _at_least(it.solution.wheel.version, wanted),
    "framework_version_at_most": lambda it, wanted: _at_most(it.solution.wheel.version, wanted),
    "constraint": _holds_below,
    "driver_floor_at_least": lambda it, wanted: _at_least(it.driver, wanted),
    "base_kind": lambda it, wanted: _is(it.stack["base"]["kind"], wanted),
    "base_cuda_below": lambda it, wanted: _below(it.solution.image.cuda, wanted),
    "architecture": lambda it, wanted: _is(it.stack["platform"]["architecture"], wanted),
    "targets": _compiles_for,
    "ptx_cuda_at_most": _ptx_at_most,
}

# How a refusal says that the catalogue lacks what a case asks for.
NOT_OFFERED = (
    r'^framework_version: ".*" is none of its values',
    r"^python_version: .* cannot be had, because the Python must have a plain image",
    r"compile_cuda: true .* a builder image that was superseded, or that nobody has seen",
)


def faults(catalogue: Catalogue, case: Case) -> list[str]:
    """Return what is wrong with the answer that a case gets; nothing if it is right.

    Raises:
        KeyError: the case expects something that nobody checks.
    """
    expect = case.get("expect", {})
    refused = case["verdict"] == "refused"
    offered = case.get("offered", True)
    try:
        answered = Answered(catalogue, _as_the_form_asks(catalogue, case["answers"]))
    except UserMessageError as error:
        sentence = str(error)
        if not offered:
            said = any(re.search(pattern, sentence) for pattern in NOT_OFFERED)
            return [] if said else [f"refused for something else: {sentence}"]
        # That an answer is not offered says nothing of why it would not work; but the list of
        # releases is one of builds, and that of capabilities begins with the oldest that runs.
        too_old = re.match(r'gpus: "[1-4]\.\d"', sentence)
        told = " cannot " in sentence or too_old or case.get("because") == "no such build"
        if not (refused and told):
            return [f"refused: {sentence}"]
        return list(_faults_of_sentence(sentence, expect))
    if refused or not offered:
        return [f"accepted: {'; '.join(answered.stack['summary'])}"]
    found = {key: CHECKS[key](answered, wanted) for key, wanted in expect.items()}
    return [f"{key} {expect[key]}: {fault}" for key, fault in found.items() if fault]


def _as_the_form_asks(catalogue: Catalogue, answers: dict[str, Any]) -> dict[str, Any]:
    """Turn the major of a plugin, `cuda: 12` in a case of JAX, into the CUDA that it is built with.

    Of several the newest; of a release, where one is answered, its own.
    """
    major = answers.get("cuda")
    if major is None or "." in major:
        return answers
    release = answers.get("framework_version")
    built = [
        wheel.cuda
        for wheel in catalogue.wheels[answers["framework"]]
        if release in (None, wheel.version) and (wheel.cuda or "").split(".")[0] == major
    ]
    return {**answers, "cuda": built[0]} if built else answers


def _faults_of_sentence(sentence: str, expect: dict[str, Any]) -> Iterator[str]:
    """Yield the answers that the sentence of a refusal should name as being in conflict."""
    if expect.keys() - {"sentence_names"}:
        raise KeyError(f"not of a refusal: {', '.join(expect)}")
    blamed = sentence.partition(", because ")[0]
    for name in expect.get("sentence_names", ()):
        if not re.search(rf"\b{name}: ", blamed):
            yield f"does not name {name}: {sentence}"


def read(path: Path = FILE) -> list[Case]:
    """Read the cases of a file."""
    return json.loads(path.read_text("utf-8"))


def main(path: str) -> int:
    """Run the cases of a file, and print what is wrong; return the exit code."""
    catalogue, cases = Catalogue(), read(Path(path))
    wrong = {case["id"]: found for case in cases if (found := faults(catalogue, case))}
    for name, found in wrong.items():
        print(f"{name}: {'; '.join(found)}")
    offered = [case["id"] for case in cases if case.get("offered", True)]
    right = [name for name in offered if name not in wrong]
    print(f"{len(right)} of {len(offered)} right; {len(cases) - len(offered)} are not offered")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
