"""Move GPU projects from CUDA 12 to 13: who may, who may not and why, and how long it takes.

    uv run python -m benchmarks.updates.cuda --repositories 20

Makes projects of the last release with CUDA 12 for hosts with several drivers and GPUs, asks
scripts/fleet.py about all of them, then moves each with `copier update --data cuda=…` to this
working tree, with the ones that it named as refused among them: both have to say the same. Each
update is measured in seconds of the processor, its children's with it, since that is what divides
among cores. The figures go to cuda.json and, as a table, into README.md beside this file; those for
500 repositories on 16 cores are computed from them. The exit code is 1 where the two disagree.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import yaml

from benchmarks.run import say
from benchmarks.updates import report
from benchmarks.updates.fleet import NOW, QUIET, RELEASES, template_with_releases
from tests.support import projects

RESULTS = Path(__file__).with_name("cuda.json")
# A build with CUDA 12 and one with 13 of each framework that has both.
MOVES = {
    "pytorch": ("12.8", "13.0"),
    "jax": ("12.9", "13.5"),
    "xgboost": ("12.9", "13.0"),
    "onnxruntime": ("12.8", "13.0"),
}
DRIVERS = ("535.183.01", "570.86.15", "580", "580", "610")
GPUS = (["any"], ["H100"], ["L4", "RTX 4090"], ["V100", "A100"])
REPOSITORIES, CORES = 500, 16


def begin(template: Path, folder: Path, random: Random) -> dict[str, Any]:
    """Make a project with CUDA 12 that the last release accepts, and return its answers."""
    folder.parent.mkdir(parents=True)
    given = folder.parent / "answers.yml"
    while True:
        framework = random.choice(list(MOVES))
        answers = {
            "accelerator": "gpu",
            "framework": framework,
            "workload": "serve" if framework == "onnxruntime" else "train",
            "gpus": random.choice(GPUS),
            "driver": random.choice(DRIVERS),
            "advanced": True,
            "cuda": MOVES[framework][0],
        }
        given.write_text(yaml.safe_dump(answers))
        release = list(RELEASES)[-1]
        words = ("copy", *QUIET, "--quiet", f"--vcs-ref=v{release}", f"--data-file={given}")
        if not projects.copier(*words, template, folder, cwd=folder.parent, check=False).returncode:
            projects.commit_all(folder, "Start")
            return answers


def measured(*command: str | Path, cwd: Path) -> tuple[Any, float, float]:
    """Run a command.

    Returns:
        What it did, the seconds that passed, and those of the processor.
    """
    begun, used = time.monotonic(), _processor()
    done = projects.run(*command, cwd=cwd, check=False)
    return done, time.monotonic() - begun, _processor() - used


def _processor() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return children.ru_utime + children.ru_stime


def ask(folders: dict[str, list[Path]], top: Path) -> tuple[dict[str, str], float]:
    """Ask the fleet kit who may move.

    Args:
        folders: the repositories by framework, each of which has a CUDA 13 of its own.
        top: a folder for what it writes.

    Returns:
        The reason by repository, empty for one that may, and the processor's seconds for all.
    """
    reasons, used = {}, 0.0
    for framework, some in folders.items():
        table = top / f"{framework}.json"
        words = ["--data", f"cuda={MOVES[framework][1]}", "--json", table, *some]
        command = (sys.executable, "-m", "scripts.fleet", *words)
        used += measured(*command, cwd=projects.ROOT)[2]
        for row in json.loads(table.read_text()):
            reasons[row["repository"]] = row["reason"] if row["state"] == "refused" else ""
    return reasons, used


def main(words: Sequence[str] | None = None) -> int:
    """Make the projects, ask, move them, and write the figures; see the head of this file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repositories", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--results", type=Path, default=RESULTS)
    chosen = parser.parse_args(words)
    with tempfile.TemporaryDirectory() as scratch:
        top = Path(scratch)
        template = template_with_releases(top / "drydock")
        made = {}
        for number in range(chosen.repositories):
            folder = top / f"{number:04}" / "demo"
            made[folder] = begin(template, folder, Random(f"{chosen.seed} {number}"))
        by_framework: dict[str, list[Path]] = {}
        for folder, answers in made.items():
            by_framework.setdefault(answers["framework"], []).append(folder)
        reasons, asked = ask(by_framework, top)
        rows = []
        for folder, answers in made.items():
            to = MOVES[answers["framework"]][1]
            update = ("update", *QUIET, "--skip-answered", f"--vcs-ref={NOW}", f"--data=cuda={to}")
            done, passed, used = measured(sys.executable, "-m", "copier", *update, cwd=folder)
            why = done.stderr.strip().splitlines()[-1] if done.returncode else ""
            why = why.removeprefix("Error: ")
            row = {name: answers[name] for name in ("framework", "driver", "gpus")}
            row |= {"from": answers["cuda"], "to": to, "refused": reasons[str(folder)]}
            row |= {"update says": why, "passed": round(passed, 1), "processor": round(used, 2)}
            rows.append(row)
            say(f"{folder.parent.name} {row}")
    result = summary(rows, asked)
    chosen.results.write_text(json.dumps(result, indent=2) + "\n")
    say(page(result))
    if chosen.results == RESULTS:
        report.write_page(page(result), "cuda")
    return int(bool(result["disagree"]))


def summary(rows: Sequence[dict[str, Any]], asked: float) -> dict[str, Any]:
    """The figures, in seconds of the processor unless they say otherwise.

    Args:
        rows: what happened to each repository.
        asked: seconds for asking about all of them.
    """
    moved = [row for row in rows if not row["update says"]]
    asking = asked / len(rows)
    update = statistics.median(row["processor"] for row in moved)
    return {
        "repositories": len(rows),
        "moved": len(moved),
        "asking, each": round(asking, 2),
        "update, median": round(update, 2),
        "update, passed, median": round(statistics.median(row["passed"] for row in moved), 1),
        "cores": os.cpu_count(),
        "load at the end": round(os.getloadavg()[0], 1),
        # As if all of them moved: a refused one takes half of that.
        "computed minutes": round(REPOSITORIES * (update + asking) / CORES / 60, 1),
        "disagree": [row for row in rows if bool(row["refused"]) != bool(row["update says"])],
        "rows": rows,
    }


def page(result: dict[str, Any]) -> str:
    """The figures as Markdown."""
    refused = [row for row in result["rows"] if row["refused"]]
    lines = [
        f"Of {result['repositories']} repositories {result['moved']} moved, and the list and the "
        f"updates disagreed about {len(result['disagree'])}. Asking took "
        f"{result['asking, each']} s of the processor for each, an update "
        f"{result['update, median']} s (median; {result['update, passed, median']} s passed, at a "
        f"load of {result['load at the end']} on {result['cores']} cores). Computed from these "
        f"seconds of the processor, and not measured: {REPOSITORIES} repositories that all move "
        f"take {CORES} cores {result['computed minutes']} minutes, without `uv lock`.",
        "",
    ]
    head = ("refused", "CUDA", "driver", "GPUs", "what cannot stand together", "what can")
    rows = []
    for row in refused:
        why, _, rest = row["refused"].partition(" cannot stand together")
        nearest = rest.rpartition("the nearest that works is ")[2].rstrip(".")
        move = f"{row['from']} → {row['to']}"
        gpus = ", ".join(row["gpus"])
        rows.append((row["framework"], move, row["driver"], gpus, why, nearest))
    return "\n".join([*lines, *report.table(head, rows)])


if __name__ == "__main__":
    sys.exit(main())
