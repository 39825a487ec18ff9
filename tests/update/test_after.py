"""What is said and run after an update: conflicts, files that are gone, the lock."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import projects
from tests.update.test_answers import UPDATE, Versions, replace

EXTENSIONS = projects.ROOT / "extensions"


@pytest.fixture(scope="module")
def versions(tmp_path_factory: pytest.TempPathFactory) -> Versions:
    return Versions(tmp_path_factory.mktemp("versions") / "drydock")


def fake_uv(folder: Path) -> tuple[Path, Path]:
    """Put a `uv` in a folder of its own that writes down its environment.

    Returns:
        The folder, for PATH, and the file with the environment.
    """
    (folder / "bin").mkdir()
    seen = folder / "seen.txt"
    uv = folder / "bin" / "uv"
    uv.write_text(f'#!/bin/sh\nenv >"{seen}"\n')
    uv.chmod(0o755)
    return folder / "bin", seen


def test_the_lock_gets_no_token_and_all_that_leads_to_an_index(tmp_path: Path) -> None:
    folder, seen = fake_uv(tmp_path)
    passed = {
        "HOME": str(tmp_path),
        "HTTPS_PROXY": "http://proxy.example.com",
        "no_proxy": "localhost",
        "SSL_CERT_FILE": "/etc/ssl/ours.pem",
        "UV_INDEX_PRIVATE_PASSWORD": "of the index",
        "UV_DEFAULT_INDEX": "https://pypi.example.com/simple",
    }
    kept_back = {
        "GH_TOKEN": "a",
        "CI_JOB_TOKEN": "b",
        "AWS_SECRET_ACCESS_KEY": "c",
        "UV_PUBLISH_TOKEN": "d",
        "UV_EXCLUDE_NEWER": "2020-01-01",
        "VIRTUAL_ENV": "/somewhere",
        "ACTIONS_RUNTIME_TOKEN": "e",
    }
    path = {"PATH": f"{folder}:{os.environ['PATH']}"}
    projects.run(
        sys.executable, EXTENSIONS / "lock.py", cwd=tmp_path, env=passed | kept_back | path
    )
    environment = dict(line.split("=", 1) for line in seen.read_text().splitlines() if "=" in line)
    assert passed.items() <= environment.items()
    assert not kept_back.keys() & environment.keys()


def test_an_update_that_skips_tasks_leaves_the_lock_alone(
    versions: Versions, tmp_path: Path
) -> None:
    folder, seen = fake_uv(tmp_path)
    project = versions.project()
    tag = versions.add(lambda template: None)
    env = {"PATH": f"{folder}:{os.environ['PATH']}"}
    projects.copier(*UPDATE, f"--vcs-ref={tag}", cwd=project, env=env)
    assert not seen.exists()
    words = [word for word in UPDATE if word != "--skip-tasks"]
    projects.commit_all(project, "Updated")
    projects.copier(*words, f"--vcs-ref={tag}", cwd=project, env=env)
    assert seen.exists()


def test_conflicts_are_said_with_the_names_of_the_files(versions: Versions) -> None:
    project = versions.project()
    for name, old in {"Dockerfile": "SIGTERM", "pyproject.toml": "# Drydock's: what"}.items():
        text = (project / name).read_text()
        assert old in text
        (project / name).write_text(text.replace(old, "MINE"))
    projects.commit_all(project, "Mine")

    def edit(template: Path) -> None:
        replace("template/Dockerfile.jinja", "SIGTERM", "SIGINT")(template)
        replace("template/pyproject.toml.jinja", "# Drydock's: what", "# What")(template)

    words = [word for word in UPDATE if word != "--skip-tasks"]
    done = projects.copier(*words, f"--vcs-ref={versions.add(edit)}", cwd=project)
    assert "conflicts  in Dockerfile, pyproject.toml: " in done.stderr
    assert "uv.lock was not written, since pyproject.toml has conflicts" in done.stderr
    assert "Failed to parse" not in done.stderr
    # What docs/updating.md says for the day an update went wrong.
    page = (projects.ROOT / "docs" / "updating.md").read_text()
    assert "git reset --hard && git clean -fd" in page
    projects.run("sh", "-c", "git reset --quiet --hard && git clean -qfd", cwd=project)
    assert projects.git("status", "--porcelain", cwd=project) == ""
    assert "MINE" in (project / "Dockerfile").read_text()


def test_a_file_that_goes_with_an_answer_is_named_with_the_way_to_what_was_in_it(
    versions: Versions,
) -> None:
    project = versions.project(image_name="ghcr.io/acme/demo")
    ci = project / ".github" / "workflows" / "ci.yml"
    ci.write_text(ci.read_text() + "# My own job.\n")
    projects.commit_all(project, "Mine")
    words = ("--data=ci=none", "--data=image_name=demo")
    said = projects.copier(*UPDATE, "--vcs-ref=v1.0.0", *words, cwd=project).stderr
    line = next(line for line in said.splitlines() if line.startswith("removed "))
    assert ".github/workflows/ci.yml" in line and "scripts/publish.sh" in line
    command = line.partition("What you had in it: ")[2].split()
    shown = subprocess.run(command, cwd=project, capture_output=True, text=True, check=True)
    assert shown.stdout.endswith("# My own job.\n")


def test_a_file_that_moves_in_the_template_is_named_too(versions: Versions) -> None:
    project = versions.project()
    script = project / "scripts" / "smoke-test.sh"
    script.write_text(script.read_text() + "# Mine.\n")
    projects.commit_all(project, "Mine")

    def move(template: Path) -> None:
        old = template / "template" / "scripts" / "smoke-test.sh.jinja"
        old.rename(old.with_name("smoke.sh.jinja"))

    said = projects.copier(*UPDATE, f"--vcs-ref={versions.add(move)}", cwd=project).stderr
    assert "removed    scripts/smoke-test.sh: " in said
    assert (project / "scripts" / "smoke.sh").exists()


def test_an_update_that_leaves_nothing_to_look_at_says_nothing(versions: Versions) -> None:
    project = versions.project()
    done = projects.copier(*UPDATE, f"--vcs-ref={versions.add(lambda template: None)}", cwd=project)
    assert "conflicts" not in done.stderr and "removed" not in done.stderr
