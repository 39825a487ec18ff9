"""Two machines that build apart.

Where a Docker with buildx answers, a machine is a BuildKit container of its own
(`docker buildx create`), with caches of its own. Where there is none, or no registry answers,
it is a daemon from Debian 13 in a root of its own, which only root can start. Both are cold: they
have no layer and nothing that uv downloaded. They also differ in what must not matter: the second
daemon has its data on another file system, where folders are listed in another order, and one
processor.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.docker import rooted
from tests.support.docker.cache import cache_folder
from tests.support.docker.client import TAG, DockerError, Engine
from tests.support.docker.exported import Exported
from tests.support.host import Unavailable


@dataclass(frozen=True)
class Machine:
    """A builder with caches of its own and the daemon that runs what it built."""

    docker: Engine
    provide: Callable[[str], None]
    """Makes a base image exist in this builder: call it with the reference."""
    flags: tuple[str, ...] = ()
    """More words for `docker build`."""

    def forget(self) -> None:
        """Take every layer away that it has built; what uv downloaded stays."""
        self.docker("builder", "prune", "--all", "--force", "--filter=type=regular", timeout=600)

    def bakes(self, project: Path, target: str) -> tuple[dict[str, str], dict[str, str]]:
        """What a project's docker-bake.hcl says of a target: build arguments, and the output."""
        file = project / "docker-bake.hcl"
        printed = self.docker("buildx", "bake", f"--file={file}", "--print", target).stdout
        content = json.loads(printed)["target"][target]
        [output] = content["output"]
        # Newer versions print a mapping.
        if isinstance(output, str):
            output = dict(pair.split("=", 1) for pair in output.split(","))
        return content.get("args", {}), output

    def export(self, project: Path, archive: Path, target: str = "default", **how) -> Exported:
        """Build a target of a project's docker-bake.hcl, into a file instead of where it says.

        Uncompressed, to be quick, also what the builder has compressed for a registry: a file with
        some of each cannot be loaded. Keywords as Engine.build. Raises BuildFailed.
        """
        arguments, output = self.bakes(project, target)
        # Of an image with attestations, which goes to a registry, the file is an OCI one.
        kind = "oci" if output["type"] == "image" else output["type"]
        words = [f"type={kind}", f"dest={archive}", "compression=uncompressed"]
        words.append("force-compression=true")
        tag = f"{TAG}{os.getpid()}/{archive.stem}"
        build = self.docker.build(
            project,
            tag,
            build_args={**arguments, **how.pop("build_args", {})},
            extra=[f"--output={','.join(words)}", *self.flags, *how.pop("extra", ())],
            **how,
        )
        return Exported(archive, tag, build)

    def load(self, image: Exported) -> str:
        """Make the daemon know an exported image, and return the tag to run it by."""
        self.docker("load", f"--input={image.archive}", timeout=600)
        return image.tag


@contextlib.contextmanager
def machines(docker: Engine) -> Iterator[tuple[Machine, Machine]]:
    """Two machines; `docker` is the client and daemon of this one. Removed at the end.

    Raises Unavailable with the reasons where there are no two.
    """
    reasons = []
    for kind in (_containers, _daemons):
        with contextlib.ExitStack() as stack:
            try:
                pair = stack.enter_context(kind(docker))
            except (Unavailable, DockerError, OSError, subprocess.SubprocessError) as missing:
                reasons.append(str(missing).strip().splitlines()[-1])
                continue
            yield pair
            return
    raise Unavailable("no two builders: " + "; ".join(reasons))


@contextlib.contextmanager
def _containers(docker: Engine) -> Iterator[tuple[Machine, Machine]]:
    """BuildKit's own image in two containers; base images come from their registries."""
    names = [f"{TAG}{uuid.uuid4().hex[:8]}" for _ in range(2)]

    def provide(reference: str) -> None:
        """Nothing to do: such a builder pulls."""

    pair: list[Machine] = []
    try:
        for name in names:
            docker(
                "buildx",
                "create",
                "--driver=docker-container",
                "--driver-opt=network=host",
                "--buildkitd-flags=--allow-insecure-entitlement=network.host",
                "--bootstrap",
                f"--name={name}",
                timeout=600,
            )
            client = Engine(docker.client, {**docker.environment, "BUILDX_BUILDER": name})
            # Engine.build asks for the host's network, which such a builder must be told to give.
            pair.append(Machine(client, provide, ("--allow=network.host",)))
        yield pair[0], pair[1]
    finally:
        for machine in pair:
            machine.docker.cleanup()
        for name in names:
            docker("buildx", "rm", "--force", name, check=False)


@contextlib.contextmanager
def _daemons(docker: Engine) -> Iterator[tuple[Machine, Machine]]:
    """Two daemons of Debian 13; base images are copied from this machine's daemon."""
    with contextlib.ExitStack() as stack:
        config = Path(stack.enter_context(tempfile.TemporaryDirectory()))

        def machine(host: str) -> Machine:
            environment = {**docker.environment, "DOCKER_HOST": host}
            client = Engine(*rooted.client(config, environment))

            def provide(reference: str) -> None:
                if client.image(reference) is None:
                    _copy(docker, client, reference)

            client("version", timeout=60)
            return Machine(client, provide)

        one = stack.enter_context(daemon())
        other = stack.enter_context(daemon(filesystem="tmpfs", processors=1))
        yield machine(one), machine(other)


def _copy(source: Engine, target: Engine, reference: str) -> None:
    """`docker save | docker load`."""
    save = subprocess.Popen(
        [source.client, "save", reference],
        env=source.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
    )
    with save:
        target("load", stdin=save.stdout, timeout=600)
    if save.returncode:
        raise DockerError(f"docker save {shlex.quote(reference)}: exit {save.returncode}")


@contextlib.contextmanager
def daemon(*, filesystem: str = "", processors: int | None = None) -> Iterator[str]:
    """A daemon of Debian 13 with no image yet; yields its address. Keywords as rooted.start.

    In CI (CI is set) its data stays: to remove it takes a minute on a machine that is thrown away.
    """
    # What a session in CI left, or one that was killed.
    for left in cache_folder().glob("docker-data-*-*"):
        if not Path("/proc", left.name.split("-")[2]).exists():
            shutil.rmtree(left, ignore_errors=True)
    data = Path(tempfile.mkdtemp(prefix=f"docker-data-{os.getpid()}-", dir=cache_folder()))
    # Not in $TMPDIR, which can be too deep for a socket.
    run = Path(tempfile.mkdtemp(prefix="drydock-", dir="/tmp"))
    try:
        process = rooted.start(data, run, filesystem=filesystem, processors=processors)
        try:
            yield f"unix://{run}/docker.sock"
        finally:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(60)
            process.kill()
            process.wait()
    finally:
        shutil.rmtree(run, ignore_errors=True)
        if not os.environ.get("CI"):
            shutil.rmtree(data, ignore_errors=True)
