"""The ways of building an image that are compared: ours and the rivals."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Contender:
    """A way of building.

    `form` is the form of the project that it wants (see subject.py), `start` the words before a
    Python script on its own way into Python, `cache` the download cache that it shares.
    """

    name: str
    title: str
    form: str
    start: tuple[str, ...]
    cache: str
    bytecode: str
    shell: bool = False

    @property
    def dockerfile(self) -> Path | None:
        """The rival's Dockerfile; None for the one that Drydock generated."""
        path = HERE / "rivals" / self.name / "Dockerfile"
        return path if path.is_file() else None

    def words(self, script: str) -> tuple[str | None, list[str]]:
        """Entry point and command that run a Python script the way its program is started."""
        if self.shell:
            quoted = script.replace("'", "'\\''")
            return None, [*self.start, f"uv run python -c '{quoted}'"]
        if self.name == "drydock":
            return "python", ["-c", script]
        return None, [*self.start, "-c", script]


_LOGIN = ("/bin/bash", "--login", "-c")
CONTENDERS = [
    Contender("drydock", "Drydock", "drydock", ("python",), "uv", "on, unchecked-hash"),
    Contender("article-cuda", "Article, CUDA", "uv-app", _LOGIN, "uv", "on, timestamp", shell=True),
    Contender(
        "article-home", "Article, HOME moved", "uv-app", _LOGIN, "uv", "on, timestamp", shell=True
    ),
    Contender(
        "article-uv-image",
        "Article, uv image",
        "uv-app",
        ("/bin/sh", "-c"),
        "uv",
        "off",
        shell=True,
    ),
    Contender("uv-multistage", "uv multi-stage", "uv-package", ("python",), "uv", "on, timestamp"),
    Contender("pip", "pip", "pip", ("python",), "pip", "on, timestamp"),
    Contender("poetry", "Poetry", "poetry", ("python",), "poetry", "off"),
]
