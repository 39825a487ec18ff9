"""What a server must survive: more load than it carries, and clients that mean no good.

Each function plays one kind of client and returns what happened, in plain figures; the tests ask
for little of it, `python -m benchmarks.serving hostile` for much.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections import Counter
from collections.abc import Coroutine
from random import Random
from typing import Any

from benchmarks.serving.clients import Answer, Server, ask, connect, probe, quantile, read, watch

Report = dict[str, Any]


async def watched(server: Server, play: Coroutine[Any, Any, Report]) -> Report:
    """Play clients while the probe is asked and the memory is watched."""
    ended = asyncio.Event()
    before = server.megabytes()
    probes = asyncio.create_task(probe(server, ended))
    memory = asyncio.create_task(watch(server, ended))
    try:
        report = await play
    finally:
        ended.set()
        answers, most = await probes, await memory
    return {
        **report,
        "probes": dict(Counter(answer.status for answer in answers)),
        "probe_p99_ms": round(1000 * quantile([one.seconds for one in answers], 0.99), 1),
        "megabytes_before": round(before),
        "megabytes_most": round(most),
        "megabytes_after": round(server.megabytes()),
    }


def summed(answers: list[Answer]) -> Report:
    """The number of answers of each status, and the slowest of each in milliseconds."""
    by_status: dict[int, list[float]] = {}
    for answer in answers:
        by_status.setdefault(answer.status, []).append(answer.seconds)
    return {
        "answers": {status: len(times) for status, times in sorted(by_status.items())},
        "median_ms": {s: round(1000 * quantile(t, 0.5), 1) for s, t in sorted(by_status.items())},
        "p99_ms": {s: round(1000 * quantile(t, 0.99), 1) for s, t in sorted(by_status.items())},
    }


async def storm(server: Server, rate: float, seconds: float, patience: float) -> Report:
    """Send `rate` requests a second, each on a connection of its own that waits for `patience`."""
    request = server.request()
    started = time.perf_counter()
    asked: list[asyncio.Task[Answer]] = []
    for number in range(round(rate * seconds)):
        await asyncio.sleep(started + number / rate - time.perf_counter())
        asked.append(asyncio.create_task(ask(server, request, patience)))
    return summed(list(await asyncio.gather(*asked)))


async def crowd(server: Server, connections: int, seconds: float, pause: float) -> Report:
    """Keep many connections that ask again at once, or `pause` seconds after a 503.

    The report has the seconds of the first answer after they all have left.
    """
    request = server.request()
    end = time.perf_counter() + seconds
    answers: list[Answer] = []

    async def client() -> None:
        reader, writer = await connect(server)
        while time.perf_counter() < end:
            started = time.perf_counter()
            writer.write(request)
            status = await read(reader)
            answers.append(Answer(status, time.perf_counter() - started))
            if status == 0:
                break
            await asyncio.sleep(pause if status == 503 else 0)
        writer.close()

    await asyncio.gather(*(client() for _ in range(connections)))
    left = time.perf_counter()
    while (await ask(server, request)).status != 200:
        await asyncio.sleep(0.02)
    recovered = time.perf_counter() - left
    return {**summed(answers), "seconds_to_recover": round(recovered, 2)}


async def large(server: Server, megabytes: int, declared: bool = True) -> Report:
    """Send a body of empty lists, of a length that is declared or in chunks."""
    part = b"[]," * 333_333
    start = b'{"instances":['
    with contextlib.suppress(ConnectionError):
        reader, writer = await connect(server)
        writer.write(server.head(megabytes * len(part) if declared else None))
        answer = asyncio.create_task(read(reader))
        for number in range(megabytes):
            sent = part if number else start + part[: -len(start)]
            writer.write(sent if declared else b"%x\r\n%s\r\n" % (len(sent), sent))
            try:
                await writer.drain()
            except ConnectionError:
                break
            if answer.done():  # a polite client stops here, and this one goes on
                await asyncio.sleep(0)
        status = await answer
        writer.close()
        return {"answers": {status: 1}}
    return {"answers": {0: 1}}


async def slow(server: Server, clients: int, seconds: float, pause: float) -> Report:
    """Send a byte every `pause` seconds. The report has how many are cut off within `seconds`."""

    async def client() -> bool:
        reader, writer = await connect(server)
        with contextlib.suppress(ConnectionError, TimeoutError):
            async with asyncio.timeout(seconds):
                for byte in server.request():
                    writer.write(bytes([byte]))
                    await writer.drain()
                    if reader.at_eof() or writer.is_closing():
                        break
                    await asyncio.sleep(pause)
                while await reader.read(1000):
                    pass
        ended = reader.at_eof() or reader.exception() is not None
        writer.close()
        return ended

    ended = await asyncio.gather(*(client() for _ in range(clients)))
    return {"slow_clients": clients, "cut_off": sum(ended)}


async def bodies(server: Server, count: int, seed: int) -> Report:
    """Send bodies that are wrong in many ways, on connections of ten requests."""
    chance = Random(seed)
    answers: list[Answer] = []
    wrong: list[bytes] = []
    reader = writer = None
    for number in range(count):
        if writer is None or number % 10 == 0:
            if writer is not None:
                writer.close()
            reader, writer = await connect(server)
        body = hostile_body(server.body, chance)
        started = time.perf_counter()
        writer.write(server.request(body))
        status = await read(reader)
        answers.append(Answer(status, time.perf_counter() - started))
        if status not in (200, 400, 413, 415, 422, 503):
            wrong.append(body[:200])
            writer.close()
            writer = None
    if writer is not None:
        writer.close()
    return {**summed(answers), "wrong": [repr(body) for body in wrong[:10]]}


def hostile_body(good: bytes, chance: Random) -> bytes:
    """A body that is no good, or perhaps still is."""

    def nested() -> bytes:
        depth = chance.choice((100, 1_000, 100_000))
        return chance.choice((b"[" * depth, b'{"a":' * depth, b"[" * depth + b"]" * depth))

    def replaced() -> bytes:
        content = json.loads(good)
        node: Any = content
        key: Any = next(iter(content))
        while isinstance(node[key], (dict, list)) and node[key] and chance.random() < 0.7:
            node = node[key]
            key = chance.choice(list(node)) if isinstance(node, dict) else 0
        node[key] = chance.choice(
            (None, True, "1", "\x00", "é" * 50, -1, 10**400, 1e308, [], {}, [[]], [None], "NaN")
        )
        return json.dumps(content).encode()

    def cut() -> bytes:
        return good[: chance.randrange(len(good))]

    def flipped() -> bytes:
        content = bytearray(good)
        for _ in range(chance.randint(1, 5)):
            content[chance.randrange(len(content))] = chance.randrange(256)
        return bytes(content)

    def noise() -> bytes:
        return chance.randbytes(chance.randint(0, 2_000))

    def words() -> bytes:
        return chance.choice((b"NaN", b"Infinity", b"-0", b'"', b"\xff\xfe", b"1e999", b"null"))

    return chance.choice((nested, replaced, replaced, cut, flipped, flipped, noise, words))()
