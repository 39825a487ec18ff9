"""The version of the template stands in two places."""

from __future__ import annotations

import re
import tomllib

from tests.support import projects


def test_the_project_has_the_version_of_the_newest_release_in_the_changelog() -> None:
    headings = re.findall(r"^## (\d.*)$", (projects.ROOT / "CHANGELOG.md").read_text(), re.M)
    project = tomllib.loads((projects.ROOT / "pyproject.toml").read_text())["project"]
    assert project["version"] == headings[0]
