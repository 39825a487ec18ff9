"""Two machines that build apart and rewrite time stamps, which BuildKit does from 0.13 on.

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
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.docker.cache import cache_folder
from tests.support.docker.client import TAG, DockerError, Engine
from tests.support.docker.debian import docker_root
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

        Uncompressed, to be quick: BuildKit's gzip gives equal layers equal digests. Keywords as
        Engine.build. Raises BuildFailed.
        """
        arguments, output = self.bakes(project, target)
        kept = {"rewrite-timestamp"} & output.keys()
        words = [f"{name}={output[name]}" for name in sorted(kept)]
        # Of an image with attestations, which goes to a registry, the file is an OCI one.
        kind = "oci" if output["type"] == "image" else output["type"]
        words = [f"type={kind}", f"dest={archive}", "compression=uncompressed", *words]
        tag = f"{TAG}{os.getpid()}/{archive.stem}"
        build = self.docker.build(
            project,
            tag,
            build_args=arguments,
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

    Raises Unavailable with the reasons where there is no BuildKit that rewrites time stamps.
    """
    reasons = []
    for kind in (_containers, _daemons):
        with contextlib.ExitStack() as stack:
            try:
                pair = stack.enter_context(kind(docker))
                for machine in pair:
                    _probe(machine)
            except (Unavailable, DockerError, OSError, subprocess.SubprocessError) as missing:
                reasons.append(str(missing).strip().splitlines()[-1])
                continue
            yield pair
            return
    raise Unavailable("no BuildKit that rewrites time stamps: " + "; ".join(reasons))


_PROBE = """
target "default" {
  args   = { SOURCE_DATE_EPOCH = "0" }
  output = ["type=docker,rewrite-timestamp=true"]
}
"""


def _probe(machine: Machine) -> None:
    """Build one file: its time must be the epoch. Versions do not tell, Debian's says v0.0.0."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "probe").write_text("probe\n")
        Path(folder, "Dockerfile").write_text("FROM scratch\nCOPY probe /probe\n")
        Path(folder, "docker-bake.hcl").write_text(_PROBE)
        archive = Path(folder, "probe.tar")
        image = machine.export(Path(folder), archive, timeout=120)
        # Type, mode, user and group come before the time.
        if image.content(image.layers()[0])["probe"][4] != 0:
            raise Unavailable("this BuildKit leaves time stamps as they are")


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
    root = docker_root()
    with contextlib.ExitStack() as stack:
        config = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        (config / "cli-plugins").mkdir()
        plugin = Path("usr/libexec/docker/cli-plugins/docker-buildx")
        (config / "cli-plugins" / plugin.name).symlink_to(root / plugin)

        def machine(host: str) -> Machine:
            environment = {**docker.environment, "DOCKER_HOST": host, "DOCKER_CONFIG": str(config)}
            environment.pop("DOCKER_CONTEXT", None)
            # The client runs outside the root, to see the projects.
            client = Engine(str(root / "usr/bin/docker"), environment)

            def provide(reference: str) -> None:
                if client.image(reference) is None:
                    _copy(docker, client, reference)

            client("version", timeout=60)
            return Machine(client, provide)

        one = stack.enter_context(_daemon(root))
        other = stack.enter_context(_daemon(root, filesystem="tmpfs", processors=1))
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


# Mounts of a namespace that ends with the daemon: nothing is left to unmount. Words: the root, the
# data, the folder of the socket, the file system of the data ("" is the folder's own).
_START = """
set -e
mount --bind "$1" "$1"
mount -t proc proc "$1/proc"
mount --rbind /sys "$1/sys"
mount --rbind /dev "$1/dev"
mount -t tmpfs tmpfs "$1/run"
mkdir "$1/run/drydock"
mount --bind "$3" "$1/run/drydock"
if test -n "$4"; then mount -t "$4" "$4" "$2"; fi
mount --bind "$2" "$1/var/lib/docker"
mount --bind /etc/resolv.conf "$1/etc/resolv.conf"
mount --bind /etc/hosts "$1/etc/hosts"
exec chroot "$1" dockerd --config-file=/run/drydock/daemon.json
"""


@contextlib.contextmanager
def _daemon(root: Path, *, filesystem: str = "", processors: int | None = None) -> Iterator[str]:
    """A daemon in a Debian root, with no image yet; yields its address."""
    # What a session that was killed could not remove.
    for left in cache_folder().glob("docker-data-*-*"):
        if not Path("/proc", left.name.split("-")[2]).exists():
            shutil.rmtree(left, ignore_errors=True)
    data = Path(tempfile.mkdtemp(prefix=f"docker-data-{os.getpid()}-", dir=cache_folder()))
    # A socket's path may have 108 characters: the cache folder can be too deep for it.
    run = Path(tempfile.mkdtemp(prefix="drydock-"))
    settings = {
        "hosts": ["unix:///run/drydock/docker.sock"],
        "pidfile": "/run/drydock/docker.pid",
        "exec-root": "/run/docker",
        # The exporter that rewrites needs this image store.
        "features": {"containerd-snapshotter": True},
        # Builds run on the host's network and containers on none: a bridge is not needed.
        "bridge": "none",
        "iptables": False,
        "ip6tables": False,
    }
    (run / "daemon.json").write_text(json.dumps(settings))
    words = ["unshare", "--mount", "--propagation=private"]
    if processors:
        some = sorted(os.sched_getaffinity(0))[:processors]
        words += ["taskset", "--cpu-list", ",".join(map(str, some))]
    # Whatever ends the tests ends the daemon.
    words += ["setpriv", "--pdeathsig=TERM", "sh", "-c", _START, "sh"]
    words += [str(root), str(data), str(run), filesystem]
    try:
        with open(run / "log", "w") as log:
            process = subprocess.Popen(
                words,
                # A folder of this machine's would not be there in the root.
                env={**os.environ, "TMPDIR": "/tmp"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            end = time.monotonic() + 90
            while not (run / "docker.sock").exists():
                if process.poll() is not None or time.monotonic() > end:
                    last = (run / "log").read_text(errors="replace").splitlines()[-1:]
                    raise Unavailable(f"the daemon of Debian 13 did not start: {' '.join(last)}")
                time.sleep(0.2)
            yield f"unix://{run}/docker.sock"
        finally:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(60)
            process.kill()
            process.wait()
    finally:
        shutil.rmtree(run, ignore_errors=True)
        shutil.rmtree(data, ignore_errors=True)
