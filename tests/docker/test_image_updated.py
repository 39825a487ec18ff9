"""The image of a project that an update brought here from an old release."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from benchmarks.updates.fleet import NOW, QUIET, template_with_releases
from tests.support import projects
from tests.support.docker import images
from tests.support.docker.client import Engine


def test_lines_of_an_owner_that_an_update_moved_are_in_the_image_and_it_trains(
    tmp_path: Path, builder: Callable, docker: Engine
) -> None:
    """The lines stood where 0.4.0 had others than this version, so that git saw conflicts."""
    template = template_with_releases(tmp_path / "drydock")
    folder = tmp_path / "digits"
    projects.copier("copy", *QUIET, "--quiet", "--vcs-ref=v0.4.0", template, folder, cwd=tmp_path)
    dockerfile, ignored = folder / "Dockerfile", folder / ".dockerignore"
    images.replace(dockerfile, "\nWORKDIR /app\n", "\nENV OURS=$HOME/ours\nWORKDIR /app\n")
    images.replace(
        dockerfile, "\nCOPY --chmod=755 src/", "\nCOPY ours/ ours/\nCOPY --chmod=755 src/"
    )
    apt = "RUN apt-get update && apt-get install --yes --no-install-recommends tini"
    last = "RUN python -c 'import sklearn' && echo $HOME >/etc/ours"
    images.replace(dockerfile, "\nUSER ", f"\n{apt}\n{last}\nUSER ")
    first = "RUN groupadd --gid 4321 ours && echo 1 >/etc/first"
    images.replace(dockerfile, "\nFROM base\n", f"\nFROM base\n{first}\n")
    ignored.write_text(f"{ignored.read_text()}!ours\n")
    (folder / "ours").mkdir()
    (folder / "ours" / "base.txt").write_text("copied")
    projects.commit_all(folder, "Start and our own work")

    update = ("update", *QUIET, "--skip-answered", f"--vcs-ref={NOW}")
    said = projects.copier(*update, cwd=folder).stderr
    images.uv(folder, "lock", "--quiet")
    built = builder(folder, "updated")

    assert said.count("moved      in Dockerfile: ") == 4 and "conflicts" not in said
    shown = "import os, shutil; print(os.environ['OURS'], os.environ['HOME'], shutil.which('tini'),"
    shown += " open('ours/base.txt').read(),"
    shown += " *(open(f'/etc/{name}').read() for name in ('ours', 'first')),"
    shown += " 'ours:x:4321:' in open('/etc/group').read())"
    strict = {"network": "none", "user": "42420", "read_only": True}
    seen = docker.run(built.tag, "-c", shown, entrypoint="python", **strict)
    ours, home, tini, copied, *steps = seen.stdout.split()
    assert (ours, tini, copied) == (f"{home}/ours", "/usr/bin/tini", "copied")
    assert steps == [home, "1", "True"]
    ran = docker.run(built.tag, "--epochs", "1")
    assert 0 < images.metrics(ran.stdout)[-1]["test_accuracy"] <= 1
