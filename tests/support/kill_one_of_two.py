"""Kill one of two processes of a training at random moments: `python THIS KILLS FRAMEWORK`.

Runs with the Python of a project called demo, in its folder. Trains in two processes without an
interruption, then again and again with one that is killed, and once to the end. The imports, which
take seconds, are done before. What a launcher does with the other one is done here, sooner: it gets
SIGKILL where it has not ended. What the processes said is in outputs/NAME-RANK.out and .err.

Prints how many were killed while they ran, and how many of the others had to be ended.
"""

import importlib
import json
import os
import random
import signal
import socket
import sys
import time
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from demo.settings import TrainSettings
from demo.train import train

KILLS, FRAMEWORK = int(sys.argv[1]), sys.argv[2]
if FRAMEWORK == "pytorch":
    importlib.import_module("torch._dynamo")  # which an optimizer imports when it is made


def start(name: str, **settings: Any) -> list[int]:
    """Start both, and return their process ids."""
    with ExitStack() as stack:
        servers = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(2)]
        ports = [server.getsockname()[1] for server in servers]
    return [fork(f"{name}-{rank}", variables(rank, ports), settings) for rank in range(2)]


def variables(rank: int, ports: list[int]) -> dict[str, str]:
    """What the launcher of a framework sets."""
    if FRAMEWORK == "pytorch":
        names = {"RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_RANK": str(rank)}
        return names | {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(ports[0])}
    if FRAMEWORK == "jax":
        names = {"JAX_NUM_PROCESSES": "2", "JAX_PROCESS_ID": str(rank)}
        return names | {"JAX_COORDINATOR_ADDRESS": f"127.0.0.1:{ports[0]}"}
    cluster = {"worker": [f"127.0.0.1:{port}" for port in ports]}
    return {
        "TF_CONFIG": json.dumps({"cluster": cluster, "task": {"type": "worker", "index": rank}})
    }


def fork(name: str, environment: dict[str, str], settings: dict[str, Any]) -> int:
    """Train in a new process, and return its id."""
    if child := os.fork():
        return child
    os.environ |= environment
    for number, end in ((1, "out"), (2, "err")):
        os.dup2(os.open(f"outputs/{name}.{end}", os.O_WRONLY | os.O_CREAT), number)
    try:
        code = train(TrainSettings(epochs=12, **settings))
    except SystemExit as ended:
        print(ended.code, file=sys.stderr, flush=True)
        code = 1
    except BaseException:
        sys.excepthook(*sys.exc_info())
        code = 2
    os._exit(code)


def end(children: Iterable[int], seconds: float) -> dict[int, int]:
    """Wait for their ends, and return their statuses; kill them after so many seconds."""
    left, statuses, deadline = {*children}, {}, time.monotonic() + seconds
    while left:
        for child in tuple(left):
            if (found := os.waitpid(child, os.WNOHANG))[0]:
                statuses[child] = found[1]
                left.remove(child)
        if time.monotonic() > deadline:
            for child in left:
                os.kill(child, signal.SIGKILL)
        time.sleep(0.01)
    return statuses


Path("outputs").mkdir()
started = time.monotonic()
assert {*end(start("0-whole", runs_dir="outputs/other"), 600).values()} == {0}
whole = time.monotonic() - started
# JAX takes most of it to compile. Before the first checkpoint there is nothing to go on from.
latest = whole if FRAMEWORK == "jax" else whole / 3
luck, kills, number, ended = random.Random(12), 0, 0, 0
while kills < KILLS:
    number += 1
    both = start(f"1-{number:04}")
    time.sleep(luck.uniform(0, latest))
    killed, other = luck.sample(both, 2)
    os.kill(killed, signal.SIGKILL)
    statuses = end(both, 10)
    kills += os.WIFSIGNALED(statuses[killed])
    ended += os.WTERMSIG(statuses[other]) == signal.SIGKILL  # JAX may abort itself
assert {*end(start("2-last"), 600).values()} == {0}
print(kills, ended)
