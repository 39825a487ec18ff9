"""The images at work: no network, a read-only root, a user that they do not know, real stops."""

from __future__ import annotations

import asyncio
import re
import socket
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.serving import hostile
from benchmarks.serving.clients import Server
from tests.support import kubernetes
from tests.support.docker import images
from tests.support.docker.client import Engine
from tests.support.docker.images import Image, metrics, open_folder
from tests.support.docker.servers import ZERO, ask, until_ready

TRAINING = ["sklearn-train", "torch-train"]


# The first of scikit-learn's digits, a zero, row by row.
@pytest.mark.parametrize("name", [*TRAINING, "torch-gpu"])
def test_training_reaches_its_accuracy_offline_read_only_and_as_a_foreign_user(
    name: str, trained: Callable
) -> None:
    run = trained(name)
    assert run.metrics[-1]["test_accuracy"] > 0.94
    assert list(run.outputs.glob("runs/*/checkpoints/last-*.zip"))


@pytest.mark.parametrize("name", [*TRAINING, "torch-gpu"])
def test_training_needs_nothing_writable_but_temporary_file_systems(
    name: str, image: Callable, docker: Engine
) -> None:
    one = image(name)
    ran = docker.run(one.tag, "--epochs", "1", **one.strict())
    assert 0 < metrics(ran.stdout)[-1]["test_accuracy"] <= 1


@pytest.mark.parametrize(
    ("server", "trainer"), [("sklearn-serve", "sklearn-train"), ("torch-serve", "torch-train")]
)
def test_the_server_predicts_with_the_model_that_the_training_image_made(
    server: str, trainer: str, image: Callable, trained: Callable, docker: Engine
) -> None:
    one = image(server)
    container = docker.start_container(one.tag, **one.strict(trained(trainer).outputs))
    until_ready(container)
    status, answer = ask(container, "/predict", {"instances": [ZERO]})
    assert status == 200
    [prediction] = answer["predictions"]
    assert prediction["label"] == "0"
    assert sum(prediction["probabilities"]) == pytest.approx(1, abs=1e-3)
    assert ask(container, "/predict", {"instances": [[1, 2]]})[0] == 422

    code, seconds = container.stop(grace=10)
    assert code in (0, 143), container.logs()
    assert seconds < 10


def test_bodies_of_hundreds_of_megabytes_do_not_end_a_server_that_has_512(
    image: Callable, trained: Callable, docker: Engine
) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    how = {**image("sklearn-serve").strict(trained("sklearn-train").outputs), "network": "host"}
    container = docker.start_container(
        image("sklearn-serve").tag,
        env={"HOST": "127.0.0.1", "PORT": str(port)},
        extra=["--memory=512m", "--memory-swap=512m"],
        **how,
    )
    until_ready(container, port=port)
    server = Server(port, 0, "/predict", "/healthz", b"")
    for megabytes, declared in ((20, True), (200, True), (200, False)):
        answer = asyncio.run(hostile.large(server, megabytes, declared))
        assert answer == {"answers": {413: 1}}
    assert ask(container, "/predict", {"instances": [ZERO]}, port=port)[0] == 200
    assert not container.state["OOMKilled"]


def test_torchrun_trains_in_two_processes_of_one_container_as_the_readme_starts_it(
    image: Callable, docker: Engine
) -> None:
    """On the host's network: without any, a container cannot resolve its own name, and torchrun
    waits for it.
    """
    one: Image = image("torch-train")
    words = ("--standalone", "--nproc-per-node", "2", "main.py")
    assert " ".join(words) in (one.project / "README.md").read_text()
    strict = one.strict() | {"network": "host"}
    ran = docker.run(one.tag, *words, "--epochs", "1", entrypoint="torchrun", **strict)
    said = metrics(ran.stdout)
    assert [line["epoch"] for line in said if "epoch" in line] == [1], "one process reports"
    assert said[-1]["test_accuracy"] > 0.5


def test_two_containers_train_together_as_the_pods_of_the_job_do(
    image: Callable, docker: Engine, tmp_path: Path
) -> None:
    """By the manifest alone: command, variables, user, rights and mounts. The DNS is a line of
    /etc/hosts, the claim a folder.
    """
    one: Image = image("torch-train")
    project = images.copy(one.project, tmp_path / "project")
    [more] = kubernetes.readme_patches(project)
    [own] = kubernetes.pod_of(more)["containers"]
    own["args"] = ["--epochs", "1"]
    built = kubernetes.build_with(project / "kubernetes/overlays/train", more)
    pod = kubernetes.pod_of(kubernetes.manifests(built)["Job"])
    [container] = pod["containers"]
    places = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    outputs = open_folder(tmp_path / "outputs")
    user, rights = pod["securityContext"], container["securityContext"]
    assert rights["capabilities"] == {"drop": ["ALL"]}
    first_pod = kubernetes.environment_of(container)["PET_MASTER_ADDR"]
    pods = [
        docker.start_container(
            one.tag,
            *container["command"][1:],
            *container["args"],
            entrypoint=container["command"][0],
            env=kubernetes.variables_of(container, index),
            user=f"{user['runAsUser']}:{user['runAsGroup']}",
            read_only=rights["readOnlyRootFilesystem"],
            tmpfs=[places["cache"], places["tmp"]],
            volumes={outputs: places["outputs"]},
            network="host",
            extra=[
                *("--cap-drop", "ALL", "--security-opt", "no-new-privileges"),
                *("--shm-size", "1g", "--add-host", f"{first_pod}:127.0.0.1"),
            ],
        )
        for index in range(2)
    ]
    for started in pods:
        assert started.wait() == 0, started.logs()
    logs = [started.logs() for started in pods]
    said = [[line["epoch"] for line in metrics(log) if "epoch" in line] for log in logs]
    assert said == [[1], []], "the first pod is the one that reports and writes"
    assert (outputs / "model.pt").exists()


