"""A Docker client and daemon for the tests: real builds, real containers, nothing mocked.

`Engine.start()` answers with a client that can build through BuildKit, talking to the daemon that
already runs or, as root on a machine with `dockerd`, to one started for the tests.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import shutil
import signal
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

TAG = "drydock-test-"
"""What the names of the images that these tests build begin with; a process number follows."""


class Unavailable(Exception):
    """Something this machine lacks; the text is the reason that pytest shows."""


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
class Step:
    """One vertex of a build, as BuildKit's `--progress=plain` reports it.

    `seconds` is BuildKit's own figure, None for a step that was cached or that failed.
    """

    number: int
    name: str
    cached: bool = False
    seconds: float | None = None
    failed: bool = False
    lines: list[str] = field(default_factory=list)

    @property
    def ran(self) -> bool:
        """True when BuildKit executed the step in this build."""
        return self.seconds is not None and not self.cached


_STEP_LINE = re.compile(r"^#(\d+) (.*)$")
_DONE = re.compile(r"^DONE ([\d.]+)s$")
_OUTPUT = re.compile(r"^\d+\.\d+ (.*)$")


def parse_progress(log: str) -> list[Step]:
    """Read what `docker build --progress=plain` printed into steps, in the order of their numbers.

    In: the whole log, of Docker 20.10's built-in BuildKit or of a newer buildx. Out: one Step per
    vertex. Lines outside BuildKit's `#<number> ` form (a client's warnings) are left out.
    """
    steps: dict[int, Step] = {}
    for raw in log.splitlines():
        found = _STEP_LINE.match(raw)
        if not found:
            continue
        number, text = int(found[1]), found[2]
        step = steps.get(number)
        if step is None:
            steps[number] = Step(number, text)
            continue
        done = _DONE.match(text)
        output = _OUTPUT.match(text)
        if text == "CACHED":
            step.cached = True
        elif done:
            step.seconds = float(done[1])
        elif text.startswith(("ERROR", "CANCELED")):
            step.failed = True
        elif output:
            step.lines.append(output[1])
    return [steps[number] for number in sorted(steps)]


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
        """Run a command in the container; answers its standard output."""
        return self.engine("exec", self.id, *command, check=check, timeout=timeout).stdout

    @property
    def state(self) -> dict:
        """Docker's own record of the container's state."""
        return json.loads(self.engine("inspect", "--format", "{{json .State}}", self.id).stdout)

    def wait_for(self, text: str, timeout: float = 120) -> str:
        """Wait until the program has printed `text`; answers the log, fails when it ended first."""
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
        """Wait until the program ends by itself; answers its exit code."""
        return int(self.engine("wait", self.id, timeout=timeout).stdout)

    def stop(self, grace: int = 10) -> tuple[int, float]:
        """`docker stop`: answers the exit code and the seconds it took.

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
        """Run `docker <words>`. Raises DockerError on a non-zero exit unless `check` is false.

        `merge` sends standard error to standard output; `stdin` is an open file to read from.
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

        In: the context folder, the tag (None for an image without a name), a Dockerfile outside the
        context, --build-arg values, secret ids with their files. Out: a Build. Raises BuildFailed
        with the end of BuildKit's log.
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

    def cleanup(self) -> None:
        """Remove the containers and the images that this session made."""
        for container in self._containers:
            container.remove()
        for tag in self._tags:
            self("image", "rm", "--force", tag, check=False)


# ---------------------------------------------------------------------------------------------


def cache_folder() -> Path:
    """Where the tests keep what is slow to make again: $XDG_CACHE_HOME/drydock-tests."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(base, "drydock-tests")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _clients() -> list[str]:
    """Docker clients to try, best first: $DOCKER alone if set, else each `docker` on PATH."""
    if os.environ.get("DOCKER"):
        return [os.environ["DOCKER"]]
    places = [*os.get_exec_path(), "/usr/bin", "/usr/local/bin"]
    found = [str(Path(place, "docker")) for place in places if shutil.which("docker", path=place)]
    return list(dict.fromkeys(found))


def _environment(host: str | None) -> dict[str, str]:
    environment = dict(os.environ)
    environment.update(
        DOCKER_BUILDKIT="1",
        # The daemon's own builder sees local images and leaves its result among them.
        BUILDX_BUILDER="default",
        # An attestation would turn the result into an index with another id at each build.
        BUILDX_NO_DEFAULT_ATTESTATIONS="1",
        BUILDKIT_PROGRESS="plain",
        NO_COLOR="1",
    )
    if host:
        environment["DOCKER_HOST"] = host
        environment.pop("DOCKER_CONTEXT", None)
    return environment


def _answers(client: str, host: str | None) -> bool:
    """Does a daemon answer there?"""
    try:
        result = subprocess.run(
            [client, "version", "--format", "{{.Server.Version}}"],
            env=_environment(host),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=20,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return result.returncode == 0 and bool(result.stdout.strip())


def _builds(client: str, host: str | None) -> str:
    """Build a two-line image for real: '' when BuildKit made it, else why not."""
    engine = Engine(client, _environment(host))
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "probe").write_text("probe\n")
        Path(folder, "Dockerfile").write_text("FROM scratch\nCOPY probe /probe\n")
        try:
            build = engine.build(Path(folder), None, timeout=120)
        except (DockerError, OSError, subprocess.TimeoutExpired) as error:
            return f"{client} cannot build with BuildKit: {str(error).strip().splitlines()[-1]}"
        engine("image", "rm", "--force", build.image_id, check=False)
    return ""


