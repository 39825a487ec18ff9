"""The migration to 0.5.0, which Copier runs in the project after an update from an older version.

Since 0.5.0 a project's plumbing stands in `src/<package>/runtime`, where updates mend it. A project
from before has plumbing of its own beside its code, which nothing of the new folder would replace:
so the folder, which this very update brought, and its tests are taken out again. An update leaves
away what is deleted. docs/updating.md says how to change over.

Its one argument is the name of the package.
"""

import shutil
import sys
from pathlib import Path


def leave_out(project: Path, package: str) -> None:
    """Remove Drydock's files in the two folders if no line of the project's code imports them."""
    runtime, tests = project / "src" / package / "runtime", project / "tests" / "runtime"
    for path in (project / "main.py", *(project / "src").rglob("*.py")):
        if runtime not in path.parents and ".runtime" in _text(path):
            return
    if "Drydock's" not in _text(runtime / "__init__.py"):
        return  # a folder of the user's that has this name
    shutil.rmtree(runtime)
    # By the names that the template has: a test of the user's in a folder of this name stays.
    template = Path(__file__).resolve().parents[1] / "template" / "tests" / "runtime"
    for path in template.rglob("*.py*"):
        (tests / path.name.removesuffix(".jinja")).unlink(missing_ok=True)
    if tests.is_dir() and not any(tests.iterdir()):
        tests.rmdir()


def _text(path: Path) -> str:
    return path.read_text("utf-8", "replace") if path.is_file() else ""


if __name__ == "__main__":
    leave_out(Path.cwd(), sys.argv[1])
