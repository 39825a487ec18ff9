"""Say on the terminal what an update left to be looked at: the migration after every update.

Copier ends with exit code 0, and without a word, where it left conflict markers and where it took
away a file that the new version or a changed answer no longer has, whatever the owner had put in.
It runs this with its own Python in the project, whose working tree was clean before the update.
"""

from __future__ import annotations

import shutil
import subprocess
import sys


def report() -> list[str]:
    """Compare the working tree with the last commit, with git, which an update needs anyway.

    Returns:
        A line for the files with conflicts and one for those that are gone; none where there are
        none, and where git does not answer.
    """
    lines = []
    if conflicts := changed("--diff-filter=U"):
        lines.append(
            f"conflicts  in {', '.join(conflicts)}: both you and the template changed the same "
            "lines. Edit them between <<<<<<< and >>>>>>>, then `git add` them."
        )
    if gone := changed("--diff-filter=D", "HEAD"):
        lines.append(
            f"removed    {', '.join(gone)}: with these answers this version has none. What you had "
            f"in it: git show HEAD:./{gone[0]}"
        )
    return lines


def changed(*words: str) -> list[str]:
    """Names of files below the working directory that `git diff` lists, sorted."""
    git = shutil.which("git")
    if git is None:
        return []
    command = [git, "diff", "--name-only", "--no-renames", "--relative", "-z", *words]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace")
    return sorted({name for name in done.stdout.split("\0") if name})


if __name__ == "__main__":
    for line in report():
        print(line, file=sys.stderr)
