"""`scripts.fleet`: what a platform team asks of two hundred repositories before they move."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.version import Version

from drydock.catalogue import Catalogue
from scripts import fleet
from tests.support import projects


def repository(folder: Path, commit: str = "v0.4.0", **answers: Any) -> Path:
    """Write what the command reads of a repository."""
    folder.mkdir()
    basic = {
        "_commit": commit,
        "_src_path": "https://example.com/drydock",
        "project_name": folder.name,
        "workload": "train",
        "accelerator": "cpu",
        "framework": "pytorch",
        "python_version": "3.13",
        "platform": "docker",
        "advanced": False,
    }
    (folder / ".copier-answers.yml").write_text(yaml.safe_dump({**basic, **answers}))
    (folder / "Dockerfile").write_text(
        "ARG BASE_IMAGE=old/image:1\nFROM ghcr.io/astral-sh/uv:0.1.0 AS uv\n"
    )
    (folder / ".python-version").write_text(f"{answers.get('python_version', '3.13')}\n")
    return folder


def gpu(driver: str, *names: str) -> dict[str, Any]:
    return {"accelerator": "gpu", "gpus": list(names) or ["any"], "driver": driver}


RELEASES = [Version("0.4.0"), Version("0.5.0"), Version("0.6.0")]


@pytest.mark.parametrize(
    ("commit", "behind"), [("v0.4.0", 2), ("v0.5.0-3-gdeadbee", 1), ("v0.6.0", 0)]
)
def test_a_project_is_behind_by_releases(commit: str, behind: int, tmp_path: Path) -> None:
    folder = repository(tmp_path / "demo", commit)
    project = fleet.look_at(Catalogue(), folder, {}, RELEASES)
    assert (project.behind, project.state) == (behind, "behind")
    assert project.before == {"base image": "old/image:1", "python": "3.13", "uv": "0.1.0"}
    assert project.after["python"] == "3.13" and project.after["uv"] != "0.1.0"


def test_who_cannot_move_to_another_cuda_is_listed_with_the_driver_or_the_gpu(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fleet_of = {
        "cpu": {},
        "new": gpu("580", "H100"),
        "old-driver": gpu("535", "H100"),
        "old-gpu": gpu("580", "V100"),
    }
    folders = [repository(tmp_path / name, **answers) for name, answers in fleet_of.items()]
    (tmp_path / "other").mkdir()
    report = tmp_path / "fleet.json"
    words = ["--data", "cuda=13.0", "--json", report, *folders, tmp_path / "other"]
    assert fleet.main([str(word) for word in words]) == 1
    rows = {Path(row["repository"]).name: row for row in json.loads(report.read_text())}
    states = {name: row["state"] for name, row in rows.items()}
    assert states == {
        "cpu": "behind",
        "new": "behind",
        "old-driver": "refused",
        "old-gpu": "refused",
        "other": "unknown",
    }
    assert "driver: 535" in rows["old-driver"]["reason"]
    assert "V100" in rows["old-gpu"]["reason"]
    said = capsys.readouterr().out
    assert said.startswith("2 refused, 1 unknown, 2 behind, 0 current.\n")
    assert said.index("old-driver") < said.index("/new ")


def test_a_project_like_a_fresh_one_is_current(template: Path, tmp_path: Path) -> None:
    project = projects.generate(template, tmp_path / "demo")
    answers = project / ".copier-answers.yml"
    text = answers.read_text().replace("_src_path", "_commit: v0.6.0\n_src_path", 1)
    answers.write_text("\n".join(dict.fromkeys(text.splitlines())))
    found = fleet.look_at(Catalogue(), project, {}, RELEASES)
    assert (found.state, found.reason) == ("current", "")


def test_a_question_that_there_is_not_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        fleet.main(["--data", "cudda=13.0", "."])
    assert "no question" in capsys.readouterr().err
