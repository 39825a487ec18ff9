"""A repository of the fleet: made by a release, edited by its owner, updated, looked at."""

from __future__ import annotations

import json
import re
import time
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import yaml

from benchmarks.updates.edits import EDITS, Lines
from scripts.compare_renders import (
    ADVANCED,
    ADVANCED_GPU,
    CYCLED,
    FOR_GPU,
    FRAMEWORKS,
    PLATFORMS,
    WORKLOADS,
)
from tests.support import projects

NOW = "v1000.0.0"
RELEASES = json.loads((projects.ROOT / "tests" / "releases.json").read_text())
QUIET = ("--trust", "--defaults", "--skip-tasks")


@dataclass
class Repository:
    """One of the fleet, and what its updates did."""

    folder: Path
    release: str
    answers: dict[str, Any]
    edits: list[str] = field(default_factory=list)
    lines: Lines = field(default_factory=dict)
    """The owner's lines by file; an empty list is a file that the owner deleted."""
    touched: dict[str, list[str]] = field(default_factory=dict)
    """The names of the edits of each file."""
    updates: list[dict[str, Any]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def outcome(self) -> str:
        """What happened, for a line of progress."""
        found = [f"conflict in {name}" for note in self.updates for name in note["conflicts"]]
        found += [f"refused: {note['refused']}" for note in self.updates if "refused" in note]
        found += [line for note in self.updates for line in note["moved"]]
        return "; ".join([*found, *self.problems]) or "no conflict"


def template_with_releases(folder: Path) -> Path:
    """Make a template repository with every release as a tag, and this working tree as NOW."""
    projects.snapshot(folder)
    tree = projects.git("rev-parse", "HEAD^{tree}", cwd=folder).strip()
    for version, commit in RELEASES.items():
        projects.git("fetch", "--quiet", projects.ROOT, commit, cwd=folder)
        projects.git("tag", "--force", f"v{version}", commit, cwd=folder)
    last = list(RELEASES.values())[-1]
    now = projects.git("commit-tree", tree, "-p", last, "-m", "Now", cwd=folder).strip()
    projects.git("reset", "--quiet", "--hard", now, cwd=folder)
    projects.git("tag", NOW, cwd=folder)
    return folder


def random_answers(random: Random) -> dict[str, Any]:
    """Answers over all questions; not every release accepts every one."""
    accelerator = random.choice(list(FRAMEWORKS))
    answers = {
        "project_name": "demo",
        "workload": random.choice(WORKLOADS),
        "accelerator": accelerator,
        "framework": random.choice(FRAMEWORKS[accelerator]),
        "platform": random.choice(PLATFORMS),
    }
    kinds = CYCLED | (FOR_GPU if accelerator == "gpu" else {})
    answers |= {name: random.choice(values) for name, values in kinds.items()}
    if answers["advanced"]:
        more = ADVANCED | (ADVANCED_GPU if accelerator == "gpu" else {})
        answers |= {name: random.choice(values) for name, values in more.items()}
    return answers


def begin(template: Path, folder: Path, random: Random, release: str) -> Repository:
    """Make a repository of a release with random answers that it accepts, and edit it."""
    while True:
        answers = random_answers(random)
        folder.parent.mkdir(parents=True, exist_ok=True)
        given = folder.parent / "answers.yml"
        given.write_text(yaml.safe_dump(answers))
        words = ("copy", *QUIET, "--quiet", f"--vcs-ref=v{release}", f"--data-file={given}")
        if not projects.copier(*words, template, folder, cwd=folder.parent, check=False).returncode:
            break
    projects.commit_all(folder, "Start")
    made = Repository(folder, release, answers)
    edit(made, random)
    return made


def edit(made: Repository, random: Random) -> None:
    """Edit a repository in four to eight ways, and commit."""
    chosen = random.sample(EDITS, random.randint(4, 8))
    # What is deleted goes first: a line of another edit must not go with it.
    for number, one in enumerate(sorted(chosen, key=lambda one: one.__name__ != "deleted_module")):
        added = one(made.folder, random, number)
        if added:
            made.edits.append(one.__name__)
        for name, lines in added.items():
            made.lines.setdefault(name, []).extend(lines)
            made.touched.setdefault(name, []).append(one.__name__)
    projects.commit_all(made.folder, "Our own work")


def update(
    repository: Repository,
    version: str,
    words: tuple[str, ...] = QUIET,
) -> None:
    """Update to a version and note conflicts and seconds; conflicts are settled with both sides.

    Args:
        repository: what to update; its working tree is clean, and is afterwards.
        version: a tag of its template.
        words: Copier's switches.
    """
    folder = repository.folder
    before = yaml.safe_load((folder / ".copier-answers.yml").read_text())
    begun = time.monotonic()
    command = ("update", *words, "--skip-answered", f"--vcs-ref={version}")
    done = projects.copier(*command, cwd=folder, check=False)
    seconds = time.monotonic() - begun
    note = {"from": before["_commit"], "to": version, "seconds": round(seconds, 2)}
    note |= {"conflicts": [], "moved": [], "stays": []}
    repository.updates.append(note)
    if done.returncode:
        note["refused"] = done.stderr.strip().splitlines()[-1]
        projects.git("reset", "--quiet", "--hard", cwd=folder)
        projects.git("clean", "--quiet", "-fd", cwd=folder)
        return
    note["moved"] = re.findall(r"^moved +(.*)$", done.stderr, re.MULTILINE)
    note["stays"] = re.findall(r"^stays +(.*)$", done.stderr, re.MULTILINE)
    conflicts = set()
    for name, text in projects.files(folder).items():
        if re.search(r"^<{7} ", text, re.MULTILINE):
            conflicts.add(name)
            note.setdefault("shown", {})[name] = re.findall(
                r"^<{7} .*?^>{7} [^\n]*$", text, re.MULTILINE | re.DOTALL
            )
            settled = re.sub(r"^(<{7}|>{7}) .*\n|^={7}\n", "", text, flags=re.MULTILINE)
            (folder / name).write_text(settled)
        elif name.endswith(".rej"):
            conflicts.add(name.removesuffix(".rej"))
            (folder / name).unlink()
    note["conflicts"] = sorted(conflicts)
    note["edits of these"] = {name: repository.touched.get(name, []) for name in note["conflicts"]}
    projects.commit_all(folder, f"Update to {version}")


def check(repository: Repository) -> None:
    """Note each line of the owner's that is gone, and each deleted file that has returned."""
    now = projects.files(repository.folder)
    for name, lines in repository.lines.items():
        present = now.get(name, "").splitlines()
        repository.problems += [f"lost in {name}: {line}" for line in lines if line not in present]
        if not lines and name in now:
            repository.problems.append(f"{name} has returned")


def parse(repository: Repository) -> None:
    """Note each file that does not parse, unless conflicts were settled with both sides."""
    if any(note["conflicts"] for note in repository.updates):
        return
    hadolint = (projects.tool("hadolint"), "--no-fail", "--format", "json", "Dockerfile")
    if "DL1000" in projects.run(*hadolint, cwd=repository.folder).stdout:
        repository.problems.append("Dockerfile does not parse")
    for name, text in projects.files(repository.folder).items():
        try:
            if name.endswith((".yml", ".yaml")):
                # `!reference` and its like are GitLab's own.
                yaml.compose(text)
            elif name.endswith(".toml"):
                tomllib.loads(text)
            elif name.endswith(".json"):
                json.loads(text)
            elif name.endswith(".py"):
                compile(text, name, "exec")
        except (ValueError, SyntaxError, yaml.YAMLError) as error:
            repository.problems.append(f"{name} does not parse: {error}")


def run_whole(repository: Repository) -> None:
    """Lock the project as it is now and train for a moment, or fit and load what it serves."""
    folder = repository.folder
    package = next(path.name for path in (folder / "src").iterdir() if path.is_dir())
    steps = [("uv", "lock", "--quiet"), ("uv", "lock", "--check")]
    workload = repository.answers["workload"]
    if workload != "serve":
        length = "--rounds" if repository.answers["framework"] == "xgboost" else "--epochs"
        train = ("train",) if workload == "both" else ()
        steps.append(("uv", "run", "--quiet", "main.py", *train, length, "1"))
    else:
        steps.append(("uv", "run", "--quiet", "python", "-m", f"{package}.fit"))
        steps.append(("uv", "run", "--quiet", "main.py", "--help"))
    if workload == "both":
        steps.append(("uv", "run", "--quiet", "main.py", "serve", "--help"))
    for step in steps:
        done = projects.run(*step, cwd=folder, check=False)
        if done.returncode:
            said = (done.stderr or done.stdout).strip().splitlines()
            repository.problems.append(f"{' '.join(step)}: {said[-1] if said else 'failed'}")
            return


def runs_here(repository: Repository) -> bool:
    """Is all that its lock needs on PyPI, and nothing left out that its code needs?"""
    answers = repository.answers
    own_index = answers.get("package_index") or answers["framework"] == "pytorch"
    return not own_index and "deleted_module" not in repository.edits
