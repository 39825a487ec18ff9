"""The scheduled workflow: what it may do, and its script run as it stands."""

from __future__ import annotations

import os
import re
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts.refresh.command import main
from tests.refresh.world import small_catalogue, write

ROOT = Path(__file__).parents[2]
WORKFLOWS = ROOT / ".github" / "workflows"


@pytest.fixture(scope="module")
def workflow() -> dict[str, Any]:
    """The workflow."""
    return yaml.safe_load((WORKFLOWS / "refresh.yml").read_text("utf-8"))


@pytest.fixture(scope="module")
def steps(workflow: dict[str, Any]) -> list[dict[str, Any]]:
    """The steps of its one job."""
    (job,) = workflow["jobs"].values()
    return job["steps"]


def script(steps: list[dict[str, Any]], name: str) -> str:
    """The script of a step."""
    return next(step["run"] for step in steps if step.get("name") == name)


def test_it_runs_every_week_and_when_somebody_asks(workflow: dict[str, Any]) -> None:
    when = workflow[True]  # YAML 1.1 reads the word "on" as true
    assert re.fullmatch(r"\d+ \d+ \* \* \d", when["schedule"][0]["cron"])
    assert "workflow_dispatch" in when
    assert set(when) == {"schedule", "workflow_dispatch"}


def test_it_may_do_no_more_than_it_does(workflow: dict[str, Any]) -> None:
    assert workflow["permissions"] == {}
    (job,) = workflow["jobs"].values()
    assert job["permissions"] == {
        "contents": "write",
        "pull-requests": "write",
        "actions": "write",
    }
    with_token = [step["name"] for step in job["steps"] if "token" in str(step.get("env", ""))]
    assert with_token == ["Propose the change"]


def test_its_actions_are_the_pinned_ones_of_ci(steps: list[dict[str, Any]]) -> None:
    used = {step["uses"] for step in steps if "uses" in step}
    in_ci = (WORKFLOWS / "ci.yml").read_text("utf-8")
    assert len(used) == 2
    for action in used:
        assert re.fullmatch(r"[\w/-]+@[0-9a-f]{40}", action)
        assert action in in_ci


