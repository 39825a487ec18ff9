"""The processes that train one model together, as TF_CONFIG names them; one is the default.

https://www.tensorflow.org/guide/distributed_training#setting_up_the_tf_config_environment_variable
Without it, or with one process in it, no strategy starts, and a `Group` returns what it is given.
Each process takes one GPU. The strategy adds up and does no more: Keras would clip the gradients
of each process before they are added.
"""

import json
import os
import pickle
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, NoReturn, TypeVar

import numpy as np
import tensorflow as tf

from .checkpoint import reading
from .examples import Examples
from .processes import Processes

T = TypeVar("T")


class Batch(NamedTuple):
    """What one process takes of a batch that all of them share."""

    indices: np.ndarray
    """At least one. Where a batch has too few for all, it is one that counts nothing."""
    examples: int
    """How many of them count."""
    weight: float
    """What makes the sum of the gradients over the processes the one over the whole batch."""


class Group(Processes):
    """The processes that train together, by TensorFlow's means."""

    def __init__(
        self, rank: int = 0, size: int = 1, strategy: tf.distribute.Strategy | None = None
    ) -> None:
        super().__init__(rank, size)
        self._strategy = strategy

    def load(self, checkpoint: Callable[[], Path | None]) -> list[np.ndarray] | None:
        """Return the arrays of the file that the main process finds with `checkpoint`, or None.

        The others get it from there, so that they need not see its disk.
        """
        saved = None
        if path := checkpoint():
            with reading(path), np.load(path, allow_pickle=False) as arrays:
                saved = list(arrays.values())
        return self.from_main(saved)

    def align(self, variables: Sequence[Any]) -> None:
        """Give the variables of all processes the values of the main one."""
        if self.size > 1:
            values = self.from_main([variable.numpy() for variable in variables])
            for variable, value in zip(variables, values, strict=True):
                variable.assign(value)

    def batches(self, order: np.ndarray, size: int) -> list[Batch]:
        """Return this process's part of each batch of `size` of these examples, in their order."""
        batches = []
        for start in range(0, len(order), size):
            whole = order[start : start + size]
            own = whole[self.rank :: self.size]
            indices = own if len(own) else whole[:1]
            batches.append(Batch(indices, len(own), len(own) / len(whole)))
        return batches

    def part(self, examples: Examples) -> Examples:
        """Return this process's part of examples to evaluate. It may be empty."""
        return Examples(*(array[self.rank :: self.size] for array in examples))

    def sum(self, values: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        """Return the sums of the values that the processes have."""
        if self._strategy is None:
            return list(values)
        with self._strategy.scope():
            return [self._strategy.reduce("SUM", value, axis=None) for value in values]

    def agree(self, exit_code: int, is_due: bool) -> tuple[int, bool]:
        """Return what all do at this step: the exit code to end with, or 0, and whether to save.

        What one process wants, all do.
        """
        if self.size == 1:
            return exit_code, is_due or bool(exit_code)
        answer = self._rows(np.int32([exit_code or int(is_due)])).max()
        return int(answer) if answer > 1 else 0, bool(answer > 0)

    def gather(self, value: T) -> list[T]:
        """Return the values that the processes have, by their rank. Each process gets them all."""
        own = pickle.dumps(value)
        lengths = self._rows(np.int32([len(own)]))[:, 0]
        padded = np.frombuffer(own.ljust(-(-lengths.max() // 4) * 4), np.int32)
        rows = self._rows(padded)  # pickle stops where a value ends
        return [pickle.loads(row.tobytes()) for row in rows]

    def from_main(self, value: T) -> T:
        """Return the main process's value."""
        if self.size == 1:
            return value
        own = pickle.dumps(value) if self.is_main else b""
        length = int(self._rows(np.int32([len(own)]))[0, 0])
        padded = np.frombuffer(own.ljust(-(-length // 4) * 4, b"\0"), np.int32)
        (whole,) = self._sum(padded if self.is_main else np.zeros_like(padded))
        return pickle.loads(whole.numpy().tobytes())

    def _rows(self, own: np.ndarray) -> np.ndarray:
        """Return a row for each process, the array that it has."""
        rows = np.zeros((self.size, *own.shape), own.dtype)
        rows[self.rank] = own
        (rows,) = self._sum(rows)
        return rows.numpy()

    def _sum(self, value: np.ndarray) -> list[tf.Tensor]:
        with tf.device("CPU"):
            return self.sum([tf.constant(value)])


@contextmanager
def join() -> Iterator[Group]:
    """Join the processes that TF_CONFIG names: `with distributed.join() as group:`.

    Where a process dies, the others end with a sentence.
    """
    config = json.loads(os.environ.get("TF_CONFIG", "{}"))
    cluster = config.get("cluster", {})
    names = [(kind, n) for kind in ("chief", "worker") for n in range(len(cluster.get(kind, [])))]
    if len(names) < 2:
        yield Group()
        return
    try:
        rank = names.index((config["task"]["type"], int(config["task"]["index"])))
        tf.config.set_visible_devices(tf.config.get_visible_devices("GPU")[:1], "GPU")
        group = Group(rank, len(names), tf.distribute.MultiWorkerMirroredStrategy())
        yield group
        group.gather(None)  # all leave it together
    except BaseException as error:
        _end(error)


def _end(error: BaseException) -> NoReturn:
    """End this process at once: at a regular exit, TensorFlow would wait for the others."""
    code: Any = error.code if isinstance(error, SystemExit) else 1
    if isinstance(error, (tf.errors.UnavailableError, tf.errors.AbortedError)):
        code = f"Another process of this training has ended, and so does this one: {error}"
    elif not isinstance(error, SystemExit):
        traceback.print_exception(error)
    if isinstance(code, str):
        print(code, file=sys.stderr)
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code or 0)
