"""The names of the files of this repository, which Copier clones on any system."""

from __future__ import annotations

import re
from collections.abc import Iterable

import pytest

from tests.support import projects

# https://learn.microsoft.com/windows/win32/fileio/naming-a-file
FORBIDDEN = re.compile(r'[<>:"\\|?*\x00-\x1f]|[. ]$')
DEVICES = re.compile(r"(CON|PRN|AUX|NUL|COM\d|LPT\d)(\.|$)", re.IGNORECASE)


def refused(paths: Iterable[str]) -> list[str]:
    """Which of these paths Windows refuses: by a name in it, or since it equals another one there.

    Names that differ only in upper and lower case are one file.
    """
    kept: dict[str, str] = {}
    for path in paths:
        names = path.split("/")
        if any(FORBIDDEN.search(name) or DEVICES.match(name) for name in names):
            continue
        kept.setdefault(path.lower(), path)
    return [path for path in paths if path not in kept.values()]


def test_windows_accepts_every_path_of_the_repository() -> None:
    paths = projects.git("ls-files", "-z", cwd=projects.ROOT).split("\0")[:-1]
    assert any(path.startswith("template/src/") for path in paths)
    assert not refused(paths)


@pytest.mark.parametrize("path", ['a"b', "a/b:c", "a./b", "a/b ", "con", "a/Nul.txt", "a?b/c"])
def test_a_name_that_windows_refuses_is_found(path: str) -> None:
    assert refused(["readme", path]) == [path]


def test_two_paths_that_are_one_for_windows_are_found() -> None:
    assert refused(["a/Model.py", "a/model.py"]) == ["a/model.py"]
