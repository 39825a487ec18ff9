"""What the tests share: a template repository, projects made from it, and tools run on them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import NoReturn

import pytest
import yaml
from copier import run_copy

from tests.support import compiled

ROOT = Path(__file__).resolve().parents[2]


def lacking(reason: str) -> NoReturn:
    """Skip with the reason; fail in CI and with DRYDOCK_REQUIRE_DOCKER=1, since a run that skips
    has not tested it.
    """
    if os.environ.get("CI") == "true" or os.environ.get("DRYDOCK_REQUIRE_DOCKER") == "1":
        pytest.fail(f"needed for this run: {reason}", pytrace=False)
    pytest.skip(reason)


@cache
def settings() -> dict:
    """All of copier.yml but its last document, which includes what a fork adds."""
    return next(yaml.safe_load_all((ROOT / "copier.yml").read_text("utf-8")))


@cache
def form() -> dict:
    """The questions of copier.yml, in order, with their details."""
    return {name: details for name, details in settings().items() if not name.startswith("_")}


def questions() -> set[str]:
    """Names of what a user can answer: the computed values of the form are left out."""
    return {name for name, details in form().items() if details.get("when") is not False}


def run(
    *command: str | Path, cwd: Path, check: bool = True, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command as a user would in `cwd`: not inside the environment of these tests.

    Args:
        command: the words of the command.
        cwd: where to run it.
        check: fail the test, with the output, where the exit code is not 0.
        env: variables to set beside the present ones.
    """
    ours = {"VIRTUAL_ENV", "PYTEST_ADDOPTS"}
    environment = {name: value for name, value in os.environ.items() if name not in ours}
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env={**environment, **(env or {})},
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    if check and done.returncode:
        words = " ".join(map(str, command))
        raise AssertionError(f"{words} ended with {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done


def git(*arguments: str | Path, cwd: Path) -> str:
    """Run git in `cwd` as somebody, whatever identity this machine has, and return what it said."""
    somebody = {
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_AUTHOR_NAME": "Somebody",
        "GIT_AUTHOR_EMAIL": "somebody@example.com",
        "GIT_COMMITTER_NAME": "Somebody",
        "GIT_COMMITTER_EMAIL": "somebody@example.com",
    }
    return run("git", "-c", "init.defaultBranch=main", *arguments, cwd=cwd, env=somebody).stdout


def commit_all(folder: Path, message: str) -> None:
    """Commit what lies in the folder, in a new repository where it is none yet."""
    if not (folder / ".git").exists():
        git("init", "--quiet", cwd=folder)
    git("add", "--all", cwd=folder)
    git("commit", "--quiet", "--allow-empty", "--message", message, cwd=folder)


def snapshot(destination: Path) -> Path:
    """Make a template repository of this working tree, uncommitted changes included.

    Returns:
        `destination`, with one commit and no tag.
    """
    listed = run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=ROOT)
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (destination / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, destination / name)
    commit_all(destination, "The working tree")
    return destination


def generate(template: Path, destination: Path, *, lock: bool = False, **answers: object) -> Path:
    """Make a project with Copier, with defaults for what is not answered.

    Args:
        template: a template repository.
        destination: where to write; its name is the default for the project's.
        lock: run the task that makes uv.lock?
        answers: by the names of questions; any other name fails the test.

    Returns:
        `destination`.
    """
    assert not (strange := answers.keys() - questions()), f"no question of copier.yml: {strange}"
    run_copy(
        str(template),
        destination,
        data=answers,
        defaults=True,
        unsafe=True,
        quiet=True,
        skip_tasks=not lock,
        vcs_ref="HEAD",
    )
    return destination


def copier(
    *arguments: str | Path, cwd: Path, check: bool = True, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the command `copier` of this environment, with the memory of `compiled`."""
    # -P: the folder of that file has modules with common names, such as `docker`.
    command = (sys.executable, "-P", compiled.__file__, *arguments)
    return run(*command, cwd=cwd, check=check, env=env)


def files(folder: Path) -> dict[str, str]:
    """Text of every file of a project by its path, without its repository, environment, caches."""
    skipped = {".git", ".venv", "__pycache__", ".pytest_cache", ".ruff_cache", "outputs"}
    return {
        path.relative_to(folder).as_posix(): path.read_text()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not skipped & set(path.relative_to(folder).parts)
    }


def tool(name: str) -> Path:
    """A command that is installed in the environment of these tests."""
    found = shutil.which(name, path=str(Path(sys.executable).parent))
    assert found, f"{name} is not in the environment of the tests"
    return Path(found)
