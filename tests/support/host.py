"""What this machine has that tests make something of: certificates, CPythons."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path


class Unavailable(Exception):
    """Something this machine lacks; the text is the reason that pytest shows."""


def ca_bundle() -> Path | None:
    """The bundle of certificates this machine is told to trust, if it is told so."""
    named = os.environ.get("SSL_CERT_FILE", "")
    return Path(named) if named and Path(named).is_file() else None


def find_cpython(minor: str) -> Path:
    """The prefix of a CPython `minor` ("3.13") that can be copied: not the system's own in /usr.

    Looks at what uv finds, at PATH and at pyenv's versions. Raises Unavailable where there is none.
    """
    candidates: list[str] = []
    if shutil.which("uv"):
        listed = subprocess.run(
            ["uv", "python", "list", "--only-installed", "--output-format=json", minor],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        if listed.returncode == 0:
            candidates += [row["path"] for row in json.loads(listed.stdout) if row.get("path")]
    if sys.version_info[:2] == tuple(map(int, minor.split("."))):
        candidates.append(sys.executable)
    candidates += [str(Path(place, f"python{minor}")) for place in os.get_exec_path()]
    if shutil.which("pyenv"):
        root = subprocess.run(["pyenv", "root"], capture_output=True, text=True).stdout.strip()
        candidates += map(str, Path(root, "versions").glob(f"{minor}.*/bin/python{minor}"))
    for candidate in dict.fromkeys(candidates):
        try:
            asked = subprocess.run(
                [candidate, "-c", "import sys; print(sys.base_prefix, *sys.version_info[:2])"],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                cwd="/",
            )
        except OSError:
            continue
        if asked.returncode or asked.stdout.split()[1:] != minor.split("."):
            continue
        prefix = Path(asked.stdout.split()[0])
        if prefix != Path("/usr") and Path(prefix, "bin", f"python{minor}").is_file():
            return prefix
    raise Unavailable(f"no CPython {minor} outside /usr on this machine to make a stand-in of")


def cpython_version(prefix: Path, minor: str) -> str:
    python = Path(prefix, "bin", f"python{minor}")
    asked = [str(python), "-c", "import platform; print(platform.python_version())"]
    return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
