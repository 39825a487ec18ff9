"""Updates that come by themselves: what the CI of a project runs, with GitHub and GitLab as
stand-ins, and git as it is."""

from __future__ import annotations

import json
import os
import re
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts import update_tools
from tests.support import projects
from tests.update.test_answers import Versions, replace

SCRIPT = "scripts/template_update.py"
TOKEN = "TEMPLATE_UPDATE_TOKEN"


@pytest.fixture(scope="module")
def versions(tmp_path_factory: pytest.TempPathFactory) -> Versions:
    return Versions(tmp_path_factory.mktemp("versions") / "drydock")


class Host:
    """A project with its origin, and what runs in its CI."""

    def __init__(self, project: Path, folder: Path, env: dict[str, str]) -> None:
        """Make the origin and the programs that stand in for uv and gh."""
        self.project, self.folder = project, folder
        self.origin = folder / "origin.git"
        projects.git("clone", "--quiet", "--bare", project, self.origin, cwd=folder)
        projects.git("remote", "add", "origin", self.origin, cwd=project)
        (folder / "bin").mkdir()
        self.called, self.listed = folder / "called.txt", folder / "listed.json"
        self.listed.write_text("[]")
        self.program("uv", "exit 0")
        self.program("gh", f'echo "$*" >>"{self.called}"\ntest "$2" != list || cat "{self.listed}"')
        path = f"{folder / 'bin'}:{os.environ['PATH']}"
        self.env = {"PATH": path, "GIT_CONFIG_GLOBAL": os.devnull, **env}

    def program(self, name: str, script: str) -> None:
        path = self.folder / "bin" / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def run(self, version: str) -> str:
        """Do what the two jobs do, each in a clone of its own, and return what they said."""
        said = ""
        update = self.folder / "update"
        for step in ("prepare", "propose"):
            clone = self.folder / f"{step}-{len(list(self.folder.iterdir()))}"
            projects.git("clone", "--quiet", self.origin, clone, cwd=self.folder)
            env = self.env | {"TEMPLATE_VERSION": version}
            done = projects.run(sys.executable, SCRIPT, step, update, cwd=clone, env=env)
            said += done.stdout + done.stderr
        return said

    def show(self, branch: str, file: str) -> str:
        return projects.git("show", f"{branch}:{file}", cwd=self.origin)


@pytest.fixture
def host(versions: Versions, tmp_path: Path) -> Host:
    """A project on GitHub in whose Dockerfile its owner has changed a line."""
    project = versions.project()
    replace("Dockerfile", "STOPSIGNAL SIGTERM", "STOPSIGNAL SIGQUIT")(project)
    projects.commit_all(project, "Mine")
    return Host(project, tmp_path, {"GITHUB_ACTIONS": "true"})


CATALOGUE = projects.ROOT / "extensions" / "catalogue"
UV = json.loads((CATALOGUE / "uv.json").read_text())["uv"][0]["version"]


def newer_uv(template: Path) -> None:
    """What a release changes."""
    replace("extensions/catalogue/uv.json", UV, "0.99.1")(template)


def and_the_signal(template: Path) -> None:
    newer_uv(template)
    replace("template/Dockerfile.jinja", "STOPSIGNAL SIGTERM", "STOPSIGNAL SIGINT")(template)


def test_a_request_says_in_words_what_changes_and_a_second_run_brings_it_up_to_date(
    host: Host, versions: Versions
) -> None:
    version = versions.add(newer_uv)
    branch = f"template-update/{version}"
    host.run(version)
    assert "uv:0.99.1 " in host.show(branch, "Dockerfile")
    said = host.called.read_text()
    assert f"| uv | {UV} | 0.99.1 |" in said
    assert "| Python |" not in said, "only what changes"
    assert re.search(rf"^pr create --head {branch} --title Update from the template to", said, re.M)
    assert "--draft" not in said
    # Main moves on: the branch is made again from it, and the request stays the same.
    (host.project / "main.py").write_text("# Mine\n")
    projects.commit_all(host.project, "On main")
    projects.git("push", "--quiet", "origin", "HEAD:main", cwd=host.project)
    host.listed.write_text('[{"number": 7, "state": "OPEN"}]')
    host.run(version)
    assert host.show(branch, "main.py") == "# Mine\n"
    assert "pr edit 7 --title" in host.called.read_text()


