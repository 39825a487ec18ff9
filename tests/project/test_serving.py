"""The generated server under more load than it carries, and among clients that mean no good.

`python -m benchmarks.serving hostile` plays the same clients in larger numbers.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import shutil
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.serving import hostile, servers
from benchmarks.serving.clients import Server, ask
from benchmarks.serving.rolling import rolling
from tests.support import projects

SCHEMATHESIS = "schemathesis==4.32.5"
TRITON = "tritonclient[http]==2.73.0"
# Megabytes that a process may grow by, for buffers and a heap that was torn up. One body of 20 MB
# took 470 before there was a limit.
GROWTH = 60


# The client of the Triton server, which speaks the Open Inference Protocol, asks for digits: with
# its defaults, which are tensors in binary, then in JSON, and both ways with its asynchronous half.
ASKING = """
import asyncio
import sys
import numpy as np
import tritonclient.http as triton
import tritonclient.http.aio as asynchronous
from tritonclient.utils import InferenceServerException

client = triton.InferenceServerClient(sys.argv[1])
assert client.is_server_live() and client.is_server_ready() and client.is_model_ready("demo")
assert client.get_server_metadata()["extensions"] == ["binary_tensor_data"]
metadata = client.get_model_metadata("demo")
[version], [wanted] = metadata["versions"], metadata["inputs"]
rows = np.random.default_rng(1).integers(0, 17, (3, wanted["shape"][1])).astype(np.float32)

def tensor(**how):
    made = triton.InferInput(wanted["name"], list(rows.shape), wanted["datatype"])
    return made.set_data_from_numpy(rows, **how)

answer = client.infer("demo", [tensor()], model_version=version, request_id="42")
assert answer.get_response()["id"] == "42"
assert all("data" not in output for output in answer.get_response()["outputs"])
labels, probabilities = answer.as_numpy("label"), answer.as_numpy("probabilities")
assert probabilities.shape == (3, 10) and probabilities.dtype == np.float32
assert np.allclose(probabilities.sum(axis=1), 1, atol=1e-5)
assert [int(label) for label in labels] == probabilities.argmax(axis=1).tolist()

in_json = [triton.InferRequestedOutput(name, binary_data=False) for name in ("label",)]
answer = client.infer("demo", [tensor(binary_data=False)], outputs=in_json)
[output] = answer.get_response()["outputs"]
assert output["name"] == "label" and output["data"] == [label.decode() for label in labels]
mixed = [*in_json, triton.InferRequestedOutput("probabilities")]
answer = client.infer("demo", [tensor(binary_data=False)], outputs=mixed)
assert np.array_equal(answer.as_numpy("probabilities"), probabilities)
assert answer.get_response()["outputs"][0]["data"] == output["data"]
client.infer("demo", [tensor()], response_compression_algorithm="gzip")

async def ask():
    async with asynchronous.InferenceServerClient(sys.argv[1]) as client:
        for asked, outputs in ((tensor(), None), (tensor(binary_data=False), in_json)):
            answer = await client.infer("demo", [asked], outputs=outputs)
            assert list(map(int, answer.as_numpy("label"))) == list(map(int, labels))

asyncio.run(ask())
rows[0, 0] = np.nan
for call in (
    lambda: client.infer("demo", [tensor()]),
    lambda: client.infer("demo", [tensor()], request_compression_algorithm="gzip"),
    lambda: client.get_model_metadata("other"),
):
    try:
        call()
    except InferenceServerException as error:
        print(error)
