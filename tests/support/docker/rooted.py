"""Docker of Debian 13 in a root of its own, on whatever this machine is; only root can start it."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from tests.support.docker.debian import docker_root
from tests.support.host import Unavailable

# Mounts of a namespace that ends with the daemon: nothing is left to unmount. Words: the root, the
# data, the folder of the socket, the file system of the data ("" is the folder's own), and the
# folders that containers may have as volumes. Not chroot: `docker exec` enters a container at the
# root of its namespace, which chroot leaves as it was.
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
root=$1
shift 4
# Containers get folders of the tests as volumes.
for folder; do
    mkdir -p "$root$folder"
    mount --bind "$folder" "$root$folder"
done
cd "$root"
pivot_root . mnt
cd /
umount --lazy /mnt
exec dockerd --config-file=/run/drydock/daemon.json
"""


def start(
    data: Path,
    run: Path,
    *,
    filesystem: str = "",
    processors: int | None = None,
    tied: bool = True,
) -> subprocess.Popen[bytes]:
    """Start a daemon and wait until its socket is there, `docker.sock` in the folder `run`.

    Args:
        data: where it keeps its images.
        run: a folder for its socket, `docker.pid` and `log`. A socket's path may have 108
            characters, so its own must be short.
        filesystem: mount one of this kind over `data`, such as tmpfs.
        processors: how many it may use; default: all.
        tied: end it when this process ends?

    Raises:
        Unavailable: where there is no such root, or the daemon does not start.
    """
    root = docker_root()
    settings = {
        "hosts": ["unix:///run/drydock/docker.sock"],
        "pidfile": "/run/drydock/docker.pid",
        "exec-root": "/run/docker",
        # What new installations of Docker have; the other one cannot add a layer without copying.
        "features": {"containerd-snapshotter": True},
        # Builds run on the host's network and containers on none: a bridge is not needed.
        "bridge": "none",
        "iptables": False,
        "ip6tables": False,
    }
    (run / "daemon.json").write_text(json.dumps(settings))
    (run / "docker.sock").unlink(missing_ok=True)
    (run / "docker.pid").unlink(missing_ok=True)
    words = ["unshare", "--mount", "--propagation=private"]
    if processors:
        some = sorted(os.sched_getaffinity(0))[:processors]
        words += ["taskset", "--cpu-list", ",".join(map(str, some))]
    if tied:
        words += ["setpriv", "--pdeathsig=TERM"]
    words += ["sh", "-c", _START, "sh", str(root), str(data), str(run), filesystem]
    words += sorted({"/tmp", os.path.realpath(tempfile.gettempdir())})
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
    end = time.monotonic() + 90
    while not (run / "docker.sock").exists():
        if process.poll() is not None or time.monotonic() > end:
            process.kill()
            process.wait()
            last = (run / "log").read_text(errors="replace").splitlines()[-1:]
            raise Unavailable(f"the daemon of Debian 13 did not start: {' '.join(last)}")
        time.sleep(0.2)
    return process


def client(config: Path, environment: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    """The client of that Docker, with its builder: the program, and the variables to run it with.

    It runs outside the root, to see the projects.

    Args:
        config: a folder for its settings; made where it is missing.
        environment: the variables to start from.
    """
    root = docker_root()
    plugin = root / "usr/libexec/docker/cli-plugins/docker-buildx"
    (config / "cli-plugins").mkdir(parents=True, exist_ok=True)
    link = config / "cli-plugins" / plugin.name
    link.unlink(missing_ok=True)
    link.symlink_to(plugin)
    changed = {**environment, "DOCKER_CONFIG": str(config)}
    changed.pop("DOCKER_CONTEXT", None)
    return str(root / "usr/bin/docker"), changed
