"""A Docker client for the tests: real builds, real containers, nothing mocked."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.support.docker.progress import Step, parse_progress

TAG = "drydock-test-"
"""What the names of the images that these tests build begin with; a process number follows."""


class DockerError(Exception):
    """A docker command that failed; the text holds the command and the end of its output."""


class BuildFailed(DockerError):
    """A build that failed. `log` is all that BuildKit printed, `steps` what it got to."""

    def __init__(self, message: str, log: str, steps: list[Step]) -> None:
        super().__init__(message)
        self.log = log
        self.steps = steps

    @property
    def said(self) -> str:
        """What the failed step printed, without the text of the step, which BuildKit repeats."""
        return "\n".join(line for step in self.steps if step.failed for line in step.lines)


@dataclass
class Build:
    """A finished build: the image it made and what BuildKit said while it made it."""

    tag: str
    image_id: str
    steps: list[Step]
    log: str

    def step(self, needle: str) -> Step:
        """The one step whose name contains `needle`; fails when there is none or several."""
        found = [step for step in self.steps if needle in step.name]
        if len(found) != 1:
            names = "\n  ".join(step.name for step in self.steps)
            raise AssertionError(f"{len(found)} steps contain {needle!r} in:\n  {names}")
        return found[0]

    def stage_steps(self) -> list[Step]:
        """The steps that the Dockerfile spells out (`[stage n/m] ...`), but for the FROM lines:
        those resolve a name, and BuildKit never calls them cached.
        """
        spelt = re.compile(r"^\[[\w.-]+ +\d+/\d+\] (?!FROM )")
        return [step for step in self.steps if spelt.match(step.name)]


@dataclass(frozen=True)
class Layer:
    """A layer of an image: the digest of its tar, the size in bytes and the step that made it."""

    digest: str
    size: int
    created_by: str


class Container:
    """A container that runs, or ran, in the background."""

    def __init__(self, engine: Engine, identity: str) -> None:
        self.engine = engine
        self.id = identity

    def logs(self) -> str:
        """All that the program printed so far, both streams together."""
        result = self.engine("logs", self.id, merge=True)
        return result.stdout

    def exec(self, *command: str, check: bool = True, timeout: float = 60) -> str:
        """Run a command in the container and return its standard output."""
        return self.engine("exec", self.id, *command, check=check, timeout=timeout).stdout

    @property
    def state(self) -> dict:
        """Docker's own record of the container's state."""
        return json.loads(self.engine("inspect", "--format", "{{json .State}}", self.id).stdout)

    def wait_for(self, text: str, timeout: float = 120) -> str:
        """Wait until the program has printed `text` and return the log; fail if it ends first."""
        end = time.monotonic() + timeout
        while True:
            running = self.state["Running"]
            log = self.logs()
            if text in log:
                return log
            if not running:
                raise AssertionError(f"the container ended before it said {text!r}:\n{log}")
            if time.monotonic() > end:
                raise AssertionError(f"no {text!r} within {timeout} s in:\n{log}")
            time.sleep(0.1)

    def wait(self, timeout: float = 300) -> int:
        """Wait until the program ends by itself and return its exit code."""
        return int(self.engine("wait", self.id, timeout=timeout).stdout)

    def stop(self, grace: int = 10) -> tuple[int, float]:
        """`docker stop`: return the exit code and the seconds it took.

        137 means that the grace period ran out and Docker killed the program.
        """
        begin = time.monotonic()
        self.engine("stop", "--time", str(grace), self.id, timeout=grace + 60)
        took = time.monotonic() - begin
        return int(self.state["ExitCode"]), took

    def remove(self) -> None:
        """Remove the container, killing the program if it runs."""
        self.engine("rm", "--force", "--volumes", self.id, check=False)


class Engine:
    """A docker client bound to a daemon. Call it with the words of a docker command."""

    def __init__(self, client: str, environment: Mapping[str, str]) -> None:
        self.client = client
        self.environment = dict(environment)
        self._tags: set[str] = set()
        self._containers: list[Container] = []

    def __call__(
        self,
        *words: str,
        check: bool = True,
        timeout: float = 120,
        merge: bool = False,
        stdin: object = subprocess.DEVNULL,
    ) -> subprocess.CompletedProcess[str]:
        """Run `docker <words>`.

        Args:
            words: the words after `docker`.
            check: raise where the exit code is not 0?
            timeout: seconds.
            merge: send standard error to standard output?
            stdin: an open file to read from.

        Raises:
            DockerError: with the command and the end of its output.
            subprocess.TimeoutExpired: after `timeout`.
        """
        result = subprocess.run(
            [self.client, *words],
            env=self.environment,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if merge else subprocess.PIPE,
            text=True,
            timeout=timeout,
        )
        if check and result.returncode:
            said = (result.stdout or "") + (result.stderr or "")
            raise DockerError(f"docker {' '.join(words)}: exit {result.returncode}\n{said[-4000:]}")
        return result

    # -- images ---------------------------------------------------------------------------------

    def build(
        self,
        context: Path,
        tag: str | None,
        *,
        dockerfile: Path | None = None,
        build_args: Mapping[str, str] | None = None,
        secrets: Mapping[str, Path] | None = None,
        target: str | None = None,
        no_cache: bool = False,
        extra: Sequence[str] = (),
        timeout: float = 1200,
    ) -> Build:
        """`docker build` on the host's network, so that loopback services answer in RUN steps.

        Args:
            context: the folder that is sent to the daemon.
            tag: the name of the image; None for an image without one.
            dockerfile: where it is not `Dockerfile` in the context.
            build_args: values of `--build-arg` by their names.
            secrets: the file of each `--secret`, by its id.
            target: the stage to stop at.
            no_cache: run every step anew?
            extra: more words for `docker build`.
            timeout: seconds.

        Raises:
            BuildFailed: with the end of BuildKit's log.
            DockerError: where the client built without BuildKit.
        """
        with tempfile.TemporaryDirectory() as scratch:
            idfile = Path(scratch, "iid")
            words = ["build", "--progress=plain", "--network=host", f"--iidfile={idfile}"]
            if tag:
                words.append(f"--tag={tag}")
            if dockerfile:
                words.append(f"--file={dockerfile}")
            if target:
                words.append(f"--target={target}")
            if no_cache:
                words.append("--no-cache")
            for name, value in (build_args or {}).items():
                words.append(f"--build-arg={name}={value}")
            for identity, path in (secrets or {}).items():
                words.append(f"--secret=id={identity},src={path}")
            result = self(*words, *extra, str(context), check=False, timeout=timeout, merge=True)
            steps = parse_progress(result.stdout)
            if result.returncode:
                tail = "\n".join(result.stdout.splitlines()[-60:])
                message = f"docker build of {context} failed:\n{tail}"
                raise BuildFailed(message, result.stdout, steps)
            if not steps:
                raise DockerError(f"{self.client} built without BuildKit:\n{result.stdout[-2000:]}")
            if tag:
                self._tags.add(tag)
            return Build(tag or "", idfile.read_text().strip(), steps, result.stdout)

    def image(self, tag: str) -> dict | None:
        """`docker image inspect`, or None where there is no such image."""
        result = self("image", "inspect", tag, check=False)
        return json.loads(result.stdout)[0] if result.returncode == 0 else None

    def history(self, tag: str) -> list[dict]:
        """`docker history`, oldest first; `Size` in bytes."""
        shown = self("history", "--no-trunc", "--human=false", "--format={{json .}}", tag).stdout
        rows = [json.loads(line) for line in shown.splitlines()]
        return [{**row, "Size": int(row["Size"])} for row in reversed(rows)]

    def layers(self, tag: str) -> list[Layer]:
        """The layers of an image, lowest first, with their digests and sizes."""
        digests = self.image(tag)["RootFS"]["Layers"]
        # Rows of the history that only set a property of the image made no layer.
        words = (
            "ARG CMD ENTRYPOINT ENV EXPOSE HEALTHCHECK LABEL ONBUILD SHELL STOPSIGNAL USER VOLUME"
        )
        setting = re.compile(rf"^(/bin/sh -c #\(nop\) +)?({'|'.join(words.split())}) ")
        made = [row for row in self.history(tag) if not setting.match(row["CreatedBy"])]
        return [
            Layer(digest, row["Size"], row["CreatedBy"])
            for digest, row in zip(digests, made, strict=True)
        ]

    @contextlib.contextmanager
    def saved(self, tag: str) -> Iterator[tarfile.TarFile]:
        """`docker save` as an open tar file."""
        with tempfile.TemporaryDirectory() as scratch:
            path = Path(scratch, "image.tar")
            self("save", f"--output={path}", tag, timeout=600)
            with tarfile.open(path) as image:
                yield image

    def image_members(self, tag: str) -> dict[str, tarfile.TarInfo]:
        """Every file, folder and link of an image's file system by its absolute path."""
        identity = self("create", "--network=none", tag, "nothing").stdout.strip()
        try:
            export = subprocess.Popen(
                [self.client, "export", identity],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
            )
            with export, tarfile.open(fileobj=export.stdout, mode="r|") as tar:
                return {"/" + member.name.strip("/"): member for member in tar}
        finally:
            self("rm", identity, check=False)

    def image_files(self, tag: str) -> list[str]:
        """The absolute path of everything in an image's file system, sorted."""
        return sorted(self.image_members(tag))

    # -- containers -----------------------------------------------------------------------------

    def _run_words(
        self,
        tag: str,
        command: Sequence[str],
        *,
        user: str | None = None,
        network: str = "none",
        read_only: bool = False,
        tmpfs: Sequence[str] = (),
        volumes: Mapping[Path, str] | None = None,
        env: Mapping[str, str] | None = None,
        entrypoint: str | None = None,
        extra: Sequence[str] = (),
    ) -> list[str]:
        words = [f"--network={network}"]
        if user:
            words.append(f"--user={user}")
        if read_only:
            words.append("--read-only")
        words += [f"--tmpfs={path}" for path in tmpfs]
        words += [f"--volume={source}:{path}" for source, path in (volumes or {}).items()]
        words += [f"--env={name}={value}" for name, value in (env or {}).items()]
        if entrypoint is not None:
            words.append(f"--entrypoint={entrypoint}")
        return [*words, *extra, tag, *command]

    def run(
        self, tag: str, *command: str, check: bool = True, timeout: float = 300, **how
    ) -> subprocess.CompletedProcess[str]:
        """`docker run --rm` to the end, by default with no network.

        Keywords: user, network, read_only, tmpfs (`path:options`), volumes (host folder to mount
        point), env, entrypoint, extra (more words for `docker run`).
        """
        words = self._run_words(tag, command, **how)
        return self("run", "--rm", *words, check=check, timeout=timeout)

    def start_container(self, tag: str, *command: str, **how) -> Container:
        """`docker run --detach` with the keywords of `run`; removed when the session ends."""
        words = self._run_words(tag, command, **how)
        container = Container(self, self("run", "--detach", *words).stdout.strip())
        self._containers.append(container)
        return container

    # -- the daemon -----------------------------------------------------------------------------

    def cleanup(self, *, images: bool = True) -> None:
        """Remove the containers and, unless told to leave them, the images of this session."""
        for container in self._containers:
            container.remove()
        for tag in self._tags if images else ():
            self("image", "rm", "--force", tag, check=False)
