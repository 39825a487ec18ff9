"""The generated trainer under the real torchrun: two processes, on the CPU.

Dropout is off: two processes draw other random numbers than one. What then differs is the order in
which numbers are summed: losses differed by 4.4e-7 of their value, at most, over 632 steps.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support import kubernetes, projects
from tests.support.host import Unavailable
from tests.support.indexes import Index, find_wheel

TOLERANCE = 1e-5  # of a loss, relative
EPOCHS = 4
STEPS = 158  # of an epoch: 1257 examples, 8 at a time. The last batch has one, for one process.
FLAGS = ("--epochs", str(EPOCHS), "--batch-size", "8")
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
KILLS = int(os.environ.get("DRYDOCK_KILLS", "6"))

# Trains in two processes without an interruption, then again and again with one that is killed at a
# random moment, and once to the end. The imports, which take seconds, are done before. What
# torchrun does with the other one is done here, sooner: it gets SIGKILL where it has not ended.
KILLER = """
import os, random, signal, socket, sys, time
from pathlib import Path
import torch._dynamo  # which an optimizer imports when it is made
from demo.settings import TrainSettings
from demo.train import train

def start(name, **settings):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
    return [fork(f"{name}-{rank}", str(rank), port, settings) for rank in range(2)]

def fork(name, rank, port, settings):
    if child := os.fork():
        return child
    os.environ |= {"RANK": rank, "WORLD_SIZE": "2", "LOCAL_RANK": rank}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    for number, end in ((1, "out"), (2, "err")):
        os.dup2(os.open(f"outputs/{name}.{end}", os.O_WRONLY | os.O_CREAT), number)
    try:
        code = train(TrainSettings(epochs=12, **settings))
    except SystemExit as ended:
        print(ended.code, file=sys.stderr, flush=True)
        code = 1
    except BaseException:
        sys.excepthook(*sys.exc_info())
        code = 2
    os._exit(code)

def end(children, seconds):
    statuses, deadline = {}, time.monotonic() + seconds
    while len(statuses) < 2:
        for child in children - statuses.keys():
            if (found := os.waitpid(child, os.WNOHANG))[0]:
                statuses[child] = found[1]
        if time.monotonic() > deadline:
            for child in children - statuses.keys():
                os.kill(child, signal.SIGKILL)
        time.sleep(0.01)
    return statuses

Path("outputs").mkdir()
started = time.monotonic()
assert set(end({*start("0-whole", runs_dir="outputs/other")}, 600).values()) == {0}
whole = time.monotonic() - started
luck, kills, number, left = random.Random(12), 0, 0, 0
while kills < int(sys.argv[1]):
    number += 1
    children = start(f"1-{number:04}")
    time.sleep(luck.uniform(0, whole / 3))
    killed, other = luck.sample(children, 2)
    os.kill(killed, signal.SIGKILL)
    statuses = end({*children}, 10)
    kills += os.WIFSIGNALED(statuses[killed])
    left += os.WIFSIGNALED(statuses[other])
assert set(end({*start("2-last")}, 600).values()) == {0}
print(kills, left)
"""


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
    done = projects.run(*words, cwd=made, env={"OMP_NUM_THREADS": "1"})
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture
def project(made: Path, expected: list[dict]) -> Path:
    """The project without outputs."""
    shutil.rmtree(made / "outputs", ignore_errors=True)
    return made


class Started:
    """A training that runs meanwhile, in a session of its own."""

    def __init__(self, project: Path, *words: str, folder: Path | None = None) -> None:
        self.log = (folder or project) / "outputs.log"
        command = (project / ".venv/bin/python", *words, project / "main.py", *FLAGS)
        self.start(project, command, folder or project, {"OMP_NUM_THREADS": "1"})

    def start(
        self, project: Path, command: tuple[Path | str, ...], folder: Path, env: dict[str, str]
    ) -> None:
        """Start it in a folder."""
        self.project = project
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                command,
                cwd=folder,
                env={**os.environ, **env},
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


class Pod(Started):
    """A pod of the Job, started as the kubelet does, but for the container and the DNS."""

    def __init__(self, project: Path, job: kubernetes.Manifest, index: int, port: int) -> None:
        self.log = project / f"pod-{index}.log"
        [container] = kubernetes.pod_of(job)["containers"]
        variables = kubernetes.variables_of(container, index)
        there = {"PET_MASTER_ADDR": "127.0.0.1", "PET_MASTER_PORT": str(port)}
        assert there.keys() <= variables.keys()
        command, *words = (*container["command"], *container["args"])
        self.start(project, (project / ".venv/bin" / command, *words), project, variables | there)

    def kill(self) -> None:
        """End all its processes as the end of a container does; those of torchrun are no group."""
        children = [
            int(pid)
            for file in Path(f"/proc/{self.process.pid}/task").glob("*/children")
            for pid in file.read_text().split()
        ]
        assert children
        for pid in (self.process.pid, *children):
            os.kill(pid, signal.SIGKILL)
        self.process.wait()


def free_port() -> int:
    """A port of this machine that nothing listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


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


