"""What bytecode in the image costs and brings: the generated Dockerfile with less and less of it.

    uv run python -m benchmarks.bytecode --workload small

The same project, base, lock and machine in one run; three builds that take turns. Writes
results/bytecode/<workload>.json, from which report.py makes the table. Needs what run.py needs.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import json
import sys
import tempfile
from pathlib import Path

from benchmarks.contenders import CONTENDERS
from benchmarks.run import HERE, PREFIX, Bench, docker_engine, fit, load, machine, say
from benchmarks.subject import WORKLOADS, Subject

ROUNDS = 5
PACKAGES = 'paths = list(missing(f"{LAYER}/opt/venv", set()))'
LIBRARY = 'if MORE == ["stdlib"]:'
VARIANTS = {
    "none": "none",
    "packages": "of the packages",
    "all": "of the packages and the standard library, as generated",
}


def vary(context: Path, variant: str) -> None:
    """Take bytecode out of a generated project. Raises SystemExit where there is no such line."""
    script = context / "scripts" / "layer.py"
    text = script.read_text()
    if PACKAGES not in text or LIBRARY not in text:
        raise SystemExit("the generated project compiles in another way by now: fix bytecode.py")
    if variant != "all":
        text = text.replace(LIBRARY, "if False:")
    if variant == "none":
        text = text.replace(PACKAGES, "paths = []")
    script.write_text(text)


def measure(bench: Bench, rounds: int, starts: int) -> dict[str, dict]:
    """Build and start every variant in each round; the order turns by one from round to round."""
    drydock = next(one for one in CONTENDERS if one.name == "drydock")
    answer: dict[str, dict] = {name: {"title": title} for name, title in VARIANTS.items()}
    for turn in range(rounds):
        names = list(VARIANTS)
        for name in names[turn % 3 :] + names[: turn % 3]:
            arguments = bench.bases.fresh()
            context = bench.context(drydock, "base")
            vary(context, name)
            got = bench.build(drydock, context, arguments, "base")
            tag = f"{PREFIX}-drydock:base"
            mine = answer[name]
            mine.setdefault("build_seconds", []).append(got["seconds"])
            mine.setdefault("image_bytes", []).append(bench.docker.image(tag)["Size"])
            for _ in range(starts):
                mine.setdefault("import_seconds", []).append(bench.time_import(drydock, tag, []))
                mine.setdefault("health_seconds", []).append(bench.time_health(tag)[0])
            say(f"{name:9} {got['seconds']:7.2f} s, import {mine['import_seconds'][-1]:.2f} s")
            bench.forget(drydock, arguments)
    return answer


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workload", choices=sorted(WORKLOADS), required=True)
    parser.add_argument("--repeat", type=int, help="rounds over the three variants")
    given = parser.parse_args()
    workload = WORKLOADS[given.workload]
    rounds = given.repeat or workload.rounds
    output = HERE / "results" / "bytecode" / f"{workload.name}.json"
    command = f"uv run python -m benchmarks.bytecode --workload {workload.name}"
    with contextlib.ExitStack() as stack:
        work = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        docker, own = stack.enter_context(docker_engine())
        say(f"making the project in {work}")
        subject = Subject(workload, work, 1)
        stack.callback(subject.close)
        fit(subject.generated)
        bench = Bench(docker, subject, workload, own, work)
        document = {
            "workload": workload.name,
            "title": workload.title,
            "command": command + (f" --repeat {given.repeat}" if given.repeat else ""),
            "date": datetime.date.today().isoformat(),
            "machine": machine(docker),
            "base": {"image": bench.bases.reference, "standin": bench.bases.standin},
            "load_before": load(),
        }
        bench.warm([next(one for one in CONTENDERS if one.name == "drydock")])
        document["variants"] = measure(bench, rounds, max(1, ROUNDS // rounds))
        document["load_after"] = load()
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(document, indent=1) + "\n")
    say(f"written: {output.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
