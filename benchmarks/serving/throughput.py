"""How fast a generated server is beside what people use, on the same model and machine.

All servers are up at the same time and are asked by turns: each round begins with another one. The
load is made by wrk, Debian's package, on the same machine, so the figures are good for ratios. The
CPU time of a request says more than the throughput where other work shares the machine.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import tempfile
from array import array
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.run import say
from benchmarks.serving import servers
from benchmarks.serving.clients import Server, cpu_seconds, median
from tests.support import projects
from tests.support.indexes import Index, find_wheel

RIVALS = Path(__file__).parent / "rivals"
SCRIPT = Path(__file__).with_name("wrk.lua")
LITSERVE, BENTOML = "litserve==0.2.19", "bentoml==1.4.40"
Contender = Callable[[], contextlib.AbstractContextManager[Server]]


def generated(folder: Path, **answers: object) -> Path:
    """Make, install and fit a project that serves, in `folder`/demo."""
    projects.snapshot(folder / "template")
    project = folder / "demo"
    with contextlib.ExitStack() as stack:
        if answers.get("framework") == "pytorch":
            # The one CPU wheel of torch that a machine without PyTorch's index may have.
            wheel = find_wheel("torch-2.13.0")
            index = Index({"cpu": [wheel], "cu126": [wheel]})
            stack.callback(index.close)
            answers |= {"advanced": True, "framework_version": "2.13.0", "python_version": "3.11"}
            answers["pytorch_index"] = index.url
        projects.generate(folder / "template", project, lock=True, workload="serve", **answers)
        projects.run("uv", "sync", "--locked", "--quiet", cwd=project)
    projects.run("uv", "run", "--no-sync", "python", "-m", "demo.fit", cwd=project)
    return project


def with_package(project: Path, folder: Path, requirement: str) -> Path | None:
    """Return a Python that has the model's packages, in the project's versions, and one more.

    None, and a line that says why, where that cannot be installed.
    """
    words = ("uv", "export", "--locked", "--no-hashes", "--no-emit-project", "--quiet")
    lines = projects.run(*words, cwd=project).stdout.splitlines()
    listed = folder / "listed.txt"
    # BentoML wants an older one.
    listed.write_text("\n".join(line for line in lines if not line.startswith("opentelemetry")))
    environment = folder / requirement.partition("=")[0]
    python = environment / "bin" / "python"
    base = project / ".venv/bin/python"
    projects.run("uv", "venv", "--quiet", "--python", base, environment, cwd=project)
    install = ("uv", "pip", "install", "--quiet", "--python", python, "-r", listed, requirement)
    done = projects.run(*install, cwd=project, check=False)
    if done.returncode:
        say(f"{requirement} does not install: {done.stderr.strip()[-300:]}")
        return None
    return python


def body_of(instances: int = 1) -> bytes:
    """A request with that many digits."""
    return json.dumps({"instances": [[float(n % 17) for n in range(64)]] * instances}).encode()


def tensors_of(instances: int, in_binary: bool) -> tuple[bytes, int]:
    """A request with that many digits on KServe, and how much of it is JSON.

    The answer is asked for in the same form.
    """
    digits = [float(n % 17) for n in range(64)] * instances
    tensor: dict[str, Any] = {"name": "input", "shape": [instances, 64], "datatype": "FP32"}
    data = array("f", digits).tobytes() if in_binary else b""
    if in_binary:
        tensor["parameters"] = {"binary_data_size": len(data)}
    else:
        tensor["data"] = digits
    asked = {"inputs": [tensor], "parameters": {"binary_data_output": in_binary}}
    head = json.dumps(asked).encode()
    return head + data, len(head)


def variables(project: Path) -> dict[str, str]:
    """What the rivals need in order to find the project's model."""
    return {"PYTHONPATH": f"{project / 'src'}:{RIVALS}", "OUTPUTS": str(project / "outputs")}


def endpoints(project: Path) -> dict[str, Contender]:
    """The endpoint that everybody writes, under uvicorn without and with its extras."""

    def under(*flags: str) -> Contender:
        def start() -> contextlib.AbstractContextManager[Server]:
            port = servers.free_port()
            python = project / ".venv/bin/python"
            words = [python, "-m", "uvicorn", "endpoint:app", "--port", str(port), *flags]
            return servers.started(words, project, port, body_of(), env=variables(project))

        return start

    return {
        "FastAPI, uvicorn": under("--http", "h11", "--loop", "asyncio"),
        "FastAPI, uvicorn[standard]": under("--http", "httptools", "--loop", "uvloop"),
    }


def frameworks(project: Path, folder: Path) -> dict[str, Contender]:
    """LitServe and BentoML, where they install."""

    def under(python: Path, *words: str | Path, named: str = "") -> Contender:
        def start() -> contextlib.AbstractContextManager[Server]:
            port = servers.free_port()
            flags = [named, str(port)] if named else [str(port)]
            command = [python, *words, *flags]
            return servers.started(command, project, port, body_of(), env=variables(project))

        return start

    found: dict[str, Contender] = {}
    if python := with_package(project, folder, LITSERVE):
        found["LitServe"] = under(python, RIVALS / "lit.py")
    if python := with_package(project, folder, BENTOML):
        serve = ("-m", "bentoml", "serve", "bento:Predict", "--working-dir", RIVALS)
        found["BentoML"] = under(python, *serve, named="--port")
    return found


