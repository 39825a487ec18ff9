"""Update a simulated fleet through every release, and say what happened to the owners' lines.

    uv run python -m benchmarks.updates --repositories 200 --seed 1 --whole 20

Each repository starts from a release with random answers that it accepts, gets four to eight edits
of the kinds that teams make (edits.py), and is then updated to every later release and to this
working tree, with Copier and Git as users run them. The figures go to results.json beside this
file. The exit code is 1 where a line of an owner is lost, a result does not parse, or a project of
the sample does not run.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
import tomllib
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import yaml

from benchmarks.run import say
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
RESULTS = Path(__file__).with_name("results.json")
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
    updates: list[dict[str, Any]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


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


def begin(template: Path, folder: Path, random: Random) -> Repository:
    """Make a repository of some release with answers that it accepts, and edit it."""
    release = random.choice(list(RELEASES))
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
    chosen = random.sample(EDITS, random.randint(4, 8))
    # What is deleted goes first: a line of another edit must not go with it.
    for number, edit in enumerate(sorted(chosen, key=lambda one: one.__name__ != "deleted_module")):
        added = edit(folder, random, number)
        if added:
            made.edits.append(edit.__name__)
        for name, lines in added.items():
            made.lines.setdefault(name, []).extend(lines)
    projects.commit_all(folder, "Our own work")
    return made


def update(repository: Repository, version: str) -> None:
    """Update to a version and note conflicts and seconds; conflicts are settled with both sides."""
    folder = repository.folder
    before = yaml.safe_load((folder / ".copier-answers.yml").read_text())
    begun = time.monotonic()
    words = ("update", *QUIET, "--skip-answered", f"--vcs-ref={version}")
    done = projects.copier(*words, cwd=folder, check=False)
    seconds = time.monotonic() - begun
    note = {"from": before["_commit"], "to": version, "seconds": round(seconds, 2)}
    if done.returncode:
        note["refused"] = done.stderr.strip().splitlines()[-1]
        repository.updates.append(note)
        projects.git("reset", "--quiet", "--hard", cwd=folder)
        projects.git("clean", "--quiet", "-fd", cwd=folder)
        return
    conflicts = []
    for name, text in projects.files(folder).items():
        if re.search(r"^<{7} ", text, re.MULTILINE):
            conflicts.append(name)
            settled = re.sub(r"^(<{7}|>{7}) .*\n|^={7}\n", "", text, flags=re.MULTILINE)
            (folder / name).write_text(settled)
        elif name.endswith(".rej"):
            conflicts.append(name.removesuffix(".rej"))
            (folder / name).unlink()
    note["conflicts"] = sorted(set(conflicts))
    repository.updates.append(note)
    projects.commit_all(folder, f"Update to {version}")


def check(repository: Repository) -> None:
    """Note each line of the owner's that is gone, and each file that does not parse."""
    now = projects.files(repository.folder)
    for name, lines in repository.lines.items():
        present = now.get(name, "").splitlines()
        repository.problems += [f"lost in {name}: {line}" for line in lines if line not in present]
        if not lines and name in now:
            repository.problems.append(f"{name} has returned")
    if any(note.get("conflicts") for note in repository.updates):
        return  # what both sides settle into need not parse
    for name, text in now.items():
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


def summary(fleet: list[Repository]) -> dict[str, Any]:
    """The figures of the fleet."""
    updates = [note for one in fleet for note in one.updates]
    done = [note for note in updates if "refused" not in note]
    clean = [note for note in done if not note["conflicts"]]
    of = Counter(name for note in done for name in note["conflicts"])
    return {
        "repositories": len(fleet),
        "updates": len(done),
        "refused": Counter(note["refused"] for note in updates if "refused" in note),
        "without a conflict": round(len(clean) / len(done), 4) if done else None,
        "conflicts by file": dict(of.most_common()),
        "median seconds of an update": round(statistics.median(n["seconds"] for n in done), 2),
        "problems": [f"{one.folder.parent.name}: {text}" for one in fleet for text in one.problems],
        "updates with a conflict": [
            {"repository": one.folder.parent.name, "edits": one.edits, **note}
            for one in fleet
            for note in one.updates
            if note.get("conflicts")
        ],
    }


def main() -> int:
    """Run the fleet and write the figures; see the head of this file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repositories", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--whole", type=int, default=20, help="how many are locked and run")
    parser.add_argument("--keep", type=Path, help="a folder for the repositories")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        top = chosen.keep or Path(scratch)
        template = template_with_releases(top / "drydock")
        versions = [f"v{version}" for version in RELEASES] + [NOW]
        fleet = []
        for number in range(chosen.repositories):
            # A seed of its own: a fleet of another size begins with the same repositories.
            random = Random(f"{chosen.seed} {number}")
            one = begin(template, top / f"{number:04}" / "demo", random)
            for version in versions[versions.index(f"v{one.release}") + 1 :]:
                update(one, version)
            check(one)
            fleet.append(one)
            conflicts = [name for note in one.updates for name in note.get("conflicts", ())]
            said = ", ".join([*conflicts, *one.problems]) or "no conflict"
            say(f"{number:4} from {one.release}: {', '.join(one.edits)}: {said}")
        for one in [one for one in fleet if runs_here(one)][: chosen.whole]:
            run_whole(one)
        commit = subprocess.run(
            ["git", "-C", str(projects.ROOT), "rev-parse", "HEAD"], capture_output=True, text=True
        ).stdout.strip()
        about = {"seed": chosen.seed, "commit": commit, "cores": os.cpu_count()}
        result = {**about, **summary(fleet)}
        RESULTS.write_text(json.dumps(result, indent=2) + "\n")
        shown = {key: value for key, value in result.items() if key != "updates with a conflict"}
        say(json.dumps(shown, indent=2))
    return 1 if result["problems"] else 0


if __name__ == "__main__":
    sys.exit(main())
