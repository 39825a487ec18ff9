"""The migration to 0.5.0, which Copier runs in the project after an update from an older version.

Since 0.5.0 a project's plumbing stands in `src/<package>/runtime`, where updates mend it. A project
from before has plumbing of its own beside its code, which nothing of the new folder would replace:
so the folder, which this very update brought, and its tests are taken out again. An update leaves
away what is deleted. docs/updating.md says how to change over.

Its one argument is the name of the package.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

TEMPLATE = Path(__file__).resolve().parents[1] / "template"


def leave_out(project: Path, package: str) -> None:
    """Remove Drydock's files in the two folders if no line of the project's code imports them.

    A folder of this name that holds other modules is the user's, and nothing is taken out of it.
    """
    runtime, tests = project / "src" / package / "runtime", project / "tests" / "runtime"
    imported = re.compile(rf"(?:from\s+\.+|\b{package}\.)runtime\b|import\s+runtime\b")
    for path in (project / "main.py", *(project / "src").rglob("*.py")):
        text = path.read_text("utf-8", "replace") if path.is_file() else ""
        if runtime not in path.parents and imported.search(text):
            return
    _give_back_dependencies(project)
    ours = _names(TEMPLATE / "src" / "{{ package }}" / "runtime")
    if {path.name for path in runtime.rglob("*.py")} <= ours:
        shutil.rmtree(runtime, ignore_errors=True)
        for name in _names(TEMPLATE / "tests" / "runtime"):
            (tests / name).unlink(missing_ok=True)
        if tests.is_dir() and not any(tests.iterdir()):
            tests.rmdir()


def _give_back_dependencies(project: Path) -> None:
    """Make `dependencies` in pyproject.toml what the last commit has: that list is the owner's, and
    what an update adds to it is what those files import.

    Left alone where the list has another form, or a conflict that reaches beyond it.
    """
    git, path = shutil.which("git"), project / "pyproject.toml"
    if git is None or not path.is_file():
        return
    show = [git, "show", "HEAD:./pyproject.toml"]
    before = subprocess.run(show, cwd=project, capture_output=True).stdout
    # As bytes, so that line endings and all else stay what they are.
    text = path.read_bytes()
    block = re.compile(rb"^dependencies = \[\r?\n.*?^\]\r?\n", re.MULTILINE | re.DOTALL)
    old, new = block.search(before), block.search(text)
    if not old or not new or new[0].count(b"<<<<<<< ") != new[0].count(b">>>>>>> "):
        return
    mine = old[0].replace(b"\r\n", b"\n")
    if b"\r\n" in new[0]:
        mine = mine.replace(b"\n", b"\r\n")
    text = text[: new.start()] + mine + text[new.end() :]
    path.write_bytes(text)
    if b"<<<<<<< " not in text:  # for Git, a conflict is there until the file is added or reset
        reset = [git, "reset", "--quiet", "--", "pyproject.toml"]
        subprocess.run(reset, cwd=project, capture_output=True)


def _names(folder: Path) -> set[str]:
    """Names that the files below a folder of the template have in a project."""
    return {path.name.removesuffix(".jinja") for path in folder.rglob("*.py*")}


if __name__ == "__main__":
    leave_out(Path.cwd(), sys.argv[1])
