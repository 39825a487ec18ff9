"""A copy of a generated project: its training runs, its server, and the clients of that."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.serving.servers import free_port

PATIENCE = 900  # seconds that a run or a server may take in all
HIDDEN = {"CUDA_VISIBLE_DEVICES": ""}


class Framework(NamedTuple):
    """The package of a framework, and what differs between the projects of them."""

    package: str
    gpu: str  # for --device
    model: str = "model"
    flags: tuple[str, ...] = ("--deterministic", "--epochs")


FRAMEWORKS = {
    "pytorch": Framework("torch", "cuda"),
    "jax": Framework("jax", "gpu"),
    "tensorflow": Framework("tensorflow", "gpu", "model.keras"),
    "xgboost": Framework("xgboost", "cuda", flags=("--rounds",)),
}


class Unusable(Exception):
    """What the command line names cannot be tried: why, and what to do."""


class Broken(Exception):
    """A promise is not kept."""


class Run(NamedTuple):
    """A training run that has ended."""

    code: int
    lines: list[str]  # of its standard output: the reports, and the result
    stderr: str

    def result(self) -> str:
        """What it says in the end about the test data, digit by digit."""
        if self.code or not self.lines:
            raise Broken(f"a run ended with {self.code}: {last_line(self.stderr)}")
        report = json.loads(self.lines[-1], parse_float=str)
        return ", ".join(f"{name} {report[name]}" for name in ("test_loss", "test_accuracy"))


def last_line(text: str) -> str:
    """The last line that is not blank, where programs say why they end, or its beginning."""
    return (text.strip().splitlines() or ["nothing was said"])[-1][:300]


def framework_of(project: Path) -> Framework:
    """Read from its answers what a project was generated for.

    Raises:
        Unusable: there is no such project, or it does not train and serve on GPUs.
    """
    answers = project / ".copier-answers.yml"
    if not answers.is_file():
        raise Unusable(f"{answers} is missing: name the folder of a generated project.")
    found = dict(re.findall(r"^(framework|workload): *(\S+)", answers.read_text(), re.MULTILINE))
    if found.get("workload") != "both" or found.get("framework") not in FRAMEWORKS:
        raise Unusable(
            f"{project} is not for a GPU, or does not both train and serve: generate one with "
            f"accelerator=gpu, workload=both and one of {', '.join(FRAMEWORKS)}."
        )
    return FRAMEWORKS[found["framework"]]


class Project:
    """A project to try, copied to a folder.

    Args:
        source: where it is.
        python: the interpreter that has its packages.
        device: what to train on, if not its GPU. With "cpu" no process sees a GPU.
        passes: epochs, or rounds.
        to: an empty folder.

    Raises:
        Unusable: there is no such project, or the interpreter cannot run it.
    """

    def __init__(
        self, source: Path, python: Path, device: str | None, passes: int, to: Path
    ) -> None:
        """Copy it, and run its --help."""
        self.framework = framework_of(source)
        if not python.is_file():
            raise Unusable(f"{python} is missing: name the Python that has the project's packages.")
        # Not resolved: it is the link in a virtual environment that tells Python of it.
        self.python = python.absolute()
        self.device = device or self.framework.gpu
        self.passes = passes
        self.folder = to / "project"
        to.chmod(0o755)  # for other users
        unwanted = shutil.ignore_patterns(".git", ".venv", "outputs", "__pycache__")
        shutil.copytree(source, self.folder, ignore=unwanted)
        # Before the editable install of the project itself, if there is one.
        paths = [str(self.folder / "src"), os.environ.get("PYTHONPATH", "")]
        self.env = {**os.environ, "PYTHONPATH": ":".join(paths).rstrip(":"), "ACCESS_LOG": "false"}
        self.env |= HIDDEN if self.device == "cpu" else {}
        words = [self.python, "main.py", "train", "--help"]
        tried = subprocess.run(words, cwd=self.folder, env=self.env, capture_output=True, text=True)
        if tried.returncode:
            raise Unusable(
                f"{python} cannot run {source}/main.py ({last_line(tried.stderr)}): install the "
                "project first, uv sync --no-default-groups --group dev --group serve --group gpu."
            )

    def model(self, name: str) -> Path:
        """Where the run of that name leaves its model."""
        return self.folder / "outputs" / name / self.framework.model

    @cached_property
    def whole(self) -> str:
        """The result of a run that nothing disturbs, to compare others with."""
        return self.train("whole").result()

    def train(
        self,
        name: str,
        *flags: str,
        device: str | None = None,
        stop: signal.Signals | None = None,
        passes: int | None = None,
        prefix: Sequence[str] = (),
        env: dict[str, str] | None = None,
    ) -> Run:
        """Train, with outputs under that name; send the signal `stop` after three reports."""
        words = [*prefix, self.python, "main.py", "train", "--device", device or self.device]
        words += ["--model-path", self.model(name), "--runs-dir", self.model(name).parent / "runs"]
        words += [*self.framework.flags, passes or self.passes, *flags]
        lines: list[str] = []
        with (self.folder / "stderr").open("w+") as stderr:
            with self.running(words, env or {}, subprocess.PIPE, stderr) as process:
                for line in process.stdout:
                    lines.append(line)
                    if stop and len(lines) == 3:
                        process.send_signal(stop)
                code = process.wait()
            stderr.seek(0)
            return Run(code, lines, stderr.read())

    @contextlib.contextmanager
    def running(
        self, words: Sequence[object], env: dict[str, str], stdout: Any, stderr: Any
    ) -> Iterator[subprocess.Popen[str]]:
        """Start a process, and end it and all that it started with the block."""
        process = subprocess.Popen(
            [str(word) for word in words],
            cwd=self.folder,
            env={**self.env, **env},
            stdout=stdout,
            stderr=stderr,
            text=True,
            start_new_session=True,
        )

        def kill() -> None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)

        timer = threading.Timer(PATIENCE, kill)
        timer.start()
        try:
            yield process
        finally:
            timer.cancel()
            kill()
            process.wait()

    @contextlib.contextmanager
    def served(self, program: str = "main.py") -> Iterator[Server]:
        """Serve the model of the whole run; wait until the server answers its own example."""
        _ = self.whole
        port, log = free_port(), self.folder / "server.log"
        words = [self.python, program, "serve", "--host", "127.0.0.1", "--port", port]
        words += ["--model-path", self.model("whole")]
        started = time.monotonic()
        with (
            log.open("w") as out,
            self.running(words, {}, out, subprocess.STDOUT) as process,
        ):
            server = Server(process, port, log)
            while not server.is_ready():
                if process.poll() is not None or time.monotonic() > started + 180:
                    raise Broken(f"the server is not ready: {last_line(log.read_text())}")
                time.sleep(0.1)
            server.seconds = time.monotonic() - started
            yield server


@dataclass
class Server:
    """A server that was started, and what it is asked."""

    process: subprocess.Popen[str]
    port: int
    log: Path
    seconds: float = 0.0  # to the first answer
    route: str = ""
    example: bytes = b""

    def is_ready(self) -> bool:
        """Does it describe itself, and answer its own example with 200?"""
        with contextlib.suppress(OSError):
            client = Client(self.port)
            status, body = client.ask("GET", "/openapi.json")
            if status == 200:
                self.route, self.example = first_example(json.loads(body))
                return client.ask("POST", self.route, self.example)[0] == 200
        return False

    def rate(self, connections: int, seconds: float) -> tuple[float, int]:
        """How many requests a second it answers with 200; how many otherwise or not, in all."""
        good, bad = [0] * connections, [0] * connections
        until = time.monotonic() + seconds

        def ask(i: int) -> None:
            try:
                client = Client(self.port)
                while time.monotonic() < until:
                    status, _ = client.ask("POST", self.route, self.example)
                    (good if status == 200 else bad)[i] += 1
            except OSError:
                bad[i] += 1

        threads = [threading.Thread(target=ask, args=[i]) for i in range(connections)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return sum(good) / seconds, sum(bad)


class Client:
    """A kept connection. HTTP by hand, since http.client takes longer than some servers do."""

    def __init__(self, port: int) -> None:
        """Connect to a server of this machine."""
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self.file = self.socket.makefile("rb")

    def ask(self, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
        """Return the status and the body of the answer. An OSError means that there is none."""
        kind = "Content-Type: application/json"
        head = f"{method} {path} HTTP/1.1\r\nHost: x\r\n{kind}\r\nContent-Length: {len(body)}"
        self.socket.sendall(head.encode() + b"\r\n\r\n" + body)
        status, length = self.file.readline().split(), 0
        if len(status) < 2:
            raise ConnectionError("the server closed a connection without an answer")
        while header := self.file.readline().strip().lower():
            if header.startswith(b"content-length:"):
                length = int(header.partition(b":")[2])
        return int(status[1]), self.file.read(length)


def first_example(description: dict[str, Any]) -> tuple[str, bytes]:
    """The first path of an OpenAPI description that has an example of its JSON, and that."""
    for path, methods in description["paths"].items():
        content = methods.get("post", {}).get("requestBody", {}).get("content", {})
        examples = content.get("application/json", {}).get("schema", {}).get("examples")
        if examples:
            return path, json.dumps(examples[0]).encode()
    raise Broken("/openapi.json has no example of a request")


def with_number(number: float, body: bytes) -> bytes:
    """The same JSON with another number in the place of its first float."""
    return re.sub(rb"-?\d+\.\d+(e[+-]?\d+)?", str(number).encode(), body, count=1)