def test_two_machines_that_share_no_disk_train_together(
    project: Path, expected: list[dict], tmp_path: Path
) -> None:
    """As the README says it, with both machines on this one and a folder for each."""
    port = free_port()
    words = ("-m", "torch.distributed.run", "--nnodes", "2", "--nproc-per-node", "1")
    words += ("--max-restarts", "3", "--rdzv-backend", "c10d")
    words += ("--rdzv-endpoint", f"localhost:{port}")
    both = [Started(project, *words, folder=folder) for folder in (project, tmp_path)]
    for one in both:
        code, said = one.end()
        assert code == 0, said
    folders = [path for path in (project, tmp_path) if (path / "outputs").exists()]
    assert len(folders) == 1, "one machine writes"
    if folders == [tmp_path]:  # which one becomes process 0 is up to torchrun
        shutil.move(tmp_path / "outputs", project / "outputs")
    require_same_end(project, expected)


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


def test_two_pods_of_the_job_train_together_and_one_that_is_killed_is_replaced(
    project: Path, expected: list[dict]
) -> None:
    """By the manifest, with the README's lines for two pods, and a folder that both see."""
    [more] = kubernetes.readme_patches(project)
    [container] = kubernetes.pod_of(more)["containers"]
    container |= {"args": [*FLAGS], "resources": {"requests": {"cpu": "1"}}}
    built = kubernetes.build_with(project / "kubernetes/overlays/train", more)
    job = kubernetes.manifests(built)["Job"]
    assert job["spec"]["completions"] == job["spec"]["parallelism"] == 2
    port = free_port()
    first, second = (Pod(project, job, index, port) for index in range(2))
    first.wait_within_an_epoch()
    second.kill()
    code, said = first.end()
    assert code == 1 and "Another process of this training has ended" in said
    for pod in [Pod(project, job, index, port) for index in range(2)]:  # as the Job does
        code, said = pod.end()
        assert code == 0, said
    require_same_end(project, expected)
    assert f"last-{STEPS:09}.zip" in first.log.read_text(), "the first pod is the one that writes"


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


def test_two_ranks_of_which_one_is_killed_at_random_moments_end_as_if_none_had_been(
    project: Path,
) -> None:
    """DRYDOCK_KILLS=100 kills as often. Both runs have two ranks, so no digit differs."""
    command = (project / ".venv/bin/python", "-c", KILLER, str(KILLS))
    done = projects.run(*command, cwd=project, env={"OMP_NUM_THREADS": "1"})
    kills, left = map(int, done.stdout.split())
    assert kills == KILLS
    assert left < kills, "none was killed while it trained, or none was noticed"
    whole, *others = sorted(project.glob("outputs/*-0.out"))
    whole_lines = [json.loads(line) for line in whole.read_text().splitlines()]
    for path in others:
        *lines, _last = (path.read_text() + "\n").split("\n")  # the last may be cut off
        assert all(line in whole_lines for line in map(json.loads, filter(None, lines))), path
    for path in project.glob("outputs/*-?.err"):
        assert "Traceback" not in path.read_text(), path.read_text()
    assert not any(path.read_text() for path in project.glob("outputs/*-1.out"))
    assert json.loads(others[-1].read_text().splitlines()[-1]) == whole_lines[-1]
    for folder in project.glob("outputs/runs/2*"):
        if json.loads((folder / "run.json").read_text())["state"] == "complete":
            lines = (folder / "metrics.jsonl").read_text().splitlines()
            assert [json.loads(line) for line in lines] == whole_lines
