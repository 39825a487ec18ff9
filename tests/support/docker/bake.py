"""`docker buildx bake` where builds have to be on the host's network.

    python bake.py CLIENT [--metadata-file FILE] [TARGET]

Loopback is where the tests have a registry and a package index, and their daemons have no bridge.
A bake file could name the network for newer versions only, so this builds what bake prints.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

_FLAGS = {
    "output": "--output",
    "cache-from": "--cache-from",
    "cache-to": "--cache-to",
    "attest": "--attest",
    "tags": "--tag",
    "secret": "--secret",
    "platforms": "--platform",
}


def words(target: dict) -> list[str]:
    """The words after `docker` that build a target as `bake --print` shows it.

    The builder inside Docker cannot push without a tag: there it gets the tag `untested`.
    """
    answer = ["buildx", "build", "--progress=plain", "--network=host", "--allow=network.host"]
    answer += [f"--build-arg={name}={value}" for name, value in target.get("args", {}).items()]
    answer += [f"--label={name}={value}" for name, value in target.get("labels", {}).items()]
    for key, flag in _FLAGS.items():
        for value in target.get(key, []):
            # Newer versions print a mapping.
            text = (
                value if isinstance(value, str) else ",".join(f"{k}={v}" for k, v in value.items())
            )
            if "push-by-digest=true," in text and os.environ.get("BUILDX_BUILDER") == "default":
                name = text.partition("name=")[2].partition(",")[0]
                text = text.replace("push-by-digest=true,", "").replace(name, f"{name}:untested")
            answer.append(f"{flag}={text}")
    return [*answer, target["context"]]


def wrapper(folder: Path, client: str) -> None:
    """Put a `docker` into a folder that bakes this way, and is `client` for all else."""
    folder.mkdir(exist_ok=True)
    script = folder / "docker"
    script.write_text(
        "#!/bin/sh\n"
        'case "$1 $2" in\n'
        f'"buildx bake") shift 2; exec {sys.executable} {__file__} {client} "$@" ;;\n'
        f'*) exec {client} "$@" ;;\n'
        "esac\n"
    )
    script.chmod(0o755)


def main(client: str, *given: str) -> int:
    """Build the target; answers the client's exit code."""
    report = list(given[:2]) if given[:1] == ("--metadata-file",) else []
    name = (*given[len(report) :], "default")[0]
    shown = subprocess.run(
        [client, "buildx", "bake", "--print", name], check=True, stdout=subprocess.PIPE
    )
    target = json.loads(shown.stdout)["target"][name]
    return subprocess.run([client, *words(target)[:2], *report, *words(target)[2:]]).returncode


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
