"""The images of the platforms, run the way each platform runs them."""

from __future__ import annotations

import contextlib
import http.server
import json
import socket
import subprocess
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.docker.client import Container, Engine
from tests.support.docker.images import Image, metrics, open_folder
from tests.support.docker.servers import ZERO, ask, until_ready

RESTRICTED = ["--cap-drop=ALL", "--security-opt=no-new-privileges"]
"""What OpenShift's default policy takes from a container."""
SOMEBODY = "1000730000:0"

HEALTH = "/v1/endpoints/1/deployedModels/2"
VERTEX = {
    "AIP_HTTP_PORT": "7080",
    "AIP_HEALTH_ROUTE": HEALTH,
    "AIP_PREDICT_ROUTE": f"{HEALTH}:predict",
}
"""The variables that Vertex AI sets for a model that was uploaded without routes."""


def stopped_and_resumed(docker: Engine, one: Image, how: dict) -> subprocess.CompletedProcess[str]:
    """Train until a signal, then to the end in another container: answers how that ended."""
    first = docker.start_container(one.tag, "--epochs", "60", **how)
    first.wait_for('"epoch": 1')
    assert first.stop()[0] == 143
    return docker.run(one.tag, "--epochs", "60", **how)


def job(folder: Path, **hyperparameters: object) -> Path:
    """What SageMaker mounts at /opt/ml for a training job. All values are texts."""
    (folder / "input" / "config").mkdir(parents=True)
    (folder / "output").mkdir()
    values = {name: str(value) for name, value in hyperparameters.items()}
    (folder / "input" / "config" / "hyperparameters.json").write_text(json.dumps(values))
    return folder


def predicts_zero(container: Container, route: str, port: int) -> None:
    """The server reads a zero."""
    status, answer = ask(container, route, {"instances": [ZERO]}, port)
    assert status == 200, answer
    assert answer["predictions"][0]["label"] == "0"


def becomes_healthy(container: Container, docker: Engine) -> None:
    """The health check of the image passes, run by hand: its own interval is half a minute."""
    command = json.loads(
        docker("inspect", "--format", "{{json .Config.Healthcheck.Test}}", container.id).stdout
    )
    assert command[:2] == ["CMD", "python"]
    container.exec(*command[1:])


def test_on_openshift_a_random_user_without_rights_trains_stops_and_resumes(
    image: Callable, docker: Engine, tmp_path: Path
) -> None:
    one: Image = image("sklearn-openshift")
    outputs = open_folder(tmp_path / "outputs")
    how = {**one.strict(outputs), "user": SOMEBODY, "extra": RESTRICTED}
    again = stopped_and_resumed(docker, one, how)
    assert "Going on from" in again.stderr
    assert metrics(again.stdout)[-1]["test_accuracy"] > 0.9


def test_on_openshift_every_path_that_a_program_expects_to_write_is_writable(
    image: Callable, docker: Engine
) -> None:
    """Without a volume: group 0 may write to the home, the caches and the outputs."""
    one: Image = image("sklearn-openshift")
    script = f"""
import getpass, os, pathlib, tempfile
assert (os.getuid(), os.getgid()) == (1000730000, 0)
assert getpass.getuser()
for folder in (pathlib.Path.home(), os.environ["XDG_CACHE_HOME"], {one.outputs!r}):
    tempfile.TemporaryFile(dir=folder).close()
print("all of them")
"""
    ran = docker.run(one.tag, "-c", script, entrypoint="python", user=SOMEBODY, extra=RESTRICTED)
    assert ran.stdout == "all of them\n"


def test_on_openshift_a_random_user_without_rights_serves(
    image: Callable, trained: Callable, docker: Engine
) -> None:
    one: Image = image("sklearn-openshift-serve")
    how = {**one.strict(trained("sklearn-train").outputs), "user": SOMEBODY, "extra": RESTRICTED}
    container = docker.start_container(one.tag, **how)
    until_ready(container)
    predicts_zero(container, "/predict", 8080)
    becomes_healthy(container, docker)
    container.remove()


