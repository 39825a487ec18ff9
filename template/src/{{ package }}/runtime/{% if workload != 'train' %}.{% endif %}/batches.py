"""The queue before the model. Requests that wait there are computed together."""

import asyncio
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from pydantic import BaseModel

from ..serve import Interface
from .monitoring import Monitoring

Predict = Callable[[np.ndarray], np.ndarray]  # rows -> what the model says, a row for each
Answer = bytes | Exception | None  # None for a client that has left


class Full(Exception):
    """A request would have to wait for too long."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"The model is busy for the next {seconds:.1f} s.")
        self.seconds = seconds


class Unusable(Exception):
    """`to_rows` cannot make rows of a request, and says why."""


@dataclass(eq=False, slots=True)
class Waiting:
    """A request in the queue."""

    request: BaseModel
    is_gone: Callable[[], bool]  # has the client left?
    answer: asyncio.Future[bytes | None]
    rows: np.ndarray | None = None


class Batches:
    """Gives the model all that waits when it becomes free, up to `batch_rows` rows.

    Nothing waits for others to come: under load there are some, and else a wait is for nothing.
    One thread runs the model and the interface, so that the event loop goes on.

    Args:
        predict: the model.
        interface: makes rows of requests, and answers of what the model says.
        batch_rows: how many rows to put together. A request with more is computed alone.
        queue_seconds: how long a request may have to wait.
        monitoring: is told about each batch.
    """

    def __init__(
        self,
        predict: Predict,
        interface: Interface,
        batch_rows: int,
        queue_seconds: float,
        monitoring: Monitoring,
    ) -> None:
        self._predict = predict
        self._interface = interface
        self._batch_rows = batch_rows
        self._queue_seconds = queue_seconds
        self._monitoring = monitoring
        self._queue: queue.SimpleQueue[Waiting] = queue.SimpleQueue()
        self._started: float | None = None  # when the batch that is being computed was begun
        self._seconds = 0.0  # what a batch takes,
        self._rows = 1.0  # and how much of it a request takes: both are moving averages

    def warm_up(self) -> None:
        """Predict the example alone and as a full batch: the first time is slow, or an error."""
        interface = self._interface
        rows = interface.to_rows(interface.example)
        for copies in (1, self._batch_rows // len(rows)):
            if copies:
                batch = np.concatenate([rows] * copies)
                self._predict(batch)
                started = time.monotonic()
                interface.to_response(self._predict(batch)).model_dump_json()
                self._seconds = time.monotonic() - started

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin to compute what is put into the queue; answers are given on `loop`."""
        # daemon: a model that hangs does not keep the process from ending.
        threading.Thread(target=self._work, args=[loop], name="model", daemon=True).start()

    def __len__(self) -> int:
        """Return how many requests wait."""
        return self._queue.qsize()

    def require_room(self) -> None:
        """Raise Full if a request would have to wait for too long."""
        wait = self._expected_wait()
        if wait > self._queue_seconds:
            raise Full(wait)

    async def answer(self, request: BaseModel, is_gone: Callable[[], bool]) -> bytes | None:
        """Return the answer in JSON, or None if the client has left before its turn.

        Raises:
            Unusable: no rows can be made of the request.
        """
        answer = asyncio.get_running_loop().create_future()
        self._queue.put(Waiting(request, is_gone, answer))
        return await answer

    def _expected_wait(self) -> float:
        """Return in how many seconds a request that comes now would be begun."""
        started = self._started
        if started is None:
            return 0.0
        elapsed = time.monotonic() - started
        # A batch that takes longer than usual may take as long again.
        running = self._seconds - elapsed if elapsed < self._seconds else elapsed
        batches_before = len(self) * self._rows // self._batch_rows
        return running + batches_before * self._seconds

    def _work(self, loop: asyncio.AbstractEventLoop) -> None:
        left_over: Waiting | None = None
        while True:
            first = left_over or self._queue.get()
            started = self._started = time.monotonic()
            batch, left_over = self._collect(first, loop)
            if batch:
                self._compute(batch, loop)
                self._learn(batch, time.monotonic() - started)
            if left_over is None and not len(self):
                self._started = None

    def _collect(
        self, waiting: Waiting | None, loop: asyncio.AbstractEventLoop
    ) -> tuple[list[Waiting], Waiting | None]:
        """Return the next batch, and a request that has no more room in it."""
        batch: list[Waiting] = []
        rows = 0
        while waiting is not None:
            if self._prepare(waiting, loop):
                rows += len(waiting.rows)
                if batch and rows > self._batch_rows:
                    return batch, waiting
                batch.append(waiting)
            if rows >= self._batch_rows:
                break
            try:
                waiting = self._queue.get_nowait()
            except queue.Empty:
                break
        return batch, None

    def _prepare(self, waiting: Waiting, loop: asyncio.AbstractEventLoop) -> bool:
        """Make the rows of a request. Returns whether there is something to compute."""
        if waiting.rows is not None:
            return True
        if waiting.is_gone():
            _deliver(loop, [waiting], [None])
            return False
        try:
            waiting.rows = self._interface.to_rows(waiting.request)
        except ValueError as error:
            _deliver(loop, [waiting], [Unusable(str(error))])
        except Exception as error:
            _deliver(loop, [waiting], [error])
        return waiting.rows is not None

    def _compute(self, batch: list[Waiting], loop: asyncio.AbstractEventLoop) -> None:
        try:
            rows = [waiting.rows for waiting in batch]
            results = self._predict(rows[0] if len(rows) == 1 else np.concatenate(rows))
            ends = np.cumsum([len(one) for one in rows])
            parts = np.split(results, ends[:-1])
        except Exception as error:
            if len(batch) == 1:
                _deliver(loop, batch, [error])
                return
            for waiting in batch:  # one of them is to blame, and the others get their answers
                self._compute([waiting], loop)
            return
        _deliver(loop, batch, [self._written(part) for part in parts])

    def _written(self, part: np.ndarray) -> Answer:
        try:
            return self._interface.to_response(part).model_dump_json().encode()
        except Exception as error:
            return error

    def _learn(self, batch: list[Waiting], seconds: float) -> None:
        rows = [len(waiting.rows) for waiting in batch]
        share = sum(min(one, self._batch_rows) for one in rows) / len(rows)
        self._seconds += 0.2 * (seconds - self._seconds)
        self._rows += 0.2 * (share - self._rows)
        self._monitoring.batch(requests=len(rows), rows=sum(rows), seconds=seconds)


def _deliver(loop: asyncio.AbstractEventLoop, batch: list[Waiting], answers: list[Answer]) -> None:
    def deliver() -> None:
        for waiting, answer in zip(batch, answers, strict=True):
            if waiting.answer.done():  # cancelled, since the server ends
                continue
            if isinstance(answer, Exception):
                waiting.answer.set_exception(answer)
            else:
                waiting.answer.set_result(answer)

    loop.call_soon_threadsafe(deliver)
