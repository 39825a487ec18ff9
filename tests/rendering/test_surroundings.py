"""Generation where something is missing: uv, the network, git's identity, a repository."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.support import projects

# A loopback port that nothing listens on: every connection is refused at once.
NO_NETWORK = {
    name: "http://127.0.0.1:9"
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
} | {"NO_PROXY": "", "no_proxy": ""}


def copy(template: Path, folder: Path, env: dict[str, str]) -> str:
    """Make a project by the command line and return everything that was said."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    words = ("copy", "--trust", "--defaults", "--vcs-ref", "HEAD", template, folder)
    done = projects.copier(*words, cwd=folder.parent, env=env)
    return done.stdout + done.stderr


def advice(said: str) -> list[str]:
    """The lines that say how to make the lock."""
    return [line for line in said.splitlines() if "run `uv lock`" in line]


def test_without_uv_the_project_is_complete_and_one_sentence_says_what_to_run(
    template: Path, tmp_path: Path, path_without_uv: str
) -> None:
    said = copy(template, tmp_path / "demo", {"PATH": path_without_uv})
    assert len(advice(said)) == 1 and "install uv" in advice(said)[0]
    assert not (tmp_path / "demo" / "uv.lock").exists()
    assert (tmp_path / "demo" / "Dockerfile").exists()


def test_without_network_the_project_is_complete_and_one_sentence_says_what_to_run(
    template: Path, tmp_path: Path
) -> None:
    env = NO_NETWORK | {"UV_CACHE_DIR": str(tmp_path / "empty"), "UV_HTTP_RETRIES": "0"}
    said = copy(template, tmp_path / "demo", env)
    assert len(advice(said)) == 1
    assert not (tmp_path / "demo" / "uv.lock").exists()
    assert (tmp_path / "demo" / "Dockerfile").exists()


def test_an_index_that_refuses_is_named_in_the_sentence(template: Path, tmp_path: Path) -> None:
    words = ("copy", "--trust", "--defaults", "--vcs-ref", "HEAD", "--data=advanced=true")
    index = "--data=package_index=http://127.0.0.1:9/simple"
    done = projects.copier(
        *words, index, template, tmp_path / "demo", cwd=tmp_path, env={"UV_HTTP_RETRIES": "0"}
    )
    assert len(advice(done.stderr)) == 1
    assert (tmp_path / "demo" / "Dockerfile").exists()


def test_without_an_identity_for_git_nothing_fails(
    template: Path, tmp_path: Path, network: None
) -> None:
    """A temporary home without .gitconfig, and no name in the environment."""
    env = {"HOME": str(tmp_path), "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    env |= {"GIT_AUTHOR_NAME": "", "GIT_COMMITTER_NAME": "", "EMAIL": ""}
    env |= {"UV_CACHE_DIR": projects.run("uv", "cache", "dir", cwd=tmp_path).stdout.strip()}
    said = copy(template, tmp_path / "demo", env)
    assert not advice(said)
    assert (tmp_path / "demo" / "uv.lock").exists()
    assert not (tmp_path / "demo" / ".git").exists(), "the repository is the user's to make"


def test_inside_another_repository_only_the_new_folder_is_written(
    template: Path, tmp_path: Path, path_without_uv: str
) -> None:
    projects.commit_all(tmp_path, "A repository around it")
    copy(template, tmp_path / "demo", {"PATH": path_without_uv})
    changed = projects.git("status", "--porcelain", cwd=tmp_path).split()
    assert changed == ["??", "demo/"]


def test_what_was_in_the_folder_stays(template: Path, tmp_path: Path, path_without_uv: str) -> None:
    """A user may generate into a folder with work in it: his files win."""
    folder = tmp_path / "demo"
    (folder / "src").mkdir(parents=True)
    mine = {"main.py": "print('mine')\n", "notes.txt": "mine\n", "src/own.py": "MINE = 1\n"}
    for name, text in mine.items():
        (folder / name).write_text(text)
    copy(template, folder, {"PATH": path_without_uv})
    assert {name: (folder / name).read_text() for name in mine} == mine


def test_the_environment_of_whoever_generates_is_not_written_into_the_lock(
    template: Path, tmp_path: Path, network: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("UV_EXCLUDE_NEWER", raising=False)
    copy(template, tmp_path / "demo", {"UV_EXCLUDE_NEWER": "2026-08-01T00:00:00Z"})
    projects.run("uv", "lock", "--check", cwd=tmp_path / "demo")


def test_a_default_project_is_made_in_seconds_and_without_a_warning(
    template: Path, tmp_path: Path, network: None
) -> None:
    said = copy(template, tmp_path / "demo", {})
    assert "warn" not in said.lower(), said
    assert (tmp_path / "demo" / "uv.lock").exists()


def test_the_stand_in_for_a_path_without_uv_has_none(path_without_uv: str) -> None:
    assert shutil.which("git", path=path_without_uv)
    assert not shutil.which("uv", path=path_without_uv)