def test_sagemaker_trains_with_its_hyperparameters_and_finds_the_model(
    image: Callable, docker: Engine, tmp_path: Path
) -> None:
    one: Image = image("sklearn-sagemaker")
    ml = job(tmp_path / "ml", epochs=2, **{"batch-size": 64, "_tuning_objective_metric": "loss"})
    ran = docker.run(one.tag, "train", volumes={ml: "/opt/ml"})
    lines = metrics(ran.stdout)
    assert [line.get("epoch") for line in lines] == [1, 2, None]
    assert lines[-1]["test_accuracy"] > 0.9
    assert [path.name for path in (ml / "model").iterdir()] == ["model.skops"]
    assert list(ml.glob("checkpoints/*/checkpoints/last-*.zip"))
    assert list((ml / "output").iterdir()) == [], "success is no failure"
    assert one.config["User"] == "0:0"


def test_sagemaker_stops_a_spot_run_and_another_container_resumes_it(
    image: Callable, docker: Engine, tmp_path: Path
) -> None:
    one: Image = image("sklearn-sagemaker")
    ml = job(tmp_path / "ml", epochs=60)
    first = docker.start_container(one.tag, "train", volumes={ml: "/opt/ml"})
    first.wait_for('"epoch": 1')
    assert first.stop()[0] == 143
    assert not (ml / "output" / "failure").exists(), "an interruption is no failure"
    last = sorted(ml.glob("checkpoints/2*/checkpoints/last-*.zip"))[-1]
    with zipfile.ZipFile(last) as archive:
        assert archive.testzip() is None
    seen = metrics(first.logs())[-1]["epoch"]

    # What SageMaker brings back for the next container is the folder of the checkpoints alone.
    other = job(tmp_path / "other", epochs=60)
    (ml / "checkpoints").rename(other / "checkpoints")
    again = docker.run(one.tag, "train", volumes={other: "/opt/ml"})
    assert last.name in again.stderr
    epochs = [line["epoch"] for line in metrics(again.stdout) if "epoch" in line]
    assert epochs == list(range(seen + 1, 61))
    assert (other / "model" / "model.skops").is_file()


def test_sagemaker_is_told_why_a_training_failed(
    image: Callable, docker: Engine, tmp_path: Path
) -> None:
    one: Image = image("sklearn-sagemaker")
    ml = job(tmp_path / "ml", epochs="many")
    ran = docker.run(one.tag, "train", check=False, volumes={ml: "/opt/ml"})
    assert ran.returncode != 0
    reason = (ml / "output" / "failure").read_text()
    assert reason.startswith("--epochs (EPOCHS): ") and "'many'" in reason
    assert reason in ran.stderr

    blocked = job(tmp_path / "blocked", epochs=1)
    (blocked / "model" / "model.skops").mkdir(parents=True)
    ran = docker.run(one.tag, "train", check=False, volumes={blocked: "/opt/ml"})
    assert ran.returncode == 1
    reason = (blocked / "output" / "failure").read_text()
    path = "/opt/ml/model/model.skops"
    assert reason == f"{path} is no file that the model could replace: name another."

    # An error of the owner's code.
    broken, code = job(tmp_path / "broken", epochs=1), tmp_path / "data.py"
    code.write_text("raise KeyError('mine')\n")
    volumes = {broken: "/opt/ml", code: f"{one.workdir}/src/digits/data.py:ro"}
    ran = docker.run(one.tag, "train", check=False, volumes=volumes)
    assert ran.returncode == 1
    reason = (broken / "output" / "failure").read_text()
    assert reason.startswith("KeyError: 'mine'\nTraceback")
    assert "Traceback" in ran.stderr


def test_sagemaker_serves_the_model_that_it_mounted(
    image: Callable, trained: Callable, docker: Engine
) -> None:
    one: Image = image("sklearn-sagemaker-serve")
    volumes = {trained("sklearn-train").outputs: "/opt/ml/model:ro"}
    container = docker.start_container(one.tag, "serve", volumes=volumes)
    until_ready(container, "/ping")
    predicts_zero(container, "/invocations", 8080)
    becomes_healthy(container, docker)
    code, seconds = container.stop(grace=30)
    assert code in (0, 143) and seconds < 30

    # Behind another container SageMaker chooses the port.
    env = {"SAGEMAKER_BIND_TO_PORT": "8888"}
    container = docker.start_container(one.tag, "serve", volumes=volumes, env=env)
    until_ready(container, "/ping", 8888)
    becomes_healthy(container, docker)
    container.remove()
    labels = one.config["Labels"]
    assert labels["com.amazonaws.sagemaker.capabilities.accept-bind-to-port"] == "true"


