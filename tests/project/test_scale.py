"""The generated PyTorch trainer under the real torchrun and Slurm: two processes, on the CPU.

Dropout is off: two processes draw other random numbers than one. What then differs is the order in
which numbers are summed: losses differed by 4.4e-7 of their value, at most, over 632 steps.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import kubernetes, projects, training
from tests.support.host import Unavailable
from tests.support.indexes import Index, find_wheel
from tests.support.slurm import Cluster
from tests.support.training import STEPS, Started

EPOCHS = 2
FLAGS = ("--epochs", str(EPOCHS), "--batch-size", "8")
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")


@pytest.fixture(scope="module")
def made(template: Path, tmp_path_factory: pytest.TempPathFactory, network: None) -> Iterator[Path]:
    """A PyTorch project that is locked and installed, with no dropout."""
    try:
        wheel = find_wheel("torch-2.13.0")
    except Unavailable as missing:
        pytest.skip(str(missing))
    index = Index({"cpu": [wheel], "cu126": [wheel]}, port=28124)
    folder = projects.generate(
        template,
        tmp_path_factory.mktemp("scale") / "demo",
        lock=True,
        framework="pytorch",
        advanced=True,
        framework_version="2.13.0",
        python_version="3.11",
        pytorch_index=index.url,
        extras=["kubernetes"],
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
    words = (made / ".venv/bin/python", "main.py", *FLAGS)
    return training.metrics(projects.run(*words, cwd=made, env=training.ENV).stdout)


@pytest.fixture
def project(made: Path, expected: list[dict]) -> Path:
    """The project without outputs."""
    shutil.rmtree(made / "outputs", ignore_errors=True)
    return made


def start(project: Path, *words: str, folder: Path | None = None) -> Started:
    """Start main.py, with these words of torchrun before it."""
    command = (project / ".venv/bin/python", *words, project / "main.py", *FLAGS)
    return Started(project, *command, folder=folder)


def test_two_machines_that_share_no_disk_learn_what_one_process_learns_and_one_may_come_back(
    project: Path, expected: list[dict], tmp_path: Path
) -> None:
    """As the README says it, with both machines on this one and a folder for each.

    The first one's torchrun is there first: it has the rendezvous, and process 0.
    """
    lines = training.block(project / "README.md", "## More than one process", 1)
    port = training.free_port()
    lines = lines.replace("first-machine", "localhost").replace("29400", str(port))
    lines = lines.replace("--nproc-per-node 2", "--nproc-per-node 1").replace("uv run ", "exec ")
    lines = lines.rstrip().replace("main.py", f"{project}/main.py {' '.join(FLAGS)}")
    path = f"{project}/.venv/bin:{os.environ['PATH']}"
    first, second = (
        lambda folder=folder: Started(project, "sh", "-ec", lines, folder=folder, PATH=path)
        for folder in (project, tmp_path)
    )
    here = first()
    training.wait_for(lambda: training.listens(port), here.log, here.process)
    there = second()
    here.wait_within_an_epoch()
    there.kill()
    there = second()
    ends = [one.end() for one in (here, there)]
    assert [code for code, _ in ends] == [0, 0], ends
    assert not (tmp_path / "outputs").exists(), "one machine writes"
    assert f"last-{STEPS:09}.zip" in ends[0][1]
    training.require_same_end(project, expected, "model.pt")
    about = json.loads(next(project.glob("outputs/runs/2*/run.json")).read_text())
    assert about["device"] == "2 x cpu"


def test_no_thread_of_the_group_is_left_when_python_ends(project: Path, tmp_path: Path) -> None:
    """One that lets a tensor go at that moment aborts the process, after all its work."""
    told = tmp_path / "told.py"
    told.write_text(
        "import atexit, pathlib, runpy, sys\n"
        "threads = pathlib.Path('/proc/self/task')\n"
        "names = lambda: [path.read_text().strip() for path in threads.glob('*/comm')]\n"
        "atexit.register(lambda: print('Threads:', *names(), file=sys.stderr))\n"
        "del sys.argv[0]\n"
        "sys.path.insert(0, str(pathlib.Path(sys.argv[0]).parent))\n"
        "runpy.run_path(sys.argv[0], run_name='__main__')\n"
    )
    code, said = start(project, *TORCHRUN, str(told)).end()
    assert code == 0, said
    threads = re.findall("^Threads: (.*)", said, re.MULTILINE)
    assert len(threads) == 2 and "gloo" not in " ".join(threads), threads


def test_no_layer_is_one_that_pytorch_refuses_to_train_deterministically_on_a_gpu(
    made: Path,
) -> None:
    """PyTorch's own list of them, against the operations that the network has a way back for."""
    script = """
import json, re, torch
from demo.model import Network
from demo.runtime.info import Info

listed = torch.use_deterministic_algorithms.__doc__.split("operations will throw")[1]
refused = {name.lower() for name in re.findall(r":class:`torch[.]nn[.](\\w+)`", listed)}
used = set()
for shape in [(8, 8, 1), (9, 30, 3), (20,)]:
    network = Network(Info(shape, ("a", "b"), mean=(0.0,), scale=(1.0,)))
    nodes = [network(torch.rand(2, *shape)).grad_fn]
    for node in nodes:
        used.add(type(node).__name__.partition("Backward")[0].lower())
        nodes += [following for following, _ in node.next_functions if following is not None]
print(json.dumps([sorted(refused), sorted(used)]))
"""
    done = projects.run(
        made / ".venv/bin/python", "-c", script, cwd=made, env={"PYTHONPATH": "src"}
    )
    refused, used = map(set, json.loads(done.stdout))
    assert "adaptivemaxpool2d" in refused and "convolution" in used
    assert not refused & used


