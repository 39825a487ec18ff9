"""The processes and devices that train one model together; one process is the default.

JAX finds out by itself who starts it: Slurm, or mpirun of Open MPI. For other launchers, or none,
JAX_COORDINATOR_ADDRESS (which JAX reads), JAX_NUM_PROCESSES and JAX_PROCESS_ID say it, the names
that Kubeflow Trainer sets: https://www.kubeflow.org/docs/components/trainer/user-guides/jax/.
Without any of them, nothing of jax.distributed starts.
"""

import os
import pickle
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, NoReturn, TypeVar

import jax
import numpy as np
from jax import Array
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from .checkpoint import reading
from .processes import Processes
from .signals import exit_on_signals
from .waiting import waiting

# How many processes there are. Slurm's is set in the steps of a job only, that is, by srun.
SIZES = ("JAX_NUM_PROCESSES", "OMPI_COMM_WORLD_SIZE", "SLURM_STEP_NUM_TASKS")
PATIENCE = 1800  # seconds, for a machine that has to fetch its image first. JAX's own are 300.
T = TypeVar("T")


class Batch(NamedTuple):
    """A batch, filled up so that all have the same shape and each device gets as many examples."""

    indices: np.ndarray
    counts: np.ndarray
    """1 for each example of the batch, and 0 for those that fill it up."""
    examples: int
    """How many of them count."""


class Group(Processes):
    """The processes that train together, and the devices that share the examples of a batch.

    The parameters are on every device, so what the main process writes is all of them.
    """

    def __init__(self, devices: Sequence[jax.Device]) -> None:
        super().__init__(jax.process_index(), jax.process_count())
        mesh = Mesh(np.array(devices), ("examples",))
        self.devices = len(devices)
        self.device = next(one for one in devices if one.process_index == self.rank)
        """The first one of this process."""
        self.replicated = NamedSharding(mesh, PartitionSpec())
        """How an array is stored that every device has."""
        self._shared = NamedSharding(mesh, PartitionSpec("examples"))
        self._maximum = jax.jit(lambda values: values.max(axis=0), out_shardings=self.replicated)
        self._asked: Array | None = None

    def load(self, checkpoint: Callable[[], Path | None]) -> dict[str, np.ndarray] | None:
        """Return the arrays of the file that the main process finds with `checkpoint`, or None.

        The others get it from there, so that they need not see its disk.
        """
        saved = None
        if path := checkpoint():
            with reading(path), np.load(path, allow_pickle=False) as arrays:
                saved = dict(arrays)
        return self.from_main(saved)

    def everywhere(self, tree: T) -> T:
        """Return these arrays as those of all devices, with the values of the main process."""
        leaves, structure = jax.tree.flatten(tree)
        leaves = self.from_main([np.asarray(leaf) for leaf in leaves])
        return jax.tree.unflatten(structure, [self._place(self.replicated, x) for x in leaves])

    def batches(self, order: Sequence[int] | np.ndarray, size: int) -> list[Batch]:
        """Return each batch of `size` of these examples, in their order."""
        filled = -(-min(size, len(order)) // self.devices) * self.devices  # rounded up
        batches = []
        for start in range(0, len(order), size):
            whole = np.asarray(order[start : start + size])
            counts = np.arange(filled, dtype=np.int32) < len(whole)
            batches.append(Batch(np.resize(whole, filled), counts.astype(np.float32), len(whole)))
        return batches

    def take(self, batch: Batch, *arrays: np.ndarray) -> tuple[np.ndarray | Array, ...]:
        """Return the rows of the arrays that are in the batch, and which of them count.

        Each device gets its share, and each process copies no more than those of its devices.
        """
        if self.devices == 1:
            return *(array[batch.indices] for array in arrays), batch.counts
        rows = (self._rows(array, batch.indices) for array in arrays)
        return *rows, self._place(self._shared, batch.counts)

    def agree(self, exit_code: int, is_due: bool) -> tuple[int, bool]:
        """Return what all do at this step: the exit code to end with, or 0, and whether to save.

        What one process wants, all do, one step later: the answer waited for is the one to the
        question of the step before, which has come while that was computed.
        """
        if self.size == 1:
            return exit_code, is_due or bool(exit_code)
        answer = 0 if self._asked is None else int(self._asked)
        self._asked = None if answer else self._max(np.int32(exit_code or int(is_due)))
        return answer if answer > 1 else 0, answer > 0

    def gather(self, value: T) -> list[T]:
        """Return the values that the processes have, by their rank. Each process gets them all."""
        own = pickle.dumps(value)
        lengths = np.zeros(self.size, np.int32)
        lengths[self.rank] = len(own)
        lengths = np.asarray(self._max(lengths))
        rows = np.zeros((self.size, lengths.max()), np.uint8)
        rows[self.rank, : len(own)] = np.frombuffer(own, np.uint8)
        rows = np.asarray(self._max(rows))
        return [pickle.loads(row[:length]) for row, length in zip(rows, lengths, strict=True)]

    def from_main(self, value: T) -> T:
        """Return the main process's value."""
        if self.size == 1:
            return value
        own = np.frombuffer(pickle.dumps(value) if self.is_main else b"", np.uint8)
        length = int(self._max(np.int32(len(own))))
        padded = own if self.is_main else np.zeros(length, np.uint8)
        return pickle.loads(np.asarray(self._max(padded)))

    def _max(self, value: np.ndarray) -> Array:
        """Return the maxima of the processes' values, element by element."""
        value = np.asarray(value)
        shape = (self.devices, *value.shape)
        values = jax.make_array_from_callback(shape, self._shared, lambda _: value[np.newaxis])
        return self._maximum(values)

    def _place(self, sharding: NamedSharding, array: np.ndarray) -> Array:
        return jax.make_array_from_callback(array.shape, sharding, lambda index: array[index])

    def _rows(self, array: np.ndarray, indices: np.ndarray) -> Array:
        shape = (len(indices), *array.shape[1:])
        return jax.make_array_from_callback(
            shape, self._shared, lambda index: array[indices[index[0]]]
        )


@contextmanager
def join(pick_devices: Callable[[], Sequence[jax.Device]]) -> Iterator[Group]:
    """Join the processes that a launcher has started, and use these devices of them all.

    `pick_devices` is called when JAX knows the others. Where a process dies, the others end with a
    sentence, or JAX ends them.
    """
    if not any(int(os.environ.get(name, "1")) > 1 for name in SIZES):
        yield Group(pick_devices())
        return
    try:
        numbers = [os.environ.get(name) for name in ("JAX_NUM_PROCESSES", "JAX_PROCESS_ID")]
        size, rank = (None if number is None else int(number) for number in numbers)
        with waiting():
            jax.distributed.initialize(
                num_processes=size, process_id=rank, initialization_timeout=PATIENCE
            )
        exit_on_signals()  # again: JAX has a handler of its own for SIGTERM
        yield Group(pick_devices())
        jax.distributed.shutdown()
    except BaseException as error:
        _end(error)


def _end(error: BaseException) -> NoReturn:
    """End this process at once: at a regular exit, JAX would wait for the others, for minutes."""
    code: Any = error.code if isinstance(error, SystemExit) else 1
    if "gloo/transport" in str(error):  # JAX has several types for it
        code = f"Another process of this training has ended, and so does this one: {error}"
    elif not isinstance(error, SystemExit):
        traceback.print_exception(error)
    if isinstance(code, str):
        print(code, file=sys.stderr)
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code or 0)