@pytest.mark.parametrize(
    ("name", "right", "wrong"),
    [("sklearn-sagemaker", "train", "serve"), ("sklearn-sagemaker-serve", "serve", "train")],
)
def test_the_wrong_word_is_refused_with_one_sentence(
    name: str, right: str, wrong: str, image: Callable, docker: Engine
) -> None:
    ran = docker.run(image(name).tag, wrong, check=False)
    assert ran.returncode != 0
    assert ran.stderr.strip() == (
        f"This image {right}s: start it with `{right}`, not with `{wrong}`."
    )


def test_vertex_trains_into_the_bucket_that_it_mounted_and_resumes(
    image: Callable, docker: Engine, tmp_path: Path
) -> None:
    one: Image = image("sklearn-vertex")
    bucket = open_folder(tmp_path / "bucket")
    how = {
        "volumes": {bucket: "/gcs/bucket"},
        "env": {
            "AIP_MODEL_DIR": "gs://bucket/run/model/",
            "AIP_CHECKPOINT_DIR": "gs://bucket/run/checkpoints/",
        },
    }
    again = stopped_and_resumed(docker, one, how)
    assert "Going on from /gcs/bucket/run/checkpoints/2" in again.stderr
    assert (bucket / "run" / "model" / "model.skops").is_file()


def test_vertex_serves_on_the_port_and_the_routes_that_it_names(
    image: Callable, trained: Callable, docker: Engine
) -> None:
    """With a model on the machine, as the local endpoint of its SDK has it."""
    one: Image = image("sklearn-vertex-serve")
    how = one.strict(trained("sklearn-train").outputs)
    container = docker.start_container(
        one.tag, env={**VERTEX, "AIP_STORAGE_URI": one.outputs}, **{**how, "user": None}
    )
    until_ready(container, HEALTH, 7080)
    predicts_zero(container, f"{HEALTH}:predict", 7080)
    becomes_healthy(container, docker)
    assert ask(container, "/health", port=7080)[0] == 404
    container.remove()


@contextlib.contextmanager
def storage(objects: dict[str, Path]) -> Iterator[tuple[str, list[str]]]:
    """A stand-in for Cloud Storage with these objects: its address, and the paths it was asked."""
    asked: list[str] = []

    class Storage(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            asked.append(path)
            file = objects.get(path.removeprefix("/download/storage/v1/b/"))
            content = file.read_bytes() if file else b""
            self.send_response(200 if file else 404)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Storage) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()


def free_port() -> str:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def test_vertex_serves_a_model_from_cloud_storage(
    image: Callable, trained: Callable, docker: Engine
) -> None:
    """Cloud Storage is a stand-in on this machine, so the container has its network."""
    one: Image = image("sklearn-vertex-serve")
    model = trained("sklearn-train").outputs / "model.skops"
    with storage({"bucket/o/digits%2Fmodel.skops": model}) as (address, asked):
        port = free_port()
        env = {"STORAGE_EMULATOR_HOST": address, "AIP_HTTP_PORT": port, "HOST": "127.0.0.1"}
        how = {"network": "host", "read_only": True, "tmpfs": ["/tmp"]}
        served = docker.start_container(
            one.tag, env={**env, "AIP_STORAGE_URI": "gs://bucket/digits"}, **how
        )
        until_ready(served, "/health", int(port))
        predicts_zero(served, "/predict", int(port))
        served.remove()
        assert "/download/storage/v1/b/bucket/o/digits%2Fmodel.skops" in asked

        missing = docker.start_container(
            one.tag, env={**env, "AIP_STORAGE_URI": "gs://bucket/nothing"}, **how
        )
        assert missing.wait(timeout=60) == 1
        assert "gs://bucket/nothing/model.skops cannot be loaded" in missing.logs()


@pytest.mark.parametrize(
    "name",
    ["sklearn-train", "sklearn-ovh", "sklearn-openshift", "sklearn-sagemaker", "sklearn-vertex"],
)
def test_its_own_smoke_test_passes_for_training(
    name: str, image: Callable, smoke: Callable[[Image], str]
) -> None:
    assert '"test_accuracy"' in smoke(image(name))


@pytest.mark.parametrize(
    "name",
    [
        "sklearn-serve",
        "sklearn-openshift-serve",
        "sklearn-sagemaker-serve",
        "sklearn-vertex-serve",
        "sklearn-kserve-serve",
    ],
)
def test_its_own_smoke_test_passes_for_serving(
    name: str, image: Callable, trained: Callable, smoke: Callable[..., str]
) -> None:
    assert "The server is ready." in smoke(image(name), trained("sklearn-train").outputs)
