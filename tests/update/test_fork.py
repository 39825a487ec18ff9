"""A fork of the template, as docs/platform-team.md says, and the next version merged into it."""

from __future__ import annotations

import json
from pathlib import Path

import yaml

from tests.support import projects

WORDS = ("--trust", "--defaults", "--skip-tasks", "--quiet")
TEAM = """\
team:
  type: str
  help: Which team is on call?
  default: vision
"""


def with_a_row(gpus: Path, name: str) -> list[dict]:
    """The rows of the GPUs with one more at their end, a copy of H100's of another name."""
    rows = json.loads(gpus.read_text())["gpus"]
    return [*rows, next(row for row in rows if row["name"] == "H100") | {"name": name}]


def test_a_fork_with_a_question_a_file_and_a_gpu_of_its_own_merges_the_next_version(
    tmp_path: Path,
) -> None:
    upstream = projects.snapshot(tmp_path / "drydock")
    gpus = Path("extensions/catalogue/gpus.json")

    fork = tmp_path / "fork"
    projects.git("clone", "--quiet", "--no-tags", upstream, fork, cwd=tmp_path)
    (fork / "fork").mkdir()
    (fork / "fork" / "team.yml").write_text(TEAM)
    (fork / "template" / "TEAM.md.jinja").write_text("On call: {{ team }}\n")
    (fork / gpus.parent / "fork").mkdir()
    mine = {"gpus": with_a_row(fork / gpus, "Acme 1")[-1:]}
    (fork / gpus.parent / "fork" / gpus.name).write_text(json.dumps(mine))
    projects.commit_all(fork, "What Acme adds")
    projects.git("tag", "v1.0.0+acme.1", cwd=fork)

    project = tmp_path / "demo"
    answers = ("--data=accelerator=gpu", "--data=framework=pytorch", "--data=gpus=[Acme 1]")
    projects.copier("copy", *WORDS, *answers, "--data", "team=speech", fork, project, cwd=tmp_path)
    assert (project / "TEAM.md").read_text() == "On call: speech\n"
    assert "GPUs: Acme 1." in (project / "Dockerfile").read_text()
    projects.commit_all(project, "Start")

    # The next version adds a question, a row and a file of its own, each at the usual place.
    (upstream / gpus).write_text(
        json.dumps({"gpus": with_a_row(upstream / gpus, "Next")}, indent=2)
    )
    form = upstream / "copier.yml"
    first, _, included = form.read_text().rpartition("\n---\n")
    form.write_text(f"{first}\nnext:\n  type: bool\n  default: true\n\n---\n{included}")
    (upstream / "template" / "NEXT.md").write_text("More.\n")
    projects.commit_all(upstream, "The next version")

    projects.git("pull", "--quiet", "--no-rebase", "--no-edit", "--no-tags", cwd=fork)
    projects.git("tag", "v1.1.0+acme.1", cwd=fork)
    projects.copier("update", *WORDS, "--skip-answered", cwd=project)
    now = yaml.safe_load((project / ".copier-answers.yml").read_text())
    assert (now["_commit"], now["team"], now["next"]) == ("v1.1.0+acme.1", "speech", True)
    assert (project / "TEAM.md").read_text() == "On call: speech\n"
    assert (project / "NEXT.md").exists()
    assert "GPUs: Acme 1." in (project / "Dockerfile").read_text()
