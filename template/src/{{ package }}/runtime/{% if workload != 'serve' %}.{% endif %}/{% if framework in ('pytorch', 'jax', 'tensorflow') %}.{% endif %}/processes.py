"""What the processes that train one model together agree on, whatever connects them."""

import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any, Self, TypeVar

from . import runs
from .checkpoint import reading
from .identity import differences, identity
from .run import Run
from .run_settings import RunSettings

T = TypeVar("T")


class Follower:
    """Stands for the run in the processes that write nothing."""

    is_due = False

    def __init__(self, is_complete: bool) -> None:
        self.is_complete = is_complete

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        pass

    def newest_checkpoint(self) -> None:
        """None: the main process reads it, and `Group.load` brings it here."""

    def restoring(self) -> AbstractContextManager[None]:
        """End with a sentence if what the main process has read does not fit meanwhile."""
        return reading("The checkpoint of process 0")

    def best_checkpoint(self) -> None:
        """None, for the same reason."""

    def report(self, step: int, **metrics: float) -> None:
        """Leave it to the main process."""

    def is_best(self, _name: str) -> bool:
        """False, since there is nothing to save here."""
        return False


class Processes:
    """The processes that train together. This is the one of number `rank`, of `size`."""

    def __init__(self, rank: int = 0, size: int = 1) -> None:
        self.rank = rank
        self.size = size
        self.devices = size
        """How many devices compute, in all processes together."""
        self.is_main = rank == 0
        """Is it the one that writes, and shows how far the training is?"""

    def start(self, settings: RunSettings, data: Mapping[str, Any], device: str) -> Run | Follower:
        """Return the run to train, as `runs.start` does, which the main process alone calls.

        Processes of other settings, data or code than the main one end with a sentence.
        """
        device = device if self.devices == 1 else f"{self.devices} x {device}"
        if self.size == 1:
            return runs.start(settings, data, device)
        about = self.gather(identity(settings, data))
        for rank, other in enumerate(about):
            if changes := differences(about[0], other):
                sys.exit(f"Process {rank} differs from process 0: {'; '.join(changes)}.")
        run = runs.start(settings, data, device) if self.is_main else None
        is_complete = self.from_main(run and run.is_complete)
        return run or Follower(is_complete)

    def gather(self, value: T) -> list[T]:
        """Return the values that the processes have, by their rank. Each process gets them all."""
        raise NotImplementedError

    def from_main(self, value: T) -> T:
        """Return the main process's value."""
        raise NotImplementedError
