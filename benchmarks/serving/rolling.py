"""Two servers behind HAProxy, replaced one after the other while clients ask."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path
from typing import Any

from benchmarks.serving import servers
from benchmarks.serving.clients import Server, ask, connect, read

# What a proxy has to know: where it may ask whether a server can predict, and how often. A server
# says no for `--drain-seconds` before it stops to listen, which must be longer than a check takes
# to see that.
CONFIGURATION = """
defaults
    mode http
    timeout connect 2s
    timeout client 30s
    timeout server 30s
    timeout check 5s
frontend all
    bind 127.0.0.1:{front}
    default_backend servers
backend servers
    balance roundrobin
    option httpchk GET {probe}
    http-check expect status 200
    default-server check inter 200ms fall 1 rise 1
    server one 127.0.0.1:{one}
    server two 127.0.0.1:{two}
"""


def command(project: Path, port: int, drain: float) -> list[str]:
    """The words that start a server of the project."""
    words = [project / ".venv/bin/python", "main.py", "--host", "127.0.0.1", "--port", port]
    # Nothing is refused because this machine is busy: that is another measurement.
    return [str(word) for word in (*words, "--drain-seconds", drain, "--queue-seconds", 30)]


def rolling(
    project: Path,
    folder: Path,
    *,
    body: bytes,
    predict: str = "/predict",
    probe: str = "/readyz",
    clients: int,
    pause: float = 0,
    drain: float = 2,
    kept: bool = False,
) -> dict[str, Any]:
    """Replace both servers while clients ask through the proxy.

    Args:
        project: an installed project that serves, with its model.
        folder: for the proxy's configuration.
        body: a request.
        predict: the path that predicts.
        probe: the path that the proxy asks.
        clients: how many ask at the same time.
        pause: for how many seconds each waits before it asks again.
        drain: for how many seconds a server goes on accepting after SIGTERM.
        kept: does a client keep its connection? Then the proxy keeps its own to the servers, too,
            and may send a request on one that a server is about to close. Else each request is on a
            new one.

    Returns:
        the number of answers by status, where 0 is a lost request, and how long each replacement
        took.
    """
    front, *ports = (servers.free_port() for _ in range(3))
    file = folder / "haproxy.cfg"
    file.write_text(CONFIGURATION.format(front=front, probe=probe, one=ports[0], two=ports[1]))
    outer = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}

    def start(port: int) -> subprocess.Popen[bytes]:
        quiet = subprocess.DEVNULL
        words = command(project, port, drain)
        process = subprocess.Popen(
            words, cwd=project, env={**outer, **servers.LINES}, stdout=quiet, stderr=quiet
        )
        stack.callback(process.wait)
        stack.callback(process.kill)
        servers.until_it_predicts(Server(port, process.pid, predict, probe, body), process)
        return process

    async def traffic(proxy: Server) -> dict[str, Any]:
        answers: Counter[int] = Counter()
        ended = asyncio.Event()

        async def client() -> None:
            while not ended.is_set():
                answers[(await ask(proxy, proxy.request())).status] += 1
                await asyncio.sleep(pause)

        async def one_with_a_connection() -> None:
            while not ended.is_set():
                reader, writer = await connect(proxy)
                while not ended.is_set() and not reader.at_eof():
                    writer.write(proxy.request())
                    answers[await read(reader)] += 1
                    await asyncio.sleep(pause)
                writer.close()

        play = one_with_a_connection if kept else client
        asking = [asyncio.create_task(play()) for _ in range(clients)]
        await asyncio.sleep(0.5)
        seconds = []
        for number, port in enumerate(ports):
            started = time.perf_counter()
            running[number].send_signal(signal.SIGTERM)
            await asyncio.to_thread(running[number].wait)
            running[number] = await asyncio.to_thread(start, port)
            await asyncio.sleep(0.6)  # a proxy has seen it by then
            seconds.append(round(time.perf_counter() - started, 1))
        ended.set()
        await asyncio.gather(*asking)
        return {"answers": dict(answers), "seconds": seconds}

    with contextlib.ExitStack() as stack:
        running = [start(port) for port in ports]
        proxy = subprocess.Popen(["haproxy", "-q", "-f", str(file)])
        stack.callback(proxy.wait)
        stack.callback(proxy.kill)
        through = Server(front, proxy.pid, predict, probe, body)
        servers.until_it_predicts(through, proxy)
        return asyncio.run(traffic(through))
