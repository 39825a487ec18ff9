"""What apt-get does with the names of `apt_packages`, asked of the real one."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support import projects


@pytest.fixture(scope="module")
def apt() -> None:
    """Skip where there is no apt-get that knows packages."""
    if not shutil.which("apt-get"):
        projects.lacking("no apt-get")
    done = subprocess.run(["apt-cache", "pkgnames", "libgtk"], capture_output=True, check=False)
    if not done.stdout:
        projects.lacking("apt-get has no list of packages (apt-get update)")


@pytest.fixture(scope="module")
def options(template: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The words between `install` and the first package, as the Dockerfile has them."""
    project = projects.generate(
        template,
        tmp_path_factory.mktemp("apt") / "churn",
        ci="none",
        advanced=True,
        apt_packages="jq 7zip",
    )
    text = (project / "Dockerfile").read_text().replace("\\\n", " ")
    (step,) = (line for line in text.splitlines() if line.startswith("RUN apt-get update"))
    words = shlex.split(step.split("&&")[1])
    assert words[:2] == ["apt-get", "install"] and words[-2:] == ["7zip", "jq"]
    return words[2:-2]


def simulated(options: list[str], *names: str) -> subprocess.CompletedProcess[str]:
    """What `apt-get install` would do."""
    command = ["apt-get", "install", "--simulate", *options, *names]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_name_that_is_no_package_ends_the_build_and_matches_no_other(
    apt: None, options: list[str]
) -> None:
    """By itself apt-get finds libgtk-3-0, and whatever else has those letters in its name."""
    done = simulated(options, "libgtk.3-0")
    assert done.returncode != 0
    assert "Unable to locate package libgtk.3-0" in done.stderr


def test_names_with_a_plus_and_a_dot_are_packages(apt: None, options: list[str]) -> None:
    done = simulated(options, "g++", "libstdc++6")
    assert done.returncode == 0, done.stderr
    assert "Remv" not in done.stdout