def test_images_are_pooled_as_pytorchs_own_layer_pools_them(made: Path) -> None:
    """A model that was trained with that layer predicts the same."""
    script = """
import torch
from demo.model import MaxPool

for size in [(1, 1), (2, 3), (5, 7), (8, 8), (9, 30), (33, 17)]:
    images = torch.rand(2, 3, *size, dtype=torch.float64)
    ways = []
    for layer in (MaxPool(4), torch.nn.AdaptiveMaxPool2d(4)):
        own = images.clone().requires_grad_()
        pooled = layer(own)
        (pooled * torch.arange(16.0).reshape(4, 4)).sum().backward()
        ways.append((pooled, own.grad))
    torch.testing.assert_close(*ways, rtol=0, atol=1e-12)
"""
    projects.run(made / ".venv/bin/python", "-c", script, cwd=made, env={"PYTHONPATH": "src"})


def test_a_rank_that_is_killed_ends_the_others_and_torchrun_goes_on_to_the_same_end(
    project: Path, expected: list[dict]
) -> None:
    started = start(project, *TORCHRUN, "--max-restarts", "1")
    started.wait_within_an_epoch()
    os.kill(started.rank(1), signal.SIGKILL)
    code, said = started.end()
    assert code == 0, said
    assert f"last-{STEPS:09}.zip" in said and said.count("Going on from") == 1
    training.require_same_end(project, expected, "model.pt")


def test_two_pods_of_the_job_train_together_and_one_that_is_killed_is_replaced(
    project: Path, expected: list[dict]
) -> None:
    said = kubernetes.train_in_two_pods(project, *FLAGS)
    assert "Another process of this training has ended" in said
    training.require_same_end(project, expected, "model.pt")


def test_one_process_then_two_of_which_one_gets_a_signal_then_one_have_the_same_end(
    project: Path, expected: list[dict]
) -> None:
    alone = start(project)
    alone.wait_within_the_loop()
    os.kill(alone.process.pid, signal.SIGUSR1)
    code, said = alone.end()
    assert code == 138, said
    (first,) = training.steps(project)

    two = start(project, *TORCHRUN)
    two.wait_within_an_epoch()
    os.kill(two.rank(1), signal.SIGTERM)
    code, said = two.end()
    assert code == 1, said
    assert said.count("exitcode  : 143") == 2 or "143" in said, said
    assert "Another process" not in said
    assert first < STEPS < training.steps(project)[-1] < STEPS * EPOCHS

    code, said = start(project).end()
    assert code == 0, said
    training.require_same_end(project, expected, "model.pt")


def test_slurm_warns_a_job_which_saves_and_is_requeued_and_goes_on_to_the_same_end(
    project: Path, expected: list[dict], cluster: Cluster
) -> None:
    """By the README's own batch script, on two nodes, with the signal that it asks for."""
    script = training.block(project / "README.md", "### Slurm")
    assert "\n#SBATCH --signal=USR1@" in script
    script = script.replace("main.py", f"main.py {' '.join(FLAGS)}")
    job = cluster.submit(project, script.replace("=29400", f"={training.free_port()}"))
    log = project / "slurm.out"
    first = f"outputs/runs/2*/checkpoints/last-{STEPS:09}.zip"
    training.wait_for(lambda: list(project.glob(first)), log)
    cluster.run("scancel", "--signal=USR1", job)
    assert cluster.wait_for_the_end(job, log) == "COMPLETED", log.read_text()
    assert "Restarts=1" in cluster.run("scontrol", "show", "job", job)
    (saved,) = re.findall(r"Going on from \S+last-(\d+).zip", log.read_text())
    assert STEPS < int(saved) < STEPS * EPOCHS
    training.require_same_end(project, expected, "model.pt")


def test_two_ranks_of_which_one_is_killed_at_random_moments_end_as_if_none_had_been(
    project: Path,
) -> None:
    """DRYDOCK_KILLS=100 kills as often. Both runs have two ranks, so no digit differs."""
    training.kill_at_random_moments(project, "pytorch", training.KILLS or 6)
