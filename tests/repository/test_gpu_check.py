"""benchmarks/gpu tells a promise that is kept from one that is not, and needs no GPU for that."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.gpu import __main__ as checks
from benchmarks.gpu.project import Broken, Run, first_example, with_number
from tests.support import projects

WHOLE = '{"test_loss": 0.10, "test_accuracy": 0.9, "model": "outputs/model"}'


class Pretended:
    """A project whose runs have ended already: the interrupted one, and the one that goes on."""

    whole = "test_loss 0.10, test_accuracy 0.9"

    def __init__(self, *runs: Run) -> None:
        self.runs = list(runs)

    def train(self, *words: str, **settings: object) -> Run:
        return self.runs.pop(0)


def stopped(code: int) -> Run:
    return Run(code, ["{}"] * 3, "")


def test_a_run_that_goes_on_to_the_same_digits_keeps_the_promise() -> None:
    project = Pretended(stopped(143), Run(0, ["{}", WHOLE], ""))
    assert checks.ended_by_sigterm(project) == f"3 reports, then 1; {Pretended.whole}"


@pytest.mark.parametrize(
    "first, then, sentence",
    [
        (143, Run(0, [WHOLE.replace("0.10", "0.1")], ""), "where the undisturbed run says"),
        (143, Run(1, [], "a\nno checkpoint\n"), "a run ended with 1: no checkpoint"),
        (-signal.SIGTERM, Run(0, [WHOLE], ""), "the run ended with -15"),
        (0, Run(0, [WHOLE], ""), "give more --passes"),
    ],
)
def test_a_run_that_goes_on_otherwise_breaks_it(first: int, then: Run, sentence: str) -> None:
    with pytest.raises(Broken, match=re.escape(sentence)):
        checks.ended_by_sigterm(Pretended(stopped(first), then))


@pytest.mark.parametrize(
    "answers, sentence",
    [
        (None, "name the folder of a generated project"),
        ("workload: both\nframework: scikit-learn\n", "accelerator=gpu, workload=both"),
        ("workload: serve\nframework: pytorch\n", "accelerator=gpu, workload=both"),
        ("workload: both\nframework: pytorch\n", "name the Python that has the project's packages"),
    ],
)
def test_what_cannot_be_tried_gets_one_sentence(
    tmp_path: Path, answers: str | None, sentence: str
) -> None:
    if answers:
        (tmp_path / ".copier-answers.yml").write_text(answers)
    words = ["-m", "benchmarks.gpu", tmp_path, "--python", tmp_path / ".venv/bin/python"]
    # -S: as on a machine that has nothing but Python.
    tried = subprocess.run(
        [sys.executable, "-S", *words], cwd=projects.ROOT, capture_output=True, text=True
    )
    assert tried.returncode == 2
    assert sentence in tried.stderr
    assert tried.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "request_, changed",
    [
        ({"instances": [[0.25, 3.0]]}, {"instances": [[1e38, 3.0]]}),
        ({"shape": [1, 2], "data": [-1.5e-05, 3.0]}, {"shape": [1, 2], "data": [1e38, 3.0]}),
    ],
)
def test_the_first_number_of_an_example_becomes_another(request_: object, changed: object) -> None:
    schema = {"schema": {"examples": [request_]}}
    post = {"post": {"requestBody": {"content": {"application/json": schema}}}}
    path, body = first_example({"paths": {"/healthz": {"get": {}}, "/predict": post}})
    assert path == "/predict"
    assert json.loads(with_number(1e38, body)) == changed
