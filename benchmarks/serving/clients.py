"""Clients of a server, as many at once as one process can play: HTTP by hand, on asyncio."""

from __future__ import annotations

import asyncio
import contextlib
import os
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Answer:
    """What a client got: a status of 0 means nothing, since it or the server gave up."""

    status: int
    seconds: float


@dataclass(frozen=True)
class Server:
    """A server on this machine that is being measured.

    `predict` and `probe` are its paths, `body` a small request that it answers with 200.
    """

    port: int
    pid: int
    predict: str
    probe: str
    body: bytes

    def request(self, body: bytes | None = None) -> bytes:
        """A whole request with this body, or the small one."""
        content = self.body if body is None else body
        return self.head(len(content)) + content

    def head(self, length: int | None) -> bytes:
        """The head of a request with a body of `length` bytes, or in chunks without an end."""
        size = "Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}"
        kind = "Content-Type: application/json"
        return f"POST {self.predict} HTTP/1.1\r\nHost: x\r\n{kind}\r\n{size}\r\n\r\n".encode()

    def megabytes(self) -> float:
        """The memory of the process that lies in RAM."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) / 1000


async def connect(server: Server) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Open a connection."""
    return await asyncio.open_connection("127.0.0.1", server.port)


async def read(reader: asyncio.StreamReader) -> int:
    """Read one answer. Returns its status, 0 where the connection ends before it is whole."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(
            (
                int(line.partition(b":")[2])
                for line in head.split(b"\r\n")
                if line.lower().startswith(b"content-length:")
            ),
            0,
        )
        await reader.readexactly(length)
    except (asyncio.IncompleteReadError, ConnectionError):
        return 0
    return int(head.split()[1])


async def ask(server: Server, request: bytes, patience: float = 60) -> Answer:
    """Send a request on a connection of its own, and leave after `patience` seconds."""
    started = time.perf_counter()
    status = 0
    writer = None
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(patience):
            reader, writer = await connect(server)
            writer.write(request)
            with contextlib.suppress(ConnectionError):  # refused before the whole of it was sent
                await writer.drain()
            status = await read(reader)
    seconds = time.perf_counter() - started
    if writer is not None:
        writer.close()
    return Answer(status, seconds)


async def probe(server: Server, until: asyncio.Event, every: float = 0.05) -> list[Answer]:
    """Ask the probe again and again, each time on a new connection, as Kubernetes does."""
    request = f"GET {server.probe} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode()
    answers = []
    while not until.is_set():
        answers.append(await ask(server, request, patience=30))
        await asyncio.sleep(every)
    return answers


async def watch(server: Server, until: asyncio.Event) -> float:
    """Return the most memory that the server had, in megabytes."""
    most = server.megabytes()
    while not until.is_set():
        await asyncio.sleep(0.05)
        most = max(most, server.megabytes())
    return most


def cpu_seconds(pid: int) -> float:
    """The CPU time of a process and of those that it started, so far."""
    children: dict[int, list[int]] = {}
    ticks: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            fields = stat.read_text().rpartition(")")[2].split()
            child = int(stat.parent.name)
            children.setdefault(int(fields[1]), []).append(child)
            ticks[child] = int(fields[11]) + int(fields[12])
    found, left = 0, [pid]
    while left:
        one = left.pop()
        found += ticks.get(one, 0)
        left += children.get(one, [])
    return found / os.sysconf("SC_CLK_TCK")


def quantile(seconds: Sequence[float], share: float) -> float:
    """The value below which that share of the values is."""
    ordered = sorted(seconds)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def median(values: Sequence[float]) -> float:
    """The median, for reports."""
    return statistics.median(values)
