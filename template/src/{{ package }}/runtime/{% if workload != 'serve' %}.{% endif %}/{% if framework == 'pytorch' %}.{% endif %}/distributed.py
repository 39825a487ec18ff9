"""The processes that train one model together, as torchrun starts them; one is the default.

RANK, WORLD_SIZE and LOCAL_RANK in the environment say which process this is, how many there are,
and which GPU it takes: https://docs.pytorch.org/docs/stable/elastic/run.html. Without them, or with
a WORLD_SIZE of 1, nothing of torch.distributed starts, and a `Group` returns what it is given.
"""

import os
import secrets
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import torch
import torch.distributed as dist

# Before there is a group: what imports it later, as optimizers do, makes the group a default of its
# functions, and `destroy_process_group` does not end the threads. One that lets go of a tensor as
# Python ends aborts the process: https://github.com/pytorch/pytorch/pull/179291
import torch.distributed.nn
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from .checkpoint import reading
from .examples import Examples
from .processes import Processes
from .waiting import waiting

PATIENCE = timedelta(minutes=30)  # for a machine that has to fetch its image first
T = TypeVar("T")


class Batch(NamedTuple):
    """What one process takes of a batch that all of them share."""

    indices: list[int]
    """At least one. Where a batch has too few for all, it is one that counts nothing."""
    examples: int
    """How many of them count."""
    weight: float
    """What makes the mean of the gradients over the processes the one over the whole batch."""


class Group(Processes):
    """The processes that train together, by PyTorch's means."""

    def __init__(self, rank: int = 0, size: int = 1) -> None:
        super().__init__(rank, size)
        self._asked: tuple[dist.Work, Tensor] | None = None

    def load(self, checkpoint: Callable[[], Path | None]) -> Any:
        """Return what the file holds that the main process finds with `checkpoint`, or None.

        The others get it from there, so that they need not see its disk.
        """
        saved = None
        if path := checkpoint():
            with reading(path):
                saved = torch.load(path, map_location="cpu", weights_only=True)
        return self.from_main(saved)

    def parallel(self, net: nn.Module) -> nn.Module:
        """Return the network as one that learns from the batches of all processes.

        All begin with the weights of the main process.
        """
        return net if self.size == 1 else DistributedDataParallel(net)

    def batches(self, order: Sequence[int], size: int) -> list[Batch]:
        """Return this process's part of each batch of `size` of these examples, in their order."""
        batches = []
        for start in range(0, len(order), size):
            whole = order[start : start + size]
            own = list(whole[self.rank :: self.size])
            weight = len(own) * self.size / len(whole)
            batches.append(Batch(own or list(whole[:1]), len(own), weight))
        return batches

    def part(self, examples: Examples) -> Examples:
        """Return this process's part of examples to evaluate. It may be empty."""
        return Examples(*(array[self.rank :: self.size] for array in examples))

    def sum(self, value: Tensor) -> Tensor:
        """Return the sum of the values that the processes have."""
        if self.size > 1:
            value = value.clone()
            dist.all_reduce(value)
        return value

    def gather(self, value: T) -> list[T]:
        """Return the values that the processes have, by their rank. Tensors have to be on the CPU.

        Each process gets them all.
        """
        values = [value] * self.size
        if self.size > 1:
            dist.all_gather_object(values, value)
        return values

    def from_main(self, value: T) -> T:
        """Return the main process's value."""
        values = [value]
        if self.size > 1:
            dist.broadcast_object_list(values)
        return values[0]

    def align(self, net: nn.Module) -> None:
        """Give all processes the buffers of the main one, such as the means of a BatchNorm."""
        if self.size > 1:
            for buffer in net.buffers():
                dist.broadcast(buffer, 0)

    def agree(self, exit_code: int, is_due: bool) -> tuple[int, bool]:
        """Return what all do at this step: the exit code to end with, or 0, and whether to save.

        What one process wants, all do, one step later: the answer waited for is the one to the
        question of the step before, which has come while that was computed. The CPUs ask, so that
        no GPU is waited for, and so that the death of a process is known here at once; a GPU would
        wait for NCCL's time limit.
        """
        if self.size == 1:
            return exit_code, is_due or bool(exit_code)
        answer = 0
        if self._asked:
            work, wish = self._asked
            work.wait()
            answer, self._asked = int(wish), None
        if not answer:
            wish = torch.tensor(exit_code or int(is_due))
            self._asked = dist.all_reduce(wish, dist.ReduceOp.MAX, async_op=True), wish
        return answer if answer > 1 else 0, answer > 0


def device_name(name: str) -> str:
    """Return the name of the device that this process takes, where `--device` is `name`.

    One process takes what is named. Of several on a machine, each takes the GPU of its number.
    """
    if _size() == 1:
        return name
    if name not in ("auto", "cpu", "cuda"):
        sys.exit(f"--device {name} is one device: several processes take cpu, cuda or auto.")
    if name == "cpu" or name == "auto" and not torch.cuda.is_available():
        return "cpu"
    return f"cuda:{os.environ.get('LOCAL_RANK', '0')}"


@contextmanager
def join(device: torch.device) -> Iterator[Group]:
    """Join the processes that torchrun has started: `with distributed.join(device) as group:`.

    Without an error, all leave it together, so that a launcher that sees the first one end finds
    no other that is still writing. Where a process dies, the others end with a sentence.
    """
    if _size() == 1:
        yield Group()
        return
    try:
        # One group with two ways: NCCL for what is on a GPU, Gloo for the rest.
        backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
        rank, size = int(os.environ["RANK"]), _size()
        with waiting():
            store = _store(rank, size)
            dist.init_process_group(backend, store=store, rank=rank, world_size=size)
        yield Group(rank, size)
        dist.all_reduce(torch.zeros(()))
        dist.destroy_process_group()
    except RuntimeError as error:
        if not _is_broken_connection(error):
            raise
        sys.exit(f"Another process of this training has ended, and so does this one: {error}")


def _size() -> int:
    return int(os.environ.get("WORLD_SIZE", "1")) if "RANK" in os.environ else 1


def _store(rank: int, size: int) -> dist.Store:
    """Return the store in which the processes find each other, empty.

    torchrun has one store for all of its restarts, in which a process would find the addresses of
    those that have died: https://github.com/pytorch/pytorch/issues/135712. Its count of restarts
    is not the same on all machines. So process 0 makes a name for this start, and each other one
    answers to it until it gets a reply, which an old name brings nobody.
    """
    from_torchrun = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    host, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    store = dist.TCPStore(host, port, is_master=rank == 0 and not from_torchrun, timeout=PATIENCE)
    own = secrets.token_hex(8)
    if rank == 0:
        store.set("start", own)
        for other in range(1, size):
            store.set(store.get(f"{own}/{other}").decode(), "")
        return dist.PrefixStore(own, store)
    while not store.check([own]):
        start = store.get("start").decode()
        store.set(f"{start}/{rank}", own)
        time.sleep(0.2)
    return dist.PrefixStore(start, store)


def _is_broken_connection(error: RuntimeError) -> bool:
    """Is it what Gloo and NCCL raise where another process has died? Gloo has no type for it."""
    return isinstance(error, dist.DistError) or "gloo/transport" in str(error)
