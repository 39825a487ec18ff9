"""Tables with gaps: XGBoost takes missing values, from the file to the answer; no other does."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import struct
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.serving import servers
from tests.support import projects

# Of a row whose age is missing, nothing else says that its class is `unknown`.
COLUMNS = ("age", "income", "member", "nothing")
NO_AGE, AN_AGE = [None, None, 1, None], [50, 20000, None, None]
LENGTH = "Inference-Header-Content-Length"
# A mean of nothing is a warning of NumPy's.
STRICT = {"PYTHONWARNINGS": "error::RuntimeWarning"}
# Integers, and true and false, in a file that has its own way to say that one is missing.
PARQUET = """
import sys
import pandas as pd, pyarrow as pa, pyarrow.parquet as parquet

table = pd.read_csv(sys.argv[1])
member = table.member.astype("boolean")
columns = {
    "age": pa.array(table.age.astype("Int64")),
    "member": pa.array(member),
    "nothing": pa.nulls(len(table)),
    "label": pa.array(table.label),
}
parquet.write_table(pa.table(columns), "arrow.parquet")
columns = {"age": table.age.astype("Int64"), "member": member, "label": table.label}
pd.DataFrame(columns).to_parquet("pandas.parquet")
"""


def written_table(folder: Path) -> Path:
    """Write 600 rows, of which half have no age."""
    chosen = random.Random(0)
    rows = [",".join((*COLUMNS, "label"))]
    for _ in range(600):
        age = chosen.choice(["", str(chosen.randrange(100))])
        income = chosen.choice(["", "NA", str(chosen.randrange(10**5))])
        member = chosen.choice(["", "True", "False"])
        rows.append(f"{age},{income},{member},,{'known' if age else 'unknown'}")
    path = folder / "table.csv"
    path.write_text("\n".join(rows) + "\n")
    return path


def installed(template: Path, folder: Path, **answers: object) -> Path:
    """Make a project with what it needs."""
    projects.generate(template, folder, lock=True, **answers)
    projects.commit_all(folder, "Start")
    projects.run("uv", "sync", "--locked", "--quiet", cwd=folder)
    return folder


def train(project: Path, table: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    """Train on a table, and take NumPy's warnings for errors."""
    words = ("main.py", "train", "--data", table, "--target", "label", *flags)
    python = project / ".venv/bin/python"
    return projects.run(python, *words, cwd=project, check=False, env=STRICT)


