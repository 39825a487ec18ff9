"""Trainings of generated projects that run meanwhile, and what their runs left behind."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from tests.support import projects

KILLS = int(os.environ.get("DRYDOCK_KILLS", "0"))
TOLERANCE = 1e-5  # of a loss, relative
STEPS = 158  # of an epoch: 1257 examples, 8 at a time. The last batch has one, for one process.
ENV = {"OMP_NUM_THREADS": "1"}


class Started:
    """A process that runs meanwhile, in a session of its own."""

    def __init__(
        self,
        project: Path,
        *command: str | Path,
        folder: Path | None = None,
        name: str = "0",
        **env,
    ) -> None:
        self.project = project
        self.log = (folder or project) / f"outputs-{name}.log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                list(map(str, command)),
                cwd=folder or project,
                env={**os.environ, **ENV, **env},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def wait_within_an_epoch(self, epoch: int = 1) -> None:
        """Wait until this epoch is over and the next one has begun."""
        name = f"outputs/runs/2*/checkpoints/last-{epoch * STEPS:09}.zip"
        wait_for(lambda: list(self.project.glob(name)), self.log, self.process)
        time.sleep(0.2)

    def wait_within_the_loop(self, pid: int | None = None) -> None:
        """Wait until it, or this child of it, is in the training loop, where it handles SIGUSR1."""
        status = Path(f"/proc/{pid or self.process.pid}/status")
        handled = 1 << signal.SIGUSR1 - 1

        def is_there() -> int:
            (mask,) = re.findall(r"^SigCgt:\s+(\w+)", status.read_text(), re.MULTILINE)
            return int(mask, 16) & handled

        wait_for(is_there, self.log, self.process)

    def rank(self, number: int) -> int:
        """The process id of a rank that torchrun has started."""
        wait_for(lambda: self._ranks(number), self.log, self.process)
        return self._ranks(number)[0]

    def kill(self) -> None:
        """End all its processes as the end of a container does; those of torchrun are no group."""
        for pid in (self.process.pid, *self._children()):
            os.kill(pid, signal.SIGKILL)
        self.process.wait()

    def _children(self) -> list[int]:
        lists = Path(f"/proc/{self.process.pid}/task").glob("*/children")
        return [int(pid) for path in lists for pid in path.read_text().split()]

    def _ranks(self, number: int) -> list[int]:
        return [pid for pid in self._children() if f"RANK={number}" in environment(pid)]

    def end(self) -> tuple[int, str]:
        """The exit code and what was said, after the end."""
        try:
            return self.process.wait(timeout=240), self.log.read_text()
        finally:
            if self.process.poll() is None:
                os.killpg(self.process.pid, signal.SIGKILL)


def environment(pid: int) -> list[str]:
    """The variables of a process, as NAME=value. None where it has ended."""
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return []


def find(*variables: str) -> list[int]:
    """The ids of the processes of this machine that have all of these variables: NAME=value."""
    pids = (int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit())
    return [pid for pid in pids if set(variables) <= set(environment(pid))]


def wait_for(
    condition: Callable[[], object], log: Path, process: subprocess.Popen | None = None
) -> None:
    """Wait for it; fail with the log after four minutes, or where the process ends before."""
    deadline = time.monotonic() + 240
    while not condition():
        assert process is None or process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.05)


def free_port() -> int:
    """A port of this machine that nothing listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def listens(port: int) -> bool:
    """Does anything on this machine listen on the port?"""
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def metrics(text: str) -> list[dict]:
    """The lines of JSON in what a training said."""
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


def steps(project: Path) -> list[int]:
    """How many steps the checkpoints to go on from have."""
    return sorted(int(path.stem[-9:]) for path in project.glob("outputs/runs/2*/*/last-*.zip"))


def require_same_end(project: Path, expected: Sequence[Mapping], artefact: str) -> None:
    """One run, complete, with each epoch once and the numbers that are expected."""
    (folder,) = project.glob("outputs/runs/2*")
    assert json.loads((folder / "run.json").read_text())["state"] == "complete"
    lines = metrics((folder / "metrics.jsonl").read_text())
    assert [line.get("step") for line in lines] == [line.get("step") for line in expected]
    for line, other in zip(lines, expected, strict=True):
        print(*(f"{name} {line[name] / other[name] - 1:.1e}" for name in line if "loss" in name))
        for name in (name for name in line if name.endswith("loss")):
            assert line[name] == pytest.approx(other[name], rel=TOLERANCE)
    assert not list(project.rglob(".unfinished-*"))
    assert (project / "outputs" / artefact).exists()


def block(readme: Path, heading: str, number: int = 0) -> str:
    """The first block of code below a heading of a README, or the one of that number from 0."""
    _, _, text = readme.read_text().partition(f"\n{heading}\n")
    return text.split("```sh\n")[number + 1].split("```")[0]


def kill_at_random_moments(project: Path, framework: str, kills: int) -> None:
    """Kill one of two processes so often. What they report is what two report that nobody kills."""
    program = Path(__file__).with_name("kill_one_of_two.py")
    command = (project / ".venv/bin/python", program, str(kills), framework)
    done = projects.run(*command, cwd=project, env={**ENV, "TF_CPP_MIN_LOG_LEVEL": "1"})
    killed, left = map(int, done.stdout.split())
    assert killed == kills
    assert left < kills, "none was killed while it trained, or none was noticed"
    if kills >= 20:
        logs = [path.read_text() for path in project.glob("outputs/*-0.err")]
        assert any("Going on from" in said for said in logs), "each was killed in its first epoch"
    whole, *others = sorted(project.glob("outputs/*-0.out"))
    whole_lines = metrics(whole.read_text())
    for path in others:
        complete, _, _cut_off = path.read_text().rpartition("\n")
        assert all(line in whole_lines for line in metrics(complete)), path
    for path in project.glob("outputs/*-?.err"):
        assert "Traceback" not in path.read_text(), path.read_text()
    assert not any(metrics(path.read_text()) for path in project.glob("outputs/*-1.out"))
    assert metrics(others[-1].read_text())[-1] == whole_lines[-1]
    for folder in project.glob("outputs/runs/2*"):
        if json.loads((folder / "run.json").read_text())["state"] == "complete":
            assert metrics((folder / "metrics.jsonl").read_text()) == whole_lines


def signal_one_of_two(start_two: Callable[[], Sequence[Started]], epochs: int) -> None:
    """Start two processes, and signal one in the second of these epochs: both save and end."""
    main, other = start_two()
    main.wait_within_an_epoch()
    os.kill(other.process.pid, signal.SIGUSR1)
    (code, said), (other_code, other_said) = main.end(), other.end()
    assert (code, other_code) == (138, 138), said + other_said
    assert not metrics(other_said)
    assert STEPS < steps(main.project)[-1] < STEPS * epochs
