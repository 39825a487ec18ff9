"""What a generated training loop costs beside a bare loop of its framework.

    uv run python -m benchmarks.loop [--rounds N] PROJECT...

Each PROJECT is a generated project that is installed (`uv sync`). `loops/<framework>.py` has the
bare loop: the same model, optimizer, examples and batches, and the same evaluation after each
epoch, without signals, checkpoints, reports and a progress bar. The two take turns in processes of
their own. What is measured is the CPU time of an epoch, of all threads, so that the machine may do
other work meanwhile; the first epoch, in which a framework compiles, is left out. Prints a line of
a table for each project: seconds an epoch, median and quartiles, and the share of the medians by
which the generated loop takes longer.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import tempfile
import tomllib
from pathlib import Path

LOOPS = Path(__file__).parent / "loops"
FRAMEWORKS = {
    "torch": "pytorch",
    "jax": "jax",
    "tensorflow": "tensorflow",
    "xgboost": "xgboost",
    "scikit-learn": "scikit_learn",
}
ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
    "TF_CPP_MIN_LOG_LEVEL": "2",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false",
}


def main() -> None:
    """Measure in the environments of the projects."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("projects", nargs="+", type=Path, metavar="PROJECT")
    parser.add_argument("--rounds", type=int, default=5, help="of each of the two loops")
    given = parser.parse_args()
    print("| framework | bare loop, s an epoch | generated | overhead |")
    print("| --- | --- | --- | --- |")
    for project in given.projects:
        framework, version = framework_of(project.resolve())
        seconds: dict[str, list[float]] = {"bare": [], "generated": []}
        for number in range(given.rounds):
            for kind in sorted(seconds, reverse=bool(number % 2)):
                seconds[kind] += epochs(project.resolve(), framework, kind)
        bare, generated = (statistics.median(values) for values in seconds.values())
        figures = " | ".join(described(values) for values in seconds.values())
        print(f"| {framework} {version} | {figures} | {generated / bare - 1:+.1%} |", flush=True)


def framework_of(project: Path) -> tuple[str, str]:
    """Return the name of the bare loop for a project, and the version of its framework."""
    lock = tomllib.loads((project / "uv.lock").read_text("utf-8"))
    versions = {package["name"]: package.get("version", "") for package in lock["package"]}
    name = next(name for name in FRAMEWORKS if name in versions)  # all have scikit-learn
    return FRAMEWORKS[name], versions[name]


def epochs(project: Path, framework: str, kind: str) -> list[float]:
    """Return the CPU seconds of each epoch of one loop but the first."""
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder, "epochs.json")
        subprocess.run(
            [project / ".venv/bin/python", LOOPS / f"bare_{framework}.py", kind, folder, result],
            cwd=project,
            env={**os.environ, **ONE_THREAD, "PYTHONPATH": str(project / "src")},
            stdout=subprocess.DEVNULL,
            check=True,
        )
        return json.loads(result.read_text())


def described(values: list[float]) -> str:
    """Return median and quartiles as text."""
    low, middle, high = statistics.quantiles(values, n=4)
    return f"{middle:.3f} ({low:.3f} to {high:.3f})"


if __name__ == "__main__":
    main()
