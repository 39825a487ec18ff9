"""Say where a fleet of projects stands: who is behind and by what, and who cannot move and why.

    uv run python -m scripts.fleet ../repositories/*
    uv run python -m scripts.fleet --data cuda=13.0 --json fleet.json ../repositories/*

The repositories are local clones. Nothing in them is run or changed: their answers are solved with
the catalogue of this version of the template. With `--data`, they are solved as if each project
that is asked the question had been given that answer; what `copier update` would refuse is listed
with its sentence. The exit code is 1 if there is such a project. docs/platform-team.md goes on.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import yaml
from copier.errors import UserMessageError
from packaging.version import InvalidVersion, Version

from drydock.catalogue import Catalogue
from drydock.changes import refuse_change
from drydock.preflight import preflight
from drydock.questions import ADVANCED, QUESTIONS, is_asked
from drydock.stack import stack_of
from scripts.markdown import table

ROOT = Path(__file__).parents[1]


@dataclass
class Project:
    """Where one repository stands.

    Attributes:
        repository: its folder.
        version: of the template, as its answers file says.
        behind: how many releases of the template are newer.
        state: "current", "behind", "refused", or "unknown" for what is no project of a template.
        reason: what an update would say, for a refused one.
        before, after: base image, Python and uv, as they stand there and as they would be.
    """

    repository: str
    version: str = ""
    behind: int = 0
    state: str = "unknown"
    reason: str = ""
    before: dict[str, str] = field(default_factory=dict)
    after: dict[str, str] = field(default_factory=dict)


def look_at(
    catalogue: Catalogue, folder: Path, data: Mapping[str, Any], releases: Sequence[Version]
) -> Project:
    """Solve the answers of one repository, and compare the result with what stands there.

    Args:
        catalogue: the facts.
        folder: the repository.
        data: answers that every project gets that is asked those questions.
        releases: the versions of the template, in any order.
    """
    project = Project(str(folder))
    try:
        file = yaml.safe_load((folder / ".copier-answers.yml").read_text("utf-8"))
        project.version = str(file["_commit"])
        own = _release(project.version)
    except (OSError, yaml.YAMLError, KeyError, TypeError, InvalidVersion) as error:
        project.reason = f"{type(error).__name__}: {error}"
        return project
    answers = {name: file[name] for name in QUESTIONS if name in file}
    given = _given(answers, data)
    project.behind = sum(release > own for release in releases)
    project.before = _stands_there(folder)
    wanted = {**answers, **given, "kept_python": answers.get("python_version")}
    try:
        refuse_change(catalogue, answers, wanted, str(file.get("_src_path", "TEMPLATE")))
        preflight(catalogue, wanted, given, asks=False)
        asked = {name: value for name, value in wanted.items() if name not in QUESTIONS}
        asked |= {name: wanted[name] for name in answers | given if is_asked(wanted, name)}
        stack = stack_of(catalogue, asked)
    except UserMessageError as error:
        project.state, project.reason = "refused", str(error)
        return project
    project.after = {
        "base image": stack["base"]["image"],
        "python": str(wanted.get("python_version", "")),
        "uv": stack["uv"]["version"],
    }
    moves = project.before != project.after or given
    project.state = "behind" if project.behind or moves else "current"
    return project


def _release(commit: str) -> Version:
    """The release that a commit is of, or the last before it: v0.4.0-3-gdeadbee is of 0.4.0."""
    return Version(re.sub(r"-\d+-g[0-9a-f]+$", "", commit))


def _given(answers: Mapping[str, Any], data: Mapping[str, Any]) -> dict[str, Any]:
    """Pick what is asked of a project, which is asked advanced questions if it is given one."""
    more = {"advanced": True} if any(name in ADVANCED for name in data) else {}
    given = {
        name: value for name, value in data.items() if is_asked({**answers, **data, **more}, name)
    }
    return {**(more if any(name in ADVANCED for name in given) else {}), **given}


def _stands_there(folder: Path) -> dict[str, str]:
    """Read what the image of a repository is made of."""
    found = {}
    for name, file, pattern in (
        ("base image", "Dockerfile", r"^ARG BASE_IMAGE=(\S+)"),
        ("python", ".python-version", r"^(\S+)"),
        ("uv", "Dockerfile", r"^FROM \S*/uv:([^\s@]+)\S* AS uv"),
    ):
        path = folder / file
        match = path.is_file() and re.search(pattern, path.read_text("utf-8", "replace"), re.M)
        found[name] = match[1] if match else ""
    return found


def page(projects: Sequence[Project]) -> str:
    """Write a summary and a table, the refused ones first."""
    counts = Counter(project.state for project in projects)
    states = ("refused", "unknown", "behind", "current")
    lines = [", ".join(f"{counts[state]} {state}" for state in states) + ".", ""]
    rows = [
        (project.repository, project.state, project.version, project.behind, _change(project))
        for project in sorted(projects, key=lambda one: (states.index(one.state), one.repository))
    ]
    lines += table(("repository", "state", "version", "releases behind", "what, or why not"), rows)
    return "\n".join(lines)


def _change(project: Project) -> str:
    if project.reason:
        return project.reason
    return "; ".join(
        f"{name} {project.before.get(name) or 'none'} → {value}"
        for name, value in project.after.items()
        if project.before.get(name) != value
    )


def releases_of(template: Path) -> list[Version]:
    """Return the versions that are tagged in a clone of the template."""
    tags = subprocess.run(
        ["git", "tag", "--list", "v*"], cwd=template, capture_output=True, text=True, check=True
    ).stdout.split()
    versions = []
    for tag in tags:
        try:
            versions.append(Version(tag))
        except InvalidVersion:
            continue
    return [version for version in versions if not version.is_prerelease]


def main(words: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("repositories", nargs="+", type=Path)
    parser.add_argument("--data", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the same as JSON")
    options = parser.parse_args(words)
    data = dict(pair.split("=", 1) for pair in options.data if "=" in pair)
    if strange := [pair for pair in options.data if pair.partition("=")[0] not in QUESTIONS]:
        parser.error(f"--data {strange[0]}: no question")
    catalogue, releases = Catalogue(), releases_of(ROOT)
    projects = [look_at(catalogue, folder, data, releases) for folder in options.repositories]
    print(page(projects))
    if options.json:
        rows = [asdict(project) for project in projects]
        options.json.write_text(json.dumps(rows, indent=2, ensure_ascii=False) + "\n", "utf-8")
    return int(any(project.state == "refused" for project in projects))


if __name__ == "__main__":
    sys.exit(main())
