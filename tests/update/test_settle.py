"""What owners added to files of old releases: an update puts it where it means the same."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.updates.fleet import NOW, QUIET, template_with_releases
from settling import merge
from settling.edit import Unclear
from tests.support import projects

JOB = """
  ours:
    needs: check
    runs-on: ubuntu-latest
    timeout-minutes: 5
    steps:
      - run: echo ours
"""


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return template_with_releases(tmp_path_factory.mktemp("template") / "drydock")


def project(template: Path, folder: Path, release: str, **answers: str) -> Path:
    """Make a project of a release."""
    data = [f"--data={name}={value}" for name, value in answers.items()]
    folder.parent.mkdir(exist_ok=True)
    words = ("copy", *QUIET, "--quiet", f"--vcs-ref=v{release}", *data)
    projects.copier(*words, template, folder, cwd=folder.parent)
    projects.commit_all(folder, "Start")
    return folder


def edit(path: Path, old: str, new: str) -> None:
    """Replace a text that a file holds once."""
    text = path.read_text()
    assert text.count(old) == 1, f"{path} holds {old!r} {text.count(old)} times"
    path.write_text(text.replace(old, new))


def update(folder: Path) -> str:
    """Update to this version and return what the terminal shows."""
    projects.commit_all(folder, "Our own work")
    done = projects.copier("update", *QUIET, "--skip-answered", f"--vcs-ref={NOW}", cwd=folder)
    return done.stderr


def test_lines_of_the_owners_in_the_files_of_0_2_0_find_their_places(
    template: Path, tmp_path: Path
) -> None:
    folder = project(template, tmp_path / "demo", "0.2.0")
    dockerfile, ci = folder / "Dockerfile", folder / ".github/workflows/ci.yml"
    edit(dockerfile, "WORKDIR /app\n", "# Ours.\nENV OURS=1\nWORKDIR /app\n")
    edit(dockerfile, "\nCOPY --chmod=755 src/", "\nCOPY configs/ configs/\nCOPY --chmod=755 src/")
    apt = (
        "RUN apt-get update && apt-get install --yes tini \\\n    && rm -rf /var/lib/apt/lists/*\n"
    )
    edit(dockerfile, "\nUSER ", f"\n{apt}LABEL ours=1\nUSER ")
    edit(ci, "      - run: uv run --no-sync pytest\n", "      - run: uv run --no-sync pytest -x\n")
    ci.write_text(ci.read_text() + JOB)

    said = update(folder)

    assert not projects.git("diff", "--name-only", "--diff-filter=U", cwd=folder)
    fresh = project(template, tmp_path / "fresh" / "demo", NOW.removeprefix("v"))
    again = "# Drydock's again: who runs it, and how.\n"
    ours = f"# Ours.\nENV OURS=1\nCOPY configs/ configs/\n{apt}LABEL ours=1\n"
    expected = (fresh / "Dockerfile").read_text().replace(again, ours + again)
    assert dockerfile.read_text() == expected
    expected = (fresh / ".github/workflows/ci.yml").read_text() + JOB
    assert ci.read_text() == expected.replace("--no-sync pytest\n", "--no-sync pytest -x\n")
    for line in ("ENV OURS=1", "COPY configs/ configs/", "pytest -x"):
        assert f"{line}`" in said, said
    assert said.count("moved      in ") == 4 and "conflicts" not in said


def test_what_may_need_its_place_stays_a_conflict_that_says_why(
    template: Path, tmp_path: Path
) -> None:
    """In GitLab's file, a job goes to the end and a command stays beside the tests."""
    folder = project(template, tmp_path / "demo", "0.3.0", ci="gitlab")
    dockerfile, ci = folder / "Dockerfile", folder / ".gitlab-ci.yml"
    step = "RUN python -m compileall /opt/venv\n"
    edit(dockerfile, "\nUSER ", f"\n{step}ENV OURS=1\nUSER ")
    ignored = folder / ".dockerignore"
    ignored.write_text(ignored.read_text() + "src/ours\n")
    tests = "    - uv run --no-sync pytest\n"
    edit(ci, tests, f"{tests}    - echo ours\n")
    job = "\nours:\n  stage: build\n  needs: [check]\n  script: [echo ours]\n"
    ci.write_text(ci.read_text() + job)

    said = update(folder)

    assert projects.git("diff", "--name-only", "--diff-filter=U", cwd=folder) == "Dockerfile\n"
    assert "stays      Dockerfile has a conflict: `RUN python -m compileall /opt/venv` may" in said
    assert "conflicts  in Dockerfile: " in said
    assert "<<<<<<< " in dockerfile.read_text() and step in dockerfile.read_text()
    fresh = project(template, tmp_path / "fresh" / "demo", NOW.removeprefix("v"), ci="gitlab")
    again = "    # Drydock's again.\n"
    expected = (fresh / ".gitlab-ci.yml").read_text()
    assert ci.read_text() == expected.replace(again, f"    - echo ours\n{again}") + job
    assert ignored.read_text() == (fresh / ".dockerignore").read_text() + "src/ours\n"


