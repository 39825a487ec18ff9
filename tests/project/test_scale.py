"""The generated trainer under the real torchrun: two processes, on the CPU.

Dropout is off: two processes draw other random numbers than one. What then differs is the order in
which numbers are summed. `TOLERANCE` is ten times what was measured over 632 steps.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support import projects
from tests.support.host import Unavailable
from tests.support.indexes import Index, find_wheel

TOLERANCE = 1e-3  # of a loss, relative
EPOCHS = 4
STEPS = 158  # of an epoch: 1257 examples, 8 at a time. The last batch has one, for one process.
FLAGS = ("main.py", "--epochs", str(EPOCHS), "--batch-size", "8")
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")


@pytest.fixture(scope="module")
def made(template: Path, tmp_path_factory: pytest.TempPathFactory, network: None) -> Iterator[Path]:
    """A PyTorch project that is locked and installed, with no dropout."""
    try:
        wheel = find_wheel("torch-2.13.0")
    except Unavailable as missing:
        pytest.skip(str(missing))
    index = Index({"cpu": [wheel], "cu126": [wheel]}, port=28126)
    folder = projects.generate(
        template,
        tmp_path_factory.mktemp("scale") / "demo",
        lock=True,
        framework="pytorch",
        advanced=True,
        framework_version="2.13.0",
        python_version="3.11",
        pytorch_index=index.url,
    )
    projects.run("uv", "sync", "--locked", "--quiet", cwd=folder)
    index.close()
    model = folder / "src/demo/model.py"
    text = model.read_text()
    assert text.count("nn.Dropout(0.25)") == 2
    model.write_text(text.replace("nn.Dropout(0.25)", "nn.Dropout(0.0)"))
    yield folder


@pytest.fixture(scope="module")
def expected(made: Path) -> list[dict]:
    """What one process reports that nobody interrupts."""
    done = projects.run(made / ".venv/bin/python", *FLAGS, cwd=made, env={"OMP_NUM_THREADS": "1"})
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture
def project(made: Path, expected: list[dict]) -> Path:
    """The project without outputs."""
    shutil.rmtree(made / "outputs")
    return made


class Started:
    """A training that runs meanwhile, in a session of its own."""

    def __init__(self, project: Path, *words: str) -> None:
        self.project = project
        self.log = project / "outputs.log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                (project / ".venv/bin/python", *words, *FLAGS),
                cwd=project,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def wait_within_an_epoch(self) -> None:
        """Wait until the first epoch is over and the second has begun."""
        self._wait(
            lambda: list(self.project.glob("outputs/runs/2*/checkpoints/last-000000158.zip"))
        )
        time.sleep(0.2)

    def rank(self, number: int) -> int:
        """The process id of a rank."""
        for child in Path(f"/proc/{self.process.pid}/task").glob("*/children"):
            for pid in child.read_text().split():
                if f"RANK={number}".encode() in Path(f"/proc/{pid}/environ").read_bytes().split(
                    b"\0"
                ):
                    return int(pid)
        raise AssertionError(f"no rank {number}: {self.log.read_text()}")

    def end(self) -> tuple[int, str]:
        """The exit code and what was said, after the end."""
        try:
            return self.process.wait(timeout=240), self.log.read_text()
        finally:
            if self.process.poll() is None:
                os.killpg(self.process.pid, signal.SIGKILL)

    def _wait(self, condition: Callable[[], object]) -> None:
        deadline = time.monotonic() + 240
        while not condition():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.05)


def steps(project: Path) -> list[int]:
    """How many steps the checkpoints to go on from have."""
    return sorted(int(path.stem[-9:]) for path in project.glob("outputs/runs/2*/*/last-*.zip"))


def require_same_end(project: Path, expected: list[dict]) -> None:
    """One run, complete, with each epoch once and the numbers that are expected."""
    (folder,) = project.glob("outputs/runs/2*")
    assert json.loads((folder / "run.json").read_text())["state"] == "complete"
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [line.get("step") for line in lines] == [line.get("step") for line in expected]
    for line, other in zip(lines, expected, strict=True):
        print(*(f"{name} {line[name] / other[name] - 1:.1e}" for name in line if "loss" in name))
        for name in (name for name in line if name.endswith("loss")):
            assert line[name] == pytest.approx(other[name], rel=TOLERANCE)
    assert not list(project.rglob(".unfinished-*"))
    assert (project / "outputs/model.pt").exists()


def test_two_processes_learn_what_one_learns_and_one_of_them_writes(
    project: Path, expected: list[dict]
) -> None:
    code, said = Started(project, *TORCHRUN).end()
    assert code == 0, said
    require_same_end(project, expected)
    assert said.count('"epoch": 1,') == 1
    about = json.loads(next(project.glob("outputs/runs/2*/run.json")).read_text())
    assert about["device"] == "2 x cpu"


def test_a_rank_that_is_killed_ends_the_others_and_torchrun_goes_on_to_the_same_end(
    project: Path, expected: list[dict]
) -> None:
    started = Started(project, *TORCHRUN, "--max-restarts", "1")
    started.wait_within_an_epoch()
    os.kill(started.rank(1), signal.SIGKILL)
    code, said = started.end()
    assert code == 0, said
    assert f"last-{STEPS:09}.zip" in said and said.count("Going on from") == 1
    require_same_end(project, expected)


def test_a_signal_to_one_rank_lets_both_save_and_one_process_goes_on_to_the_same_end(
    project: Path, expected: list[dict]
) -> None:
    started = Started(project, *TORCHRUN)
    started.wait_within_an_epoch()
    os.kill(started.rank(1), signal.SIGTERM)
    code, said = started.end()
    assert code == 1, said
    assert said.count("exitcode  : 143") == 2 or "143" in said, said
    assert STEPS < steps(project)[-1] < STEPS * EPOCHS and steps(project)[-1] % STEPS
    assert "Another process" not in said
    code, said = Started(project).end()
    assert code == 0, said
    require_same_end(project, expected)


def test_one_process_that_slurm_warns_saves_and_two_go_on_to_the_same_end(
    project: Path, expected: list[dict]
) -> None:
    started = Started(project)
    started.wait_within_an_epoch()
    os.kill(started.process.pid, signal.SIGUSR1)
    code, said = started.end()
    assert code == 138, said
    assert steps(project)[-1] % STEPS
    code, said = Started(project, *TORCHRUN).end()
    assert code == 0, said
    require_same_end(project, expected)