def test_a_branch_with_somebodys_commits_is_left_alone(host: Host, versions: Versions) -> None:
    version = versions.add(and_the_signal)
    branch = f"template-update/{version}"
    host.run(version)
    clone = host.folder / "reviewer"
    projects.git("clone", "--quiet", "--branch", branch, host.origin, clone, cwd=host.folder)
    (clone / "Dockerfile").write_text("FROM mine\n")
    projects.commit_all(clone, "Resolve the conflict")
    projects.git("push", "--quiet", "origin", branch, cwd=clone)
    host.listed.write_text('[{"number": 7, "state": "OPEN"}]')
    assert f"{branch} holds commits of somebody@example.com: left alone." in host.run(version)
    assert host.show(branch, "Dockerfile") == "FROM mine\n"


def test_conflicts_make_a_draft_that_names_the_files(host: Host, versions: Versions) -> None:
    version = versions.add(and_the_signal)
    host.run(version)
    said = host.called.read_text()
    assert said.rstrip().endswith("--draft")
    assert "- `Dockerfile`" in said
    assert "| uv |" in said, "the new stack is read out of the template's side"


def test_a_conflict_that_was_settled_is_no_draft_and_says_what_moved(
    versions: Versions, tmp_path: Path
) -> None:
    project = versions.project()
    replace("Dockerfile", "STOPSIGNAL", "ENV OURS=1\nSTOPSIGNAL")(project)
    projects.commit_all(project, "Mine")
    host = Host(project, tmp_path, {"GITHUB_ACTIONS": "true"})
    version = versions.add(and_the_signal)
    assert "moved      in Dockerfile: `ENV OURS=1`" in host.run(version)
    said = host.called.read_text()
    assert "- Dockerfile: `ENV OURS=1` stands" in said
    assert "--draft" not in said and "changed the same lines" not in said
    assert "\nENV OURS=1\n" in host.show(f"template-update/{version}", "Dockerfile")


def test_a_line_that_means_something_else_without_a_conflict_makes_a_draft_that_says_so(
    versions: Versions, tmp_path: Path
) -> None:
    project = versions.project()
    replace("Dockerfile", "# Drydock's again", "COPY ours ours\n# Drydock's again")(project)
    projects.commit_all(project, "Mine")
    host = Host(project, tmp_path, {"GITHUB_ACTIONS": "true"})
    folder = "template/Dockerfile.jinja", "WORKDIR {{ workdir }}\n", "WORKDIR /ours\n"
    host.run(versions.add(replace(*folder)))
    said = host.called.read_text()
    assert "- Dockerfile: `COPY ours ours` is below another WORKDIR now." in said
    assert said.rstrip().endswith("--draft") and "changed the same lines" not in said


@pytest.mark.parametrize("state", ["CLOSED", "MERGED"])
def test_a_request_that_was_decided_is_not_opened_again(
    host: Host, versions: Versions, state: str
) -> None:
    host.listed.write_text(json.dumps([{"number": 7, "state": state}]))
    version = versions.add(newer_uv)
    assert f"was {state.lower()}" in host.run(version)
    assert projects.git("branch", "--list", "template-update/*", cwd=host.origin) == ""


def test_an_up_to_date_project_gets_no_request(host: Host) -> None:
    assert "Nothing new." in host.run("v1.0.0")
    assert not host.called.exists()


