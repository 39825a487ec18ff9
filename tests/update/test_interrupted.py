"""An update that is cut off, and one in a working tree unlike those of the other tests."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support import projects

UPDATE = ("update", "--trust", "--defaults", "--skip-answered", "--skip-tasks")
KILLS = int(os.environ.get("DRYDOCK_KILLS", "2"))
EDIT = '"""Ours."""\n'


class Move:
    """A project of one version, and what an undisturbed update to the next makes of it."""

    def __init__(self, folder: Path) -> None:
        """Make both; the second version changes one file and adds one."""
        template = projects.snapshot(folder / "drydock")
        projects.git("tag", "v1.0.0", cwd=template)
        (template / "template" / "scripts" / "more.sh").write_text("#!/bin/sh\necho more\n")
        (template / "template" / "Dockerfile.jinja").open("a").write("# The next version.\n")
        projects.commit_all(template, "The next version")
        projects.git("tag", "v2.0.0", cwd=template)
        self.start = folder / "start" / "demo"
        self.start.parent.mkdir()
        words = ("copy", "--trust", "--defaults", "--skip-tasks", "--quiet", "--vcs-ref=v1.0.0")
        projects.copier(*words, template, self.start, cwd=folder)
        (self.start / "main.py").open("a").write("# Ours.\n")
        (self.start / "src" / "demo" / "features.py").write_text(EDIT)
        projects.commit_all(self.start, "Ours")
        whole = self.copy(folder / "whole")
        projects.copier(*UPDATE, cwd=whole)
        self.result = projects.files(whole)
        assert self.result != projects.files(self.start) and "scripts/more.sh" in self.result

    def copy(self, folder: Path) -> Path:
        """A copy of the project before the update, at `folder`, which must not exist."""
        return shutil.copytree(self.start, folder, symlinks=True)


@pytest.fixture(scope="module")
def move(tmp_path_factory: pytest.TempPathFactory) -> Move:
    return Move(tmp_path_factory.mktemp("move"))


def bring_back() -> str:
    """The command of docs/updating.md for the day an update went wrong."""
    page = (projects.ROOT / "docs" / "updating.md").read_text()
    part = page.partition("## When an update went wrong")[2]
    return part.partition("```sh\n")[2].partition("\n```")[0]


def test_an_update_that_is_killed_is_brought_back_by_one_command_and_ends_as_it_would_have(
    move: Move, tmp_path: Path
) -> None:
    moments = random.Random(1)
    project = move.copy(tmp_path / "demo")
    for _ in range(KILLS):
        command = [sys.executable, "-m", "copier", *UPDATE]
        update = subprocess.Popen(
            command, cwd=project, stderr=subprocess.DEVNULL, start_new_session=True
        )
        # Before the first file is written, there is nothing to bring back.
        while update.poll() is None and not (project / "scripts" / "more.sh").exists():
            time.sleep(0.01)
        time.sleep(moments.uniform(0, 0.5))
        assert update.poll() is None, "it is over, though it has migrations to run"
        os.killpg(update.pid, signal.SIGKILL)
        update.wait()
        assert projects.git("status", "--porcelain", cwd=project) != ""
        projects.run("sh", "-euc", bring_back(), cwd=project)
        assert projects.files(project) == projects.files(move.start)
        assert projects.git("status", "--porcelain", cwd=project) == ""
    projects.copier(*UPDATE, cwd=project)
    assert projects.files(project) == move.result


def test_an_update_on_a_disk_that_is_full_fails_and_is_brought_back_by_the_same_command(
    move: Move, tmp_path: Path
) -> None:
    """The disk is one in memory, and what fills it up is a file that the owner's Git ignores."""
    disk, seen = tmp_path / "disk", tmp_path / "seen"
    disk.mkdir()
    script = f"""
        mount -t tmpfs -o size=8m drydock {disk}
        cp -R {move.start} {disk}/demo
        cd {disk}/demo
        mkdir outputs
        dd if=/dev/zero of=outputs/filler bs=4k status=none || true
        ! "$@"
        {bring_back()}
        cp -R {disk}/demo {seen}
    """
    command = ("sh", "-euc", script, "sh", sys.executable, "-m", "copier", *UPDATE)
    allowed = projects.run("unshare", "--mount", "true", cwd=tmp_path, check=False)
    if allowed.returncode:
        projects.lacking("to mount a small disk, one has to be root")
    projects.run("unshare", "--mount", *command, cwd=tmp_path)
    assert projects.files(seen) == projects.files(move.start)
    assert (seen / "outputs" / "filler").stat().st_size > 0
    shutil.rmtree(seen / "outputs")
    projects.copier(*UPDATE, cwd=seen)
    assert projects.files(seen) == move.result


def clone(project: Path) -> Path:
    folder = project.parent / "clone"
    words = ("clone", "--quiet", "--depth=1", "--config=core.autocrlf=true")
    (project / ".gitattributes").unlink()
    projects.commit_all(project, "As git does it")
    projects.git(*words, project.as_uri(), folder, cwd=project.parent)
    projects.git("checkout", "--quiet", "--detach", cwd=folder)
    assert b"\r\n" in (folder / "main.py").read_bytes()
    return folder


def subfolder(project: Path) -> Path:
    mono = project.parent / "mono"
    shutil.copytree(project, mono / "team" / "demo", ignore=shutil.ignore_patterns(".git"))
    (mono / "other.txt").write_text("Another project's.\n")
    projects.commit_all(mono, "Everything")
    return mono / "team" / "demo"


STATES: dict[str, Callable[[Path], Path]] = {
    "a shallow clone with a detached HEAD and the line endings of Windows": clone,
    "a subfolder of another repository": subfolder,
}


@pytest.mark.parametrize("state", STATES)
def test_an_update_makes_the_same_of_it_in(state: str, move: Move, tmp_path: Path) -> None:
    """And nobody has told git who they are: an update makes no commit of theirs."""
    project = STATES[state](move.copy(tmp_path / "demo"))
    before = projects.git("rev-parse", "HEAD", cwd=project)
    nobody = {
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_SYSTEM": os.devnull,
        "HOME": str(tmp_path),
        "EMAIL": "",
    }
    projects.copier(*UPDATE, cwd=project, env=nobody)
    now, expected = projects.files(project), dict(move.result)
    now.pop(".gitattributes", None), expected.pop(".gitattributes", None)
    assert now == expected
    assert projects.git("rev-parse", "HEAD", cwd=project) == before


@pytest.mark.parametrize("file", ["main.py", "notes.txt"])
def test_what_is_not_committed_or_not_even_known_to_git_stops_an_update_before_it_begins(
    file: str, move: Move, tmp_path: Path
) -> None:
    project = move.copy(tmp_path / "demo")
    (project / file).open("a").write("# Not committed.\n")
    before = projects.files(project)
    done = projects.copier(*UPDATE, cwd=project, check=False)
    assert done.returncode != 0 and "repository is dirty" in done.stderr
    assert projects.files(project) == before
