"""The one task of the template, where uv cannot do its work."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.support import projects


def test_a_python_that_cannot_be_had_is_named_with_what_to_do(tmp_path: Path) -> None:
    """Nothing listens on port 9 of this machine, as on the port of a mirror that is not there."""
    project = tmp_path / "demo"
    project.mkdir()
    (project / "pyproject.toml").write_text(
        '[project]\nname = "demo"\nversion = "1"\nrequires-python = "==3.13.*"\n'
    )
    nowhere = {
        "UV_PYTHON_INSTALL_MIRROR": "http://127.0.0.1:9/mirror",
        "UV_PYTHON_INSTALL_DIR": str(tmp_path / "pythons"),
        "UV_PYTHON_PREFERENCE": "only-managed",
        "UV_HTTP_RETRIES": "0",
    }
    task = projects.ROOT / "extensions" / "lock.py"
    done = projects.run(sys.executable, task, cwd=project, env=nowhere)
    assert done.returncode == 0
    [line] = done.stderr.splitlines()
    assert line.startswith("uv.lock was not written, since CPython 3.13.")
    assert "could not be had from http://127.0.0.1:9:" in line
    assert "`python_mirror`" in line and line.endswith("run `uv lock` here.")
