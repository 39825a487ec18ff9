"""How the tests talk to the server in a container: requests, and waiting until it answers."""

from __future__ import annotations

import json
import time

from tests.support.docker.client import Container

ZERO = [0, 0, 5, 13, 9, 1, 0, 0, 0, 0, 13, 15, 10, 15, 5, 0, 0, 3, 15, 2, 0, 11, 8, 0, 0, 4, 12, 0]
ZERO += [0, 8, 8, 0, 0, 5, 8, 0, 0, 9, 8, 0, 0, 4, 11, 0, 1, 12, 7, 0, 0, 2, 14, 5, 10, 12, 0, 0]
ZERO += [0, 0, 6, 13, 10, 0, 0, 0]


def ask(container: Container, path: str, body: object = None, port: int = 8080) -> tuple[int, dict]:
    """An HTTP request from inside the container, which has no network but its loopback."""
    script = """
import json, sys, urllib.error, urllib.request
url, body = sys.argv[1], sys.argv[2].encode() or None
request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
try:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with direct.open(request, timeout=30) as answer:
        print(answer.status, answer.read().decode())
except urllib.error.HTTPError as answer:
    print(answer.code, answer.read().decode())
except OSError as error:
    print(0, json.dumps(str(error)))
"""
    url = f"http://127.0.0.1:{port}{path}"
    sent = json.dumps(body) if body is not None else ""
    status, text = container.exec("python", "-c", script, url, sent).split(" ", 1)
    return int(status), json.loads(text) if text.strip() else {}


def until_ready(container: Container, path: str = "/readyz", port: int = 8080) -> None:
    """Wait until the server can predict."""
    for _ in range(300):
        assert container.state["Running"], container.logs()
        if ask(container, path, port=port)[0] == 200:
            return
        time.sleep(0.2)
    raise AssertionError(f"not ready after a minute:\n{container.logs()}")
