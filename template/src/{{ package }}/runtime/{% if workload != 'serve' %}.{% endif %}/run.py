"""One run: the folder that it writes to, and what it reports."""

import json
import math
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, Self

from tqdm import tqdm

from . import checkpoint, curve
from .files import atomic_write, remove_unfinished, unwritable
from .lock import Lock

SAVE_SECONDS = 600  # so much is lost at most where a process is killed within a long epoch


class Run:
    """A run that no other process writes to meanwhile: `with runs.start(...) as run:`.

    Its folder has `run.json` (settings, data, code, versions, device, and whether it is complete),
    `metrics.jsonl`, `curve.svg`, `checkpoints/` and the model.
    """

    def __init__(self, folder: Path, about: dict[str, Any], model_path: Path) -> None:
        self.folder = folder
        self.about = about
        self.model_path = folder / model_path.name
        """Where the model is written. It is copied from there at the end."""
        self._copy = model_path
        self._checkpoints = folder / "checkpoints"
        self._newest: Path | str = "The checkpoint"
        self._metrics_file = folder / "metrics.jsonl"
        self._metrics: list[dict[str, Any]] = []
        self._lock = Lock(folder / "lock")
        self._saved = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.release()

    @property
    def is_complete(self) -> bool:
        """Has it been trained to its end?"""
        return self.about["state"] == "complete"

    def newest_checkpoint(self) -> Path | None:
        """Return the state to go on from, or None. What was reported after it is forgotten."""
        path = checkpoint.newest(self._checkpoints, "last")
        was_begun = self._metrics_file.exists()
        step = checkpoint.step_of(path) if path else 0
        checkpoint.remove_after(self._checkpoints, step)
        self._metrics = [line for line in self._reported() if line.get("step", math.inf) <= step]
        with atomic_write(self._metrics_file) as file:
            file.writelines(json.dumps(line).encode() + b"\n" for line in self._metrics)
        if path:
            self._newest = path
            print(f"Going on from {path}.", file=sys.stderr)
        elif was_begun:
            print(f"Beginning {self.folder} again: no whole checkpoint is there.", file=sys.stderr)
        return path

    def restoring(self) -> AbstractContextManager[None]:
        """End the program with a sentence if the newest checkpoint does not fit meanwhile.

        With --ignore-code it may be one of another network, or of another optimizer.
        """
        return checkpoint.reading(self._newest)

    def best_checkpoint(self) -> Path | None:
        """Return the state of the best validation, or None."""
        return checkpoint.newest(self._checkpoints, "best")

    @property
    def is_due(self) -> bool:
        """Is it so long since the last checkpoint that one is due within the epoch?"""
        return time.monotonic() - self._saved > SAVE_SECONDS

    def save(self, step: int) -> AbstractContextManager[BinaryIO]:
        """Open a checkpoint to go on from for writing."""
        self._saved = time.monotonic()
        return checkpoint.write(self._checkpoints, "last", step)

    def save_best(self, step: int) -> AbstractContextManager[BinaryIO]:
        """Open a checkpoint of the best validation for writing."""
        return checkpoint.write(self._checkpoints, "best", step)

    def report(self, step: int, **metrics: float) -> None:
        """Print the metrics after `step` steps as one line of JSON, and keep them.

        A metric that is no number ends the program with a sentence.
        """
        for name, value in metrics.items():
            if not math.isfinite(value):
                sys.exit(f"{name} is {value} after {step} steps: try a smaller --learning-rate.")
        line = {"step": step, **metrics}
        self._keep(line)
        _print(line)

    def is_best(self, name: str) -> bool:
        """Has the last report this metric, and lower than every one before?"""
        *before, last = [line.get(name, math.inf) for line in self._metrics]
        return last < min(before, default=math.inf)

    def finish(self, **metrics: float) -> None:
        """Copy the model to where the settings say, report the last metrics, and end the run."""
        result = {**metrics, "model": str(self._copy)}
        with self.model_path.open("rb") as model, atomic_write(self._copy) as copy:
            shutil.copyfileobj(model, copy)
        self._keep(result)
        self.about |= {"state": "complete", "finished": now(), "result": result}
        self.write()
        _print(result)

    def acquire(self) -> bool:
        """Keep other processes from the run. False if another one has it."""
        try:
            if not self._lock.acquire():
                return False
        except OSError as error:
            sys.exit(unwritable(self.folder / "lock", error))
        remove_unfinished(self.folder)
        return True

    def release(self) -> None:
        """Let other processes have the run."""
        self._lock.release()

    def write(self) -> None:
        """Write down what the run is."""
        with atomic_write(self.folder / "run.json") as file:
            file.write(json.dumps(self.about, indent=2).encode() + b"\n")

    def _reported(self) -> Iterator[dict[str, Any]]:
        try:
            text = self._metrics_file.read_text("utf-8", "replace")
        except FileNotFoundError:
            return
        except OSError as error:
            sys.exit(f"{self._metrics_file} cannot be read: {error.strerror}.")
        for line in text.splitlines():
            with suppress(ValueError):  # cut off, when the process was killed
                yield json.loads(line)

    def _keep(self, line: dict[str, Any]) -> None:
        self._metrics.append(line)
        try:
            with self._metrics_file.open("a") as file:
                file.write(json.dumps(line) + "\n")
        except OSError as error:
            sys.exit(unwritable(self._metrics_file, error))
        with atomic_write(self.folder / "curve.svg") as file:
            file.write(curve.draw(self._metrics).encode())


def now() -> str:
    """Return the time, in UTC: 2026-11-26T15:45:12.123456+00:00."""
    return datetime.now(UTC).isoformat()


def _print(line: dict[str, Any]) -> None:
    tqdm.write(json.dumps(line))  # print() would tear the progress bar
    sys.stdout.flush()
