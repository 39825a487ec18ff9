"""Which daemon the tests talk to: the one that runs, else one of their own."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.support.docker import rooted
from tests.support.docker.cache import cache_folder
from tests.support.docker.client import TAG, DockerError, Engine
from tests.support.host import Unavailable


class Daemon:
    """A daemon of the tests' own, shared by test sessions that run side by side.

    Its data lives in the cache folder and survives, which saves the next session the base images.
    Sessions hold a shared lock; the last one out stops the daemon.
    """

    def __init__(self, data: Path | None = None) -> None:
        """Choose the folders.

        Args:
            data: where the daemon keeps its images; default: in the cache folder of the tests.
        """
        self.data = data or cache_folder() / "docker-images"
        # A socket's path may have 108 characters: the data can lie too deep for it. Two daemons
        # cannot share the data, so the name follows from that and not from anybody's TMPDIR.
        digest = hashlib.sha256(bytes(self.data)).hexdigest()[:8]
        self.run = Path("/tmp", f"drydock-docker-{os.getuid()}-{digest}")
        self.host = f"unix://{self.run}/docker.sock"
        self._use = None

    def acquire(self) -> tuple[str, dict[str, str]]:
        """Start the daemon unless a session beside this one did.

        Returns the client, and the variables to run it with. Raises Unavailable with the reason.
        """
        if os.geteuid() != 0:
            raise Unavailable("only root can start a Docker for the tests")
        self.data.mkdir(parents=True, exist_ok=True)
        self.run.mkdir(mode=0o700, exist_ok=True)
        with open(self.run / "start.lock", "w") as start:
            fcntl.flock(start, fcntl.LOCK_EX)
            self._use = open(self.run / "use.lock", "w")  # noqa: SIM115 held for the session
            fcntl.flock(self._use, fcntl.LOCK_SH)
            client, variables = rooted.client(self.run / "config", environment(self.host))
            if not _answers(client, variables):
                rooted.start(self.data, self.run, tied=False)
            return client, variables

    def alone(self) -> bool:
        """Does no other session use the daemon? If so, none can begin to until `share`."""
        try:
            fcntl.flock(self._use, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            # A failed change of a lock may have dropped it.
            self.share()
            return False
        return True

    def share(self) -> None:
        """Let other sessions use the daemon beside this one."""
        fcntl.flock(self._use, fcntl.LOCK_SH)

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
def connect(own_daemon: type[Daemon] = Daemon) -> Iterator[Engine]:
    """A client with a daemon behind it; what it made is removed at the end.

    Of a daemon of the tests' own what a session built is removed before the next one, too: one that
    was killed did not, and in CI (CI is set) none does, since it takes more than a minute on a
    machine that is thrown away.

    Args:
        own_daemon: what to start where no daemon answers, or none that builds the images.

    Raises:
        Unavailable: where this machine has no Docker that builds; its text is the reason.
    """
    own = None
    try:
        found, reasons = None, []
        for client in _clients():
            if _answers(client, environment()):
                engine = Engine(client, environment())
                reason = _builds(engine)
                if not reason:
                    found = engine
                    break
                reasons.append(reason)
        if not found:
            own = own_daemon()
            try:
                found = Engine(*own.acquire())
                if reason := _builds(found):
                    raise Unavailable(reason)
            except Unavailable as missing:
                raise Unavailable("; ".join([*reasons, str(missing)])) from None
        if own and own.alone():
            own.tidy(found)
            own.share()
        try:
            yield found
        finally:
            leave = own and os.environ.get("CI")
            found.cleanup(images=not leave)
            if own and not leave and own.alone():
                own.tidy(found)
    finally:
        if own:
            own.release()


def _clients() -> list[str]:
    """Docker clients to try, best first: $DOCKER alone if set, else each `docker` on PATH."""
    if os.environ.get("DOCKER"):
        return [os.environ["DOCKER"]]
    places = [*os.get_exec_path(), "/usr/bin", "/usr/local/bin"]
    found = [str(Path(place, "docker")) for place in places if shutil.which("docker", path=place)]
    return list(dict.fromkeys(found))


def environment(host: str | None = None) -> dict[str, str]:
    """The variables to run a client with; `host` is the address of the daemon to talk to."""
    variables = dict(os.environ)
    variables.update(
        DOCKER_BUILDKIT="1",
        # The daemon's own builder sees local images and leaves its result among them.
        BUILDX_BUILDER="default",
        # An attestation would turn the result into an index with another id at each build.
        BUILDX_NO_DEFAULT_ATTESTATIONS="1",
        BUILDKIT_PROGRESS="plain",
        NO_COLOR="1",
    )
    if host:
        variables["DOCKER_HOST"] = host
    return variables


def _answers(client: str, variables: dict[str, str]) -> bool:
    """Does a daemon answer there?"""
    try:
        result = subprocess.run(
            [client, "version", "--format", "{{.Server.Version}}"],
            env=variables,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=20,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return result.returncode == 0 and bool(result.stdout.strip())


def _builds(engine: Engine) -> str:
    """Build a two-line image for real: '' when BuildKit made it as Docker 23 does, else why not."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "probe").write_text("probe\n")
        Path(folder, "Dockerfile").write_text("FROM scratch\nCOPY --link probe /probe\n")
        try:
            build = engine.build(Path(folder), None, timeout=120)
        except (DockerError, OSError, subprocess.TimeoutExpired) as error:
            last = str(error).strip().splitlines()[-1]
            return f"{engine.client} cannot build what takes Docker 23 or newer: {last}"
        engine("image", "rm", "--force", build.image_id, check=False)
    return ""
