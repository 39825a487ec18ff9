"""Other templates, updated with plain `copier update` after the same edits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

from benchmarks.run import say
from benchmarks.updates.fleet import QUIET, Repository, check, edit, update
from tests.support import projects


@dataclass(frozen=True)
class Rival:
    """A template: where it is, the versions that projects start from, and what they answer."""

    address: str
    starts: tuple[str, ...]
    to: str
    answers: dict[str, str]


RIVALS = {
    "copier-uv": Rival(
        "https://github.com/pawamoy/copier-uv.git",
        ("1.9.0", "1.10.0", "1.11.0", "1.11.3", "1.11.7", "1.11.15", "1.12.0"),
        "1.13.0",
        {
            "project_name": "demo",
            "project_description": "A demo",
            "author_fullname": "Somebody",
            "author_email": "somebody@example.com",
            "author_username": "somebody",
        },
    ),
    "substrate": Rival(
        "https://github.com/superlinear-ai/substrate.git",
        ("v1.0.0", "v1.1.1", "v1.2.0", "v1.4.1", "v1.5.1", "v1.6.0", "v2.0.0"),
        "v2.1.0",
        {
            "project_type": "app",
            "project_name": "demo",
            "project_description": "A demo",
            "project_url": "https://github.com/example/demo",
            "author_name": "Somebody",
            "author_email": "somebody@example.com",
            "with_fastapi_api": "true",
        },
    ),
}


def rival_fleet(
    name: str, source: str, top: Path, *, count: int, seed: int
) -> Iterator[Repository]:
    """Make, edit, update and check repositories of a rival, as Drydock's fleet, one by one.

    Args:
        name: of the rival.
        source: where its template is, for `git clone`.
        top: a folder for the clone and the repositories, which is made.
        count: how many.
        seed: of the edits.
    """
    rival = RIVALS[name]
    top.mkdir()
    template = top / "template"
    projects.git("clone", "--quiet", source, template, cwd=top)
    given = [f"--data={key}={value}" for key, value in rival.answers.items()]
    for number in range(count):
        start = rival.starts[number % len(rival.starts)]
        folder = top / f"{number:04}" / "demo"
        folder.parent.mkdir()
        words = ("copy", *QUIET, "--quiet", f"--vcs-ref={start}", *given)
        projects.copier(*words, template, folder, cwd=top)
        projects.commit_all(folder, "Start")
        one = Repository(folder, start, dict(rival.answers))
        edit(one, Random(f"{seed} {number}"))
        update(one, rival.to)
        check(one)
        say(f"{name} {number:4} from {start}: {', '.join(one.edits)}: {one.outcome()}")
        yield one
