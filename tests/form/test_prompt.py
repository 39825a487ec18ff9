"""The form as a person meets it, at a terminal of 80 columns and 24 lines."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pexpect
import pyte
import pytest
import yaml

from tests.support import projects

WIDTH, HEIGHT = 80, 24
CLEAR = "\x15"  # Ctrl-U empties the line
DOWN = "\x1b[B"
ENTER = "\r"


class Terminal:
    """A terminal in which Copier asks: keys go in, and the screen can be read."""

    def __init__(self, template: Path, folder: Path, path: str, *words: str) -> None:
        self.screen = pyte.Screen(WIDTH, HEIGHT)
        self.stream = pyte.Stream(self.screen)
        self.process = pexpect.spawn(
            sys.executable,
            ["-m", "copier", "copy", "--trust", "--vcs-ref", "HEAD", *words, str(template), "demo"],
            cwd=folder,
            env={**os.environ, "TERM": "xterm", "PATH": path, "PROMPT_TOOLKIT_NO_CPR": "1"},
            dimensions=(HEIGHT, WIDTH),
            encoding="utf-8",
        )

    def read(self) -> bool:
        """Show what was written; False at the end of the program."""
        try:
            self.stream.feed(self.process.read_nonblocking(65536, timeout=0.2))
        except pexpect.TIMEOUT:
            return True
        except pexpect.EOF:
            return False
        return True

    def text(self) -> str:
        """The screen as one text with single spaces, so that no line break is in the way."""
        return " ".join(" ".join(self.screen.display).split())

    def until(self, wanted: str) -> str:
        """Wait for a text and return the screen; fail with the screen where it does not come."""
        end = time.monotonic() + 60
        while " ".join(wanted.split()) not in self.text():
            running = self.read()
            shown = "\n".join(line for line in self.screen.display if line.strip())
            assert running and time.monotonic() < end, f"no {wanted!r} on the screen:\n{shown}"
        return self.text()

    def press(self, *keys: str) -> None:
        """Press one key after the other."""
        for key in keys:
            self.process.send(key)
            self.read()

    def end(self) -> str:
        """Wait for the end of the program and return the screen."""
        while self.read():
            pass
        self.process.close()
        assert self.process.exitstatus == 0, self.text()
        return self.text()


@pytest.fixture
def terminal(
    template: Path, tmp_path: Path, path_without_uv: str
) -> Iterator[Callable[..., Terminal]]:
    """Start Copier in a terminal, with words of its command line."""
    started: list[Terminal] = []

    def start(*words: str) -> Terminal:
        started.append(Terminal(template, tmp_path, path_without_uv, *words))
        return started[-1]

    yield start
    for each in started:
        each.process.close(force=True)


def answers(folder: Path) -> dict:
    """What the project remembers."""
    return yaml.safe_load((folder / "demo" / ".copier-answers.yml").read_text())


def test_no_line_of_a_question_is_cut_off() -> None:
    """A shorter way to see it than the next test, for a question that is new."""
    for name, details in projects.form().items():
        # Copier's "🎤 " stands before the first line, and a marker before a choice.
        for line in details.get("help", "").replace("\n", "\n   ").splitlines():
            assert len(line) <= WIDTH - 3, f"{name}: {line}"
        if isinstance(details.get("choices"), dict):
            assert all(len(label) <= WIDTH - 3 for label in details["choices"]), name


def test_every_question_and_every_refusal_can_be_read_whole(
    terminal: Callable[..., Terminal], tmp_path: Path
) -> None:
    asked = terminal()
    asked.until("Name of the project and its package (lower case, words joined by hyphens)")
    asked.press(CLEAR, *"My Project", ENTER)
    asked.until("beginning with a letter, for example my-project.")
    asked.press(CLEAR, *"my-project", ENTER)
    asked.until("What does it do? One line")
    asked.press(CLEAR, ENTER)
    asked.until("Answer one line of 1 to 300 characters, for example: Forecasts tomorrow's load.")
    asked.press(*"Sees", ENTER)
    asked.until("What does main.py do? (Use arrow keys)")
    asked.press(ENTER)
    asked.until("What does the image run on? (Development and CI need no GPU either way) (Use")
    asked.press(DOWN, ENTER)
    asked.until("Which framework? (Use arrow keys)")
    asked.press(ENTER)

    shown = asked.until("Any other: its compute capability, such as 8.6")
    for name in ("H100", "GH200", "A100", "L4", "T4", "V100", "RTX 5090", "RTX 4090"):
        assert re.search(rf"\b{name}(,|…| …| Workstation:)", shown), name
    asked.press(*"3.7", ENTER)
    asked.until("gpus: 3.7 (compute capability) cannot be had, because")
    asked.until("the nearest that works is gpus: 5.0 instead of 3.7.")
    asked.press(CLEAR, *"V1OO")
    asked.until('"V1OO" is no GPU of the catalogue; answer one of V100, V100S.')
    asked.press(CLEAR, *"V100, H100", ENTER)

    asked.until("Oldest NVIDIA driver of those hosts (see nvidia-smi), such as 535.183.01")
    asked.press(CLEAR, *"610", ENTER)
    asked.until("gpus: V100 (compute capability 7.0) and driver: 610")
    asked.until("cannot stand together, because")
    asked.until("gpus: without V100, or driver: 580.")
    asked.press(CLEAR, *"580", ENTER)
    asked.until("Which Python? (Use arrow keys)")
    asked.press(ENTER)
    asked.until("Where do the containers run? It decides their user, folders, port and routes")
    asked.press(ENTER)
    asked.until("Name of the image without a tag, such as ghcr.io/acme/forecast")
    asked.press(CLEAR, *"Acme/Vision", ENTER)
    asked.until("without a tag, for example registry.example.com/team/churn.")
    asked.press(CLEAR, *"acme/vision", ENTER)
    asked.until("Which CI checks, tests, builds and runs it? (Use arrow keys)")
    asked.press(ENTER)
    asked.until("What else should it have? (Use arrow keys to move, <space> to select")
    asked.press(" ", ENTER)

    asked.until("Choose versions, base image, system packages and mirrors yourself? (y/N)")
    asked.press("y")
    asked.until("May data centre GPUs run newer CUDA than their driver's, by cuda-compat? (y/N)")
    asked.press("n")
    asked.until("Version of the framework (auto: the newest that suits the answers above)")
    asked.press(ENTER)
    asked.until("CUDA build of the framework (auto: the newest for these GPUs and driver)")
    asked.press(ENTER)
    asked.until("Base image (auto: nvidia/cuda where its driver rule passes, else slim)")
    asked.press(ENTER)
    asked.until("Does a dependency compile CUDA code? (Adds a builder with the CUDA toolkit) (y/N)")
    asked.press("n")
    asked.until("Debian or Ubuntu packages for the image, such as libgl1 ffmpeg")
    asked.press(*"lib.+", ENTER)
    asked.until("answer their names, for example: libgl1 ffmpeg.")
    asked.press(CLEAR, ENTER)
    asked.until("Your package index, such as https://pypi.acme.com/simple (empty: PyPI)")
    asked.press(*"https://me:pw@pypi.acme.com", ENTER)
    asked.until("and give them at build time as a secret.")
    asked.press(CLEAR, ENTER)
    asked.until("Mirror of https://download.pytorch.org/whl (empty: the original)")
    asked.press(ENTER)
    asked.until("Mirror of base images, such as registry.acme.com/proxy (empty: none)")
    asked.press(*"https://registry.acme.com", ENTER)
    asked.until("without a slash at the end, for example registry.example.com/proxy.")
    asked.press(CLEAR, ENTER)
    asked.until("Mirror of the CPythons that uv downloads from GitHub (empty: the original)")
    asked.press(*"mirror.acme.com", ENTER)
    asked.until('"mirror.acme.com" is no http or https address; answer one,')
    asked.press(CLEAR, ENTER)

    ended = asked.end()
    assert "uv lock git init --initial-branch main" in ended, "the task found no uv"
    stored = answers(tmp_path)
    assert stored["gpus"] == ["V100", "H100"]
    assert stored["image_name"] == "acme/vision"
    assert stored["extras"] == ["kubernetes"]


def test_a_gpu_is_chosen_in_a_few_keys(terminal: Callable[..., Terminal], tmp_path: Path) -> None:
    words = ("--data=accelerator=gpu", "--data=framework=pytorch", "--skip-tasks")
    asked = terminal(*words)
    for question in ("Name of the project", "What does it do", "What does main.py do"):
        asked.until(question)
        asked.press(ENTER)
    asked.until("its compute capability, such as 8.6")
    keys = [*"H100", ENTER]
    assert len(keys) < 15
    asked.press(*keys)
    for question in (
        *("Oldest NVIDIA driver", "Which Python", "Where do the containers run"),
        *("Name of the image", "Which CI", "What else", "Choose"),
    ):
        asked.until(question)
        asked.press(ENTER)
    asked.end()
    stored = answers(tmp_path)
    assert stored["gpus"] == ["H100"]
    assert stored["image_name"] == stored["project_name"] == "demo", "a default follows"


def test_nothing_typed_for_the_gpus_means_any(
    terminal: Callable[..., Terminal], tmp_path: Path
) -> None:
    words = ("accelerator=gpu", "project_name=demo", "description=x", "workload=train")
    words += ("framework=pytorch", "python_version=3.13", "platform=docker", "image_name=demo")
    asked = terminal(
        *(f"--data={word}" for word in (*words, "ci=none", "extras=[]", "advanced=no"))
    )
    asked.until("its compute capability, such as 8.6")
    asked.press(ENTER)
    asked.until("Oldest NVIDIA driver")
    asked.press(ENTER)
    asked.end()
    assert answers(tmp_path)["gpus"] == ["any"]
