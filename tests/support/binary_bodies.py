"""Ask a kserve project's server with bodies that are nearly right, within one process.

`PROJECT/.venv/bin/python binary_bodies.py COUNT SEED`, from the project's folder. Prints how many
answers there were of each status, as JSON, and fails at the first that is none of a refusal or a
whole answer, or that does not come.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

sys.path.insert(0, str(Path("tests/runtime").resolve()))

from demo.runtime.app import App, Model  # type: ignore[import-not-found]
from demo.settings import ServeSettings  # type: ignore[import-not-found]
from test_open_inference import Echo, body  # type: ignore[import-not-found]

ODD = (0, -1, 1, 3, 2**31, 2**63, 2**64, 10**30, 0.5, True, None, "8", "", [], [2], {}, {"a": [1]})
REFUSALS = {400, 413, 415, 422}


def hostile(random: Random) -> tuple[bytes, dict[bytes, bytes]]:
    """Return a body and its headers: those of a good request after up to three changes."""
    names = [tensor.name for tensor in Echo.inputs]
    whole, length = body(
        in_json=tuple(name for name in names if random.random() < 0.3),
        parameters={"binary_data_output": random.random() < 0.5},
    )
    request, rest = json.loads(whole[:length]), bytearray(whole[length:])
    changes = random.choices((structure, sizes, data, none), k=random.randint(0, 3))
    for change in changes:
        change(random, request, rest)
    head = bytearray(json.dumps(request).encode())
    said = str(len(head)).encode()
    if random.random() < 0.1:
        disturb(random, head)
    if random.random() < 0.1:
        near = len(head) + random.randint(-20, 20)
        said = random.choice((b"%d" % near, b"-1", b"", b"\xff", b"1e3", b"9" * 5000, b"0x10"))
    headers = {b"inference-header-content-length": said}
    if random.random() < 0.03:
        del headers[b"inference-header-content-length"]
    if random.random() < 0.03:
        headers[b"content-type"] = random.choice((b"text/csv", b"", b"\xff", b"application/json"))
    if random.random() < 0.03:
        headers[b"content-encoding"] = random.choice((b"gzip", b"deflate", b"", b"identity"))
    return bytes(head + rest), headers


def none(random: Random, request: Any, rest: bytearray) -> None:
    """Leave it as it is."""


def structure(random: Random, request: Any, rest: bytearray) -> None:
    """Put something odd somewhere into the JSON, or take something away."""
    place = request
    while True:
        key = random.choice(list(place) if isinstance(place, dict) else range(len(place)))
        inner = place[key]
        if isinstance(inner, dict | list) and inner and random.random() < 0.8:
            place = inner
        elif random.random() < 0.2:
            del place[key]
            return
        else:
            place[key] = random.choice(ODD)
            return


def sizes(random: Random, request: Any, rest: bytearray) -> None:
    """Say another size, shape or datatype of an input."""
    if not isinstance(inputs := request.get("inputs"), list) or not inputs:
        return
    tensor = random.choice(inputs)
    if not isinstance(tensor, dict):
        return
    key = random.choice(("parameters", "shape", "datatype"))
    tensor[key] = {
        "parameters": {"binary_data_size": random.choice((*range(20), *ODD))},
        "shape": random.choices((*range(5), 2**40, -1), k=random.randint(0, 3)),
        "datatype": random.choice(("BOOL", "INT32", "FP32", "BYTES", "FP16", "UINT8", 1)),
    }[key]


def data(random: Random, request: Any, rest: bytearray) -> None:
    """Send other bytes, fewer or more."""
    disturb(random, rest)


def disturb(random: Random, some: bytearray) -> None:
    """Change, insert or cut bytes."""
    for _ in range(random.randint(1, 4)):
        at = random.randint(0, len(some))
        some[at : at + random.choice((0, 1, 4, 1000))] = random.randbytes(random.choice((0, 1, 4)))


async def asked(app: App, content: bytes, headers: dict[bytes, bytes]) -> tuple[int, Any, bytes]:
    """Return the status, the headers and the body of an answer."""
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/v2/models/demo/infer",
        "headers": [*headers.items(), (b"content-length", b"%d" % len(content))],
    }
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": content, "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await asyncio.wait_for(app(scope, receive, send), timeout=10)
    start, *parts = sent
    return start["status"], dict(start["headers"]), b"".join(part["body"] for part in parts)


def check(status: int, headers: dict[bytes, bytes], answer: bytes) -> None:
    """Hold that an answer is whole, or a refusal with a sentence."""
    if status in REFUSALS:
        assert json.loads(answer)["error"], answer
        return
    assert status == 200, (status, answer)
    length = int(headers.get(b"inference-header-content-length", len(answer)))
    outputs = json.loads(answer[:length])["outputs"]
    told = [output["parameters"]["binary_data_size"] for output in outputs if "data" not in output]
    assert sum(told) == len(answer) - length, answer


async def play(count: int, seed: int) -> Counter[int]:
    """Ask that often."""
    failed: list[bool] = []
    app = App(
        lambda: Model(lambda rows: rows, Echo(), "1"),
        ServeSettings(model_name="demo", access_log=False),
        lambda: failed.append(True),
    )
    events = asyncio.Queue[dict[str, Any]]()
    events.put_nowait({"type": "lifespan.startup"})
    ended = asyncio.create_task(app({"type": "lifespan"}, events.get, lambda _: asyncio.sleep(0)))
    while not app.ready:
        assert not failed
        await asyncio.sleep(0.01)
    random, statuses = Random(seed), Counter[int]()
    for number in range(count):
        content, headers = hostile(random)
        try:
            status, answered, answer = await asked(app, content, headers)
            check(status, answered, answer)
        except (AssertionError, TimeoutError) as error:
            raise SystemExit(f"{number}: {headers} {content!r}: {error!r}") from error
        statuses[status] += 1
    events.put_nowait({"type": "lifespan.shutdown"})
    await ended
    return statuses


if __name__ == "__main__":
    logging.basicConfig(level=logging.ERROR)
    print(json.dumps(dict(sorted(asyncio.run(play(*map(int, sys.argv[1:3]))).items()))))
