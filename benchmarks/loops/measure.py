"""What the bare loops share; it runs in the environment of a generated project."""

import json
import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import numpy as np

BATCH = 128
EPOCHS = 7

package = next(Path("src").glob("*/train.py")).parent.name
model, train, settings = (import_module(f"{package}.{n}") for n in ("model", "train", "settings"))
examples, run, runs = (import_module(f"{package}.runtime.{n}") for n in ("examples", "run", "runs"))


def made(rows: int, *shape: int) -> "examples.Data":
    """Return random examples of ten classes; each part has whole batches only."""
    random = np.random.default_rng(0)

    def part(rows: int) -> "examples.Examples":
        features = random.normal(size=(rows, *shape)).astype(np.float32)
        return examples.Examples(features, random.integers(0, 10, rows))

    few = max(rows // 5 // BATCH, 1) * BATCH
    classes = tuple(map(str, range(10)))
    return examples.Data(part(rows), part(few), part(few), classes)


def main(data: "examples.Data", bare: Callable, generated: Callable, **given: object) -> None:
    """Run one of the two loops, as the command line says, and write the seconds of its epochs.

    Args:
        data: what both learn from.
        bare: takes settings, data and a function to call after each epoch.
        generated: takes settings, data and a run, and calls the project's `fit`.
        given: settings beside those of the benchmark.
    """
    kind, folder, result = sys.argv[1:]
    path = Path(folder, f"model{settings.TrainSettings.model_fields['model_path'].default.suffix}")
    chosen = settings.TrainSettings(runs_dir=Path(folder, "runs"), model_path=path, **given)
    ends = []

    def epoch_is_over() -> None:
        ends.append(time.process_time())

    if kind == "bare":
        bare(chosen, data, epoch_is_over)
    else:
        report = run.Run.report

        def reported(self: object, step: int, **metrics: float) -> None:
            report(self, step, **metrics)
            epoch_is_over()

        run.Run.report = reported
        with runs.start(chosen, data.fingerprint(), "cpu") as begun:
            generated(chosen, data, begun)
    Path(result).write_text(json.dumps(np.diff(ends).tolist()))
