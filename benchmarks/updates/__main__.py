"""Update a simulated fleet to this version, and say what happened to the owners' lines.

    uv run python -m benchmarks.updates --repositories 200 --seed 1 --whole 20 --rivals

Each repository starts from a release, one release after the other, with random answers that it
accepts, gets four to eight edits of the kinds that teams make (edits.py), and is then updated to
this working tree, with Copier and Git as users run them. With `--through` it goes through every
release on the way, each with that release's own code. The figures go to results.json and, as
tables, into README.md beside this file. The exit code is 1 where a line of an owner is lost, a
result does not parse, or a project of the sample does not run.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from random import Random

from benchmarks.run import say
from benchmarks.updates import report
from benchmarks.updates.fleet import (
    NOW,
    RELEASES,
    Repository,
    begin,
    check,
    run_whole,
    runs_here,
    template_with_releases,
    update,
)
from benchmarks.updates.rivals import RIVALS, rival_fleet
from tests.support import projects


def drydock_fleet(top: Path, count: int, seed: int, *, through: bool) -> list[Repository]:
    """Make, edit, update and check the repositories."""
    template = template_with_releases(top / "drydock")
    versions = [f"v{version}" for version in RELEASES] + [NOW]
    fleet = []
    for number in range(count):
        # A seed of its own: a fleet of another size begins with the same repositories.
        random = Random(f"{seed} {number}")
        release = list(RELEASES)[number % len(RELEASES)]
        one = begin(template, top / f"{number:04}" / "demo", random, release)
        for version in versions[versions.index(f"v{release}") + 1 :] if through else [NOW]:
            update(one, version)
        check(one)
        fleet.append(one)
        say(f"{number:4} from {release}: {', '.join(one.edits)}: {one.outcome()}")
    return fleet


def main() -> int:
    """Run the fleet and write the figures; see the head of this file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repositories", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--whole", type=int, default=20, help="how many are locked and run")
    parser.add_argument("--through", action="store_true", help="every release on the way")
    parser.add_argument(
        "--rivals", type=int, nargs="?", const=20, default=0, help="and how many of each rival"
    )
    for name, rival in RIVALS.items():
        parser.add_argument(f"--{name}", default=rival.address, help="where its template is")
    parser.add_argument("--keep", type=Path, help="a folder for the repositories")
    parser.add_argument("--results", type=Path, default=report.RESULTS)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        top = chosen.keep or Path(scratch)
        fleet = drydock_fleet(top, chosen.repositories, chosen.seed, through=chosen.through)
        for one in [one for one in fleet if runs_here(one)][: chosen.whole]:
            run_whole(one)
        rivals = {
            name: rival_fleet(rival, getattr(chosen, name), top / name, chosen.rivals, chosen.seed)
            for name, rival in RIVALS.items()
            if chosen.rivals
        }
    commit = subprocess.run(
        ["git", "-C", str(projects.ROOT), "rev-parse", "HEAD"], capture_output=True, text=True
    ).stdout.strip()
    about = {"seed": chosen.seed, "commit": commit, "cores": os.cpu_count()}
    result = {**about, "through every release": chosen.through, **report.summary(fleet)}
    result["rivals"] = {name: report.summary(of_one) for name, of_one in rivals.items()}
    chosen.results.write_text(json.dumps(result, indent=2) + "\n")
    say(report.page(result))
    if chosen.results == report.RESULTS:
        report.write_page(result)
    return 1 if result["problems"] else 0


if __name__ == "__main__":
    sys.exit(main())
