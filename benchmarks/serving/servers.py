"""Servers to measure: those of a generated project, each in a process of its own."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.serving.clients import Server

LINES = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # what a model computes with
SMALL = b'{"instances": [1]}'  # for the model of the project's own tests


def free_port() -> int:
    """Return a port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def started(
    command: list[str | Path],
    folder: Path,
    port: int,
    body: bytes,
    predict: str = "/predict",
    probe: str = "/readyz",
    log: Path | None = None,
    env: dict[str, str] | None = None,
) -> Iterator[Server]:
    """Start a server and wait until it answers `body`; kill it in the end.

    Args:
        command: its words.
        folder: where to run it.
        port: where it will listen.
        body: a request that it answers with 200.
        predict: the path that predicts.
        probe: the path that says that it can.
        log: what it says goes there, if anywhere.
        env: variables besides those of this process.

    Raises:
        RuntimeError: it did not get ready within three minutes.
    """
    outer = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    with contextlib.ExitStack() as stack:
        output = stack.enter_context(log.open("ab")) if log else subprocess.DEVNULL
        process = subprocess.Popen(
            [str(word) for word in command],
            cwd=folder,
            env={**outer, **LINES, **(env or {})},
            stdout=output,
            stderr=output if log else subprocess.DEVNULL,
            start_new_session=True,
        )
        stack.callback(end, process)
        server = Server(port, process.pid, predict, probe, body)
        until_it_predicts(server, process)
        yield server


def end(process: subprocess.Popen[bytes]) -> None:
    """End a server: with its workers, if it does so within some seconds, else without a word."""
    process.send_signal(signal.SIGINT)
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def until_it_predicts(server: Server, process: subprocess.Popen[bytes]) -> None:
    """Wait until a server answers its small request."""
    end = time.monotonic() + 180
    while time.monotonic() < end and process.poll() is None:
        with (
            contextlib.suppress(OSError),
            socket.create_connection(("127.0.0.1", server.port)) as s,
        ):
            s.settimeout(30)
            s.sendall(server.request())
            if s.recv(100).split()[1:2] == [b"200"]:
                return
        time.sleep(0.1)
    raise RuntimeError(f"{process.args} did not get ready")


@contextlib.contextmanager
def of_project(
    project: Path, *flags: str, body: bytes, log: Path | None = None, **routes: str
) -> Iterator[Server]:
    """The server of an installed project, with the model that it has in outputs/."""
    port = free_port()
    command = [project / ".venv/bin/python", "main.py", "--host", "127.0.0.1", "--port", str(port)]
    with started([*command, *flags], project, port, body, log=log, **routes) as server:
        yield server


@contextlib.contextmanager
def of_stub(
    project: Path, seconds: float, *flags: str, folder: Path, log: Path | None = None
) -> Iterator[Server]:
    """The server of an installed project, with a model that takes `seconds` for each batch."""
    port = free_port()
    model = folder / f"model-{seconds}"
    model.write_text(str(seconds))
    command = [project / ".venv/bin/python", "tests/runtime/server_stub.py", "--host", "127.0.0.1"]
    words = [*command, "--port", str(port), "--model-path", model, *flags]
    with started(words, project, port, SMALL, log=log) as server:
        yield server
