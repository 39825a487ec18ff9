"""Measure the generated server under load.

    uv run python -m benchmarks.serving singles    # beside FastAPI, LitServe and BentoML
    uv run python -m benchmarks.serving batches    # the same with PyTorch, at 64 connections
    uv run python -m benchmarks.serving binary     # tensors in JSON and in binary, on KServe
    uv run python -m benchmarks.serving hostile    # what it must survive, in large numbers
    uv run python -m benchmarks.serving rolling    # two servers replaced behind HAProxy
    uv run python -m benchmarks.serving copies     # the memory of one, two and four processes

The figures go to results.json beside this file, which has one entry for each. The first three need
Debian's wrk, `rolling` its haproxy, and all a package index.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import platform
import subprocess
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.run import say
from benchmarks.serving import hostile, servers, throughput
from benchmarks.serving.clients import Server
from benchmarks.serving.rolling import rolling
from drydock.catalogue import Catalogue

KINDS = ("singles", "batches", "binary", "hostile", "rolling", "copies")
RESULTS = Path(__file__).with_name("results.json")


def survived(folder: Path) -> dict[str, Any]:
    """Play every kind of client against servers of the project's own settings."""
    project = throughput.generated(folder)
    reports: dict[str, Any] = {}

    def play(server: Server, name: str, clients: Any) -> None:
        reports[name] = asyncio.run(hostile.watched(server, clients))
        say(f"{name}: {reports[name]}")

    with servers.of_stub(project, 1, folder=folder) as server:
        play(server, "storm", hostile.storm(server, rate=200, seconds=20, patience=2))
        play(server, "crowd", hostile.crowd(server, connections=200, seconds=60, pause=0.2))
    with servers.of_stub(project, 0, folder=folder) as server:
        play(server, "20 MB", hostile.large(server, 20))
        play(server, "200 MB", hostile.large(server, 200))
        play(server, "without end", hostile.large(server, 1000, declared=False))
        play(server, "slow clients", hostile.slow(server, clients=200, seconds=60, pause=1))
        play(server, "hostile bodies", hostile.bodies(server, count=10_000, seed=1))
    return reports


def copies(folder: Path) -> dict[str, Any]:
    """The memory of one, two and four servers with the same model, shared pages counted once."""
    found: dict[str, Any] = {}
    for framework in ("scikit-learn", "pytorch"):
        (folder / framework).mkdir()
        project = throughput.generated(folder / framework, framework=framework)
        for count in (1, 2, 4):
            found[f"{framework}, {count}"] = memory_of(project, count)
            say(f"{framework}, {count}: {found[f'{framework}, {count}']}")
    return found


def memory_of(project: Path, count: int) -> dict[str, int]:
    """Proportional and private memory of that many servers, in megabytes, in total."""
    with contextlib.ExitStack() as stack:
        running = [stack.enter_context(throughput.of_project(project)) for _ in range(count)]
        totals = {"Pss": 0, "Private_Dirty": 0}
        for server in running:
            for line in Path(f"/proc/{server.pid}/smaps_rollup").read_text().splitlines():
                name, _, rest = line.partition(":")
                if name in totals:
                    totals[name] += int(rest.split()[0])
        return {
            "megabytes": round(totals["Pss"] / 1000),
            "private_megabytes": round(totals["Private_Dirty"] / 1000),
        }


def replaced(folder: Path) -> dict[str, Any]:
    """Replace two servers of each platform, with clients of both kinds."""
    found: dict[str, Any] = {}
    for one in Catalogue().platforms.values():
        name, routes = one.name, one.routes
        body, predict = throughput.body_of(), routes.get("predict")
        if predict is None:  # KServe's has the name of the model in it
            body, predict = throughput.tensors_of(1, in_binary=False)[0], "/v2/models/demo/infer"
        (folder / name).mkdir()
        project = throughput.generated(folder / name, platform=name)
        for kept in (False, True):
            how = f"{name}, {'kept' if kept else 'new'} connections"
            found[how] = rolling(
                project,
                folder,
                body=body,
                predict=predict,
                probe=routes["ready"],
                clients=16,
                kept=kept,
            )
            say(f"{how}: {found[how]}")
    return found


def main() -> None:
    """Measure what the command line names, and keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=KINDS)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if options.what in ("singles", "batches", "binary"):
            measure = getattr(throughput, options.what)
            figures = measure(folder, options.rounds, options.seconds)
        elif options.what == "hostile":
            figures = survived(folder)
        elif options.what == "copies":
            figures = copies(folder)
        else:
            figures = replaced(folder)
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    results[options.what] = {
        "day": datetime.now(UTC).date().isoformat(),
        "cores": os.cpu_count(),
        "load": [round(value, 1) for value in os.getloadavg()],
        "python": platform.python_version(),
        "commit": subprocess.check_output(
            ["git", "rev-parse", "--short", "HEAD"], text=True
        ).strip(),
        "rounds": options.rounds,
        "seconds": options.seconds,
        "figures": figures,
    }
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
