"""The project that the defaults give, and its siblings, used as their owner would use them."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import time
import tomllib
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.support import projects

KINDS = {
    "train": {},
    "serve": {"workload": "serve"},
    "both": {"workload": "both"},
    # The other platforms have the code of the first; test_serving.py has that of KServe.
    "sagemaker-train": {"platform": "sagemaker"},
    "sagemaker-serve": {"platform": "sagemaker", "workload": "serve"},
    "vertex-train": {"platform": "vertex"},
    "vertex-serve": {"platform": "vertex", "workload": "serve"},
}


@pytest.fixture(scope="module", params=KINDS)
def project(
    request: pytest.FixtureRequest,
    template: Path,
    tmp_path_factory: pytest.TempPathFactory,
    network: None,
) -> Path:
    """A locked and installed scikit-learn project of each kind, as a repository."""
    folder = tmp_path_factory.mktemp(request.param) / "demo"
    projects.generate(template, folder, lock=True, **KINDS[request.param])
    projects.commit_all(folder, "Start")
    projects.run("uv", "sync", "--locked", "--quiet", cwd=folder)
    return folder


@pytest.fixture(scope="module")
def training(template: Path, tmp_path_factory: pytest.TempPathFactory, network: None) -> Path:
    """A locked training project with nothing installed yet."""
    folder = tmp_path_factory.mktemp("training") / "demo"
    return projects.generate(template, folder, lock=True)


def records(output: str) -> list[dict]:
    """The JSON lines of a run."""
    return [json.loads(line) for line in output.splitlines() if line.startswith("{")]


def test_main_trains_to_the_accuracy_that_its_readme_states(training: Path) -> None:
    done = projects.run("uv", "run", "--quiet", "main.py", cwd=training)
    stated = re.search(r"(\d\d\.\d) %", next((training / "src").glob("*/train.py")).read_text())[1]
    assert round(100 * records(done.stdout)[-1]["test_accuracy"], 1) >= float(stated) > 90
    assert list((training / "outputs").glob("model.*"))


def test_its_own_tests_pass(project: Path) -> None:
    done = projects.run("uv", "run", "--no-sync", "pytest", "-q", cwd=project)
    assert re.search(r"\d+ passed", done.stdout)
    assert "skipped" not in done.stdout


def test_its_own_hooks_have_nothing_to_say(project: Path) -> None:
    done = projects.run(
        "uv", "run", "--no-sync", "pre-commit", "run", "--all-files", cwd=project, check=False
    )
    assert done.returncode == 0, done.stdout
    assert projects.git("status", "--porcelain", cwd=project) == ""


def test_its_own_hooks_stop_what_they_are_there_for(project: Path, tmp_path: Path) -> None:
    planted = {
        "src/unformatted.py": "import os\nx = {  'a':1 }\n",
        "src/conflict.txt": "<<<<<<< ours\na\n=======\nb\n>>>>>>> theirs\n",
        "src/key.txt": "-----BEGIN RSA PRIVATE KEY-----\n",
        "src/weights.bin": "0" * 2_000_000,
    }
    for name, text in planted.items():
        (project / name).write_text(text)
    projects.git("add", "--all", cwd=project)
    done = projects.run(
        "uv", "run", "--no-sync", "pre-commit", "run", "--all-files", cwd=project, check=False
    )
    projects.git("reset", "--quiet", "--hard", cwd=project)
    failed = set(re.findall(r"hook id: (\S+)", done.stdout))
    assert failed == {
        "ruff-check",
        "ruff-format",
        "check-merge-conflict",
        "detect-private-key",
        "check-added-large-files",
    }


def test_the_lock_fits_and_holds_no_gpu_package(project: Path) -> None:
    projects.run("uv", "lock", "--check", cwd=project)
    lock = tomllib.loads((project / "uv.lock").read_text())
    names = {package["name"] for package in lock["package"]}
    assert "scikit-learn" in names
    assert not {name for name in names if name.startswith("nvidia-")}


def test_a_bad_setting_is_one_sentence(project: Path) -> None:
    main = (project / "main.py").read_text()
    command = ["train"] if "main.py serve" in main else []
    flag = "--epochs" if "train" in main else "--port"
    words = ("uv", "run", "--no-sync", "main.py", *command, flag, "many")
    done = projects.run(*words, cwd=project, check=False)
    # A sentence that SageMaker is to show ends a program with 1.
    assert done.returncode == (1 if "failures_reported" in main else 2)
    assert "Traceback" not in done.stderr
    assert flag in done.stderr or flag.strip("-") in done.stderr


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def get(url: str, body: object = None) -> tuple[int, dict]:
    """Status and JSON answer of a request, a POST if there is a body."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


@pytest.fixture(scope="module")
def server(template: Path, tmp_path_factory: pytest.TempPathFactory, network: None) -> Path:
    """A locked and installed project that serves, with no model of its own."""
    folder = tmp_path_factory.mktemp("serving") / "server"
    projects.generate(template, folder, lock=True, workload="serve")
    projects.run("uv", "sync", "--quiet", cwd=folder)
    return folder


WINE = """
from sklearn.datasets import load_wine

frame = load_wine(as_frame=True).frame
frame["target"] = frame["target"].map(lambda number: f"cultivar {number}")
frame.to_csv("wine.csv", index=False)
"""


@pytest.mark.parametrize(
    ("flags", "length", "classes"),
    [
        ((), 64, [str(digit) for digit in range(10)]),
        (
            ("--data", "wine.csv", "--target", "target"),
            13,
            ["cultivar 0", "cultivar 1", "cultivar 2"],
        ),
    ],
    ids=["the example", "data of one's own"],
)
def test_what_train_writes_serve_answers_with(
    training: Path, server: Path, flags: tuple[str, ...], length: int, classes: list[str]
) -> None:
    """Two projects, one artefact: trained in the one, served over HTTP by the other, unedited."""
    projects.run("uv", "run", "--quiet", "python", "-c", WINE, cwd=training)
    projects.run("uv", "run", "--quiet", "main.py", *flags, cwd=training)
    (artefact,) = (training / "outputs").glob("model.*")
    port = free_port()
    environment = {k: v for k, v in os.environ.items() if k != "VIRTUAL_ENV"}
    environment |= {"MODEL_PATH": str(artefact), "PORT": str(port), "HOST": "127.0.0.1"}
    process = subprocess.Popen(
        [server / ".venv/bin/python", "main.py"],
        cwd=server,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        url = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + 60
        while True:
            assert time.monotonic() < deadline and process.poll() is None, process.stdout.read()
            try:
                if get(f"{url}/readyz")[0] == 200:
                    break
            except OSError:
                pass
            time.sleep(0.2)
        api = get(f"{url}/openapi.json")[1]
        schemas = api["components"]["schemas"]
        assert schemas["PredictRequest"]["properties"]["instances"]["items"]["minItems"] == length
        assert schemas["Prediction"]["properties"]["label"]["enum"] == classes
        body = api["paths"]["/predict"]["post"]["requestBody"]["content"]["application/json"]
        [example] = body["schema"]["examples"]
        status, answer = get(f"{url}/predict", example)
        assert status == 200
        [prediction] = answer["predictions"]
        likeliest = max(range(len(classes)), key=prediction["probabilities"].__getitem__)
        assert prediction["label"] == classes[likeliest]
        status, answer = get(f"{url}/predict", {"instances": [[0.0] * (length - 1)]})
        assert status == 422
        assert answer["detail"][0]["where"] == "body.instances.0"
        assert f"at least {length} items" in answer["detail"][0]["problem"]
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=25) in {0, 143, -signal.SIGTERM}
    finally:
        process.kill()
