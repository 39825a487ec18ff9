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
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

from benchmarks.run import say
from benchmarks.updates import report
from benchmarks.updates.fleet import (
    NOW,
    RELEASES,
    Repository,
    begin,
    check,
    parse,
    run_whole,
    runs_here,
    template_with_releases,
    update,
)
from benchmarks.updates.rivals import RIVALS, rival_fleet
from tests.support import projects


def drydock_fleet(top: Path, count: int, seed: int, *, through: bool) -> Iterator[Repository]:
    """Make, edit, update and check the repositories, one after the other."""
    template = template_with_releases(top / "drydock")
    versions = [f"v{version}" for version in RELEASES] + [NOW]
    for number in range(count):
        # A seed of its own: a fleet of another size begins with the same repositories.
        random = Random(f"{seed} {number}")
        release = list(RELEASES)[number % len(RELEASES)]
        one = begin(template, top / f"{number:04}" / "demo", random, release)
        for version in versions[versions.index(f"v{release}") + 1 :] if through else [NOW]:
            update(one, version)
        check(one)
        parse(one)
        say(f"{number:4} from {release}: {', '.join(one.edits)}: {one.outcome()}")
        yield one


def about(seed: int, *, through: bool) -> dict[str, Any]:
    """What a reader of the figures has to know."""
    head = ["git", "-C", str(projects.ROOT), "rev-parse", "HEAD"]
    commit = subprocess.run(head, capture_output=True, text=True).stdout.strip()
    return {
        "seed": seed,
        "commit": commit,
        "cores": os.cpu_count(),
        "load at the beginning": round(os.getloadavg()[0], 1),
        "through every release": through,
    }


def main() -> int:
    """Run the fleet and write the figures; see the head of this file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repositories", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--whole", type=int, default=20, help="how many are locked and run")
    parser.add_argument("--through", action="store_true", help="every release on the way")
    parser.add_argument("--rivals", type=int, nargs="?", const=20, default=0, help="of each")
    for name, rival in RIVALS.items():
        parser.add_argument(f"--{name}", default=rival.address, help="where its template is")
    parser.add_argument("--keep", type=Path, help="a folder for the repositories")
    parser.add_argument("--results", type=Path, default=report.RESULTS)
    chosen = parser.parse_args()
    fleet: list[Repository] = []
    rivals: dict[str, list[Repository]] = {}
    known = about(chosen.seed, through=chosen.through)

    def write() -> dict[str, Any]:
        """Write what there is: a run of hours that ends early has not been for nothing."""
        result = known | report.summary(fleet)
        result["rivals"] = {name: report.summary(of_one) for name, of_one in rivals.items()}
        chosen.results.write_text(json.dumps(result, indent=2) + "\n")
        return result

    with tempfile.TemporaryDirectory() as scratch:
        top = chosen.keep or Path(scratch)
        words = {"seed": chosen.seed, "through": chosen.through}
        for one in drydock_fleet(top, chosen.repositories, **words):
            fleet.append(one)
            write()
        for name in RIVALS if chosen.rivals else ():
            source = vars(chosen)[name.replace("-", "_")]
            rivals[name] = []
            words = {"count": chosen.rivals, "seed": chosen.seed}
            for one in rival_fleet(name, source, top / name, **words):
                rivals[name].append(one)
                write()
        for one in [one for one in fleet if runs_here(one)][: chosen.whole]:
            run_whole(one)
            write()
    result = write()
    say(report.page(result))
    if chosen.results == report.RESULTS:
        report.write_page(report.page(result))
    return 1 if result["problems"] else 0


if __name__ == "__main__":
    sys.exit(main())
