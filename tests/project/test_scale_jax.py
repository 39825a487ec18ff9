"""The generated JAX trainer in several processes and on several devices, on the CPU.

Dropout is on: JAX draws the same numbers however an array is divided. What differs is the order in
which numbers are summed: losses differed by 4e-7 of their value, at most.
"""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import projects, training
from tests.support.host import Unavailable
from tests.support.slurm import Cluster
from tests.support.training import STEPS, Started

EPOCHS = 3
FLAGS = ("--epochs", str(EPOCHS), "--batch-size", "8")
DEVICES = "--xla_force_host_platform_device_count=4"


@pytest.fixture(scope="module")
def made(template: Path, tmp_path_factory: pytest.TempPathFactory, network: None) -> Path:
    """A JAX project that is locked, installed and compiled, since it is started often."""
    folder = tmp_path_factory.mktemp("scale") / "demo"
    projects.generate(template, folder, lock=True, framework="jax")
    projects.run("uv", "sync", "--locked", "--quiet", "--compile-bytecode", cwd=folder)
    return folder


@pytest.fixture(scope="module")
def expected(made: Path) -> list[dict]:
    """What one process with one device reports that nobody interrupts."""
    done = projects.run(made / ".venv/bin/python", "main.py", *FLAGS, cwd=made)
    return training.metrics(done.stdout)


@pytest.fixture
def project(made: Path, expected: list[dict]) -> Path:
    """The project without outputs."""
    shutil.rmtree(made / "outputs", ignore_errors=True)
    return made


def start_two(project: Path) -> list[Started]:
    """Two processes, as the README starts them on two machines."""
    variables = {"JAX_COORDINATOR_ADDRESS": f"127.0.0.1:{training.free_port()}"}
    variables |= {"JAX_NUM_PROCESSES": "2"}
    command = (project / ".venv/bin/python", "main.py", *FLAGS)
    return [
        Started(project, *command, name=rank, **variables, JAX_PROCESS_ID=rank) for rank in "01"
    ]


def test_two_processes_of_which_one_is_killed_and_started_again_learn_what_one_learns(
    project: Path, expected: list[dict]
) -> None:
    main, other = start_two(project)
    main.wait_within_an_epoch()
    os.kill(other.process.pid, signal.SIGKILL)
    code, said = main.end()
    assert code == 1 and "Another process of this training has ended" in said, said
    assert "Traceback" not in said
    (code, said), (other_code, other_said) = (one.end() for one in start_two(project))
    assert (code, other_code) == (0, 0), said + other_said
    assert f"last-{STEPS:09}.zip" in said and "Going on" not in other_said
    assert not training.metrics(other_said)
    training.require_same_end(project, expected, "model.npz")


def test_a_signal_to_one_process_lets_both_save_and_one_with_four_devices_goes_on(
    project: Path, expected: list[dict]
) -> None:
    both = start_two(project)
    both[0].wait_within_an_epoch()
    os.kill(both[1].process.pid, signal.SIGUSR1)
    ends = [one.end() for one in both]
    assert [code for code, _ in ends] == [138, 138], ends
    assert STEPS < training.steps(project)[-1] < STEPS * EPOCHS
    assert training.steps(project)[-1] % STEPS
    command = (project / ".venv/bin/python", "main.py", *FLAGS)
    code, said = Started(project, *command, XLA_FLAGS=DEVICES).end()
    assert code == 0, said
    training.require_same_end(project, expected, "model.npz")
    (run,) = project.glob("outputs/runs/2*/run.json")
    assert '"device": "4 x cpu"' in run.read_text()


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """A Slurm with two nodes."""
    try:
        with Cluster(tmp_path) as cluster:
            yield cluster
    except Unavailable as missing:
        projects.lacking(str(missing))


def test_slurm_requeues_a_job_with_a_killed_process_and_it_goes_on_to_the_same_end(
    project: Path, expected: list[dict], cluster: Cluster
) -> None:
    """By the README's own batch script, on two nodes."""
    script = training.block(project / "README.md", "### Slurm")
    assert script.count("main.py") == 1
    job = cluster.submit(project, script.replace("main.py", f"main.py {' '.join(FLAGS)}"))
    log = project / "slurm.out"
    first = "outputs/runs/2*/checkpoints/last-000000158.zip"
    training.wait_for(lambda: list(project.glob(first)), log)
    time.sleep(0.2)
    killed = training.find(f"SLURM_JOB_ID={job}", "SLURM_PROCID=1", "SLURMD_NODENAME=two")
    for pid in killed:
        if b"main.py" in Path(f"/proc/{pid}/cmdline").read_bytes():
            os.kill(pid, signal.SIGKILL)
    ended = ("COMPLETED", "FAILED", "CANCELLED", "NODE_FAIL", "TIMEOUT")
    training.wait_for(lambda: cluster.state(job) in ended, log)
    assert cluster.state(job) == "COMPLETED", log.read_text()
    assert "Restarts=1" in cluster.run("scontrol", "show", "job", job)
    assert f"last-{STEPS:09}.zip" in log.read_text()
    training.require_same_end(project, expected, "model.npz")