"""


@pytest.fixture(scope="module")
def project(template: Path, tmp_path_factory: pytest.TempPathFactory, network: None) -> Path:
    """An installed project that serves, with its example model."""
    return installed(template, tmp_path_factory.mktemp("serving") / "demo", platform="docker")


@pytest.fixture(scope="module")
def kserve(template: Path, tmp_path_factory: pytest.TempPathFactory, network: None) -> Path:
    """One that serves on KServe."""
    return installed(template, tmp_path_factory.mktemp("kserve") / "demo", platform="kserve")


@pytest.fixture(scope="module")
def kserve_onnx(template: Path, tmp_path_factory: pytest.TempPathFactory, network: None) -> Path:
    """One that serves a model of ONNX Runtime there, with the oldest Python of the catalogue."""
    folder = tmp_path_factory.mktemp("kserve-onnx") / "demo"
    answers = {"platform": "kserve", "framework": "onnxruntime", "python_version": "3.11"}
    return installed(template, folder, **answers)


def installed(template: Path, folder: Path, **answers: object) -> Path:
    """Make a project that serves, as a repository, with its example model."""
    projects.generate(template, folder, lock=True, workload="serve", **answers)
    projects.commit_all(folder, "Start")
    projects.run("uv", "sync", "--locked", "--quiet", cwd=folder)
    projects.run("uv", "run", "--no-sync", "python", "-m", "demo.fit", cwd=folder)
    return folder


@pytest.fixture(scope="module")
def fast(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose model takes no time, and whose clients may take a second."""
    folder = tmp_path_factory.mktemp("fast")
    with servers.of_stub(project, 0, "--receive-seconds", "1", folder=folder) as server:
        yield server


def played(server: Server, play: Any) -> dict[str, Any]:
    """Play clients and hold what is promised of every kind of them."""
    report = asyncio.run(hostile.watched(server, play))
    assert set(report["probes"]) == {200}, report
    assert report["megabytes_most"] < report["megabytes_before"] + GROWTH, report
    assert asyncio.run(ask(server, server.request())).status == 200
    return report


