"""Make or refresh ``uv.lock`` in the working directory: the one task of the template.

Copier runs it with its own Python, after a copy (to bootstrap the lock) and after an update
(because the framework may have moved). The lock is a help and not a condition: without uv, without
network or with an index that refuses, the project is complete all the same, the exit code is 0,
and one sentence says what to run. While there is no lock, the image build fails early with the
same advice.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys

TIMEOUT_S = 300.0
"""Longer than any resolution seen (a cold GPU lock takes seconds), shorter than one's patience."""

PASSED_ON = {
    # Folders and programs, on Linux and macOS, then on Windows.
    *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "TMPDIR", "LANG", "TZ", "TERM"),
    *("USERPROFILE", "USERNAME", "APPDATA", "LOCALAPPDATA", "PROGRAMDATA", "PROGRAMFILES"),
    *("SYSTEMROOT", "SYSTEMDRIVE", "WINDIR", "COMSPEC", "PATHEXT", "TEMP", "TMP"),
    # The way to an index, and to a dependency in a git repository.
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "NETRC"),
    *("SSH_AUTH_SOCK", "GIT_SSH_COMMAND", "GIT_CONFIG_GLOBAL"),
}
"""Variables that uv gets: see `is_passed_on`."""


def lock() -> str:
    """Run ``uv lock`` in the working directory.

    Returns:
        What the user should know, as one sentence; empty if the lock is there and current.
    """
    uv = shutil.which("uv")
    if uv is None:
        return (
            "uv.lock was not written, since uv is not on PATH: install uv "
            "(https://docs.astral.sh/uv/getting-started/installation/) and run `uv lock` here."
        )
    if _has_conflicts():
        return (
            "uv.lock was not written, since pyproject.toml has conflicts: edit them between "
            "<<<<<<< and >>>>>>>, then run `uv lock` here."
        )
    try:
        run = subprocess.run(
            [uv, "lock", "--quiet"],
            env={name: value for name, value in os.environ.items() if is_passed_on(name)},
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"uv.lock was not written ({error}): run `uv lock` here."
    if run.returncode == 0:
        return ""
    if missing := _python(run.stderr):
        return (
            f"uv.lock was not written, since {missing}: install that Python, or answer "
            "`python_mirror` with an address that has it, and run `uv lock` here."
        )
    return f"uv.lock was not written: run `uv lock` here. uv said: {_reason(run.stderr)}"


def is_passed_on(name: str) -> bool:
    """Tell whether uv gets a variable of the environment: where things are, and how to reach them.

    uv runs the build backend of a source distribution where an index has no wheel, and that is
    code of strangers: what it must not find is a token that Copier was started with, such as a
    CI's GH_TOKEN. Credentials of an index are uv's own (UV_INDEX_<NAME>_PASSWORD), or in a file.

    What the environment says of "newest" would be written into the lock, where the image, built
    without that environment, cannot follow (https://github.com/astral-sh/uv/issues/18775); the
    project has its own setting in pyproject.toml.
    """
    name = name.upper()
    if name.startswith("UV_"):
        return name != "UV_EXCLUDE_NEWER" and not name.startswith("UV_PUBLISH_")
    return name in PASSED_ON or name.startswith(("LC_", "XDG_", "SSL_CERT_"))


def _has_conflicts() -> bool:
    """Tell whether the update left conflict markers in pyproject.toml."""
    try:
        with open("pyproject.toml", encoding="utf-8", errors="replace") as file:
            return any(line.startswith("<<<<<<< ") for line in file)
    except OSError:
        return False


def _python(stderr: str) -> str:
    """Which Python uv could neither find nor download, as half a sentence; else empty.

    uv names the file a line below its error, which says no more than that a request failed.
    """
    found = re.search(r"Failed to download `(\w+://[^/`]*)\S*/cpython-([\d.]+)", stderr)
    if not found:
        return ""
    address, version = found.groups()
    return f"CPython {version} is not on this machine and could not be had from {address}"


def _reason(stderr: str) -> str:
    """What uv complained about, out of its error and the chain of causes below it, as one line."""
    lines = [re.sub(r"^[\W_]*(error:|cause:)?\s*", "", line) for line in stderr.splitlines()]
    lines = [line for line in lines if line and not line.startswith(("warning:", "hint:"))]
    fetched = [line for line in lines if "fetch" in line.lower()]
    # What wants what stands below "No solution found", which says nothing of either.
    wanted = [line for line in lines if line.startswith("Because ")]
    return (fetched or wanted or lines or ["nothing"])[0]


if __name__ == "__main__":
    if message := lock():
        print(message, file=sys.stderr)
