"""The form as a person meets it, at a terminal."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pexpect
import yaml


def plain(text: str) -> str:
    """Without the codes that move the cursor and set colours."""
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text)


def test_a_bad_answer_is_explained_at_the_prompt_and_asked_again(
    template: Path, tmp_path: Path, path_without_uv: str
) -> None:
    words = ["-m", "copier", "copy", "--trust", "--vcs-ref", "HEAD", str(template), "demo"]
    environment = {**os.environ, "TERM": "xterm", "PATH": path_without_uv}
    terminal = pexpect.spawn(
        sys.executable,
        words,
        cwd=tmp_path,
        env=environment,
        dimensions=(50, 250),
        encoding="utf-8",
        timeout=60,
    )
    terminal.expect("Name of the project")
    terminal.sendline("\x15My Project")  # Ctrl-U empties the line
    terminal.expect("lower-case letters")
    terminal.sendline("\x15my-project")
    for question in (
        "What does it do",
        "What does main.py do",
        "What does the image run on",
        "Which framework",
        "Which Python",
        "Where do the containers run",
        "Name of the image",
        "Which CI",
        "Choose",
    ):
        terminal.expect(question)
        terminal.sendline("")
    terminal.expect(pexpect.EOF)
    assert "scikit-learn" in plain(terminal.before)
    stored = yaml.safe_load((tmp_path / "demo" / ".copier-answers.yml").read_text())
    assert stored["project_name"] == "my-project"
    assert stored["image_name"] == "my-project", "a default follows from an earlier answer"