@pytest.fixture
def gitlab() -> Iterator[tuple[str, list[tuple[str, str, str | None, Any]]]]:
    """An API of merge requests that has none, and what it was asked."""
    asked: list[tuple[str, str, str | None, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            size = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(size)) if size else None
            asked.append((self.command, self.path, self.headers.get("PRIVATE-TOKEN"), body))
            text = b"[]" if self.command == "GET" else b"{}"
            self.send_response(200)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST = do_PUT = answer

        def log_message(self, *words: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/api/v4", asked
    server.shutdown()


def test_gitlab_gets_a_merge_request_that_is_a_draft_where_there_are_conflicts(
    versions: Versions, tmp_path: Path, gitlab: tuple[str, list]
) -> None:
    api, asked = gitlab
    project = versions.project(ci="gitlab")
    replace("Dockerfile", "STOPSIGNAL SIGTERM", "STOPSIGNAL SIGQUIT")(project)
    projects.commit_all(project, "Mine")
    host = Host(project, tmp_path, {"GITLAB_CI": "true", "CI_API_V4_URL": api, TOKEN: "secret"})
    host.env |= {"CI_PROJECT_ID": "42", "CI_DEFAULT_BRANCH": "main", "GITHUB_ACTIONS": ""}
    host.env["CI_REPOSITORY_URL"] = str(host.origin)
    version = versions.add(and_the_signal)
    host.run(version)
    assert "uv:0.99.1 " in host.show(f"template-update/{version}", "Dockerfile")
    (find, create) = asked
    path = "/api/v4/projects/42/merge_requests"
    branch = f"template-update/{version}"
    assert find[:3] == (
        "GET",
        f"{path}?source_branch={branch.replace('/', '%2F')}&state=all",
        "secret",
    )
    assert create[:3] == ("POST", path, "secret")
    assert create[3]["source_branch"] == branch and create[3]["target_branch"] == "main"
    assert create[3]["title"] == f"Draft: Update from the template to {version}"
    assert "- `Dockerfile`" in create[3]["description"]


def test_the_token_is_in_the_job_that_pushes_and_in_no_other(versions: Versions) -> None:
    github = versions.project() / ".github/workflows/template-update.yml"
    jobs = yaml.safe_load(github.read_text())["jobs"]
    prepare, propose = (yaml.dump(jobs[name]) for name in ("prepare", "propose"))
    assert "secrets." not in prepare and "github.token" not in prepare
    assert jobs["prepare"]["permissions"] == {"contents": "read"}
    assert "copier" not in propose and "uv " not in propose
    with_token = [step for step in jobs["propose"]["steps"] if TOKEN in yaml.dump(step)]
    assert with_token == jobs["propose"]["steps"][-1:]
    assert all("timeout-minutes" in job for job in jobs.values())
    gitlab = versions.project(ci="gitlab") / ".gitlab/template-update.yml"
    jobs = yaml.safe_load(gitlab.read_text())
    assert "environment" not in jobs["update"], "the variable has the scope of an environment"
    assert jobs["propose update"]["environment"]["name"] == "template-update"
    assert all("timeout" in job for job in jobs.values())


def test_projects_of_a_fleet_do_not_all_start_in_the_same_minute(versions: Versions) -> None:
    crons = set()
    for name in ("forecast", "churn", "vision", "speech"):
        workflow = versions.project(project_name=name) / ".github/workflows/template-update.yml"
        minute, hour, *_, day = re.search(r'cron: "(.*)"', workflow.read_text())[1].split()
        assert int(minute) < 60 and 3 <= int(hour) < 7 and 1 <= int(day) <= 5
        crons.add((minute, hour, day))
    assert len(crons) == 4


def test_what_runs_the_update_is_pinned_with_hashes(tmp_path: Path, network: None) -> None:
    text = update_tools.FILE.read_text()
    assert text.startswith(update_tools.HEADER)
    rows = re.findall(r"^(\S+==\S+)(?: ; .*)? \\\n    --hash=sha256:", text, re.MULTILINE)
    assert set(update_tools.pins()) <= set(rows)
    assert len(rows) == len(re.findall(r"^\S+==", text, re.MULTILINE))
    words = ("--dry-run", "--require-hashes", "--only-binary", ":all:", "--target", tmp_path)
    projects.run("uv", "pip", "install", *words, "-r", update_tools.FILE, cwd=tmp_path)