def test_it_gives_the_command_options_that_it_has(
    steps: list[dict[str, Any]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = script(steps, "Refresh").split()
    given = command[command.index("scripts.refresh") + 1 :]
    assert (ROOT / "scripts" / "refresh" / "__main__.py").is_file()
    write(tmp_path, small_catalogue())
    with pytest.raises(SystemExit) as stopped:
        main([*given, "--help"])
    assert stopped.value.code == 0
    known = capsys.readouterr().out
    options = [word for word in given if word.startswith("--")]
    assert options
    assert all(option in known for option in options)


def test_zizmor_has_no_objection() -> None:
    zizmor = Path(sysconfig.get_path("scripts")) / "zizmor"
    command = [zizmor, "--offline", "--no-progress", WORKFLOWS / "refresh.yml"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_the_ci_that_it_starts_can_be_started(steps: list[dict[str, Any]]) -> None:
    assert "gh workflow run ci.yml" in script(steps, "Propose the change")
    ci = yaml.safe_load((WORKFLOWS / "ci.yml").read_text("utf-8"))
    assert "workflow_dispatch" in ci[True], "ci.yml needs the trigger workflow_dispatch"


class Checkout:
    """A clone with the catalogue, its remote, and a `gh` that notes how it is called."""

    def __init__(self, folder: Path) -> None:
        """Make them."""
        self.folder = folder / "clone"
        self._bin = folder / "bin"
        self._log = folder / "gh.log"
        self._open = folder / "open"
        self._bin.mkdir(parents=True)
        gh = self._bin / "gh"
        gh.write_text(
            f'#!/bin/sh\necho "$@" >>{self._log}\n'
            f'if test "$2" = list && test -e {self._open}; then echo 7; fi\n'
        )
        gh.chmod(0o755)
        self.git("init", "--quiet", "--bare", "--initial-branch=main", folder / "remote", at=folder)
        self.git("clone", "--quiet", folder / "remote", self.folder, at=folder)
        (self.folder / "catalogue.json").write_text("{}\n")
        self.commit()
        self.git("push", "--quiet", "origin", "HEAD:main")

    @property
    def environment(self) -> dict[str, str]:
        """Variables as on a runner; whoever runs the tests has no say in how git behaves."""
        return {
            "PATH": f"{self._bin}:{os.environ['PATH']}",
            "HOME": str(self.folder),
            "GIT_CONFIG_GLOBAL": os.devnull,
            "RUNNER_TEMP": str(self.folder.parent),
            "BRANCH": "refresh-catalogue",
            "GH_TOKEN": "a token",
        }

    def git(self, *words: str | Path, at: Path | None = None) -> str:
        """Run git."""
        command = ["git", *map(str, words)]
        environment = {"PATH": os.environ["PATH"], "GIT_CONFIG_GLOBAL": os.devnull}
        return subprocess.run(
            command,
            cwd=at or self.folder,
            env=environment,
            check=True,
            capture_output=True,
            text=True,
        ).stdout

    def commit(self) -> None:
        """Commit everything, as somebody."""
        self.git("add", "--all")
        who = ("-c", "user.name=A", "-c", "user.email=a@example.org")
        self.git(*who, "commit", "--quiet", "--message", "Start")

    def propose(self, script: str, pull_request_is_open: bool = False) -> list[str]:
        """Run the script as GitHub does, and return how `gh` was called."""
        self._log.write_text("")
        self._open.unlink(missing_ok=True)
        if pull_request_is_open:
            self._open.touch()
        command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script]
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return self._log.read_text().splitlines()


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    """A fresh clone."""
    return Checkout(tmp_path)


def test_it_proposes_nothing_where_nothing_changed(
    checkout: Checkout, steps: list[dict[str, Any]]
) -> None:
    assert checkout.propose(script(steps, "Propose the change")) == []


def test_it_proposes_a_change_and_starts_ci_on_it(
    checkout: Checkout, steps: list[dict[str, Any]]
) -> None:
    (checkout.folder / "catalogue.json").write_text('{"a": 1}\n')
    calls = checkout.propose(script(steps, "Propose the change"))
    assert [call.split()[:2] for call in calls] == [
        ["auth", "setup-git"],
        ["pr", "list"],
        ["pr", "create"],
        ["workflow", "run"],
    ]
    assert calls[3] == "workflow run ci.yml --ref refresh-catalogue"
    assert f"--body-file {checkout.folder.parent}/summary.md" in calls[2]
    pushed = checkout.git("show", "origin/refresh-catalogue:catalogue.json")
    assert pushed == '{"a": 1}\n'


def test_a_pull_request_that_is_still_open_gets_the_new_change(
    checkout: Checkout, steps: list[dict[str, Any]]
) -> None:
    (checkout.folder / "catalogue.json").write_text('{"a": 1}\n')
    checkout.propose(script(steps, "Propose the change"))
    checkout.git("switch", "--quiet", "main")
    checkout.git("branch", "--quiet", "--delete", "--force", "refresh-catalogue")
    (checkout.folder / "catalogue.json").write_text('{"a": 2}\n')
    calls = checkout.propose(script(steps, "Propose the change"), pull_request_is_open=True)
    assert [call.split()[:2] for call in calls][1:] == [
        ["pr", "list"],
        ["pr", "edit"],
        ["workflow", "run"],
    ]
    assert checkout.git("show", "origin/refresh-catalogue:catalogue.json") == '{"a": 2}\n'
    commits = checkout.git("rev-list", "--count", "origin/main..origin/refresh-catalogue")
    assert commits.strip() == "1"


def test_a_failed_refresh_fails_the_job_after_the_change_was_proposed(
    steps: list[dict[str, Any]],
) -> None:
    by_name = {step.get("name"): step for step in steps}
    assert by_name["Refresh"]["continue-on-error"] is True
    last = steps[-1]
    assert last["if"] == "steps.refresh.outcome != 'success'"
    assert last["run"] == "exit 1"
    assert by_name["Refresh"]["id"] == "refresh"
    names = [step.get("name") for step in steps]
    assert names.index("Propose the change") < names.index(last["name"])