def last_line(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """What a whole training reports at its end."""
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@contextlib.contextmanager
def served(project: Path, *word: str, example: dict[str, Any], **routes: str) -> Iterator[str]:
    """Serve the model of a project, and return the address."""
    port = servers.free_port()
    words = ("main.py", *word, "--host", "127.0.0.1", "--port", str(port))
    command = [project / ".venv/bin/python", *words]
    with servers.started(command, project, port, json.dumps(example).encode(), **routes):
        yield f"http://127.0.0.1:{port}"


def ask(address: str, body: bytes | None = None, **headers: str) -> tuple[int, dict[str, Any]]:
    """Return the status of an answer, and its JSON."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    request = urllib.request.Request(address, body, headers)
    try:
        with opener.open(request, timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as refused:
        return refused.code, json.load(refused)


def predict(address: str, *instances: list[Any]) -> tuple[int, dict[str, Any]]:
    """Ask a server on the platform docker."""
    body = json.dumps({"instances": instances}).encode()
    return ask(f"{address}/predict", body, **{"Content-Type": "application/json"})


def in_binary(tensor: dict[str, Any], gap: str) -> tuple[bytes, int]:
    """Two examples in binary, that number for what is missing: a body and its JSON's length."""
    values = [float(gap if value is None else value) for value in NO_AGE + AN_AGE]
    size = {"parameters": {"binary_data_size": 4 * len(values)}}
    head = json.dumps({"inputs": [tensor | size]}).encode()
    return head + struct.pack(f"<{len(values)}f", *values), len(head)


def infer(address: str, body: bytes, length: int | None) -> tuple[int, dict[str, Any]]:
    """Ask a server for KServe, with that length of the JSON where tensors in binary follow it."""
    kind = {"Content-Type": "application/json"}
    if length:
        kind = {"Content-Type": "application/octet-stream", LENGTH: str(length)}
    return ask(f"{address}/v2/models/demo/infer", body, **kind)


def test_xgboost_learns_from_gaps_goes_on_with_them_and_is_asked_with_them(
    template: Path, tmp_path: Path, network: None
) -> None:
    table = written_table(tmp_path)
    both = installed(template, tmp_path / "demo", framework="xgboost", workload="both")
    words = ("--rounds", "300", "--patience", "300", "--report-every", "1")
    command = [both / ".venv/bin/python", "main.py", "train", "--data", table, "--target", "label"]
    with subprocess.Popen(
        [*command, *words], cwd=both, env=os.environ | STRICT, stdout=subprocess.PIPE
    ) as process:
        process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 143
    resumed = train(both, table, *words)
    assert "Going on from" in resumed.stderr
    report = last_line(resumed)
    assert report["test_accuracy"] > 0.99
    assert report == last_line(train(both, table, *words, "--fresh"))
    for path in both.glob("outputs/runs/*/run.json"):
        json.loads(path.read_text(), parse_constant=pytest.fail)  # NaN, which is no JSON

    with served(both, "serve", example={"instances": [[0] * 4]}) as address:
        status, answer = predict(address, NO_AGE, AN_AGE, [None] * 4)
        assert status == 200, answer
        labels = [one["label"] for one in answer["predictions"]]
        assert labels == ["unknown", "known", "unknown"]
        _, description = ask(f"{address}/openapi.json")
        request = description["components"]["schemas"]["PredictRequest"]
        assert {"type": "null"} in request["properties"]["instances"]["items"]["items"]["anyOf"]
        for wrong in (float("nan"), float("inf"), ""):
            assert predict(address, [wrong, 0, 0, 0])[0] == 422

    projects.run("uv", "add", "--quiet", "pyarrow", cwd=both)
    projects.run(both / ".venv/bin/python", "-c", PARQUET, table, cwd=both)
    for name in ("arrow.parquet", "pandas.parquet"):
        assert last_line(train(both, both / name))["test_accuracy"] > 0.99

    answers = {"framework": "xgboost", "workload": "serve", "platform": "kserve"}
    kserve = installed(template, tmp_path / "kserve" / "demo", **answers)
    (kserve / "outputs").mkdir()
    last_line(train(both, table, "--model-path", str(kserve / "outputs/model.ubj")))
    tensor = {"name": "input", "shape": [2, 4], "datatype": "FP32"}
    in_json = {"inputs": [tensor | {"data": [NO_AGE, AN_AGE]}]}
    routes = {"predict": "/v2/models/demo/infer", "probe": "/v2/health/ready"}
    example = {"inputs": [tensor | {"data": [0] * 8}]}
    with served(kserve, example=example, **routes) as address:
        bodies = [(json.dumps(in_json).encode(), None), in_binary(tensor, "nan")]
        for body, length in bodies:
            status, answer = infer(address, body, length)
            assert status == 200, answer
            assert answer["outputs"][0]["data"] == ["unknown", "known"]
        status, answer = infer(address, *in_binary(tensor, "inf"))
        assert (status, answer) == (422, {"error": "input has a value that is no finite number."})


def test_another_framework_refuses_a_table_with_gaps_and_a_request_with_one(
    template: Path, tmp_path: Path, network: None
) -> None:
    table = written_table(tmp_path)
    project = installed(template, tmp_path / "demo", workload="both")
    done = train(project, table)
    sentence = f"{table} has missing or infinite values, in {', '.join(COLUMNS)}."
    assert (done.returncode, done.stderr.splitlines()[-1]) == (1, sentence)

    table.write_text("age,label\n" + "9,young\n80,old\n" * 50)
    assert last_line(train(project, table))["test_accuracy"] == 1
    with served(project, "serve", example={"instances": [[9]]}) as address:
        problem = {"where": "body.instances.1.0", "problem": "Input should be a valid number"}
        assert predict(address, [9], [None]) == (422, {"detail": [problem]})