def wrk(
    server: Server, connections: int, seconds: int, body: Path, json_length: int | None = None
) -> dict[str, Any]:
    """Ask as fast as that many connections get answers.

    Args:
        server: who is asked.
        connections: how many.
        seconds: for how long.
        body: a file with the body of the request.
        json_length: how much of the body is JSON, where tensors in binary follow it.
    """
    words = ["wrk", "--threads", "1", "--connections", str(connections), "--timeout", "10s"]
    words += ["--duration", f"{seconds}s", "--script", str(SCRIPT)]
    before = cpu_seconds(server.pid)
    done = subprocess.run(
        [*words, f"http://127.0.0.1:{server.port}{server.predict}"],
        env={**os.environ, "BODY": str(body), "JSON_LENGTH": str(json_length or "")},
        capture_output=True,
        text=True,
        check=True,
    )
    figures = json.loads(done.stdout.splitlines()[-1])
    answered = figures["requests"] - figures["refused"]
    return {
        "per_second": round(answered / figures["seconds"], 1),
        "cpu_ms": round(1000 * (cpu_seconds(server.pid) - before) / answered, 3),
        "p50_ms": round(figures["p50_ms"], 2),
        "p99_ms": round(figures["p99_ms"], 2),
        "refused": figures["refused"],
        "lost": figures["lost"],
    }


def by_turns(
    contenders: dict[str, Contender], connections: int, rounds: int, seconds: int
) -> dict[str, list[dict[str, Any]]]:
    """Ask each contender in each round. Returns the figures of all rounds by name."""
    figures: dict[str, list[dict[str, Any]]] = {}
    with contextlib.ExitStack() as stack, tempfile.NamedTemporaryFile() as file:
        file.write(body_of())
        file.flush()
        running = {}
        for name, start in contenders.items():
            try:
                running[name] = stack.enter_context(start())
            except RuntimeError as error:
                say(f"{name} does not start: {error}")
        for server in running.values():
            wrk(server, connections, 1, Path(file.name))  # warm
        names = list(running)
        for number in range(rounds):
            for name in names[number % len(names) :] + names[: number % len(names)]:
                one = wrk(running[name], connections, seconds, Path(file.name))
                figures.setdefault(name, []).append(one)
                say(f"round {number + 1}: {name}: {one}")
    return figures


def summary(figures: dict[str, list[dict[str, Any]]], base: str) -> dict[str, Any]:
    """The medians, and the median of the ratios of each round to `base`'s."""
    return {
        name: {
            **{key: median([one[key] for one in rounds]) for key in rounds[0]},
            **{
                f"{key}_ratio": round(median(ratios(rounds, figures[base], key)), 2)
                for key in ("per_second", "cpu_ms")
            },
        }
        for name, rounds in figures.items()
    }


def ratios(rounds: list[dict[str, Any]], base: list[dict[str, Any]], key: str) -> list[float]:
    """A figure as a multiple of the base's in the same round."""
    return [one[key] / other[key] for one, other in zip(rounds, base, strict=True)]


@contextlib.contextmanager
def of_project(project: Path, *flags: str) -> Iterator[Server]:
    """The generated server."""
    with servers.of_project(project, *flags, body=body_of()) as server:
        yield server


def singles(folder: Path, rounds: int, seconds: int) -> dict[str, Any]:
    """One digit a request, 16 connections, scikit-learn."""
    project = generated(folder)
    contenders = {
        "Drydock": lambda: of_project(project),
        "Drydock, --batch-rows 1": lambda: of_project(project, "--batch-rows", "1"),
        **endpoints(project),
        **frameworks(project, folder),
    }
    return summary(by_turns(contenders, 16, rounds, seconds), "Drydock")


def batches(folder: Path, rounds: int, seconds: int) -> dict[str, Any]:
    """One digit a request, 64 connections, PyTorch: put together, and one by one."""
    project = generated(folder, framework="pytorch")
    contenders = {
        "Drydock": lambda: of_project(project),
        "Drydock, --batch-rows 1": lambda: of_project(
            project, "--batch-rows", "1", "--queue-seconds", "10"
        ),
        **endpoints(project),
    }
    return summary(by_turns(contenders, 64, rounds, seconds), "Drydock")


def binary(folder: Path, rounds: int, seconds: int) -> dict[str, Any]:
    """Tensors in JSON and in binary, 1 and 64 digits a request, 16 connections, scikit-learn."""
    project = generated(folder, platform="kserve")
    figures: dict[int, dict[str, list[dict[str, Any]]]] = {}
    body, _ = tensors_of(1, in_binary=False)
    routes = {"predict": "/v2/models/demo/infer", "probe": "/v2/health/ready"}
    with servers.of_project(project, body=body, **routes) as server:
        for number in range(-1, rounds):  # the first one is to warm up
            for count in (1, 64):
                for name in ("JSON", "binary") if number % 2 else ("binary", "JSON"):
                    content, length = tensors_of(count, in_binary=name == "binary")
                    file = folder / "body"
                    file.write_bytes(content)
                    said = length if name == "binary" else None
                    one = wrk(server, 16, seconds if number >= 0 else 1, file, said)
                    say(f"round {number + 1}: {count}, {name}: {one}")
                    if number >= 0:
                        figures.setdefault(count, {}).setdefault(name, []).append(one)
    return {f"{count} instances": summary(found, "JSON") for count, found in figures.items()}
