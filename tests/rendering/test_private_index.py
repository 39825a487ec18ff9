"""What the generated CI tells uv about the credentials of a private index."""

from __future__ import annotations

import base64
import http.server
import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.support import projects


class Asked(http.server.ThreadingHTTPServer):
    """An index that has no package, and keeps each Authorization header it was sent."""

    def __init__(self) -> None:
        """Listen on a free port of 127.0.0.1."""
        self.logins: list[str | None] = []
        logins = self.logins

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:  # noqa: N802 the name that http.server calls
                logins.append(self.headers["Authorization"])
                self.send_error(404)

            def log_message(self, *arguments: object) -> None:
                pass

        super().__init__(("127.0.0.1", 0), Handler)


@pytest.fixture
def index() -> Iterator[Asked]:
    with Asked() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("secrets", [{}, {"USERNAME": "robot", "PASSWORD": "s3cret"}])
def test_github_logs_in_where_the_secrets_are_set_and_else_not_at_all(
    template: Path, tmp_path: Path, index: Asked, secrets: dict[str, str]
) -> None:
    project = projects.generate(
        template,
        tmp_path / "demo",
        ci="github",
        workload="serve",
        advanced=True,
        package_index=f"http://127.0.0.1:{index.server_port}/simple",
    )
    jobs = yaml.safe_load((project / ".github/workflows/ci.yml").read_text())["jobs"]
    for job in jobs.values():
        steps = [step for step in job["steps"] if "run" in step]
        login, asks = steps[:2]
        assert asks["run"].startswith(("uv sync", "uv run --locked"))
        assert not any("UV_INDEX" in name for one in (job, *steps) for name in one.get("env", {}))
        # GitHub gives an expression whose secret is not set as an empty string.
        given = {name: secrets.get(name, "") for name in login["env"]}
        assert set(given) == {"USERNAME", "PASSWORD"}
        found = tmp_path / "environment"
        found.write_text("")
        subprocess.run(
            ["bash", "-e", "-c", login["run"]],
            env={"PATH": os.environ["PATH"], "GITHUB_ENV": str(found), **given},
            check=True,
        )
        told = dict(line.split("=", 1) for line in found.read_text().splitlines())
        index.logins.clear()
        subprocess.run(["uv", "lock"], cwd=project, env={**os.environ, **told}, check=False)
        login_of_both = base64.b64encode(b"robot:s3cret").decode()
        assert set(index.logins) == {f"Basic {login_of_both}" if secrets else None}
