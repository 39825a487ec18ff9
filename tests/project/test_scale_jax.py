"""The generated JAX trainer in several processes and on several devices, on the CPU.

Dropout is on: JAX draws the same numbers however an array is divided. What differs is the order in
which numbers are summed: losses differed by 4e-7 of their value, at most.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.support import kubernetes, projects, training
from tests.support.slurm import Cluster
from tests.support.training import Started

EPOCHS = 4  # an epoch is over in half a second: a kill has to come before the last one ends
FLAGS = ("--epochs", str(EPOCHS), "--batch-size", "8")
DEVICES = "--xla_force_host_platform_device_count=4"


@pytest.fixture(scope="module")
def made(template: Path, tmp_path_factory: pytest.TempPathFactory, network: None) -> Path:
    """A JAX project that is locked and installed."""
    folder = tmp_path_factory.mktemp("scale") / "demo"
    projects.generate(template, folder, lock=True, framework="jax", extras=["kubernetes"])
    projects.run("uv", "sync", "--locked", "--quiet", cwd=folder)
    return folder


@pytest.fixture(scope="module")
def expected(made: Path) -> list[dict]:
    """What one process with one device reports that nobody interrupts."""
    done = projects.run(made / ".venv/bin/python", "main.py", *FLAGS, cwd=made, env=training.ENV)
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


def test_processes_that_are_stopped_and_others_that_go_on_learn_what_one_learns(
    project: Path, expected: list[dict]
) -> None:
    """One of two gets a signal, and one with four devices goes on."""
    training.signal_one_of_two(lambda: start_two(project), EPOCHS)

    command = (project / ".venv/bin/python", "main.py", *FLAGS)
    code, said = Started(project, *command, XLA_FLAGS=DEVICES).end()
    assert code == 0, said
    training.require_same_end(project, expected, "model.npz")
    (run,) = project.glob("outputs/runs/2*/run.json")
    assert '"device": "4 x cpu"' in run.read_text()


def test_slurm_requeues_a_job_with_a_killed_process_and_it_goes_on_to_the_same_end(
    project: Path, expected: list[dict], cluster: Cluster
) -> None:
    """By the README's own batch script, on two nodes."""
    script = training.block(project / "README.md", "### Slurm")
    assert script.count("main.py") == 1
    cluster.train_and_kill_one(project, script.replace("main.py", f"main.py {' '.join(FLAGS)}"))
    training.require_same_end(project, expected, "model.npz")


def test_two_pods_of_the_job_train_together_and_one_that_is_killed_is_replaced(
    project: Path, expected: list[dict]
) -> None:
    said = kubernetes.train_in_two_pods(project, *FLAGS)
    assert "Another process of this training has ended" in said and "Traceback" not in said
    training.require_same_end(project, expected, "model.npz")


@pytest.mark.skipif(not training.KILLS, reason="DRYDOCK_KILLS is not set")
def test_two_processes_of_which_one_is_killed_at_random_moments_end_as_if_none_had_been(
    project: Path,
) -> None:
    """Both runs have two processes, so no digit differs."""
    training.kill_at_random_moments(project, "jax", training.KILLS)