def metric(port: int, name: str) -> float:
    """A value that Prometheus would get."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    text = opener.open(f"http://127.0.0.1:{port}/metrics", timeout=10).read().decode()
    return float(re.search(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE)[1])


def test_in_a_storm_what_fits_is_answered_and_nothing_is_computed_for_who_has_left(
    project: Path, tmp_path: Path
) -> None:
    """The model takes half a second for a batch of eight, and 60 requests a second come."""
    port = servers.free_port()
    flags = ("--batch-rows", "8", "--metrics-port", str(port))
    with servers.of_stub(project, 0.5, *flags, folder=tmp_path) as server:
        before = metric(port, "serve_batch_requests_sum")
        report = played(server, hostile.storm(server, rate=60, seconds=3, patience=2))
        assert set(report["answers"]) == {200, 503}, report
        assert report["answers"][200] >= 30, report  # of the 48 that the model could do
        assert report["median_ms"][503] < 50, report
        # The last request above is one more.
        computed = metric(port, "serve_batch_requests_sum") - before - 1
        assert computed == report["answers"][200]

        before = metric(port, "serve_batch_requests_sum")
        impatient = asyncio.run(hostile.storm(server, rate=60, seconds=2, patience=0.1))
        time.sleep(1.1)  # what was begun before its client left
        computed = metric(port, "serve_batch_requests_sum") - before
        assert impatient["answers"][0] > 10, impatient
        assert computed < impatient["answers"][0] / 2, (computed, impatient)


def test_a_crowd_at_a_slow_model_gets_503s_and_leaves_no_trace(
    project: Path, tmp_path: Path
) -> None:
    with servers.of_stub(project, 0.3, "--batch-rows", "4", folder=tmp_path) as server:
        report = played(server, hostile.crowd(server, connections=200, seconds=3, pause=0.5))
        assert set(report["answers"]) == {200, 503}, report
        assert report["seconds_to_recover"] < 1.3, report


def test_bodies_that_are_too_large_never_reach_memory(fast: Server) -> None:
    assert played(fast, hostile.large(fast, 20))["answers"] == {413: 1}
    assert played(fast, hostile.large(fast, 200))["answers"] == {413: 1}
    assert played(fast, hostile.large(fast, 50, declared=False))["answers"] == {413: 1}


def test_clients_that_send_a_byte_at_a_time_are_cut_off(fast: Server) -> None:
    assert played(fast, hostile.slow(fast, clients=50, seconds=10, pause=0.1))["cut_off"] == 50


def test_hostile_bodies_are_refused_and_end_nothing(fast: Server) -> None:
    report = played(fast, hostile.bodies(fast, count=500, seed=1))
    assert not report["wrong"], report
    assert {400, 422} <= set(report["answers"]), report


def with_tool(tool: str, *words: str, folder: Path) -> str:
    """Run a tool of PyPI that no project has, and return what it says."""
    words = ("uv", "run", "--no-project", "--quiet", "--with", tool, *words)
    done = projects.run(*words, cwd=folder, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def conform(server: Server, folder: Path) -> str:
    """Let Schemathesis make requests from the OpenAPI document, good ones and bad ones."""
    return with_tool(
        SCHEMATHESIS,
        "schemathesis",
        "run",
        f"http://127.0.0.1:{server.port}/openapi.json",
        "--max-examples=15",
        "--seed=1",
        "--phases=examples,coverage,fuzzing",
        "--checks=not_a_server_error,status_code_conformance,content_type_conformance,"
        "response_schema_conformance",
        folder=folder,
    )


def test_what_its_description_allows_is_answered_as_it_says(project: Path, tmp_path: Path) -> None:
    with servers.of_project(project, body=digit()) as server:
        assert "Selected: 3/3" in conform(server, tmp_path)


def test_the_kserve_project_passes_its_own_tests_and_hooks(kserve: Path) -> None:
    done = projects.run("uv", "run", "--no-sync", "pytest", "-q", cwd=kserve)
    assert re.search(r"\d+ passed", done.stdout)
    hooks = ("uv", "run", "--no-sync", "pre-commit", "run", "--all-files")
    done = projects.run(*hooks, cwd=kserve, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("project_of", ["kserve", "kserve_onnx"])
def test_a_client_of_the_open_inference_protocol_gets_on_with_kserve_projects(
    project_of: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    with served_on_kserve(request.getfixturevalue(project_of)) as server:
        address = f"127.0.0.1:{server.port}"
        said = with_tool(TRITON, "python", "-c", ASKING, address, folder=tmp_path)
        assert said.splitlines() == [
            "[422] input has a value that is no finite number.",
            "[415] Send the body uncompressed.",
            "[404] There is no such model, version or route.",
        ]


def test_what_the_description_of_the_kserve_project_allows_is_answered_as_it_says(
    kserve: Path, tmp_path: Path
) -> None:
    with served_on_kserve(kserve) as server:
        assert "Selected: 6/6" in conform(server, tmp_path)


def test_bodies_in_binary_that_are_nearly_right_are_refused_with_a_sentence(kserve: Path) -> None:
    python, script = kserve / ".venv/bin/python", projects.ROOT / "tests/support/binary_bodies.py"
    done = projects.run(python, script, "4000", "1", cwd=kserve)
    statuses = json.loads(done.stdout.splitlines()[-1])
    assert sum(statuses.values()) == 4000
    assert all(statuses[status] > 100 for status in ("200", "400", "415", "422")), statuses


def served_on_kserve(project: Path) -> contextlib.AbstractContextManager[Server]:
    """The server of an installed project for KServe."""
    routes = {"predict": "/v2/models/demo/infer", "probe": "/v2/health/ready"}
    return servers.of_project(project, body=tensor(), **routes)


def digit() -> bytes:
    """A request that the example model answers."""
    return json.dumps({"instances": [[8] * 64]}).encode()


def tensor() -> bytes:
    """One that it answers on KServe."""
    digit = {"name": "input", "shape": [1, 64], "datatype": "FP32", "data": [8] * 64}
    return json.dumps({"inputs": [digit]}).encode()


@pytest.mark.parametrize("kept", [False, True])
def test_no_request_is_lost_while_two_servers_behind_a_proxy_are_replaced(
    kept: bool, project: Path, tmp_path: Path
) -> None:
    """Debian's HAProxy, with new connections all the time, or with the same ones."""
    if not shutil.which("haproxy"):
        projects.lacking("Debian's package haproxy is not installed")
    report = rolling(project, tmp_path, body=digit(), clients=2, pause=0.02, kept=kept)
    assert set(report["answers"]) == {200}, report
    assert report["answers"][200] > 100, report