@pytest.mark.parametrize("name", TRAINING)
def test_a_stopped_run_leaves_a_whole_checkpoint_that_another_container_resumes(
    name: str, image: Callable, docker: Engine, tmp_path: Path
) -> None:
    one: Image = image(name)
    outputs = open_folder(tmp_path / "outputs")
    first = docker.start_container(one.tag, "--epochs", "60", **one.strict(outputs))
    first.wait_for('"epoch": 2')

    code, seconds = first.stop(grace=10)

    assert code in (0, 143), first.logs()
    assert seconds < 10
    seen = metrics(first.logs())[-1]["epoch"]
    [run] = outputs.glob("runs/2*")
    last = sorted(run.glob("checkpoints/last-*.zip"))[-1]
    with zipfile.ZipFile(last) as archive:
        assert archive.testzip() is None
    assert not list(outputs.rglob(".*")), "an unfinished file was left"

    again = docker.run(one.tag, "--epochs", "60", **one.strict(outputs))
    assert last.name in again.stderr
    epochs = [line["epoch"] for line in metrics(again.stdout) if "epoch" in line]
    assert epochs == list(range(seen + 1, 61))
    assert list(outputs.glob("runs/2*")) == [run]


def test_the_health_check_of_the_server_passes_and_is_pythons_own(
    image: Callable, trained: Callable, docker: Engine
) -> None:
    one = image("sklearn-serve")
    assert one.config["Healthcheck"]["Test"][:2] == ["CMD", "python"]
    container = docker.start_container(
        one.tag,
        extra=["--health-interval=1s"],
        # As Docker sets it in every container where its configuration names a proxy.
        env={"http_proxy": "http://127.0.0.1:9"},
        **one.strict(trained("sklearn-train").outputs),
    )
    until_ready(container)
    end = time.monotonic() + 30
    while container.state["Health"]["Status"] == "starting" and time.monotonic() < end:
        time.sleep(0.3)
    assert container.state["Health"]["Status"] == "healthy", container.state["Health"]
    container.remove()


def test_a_random_user_in_group_0_writes_to_home_and_outputs_without_a_mount(
    image: Callable, docker: Engine
) -> None:
    one = image("sklearn-train")
    script = f"""
import os, pathlib
assert os.getuid() == 1000730000
pathlib.Path.home().joinpath("note").write_text("x")
pathlib.Path({one.outputs!r}).joinpath("note").write_text("x")
try:
    pathlib.Path("main.py").write_text("x")
except PermissionError:
    print("the code is safe")
"""
    ran = docker.run(one.tag, "-c", script, entrypoint="python", user="1000730000:0")
    assert ran.stdout == "the code is safe\n"


def test_a_checkout_that_only_its_owner_may_read_runs_as_another_user(
    image: Callable, builder: Callable, docker: Engine, tmp_path: Path
) -> None:
    """As `git clone` leaves it under umask 077."""
    one = image("sklearn-train")
    edited = images.copy(one.project, tmp_path)
    for path in [edited / "main.py", *(edited / "src").rglob("*")]:
        path.chmod(0o700 if path.is_dir() else 0o600)
    (edited / "src").chmod(0o700)
    built = builder(edited, "umask")
    assert "--epochs" in docker.run(built.tag, "--help", **one.strict()).stdout


def test_on_ovh_the_user_42420_has_a_writable_home_in_workspace(
    image: Callable, docker: Engine
) -> None:
    one = image("sklearn-ovh")
    assert (one.home, one.workdir) == ("/workspace", "/workspace")
    script = """
import os, pathlib
assert (os.getuid(), os.getgid()) == (42420, 42420)
assert os.environ["HOME"] == "/workspace"
pathlib.Path.home().joinpath("note").write_text("x")
print(pathlib.Path.home())
"""
    ran = docker.run(one.tag, "-c", script, entrypoint="python", user="42420:42420")
    assert ran.stdout == "/workspace\n"
    ran = docker.run(one.tag, "--epochs", "2", user="42420:42420")
    assert 0 < metrics(ran.stdout)[-1]["test_accuracy"] <= 1


def test_the_image_names_a_numeric_user_that_is_not_root(image: Callable) -> None:
    for name in (*TRAINING, "sklearn-serve", "torch-gpu", "sklearn-ovh"):
        assert re.fullmatch(r"[1-9]\d*:\d+", image(name).config["User"]), name


def test_a_gpu_image_asks_the_container_runtime_for_every_gpu(image: Callable) -> None:
    environment = image("torch-gpu").environment
    assert environment["NVIDIA_VISIBLE_DEVICES"] == "all"
    assert {"compute", "utility"} <= set(environment["NVIDIA_DRIVER_CAPABILITIES"].split(","))