LAST = """FROM base AS lock
RUN uv export
FROM base
RUN uv venv /opt/venv
WORKDIR /app
RUN install --directory /app/outputs \\
    /app/.cache
COPY src/ src/
USER 1000
ENV PORT=8000
STOPSIGNAL SIGTERM
ENTRYPOINT ["python", "main.py"]
"""
NEW = """FROM scratch AS code
COPY src/ /code/app/src/
FROM base
WORKDIR /app
COPY --link --from=code /code/ /
# Yours: below this one.
# Drydock's again.
USER 1000:0
ENV PORT=8080
STOPSIGNAL SIGTERM
ENTRYPOINT ["python", "main.py"]
"""


def merged(own: str, new: str = NEW) -> str:
    """Merge a Dockerfile that was LAST."""
    texts = [side.splitlines(keepends=True) for side in (LAST, own, new)]
    text, said = merge("Dockerfile", *texts)
    assert len(said) == 1
    return "".join(text)


@pytest.mark.parametrize(
    ("line", "below", "why"),
    [
        ("ENV PORT=9000", "USER", "set again"),
        ("ENV A=$HOME/a", "USER", "takes a value"),
        ("ENV A=1", "RUN install", ""),
        ("ENV A=1", "RUN uv venv", "above a step"),
        ("ENV A=1", "RUN uv export", "stage that is Drydock's"),
        ("ENV A=1", "    /app/.cache", "inside an instruction"),
        ("ENV A=1 \\", "USER", "does not end"),
        ("RUN apt-get install --yes git", "RUN install", ""),
        ("RUN apt-get install --yes git && curl example.com", "USER", "may need"),
        ("RUN apt-get install --yes git", "ENV PORT", "change of the user"),
        ("RUN pip install x", "USER", "may need"),
        ("USER root", "USER", "may need"),
        ("COPY --from=lock /a /a", "USER", "another stage"),
        ("COPY ours.py src/ours.py", "COPY src/", "where the code is"),
        ("COPY a /srv/a", "COPY src/", ""),
    ],
)
def test_an_instruction_moves_only_where_it_means_the_same(line: str, below: str, why: str) -> None:
    own = LAST.replace(f"\n{below}", f"\n{line}\n{below}")
    assert own != LAST
    if why:
        with pytest.raises(Unclear, match=why):
            merged(own)
    else:
        assert merged(own) == NEW.replace("# Drydock's", f"{line}\n# Drydock's")


def test_no_instruction_moves_to_another_folder_or_away_from_a_step_of_its_owner() -> None:
    copies = LAST.replace("USER", "COPY a a\nUSER")
    assert "COPY a a" in merged(copies)
    with pytest.raises(Unclear, match="another one there"):
        merged(copies, NEW.replace("WORKDIR /app", "WORKDIR /code"))
    runs = LAST.replace("ENTRYPOINT", "RUN ours\nENTRYPOINT").replace("USER", "ENV A=1\nUSER")
    with pytest.raises(Unclear, match="another step of yours"):
        merged(runs)
    with pytest.raises(Unclear, match="you changed a line"):
        merged(LAST.replace("USER 1000", "USER 2000"))


@pytest.mark.parametrize(
    ("job", "why"),
    [
        ("ours:\n  stage: lint\n  script: [a]\n", "stage lint"),
        ("ours:\n  stage: test\n  needs: [unit]\n  script: [a]\n", "names unit"),
        ("audit:\n  stage: test\n  script: [a]\n", "beside lines"),
        ("ours: {script: [a]\n", "no YAML"),
    ],
)
def test_a_job_that_needs_what_is_gone_stays_a_conflict(job: str, why: str) -> None:
    last = "stages: [lint, test]\nunit:\n  stage: test\n  script: [old]\n"
    new = "stages: [test]\naudit:\n  stage: test\n  script: [new]\n"
    texts = [side.splitlines(keepends=True) for side in (last, f"{last}\n{job}", new)]
    with pytest.raises(Unclear, match=why):
        merge(".gitlab-ci.yml", *texts)


def test_a_file_in_a_subfolder_keeps_the_line_ends_of_its_checkout(tmp_path: Path) -> None:
    """With `core.autocrlf` the index has LF and the folder CRLF."""
    folder = tmp_path / "repository" / "demo"
    folder.mkdir(parents=True)
    ignored = folder / ".dockerignore"
    ignored.write_text("old\nours\n")
    projects.commit_all(tmp_path / "repository", "Start")
    projects.git("config", "core.autocrlf", "true", cwd=folder)
    stages = []
    for number, text in enumerate(("old\n", "old\nours\n", "new\nmore\n"), start=1):
        (tmp_path / "side").write_text(text)
        blob = projects.git("hash-object", "-w", tmp_path / "side", cwd=folder).strip()
        stages.append(f"100644 {blob} {number}\tdemo/.dockerignore")
    projects.git("rm", "--quiet", "--cached", ".dockerignore", cwd=folder)
    given = "\n".join(stages) + "\n"
    index = ["git", "update-index", "--index-info"]
    subprocess.run(index, input=given, cwd=folder, text=True, check=True)
    ignored.write_bytes(b"<<<<<<< before updating\r\nold\r\n")
    done = projects.run(sys.executable, projects.ROOT / "extensions/settle.py", cwd=folder)
    assert ignored.read_bytes() == b"new\r\nmore\r\nours\r\n", done.stderr
    assert done.stderr == "moved      in .dockerignore: `ours` stands now at the end.\n"
    assert not projects.git("diff", "--name-only", "--diff-filter=U", cwd=folder)