class Daemon:
    """A dockerd of the tests' own, shared by test sessions that run side by side.

    Its data lives in the cache folder and survives, which saves the next session the base images.
    Sessions hold a shared lock; the last one out stops the daemon.
    """

    def __init__(self) -> None:
        self.data = cache_folder() / "docker"
        # A socket's path may have 108 characters: the cache folder can be too deep for it.
        self.run = Path(tempfile.gettempdir(), f"drydock-docker-{os.getuid()}")
        self.host = f"unix://{self.run}/docker.sock"
        self.log = self.run / "dockerd.log"
        self._use = None

    def acquire(self, client: str) -> str:
        """Start the daemon unless a session beside this one did; answers its address."""
        if os.geteuid() != 0:
            raise Unavailable("no Docker daemon answers, and only root can start one")
        if not shutil.which("dockerd"):
            raise Unavailable("no Docker daemon answers, and there is no dockerd to start")
        self.run.mkdir(mode=0o700, exist_ok=True)
        with open(self.run / "start.lock", "w") as start:
            fcntl.flock(start, fcntl.LOCK_EX)
            self._use = open(self.run / "use.lock", "w")  # noqa: SIM115 held for the session
            fcntl.flock(self._use, fcntl.LOCK_SH)
            if _answers(client, self.host):
                return self.host
            # Without the right to set up a bridge the rest still works: builds run on the host's
            # network and containers on none.
            for network in ([], ["--bridge=none", "--iptables=false"]):
                if self._start(client, network):
                    return self.host
        last = "\n".join(self.log.read_text(errors="replace").splitlines()[-5:])
        raise Unavailable(f"dockerd did not start; its last words:\n{last}")

    def _start(self, client: str, network: list[str]) -> bool:
        pid = self.run / "docker.pid"
        pid.unlink(missing_ok=True)
        with open(self.log, "w") as log:
            process = subprocess.Popen(
                [
                    "dockerd",
                    f"--host={self.host}",
                    f"--data-root={self.data}",
                    f"--exec-root={self.run}/exec",
                    f"--pidfile={pid}",
                    *network,
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        end = time.monotonic() + 60
        while time.monotonic() < end and process.poll() is None:
            if _answers(client, self.host):
                return True
            time.sleep(0.3)
        if process.poll() is None:
            process.terminate()
            process.wait(30)
        return False

    def alone(self) -> bool:
        """Does no other session use the daemon?"""
        try:
            fcntl.flock(self._use, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            # A failed change of a lock may have dropped it.
            fcntl.flock(self._use, fcntl.LOCK_SH)
            return False
        return True

    def tidy(self, engine: Engine, limit: int = 4_000_000_000) -> None:
        """Remove every layer that was built, so that the next session builds for real, and images
        that lost their name. Base images stay, and what uv downloaded, unless that makes the whole
        larger than `limit` bytes: the daemon's own accounts leave out what uv unpacked.
        """
        # What a session that was killed left behind.
        if left := engine("ps", "--all", "--quiet").stdout.split():
            engine("rm", "--force", "--volumes", *left, check=False)
        named = engine("images", "--format={{.Repository}}:{{.Tag}}").stdout.split()
        if left := [tag for tag in named if tag.startswith(TAG)]:
            engine("image", "rm", "--force", *left, check=False)
        prune = ("builder", "prune", "--all", "--force")
        engine("image", "prune", "--force", check=False, timeout=600)
        for kind in ("regular", "source.local"):
            engine(*prune, f"--filter=type={kind}", check=False, timeout=600)
        used = subprocess.run(["du", "-s", "-B1", self.data], capture_output=True, text=True).stdout
        if used and int(used.split()[0]) > limit:
            engine(*prune, check=False, timeout=600)

    def release(self) -> None:
        """Leave the daemon; stop it when no other session uses it."""
        if self._use is None:
            return
        with open(self.run / "start.lock", "w") as start:
            fcntl.flock(start, fcntl.LOCK_EX)
            last = self.alone()
            self._use.close()
            if last:
                self._stop()

    def _stop(self) -> None:
        try:
            process = int((self.run / "docker.pid").read_text())
            os.kill(process, signal.SIGTERM)
        except (OSError, ValueError):
            return
        end = time.monotonic() + 30
        while time.monotonic() < end:
            # Our own child must be reaped, another session's is reaped by init.
            with contextlib.suppress(ChildProcessError):
                os.waitpid(process, os.WNOHANG)
            try:
                os.kill(process, 0)
            except ProcessLookupError:
                return
            time.sleep(0.2)


@contextlib.contextmanager
def engine() -> Iterator[Engine]:
    """An Engine with a daemon behind it, cleaned up at the end.

    Raises Unavailable with the reason where this machine has no Docker that builds.
    """
    clients = _clients()
    if not clients:
        raise Unavailable("no docker client on PATH")
    own = None
    host = None
    if not any(_answers(client, None) for client in clients):
        own = Daemon()
        host = own.acquire(clients[0])
    try:
        reasons = []
        for client in clients:
            reason = _builds(client, host)
            if not reason:
                found = Engine(client, _environment(host))
                break
            reasons.append(reason)
        else:
            raise Unavailable("; ".join(reasons))
        try:
            yield found
        finally:
            found.cleanup()
            if own and own.alone():
                own.tidy(found)
    finally:
        if own:
            own.release()
