"""What owners added to files of old releases: an update puts it where it means the same."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.updates.fleet import NOW, QUIET, RELEASES, template_with_releases
from settling import lines, merge
from settling.dockerfile import astray
from settling.edit import Unclear
from tests.support import projects

DOCKERFILE, CI, GITLAB = "Dockerfile", ".github/workflows/ci.yml", ".gitlab-ci.yml"
BAKE, PYPROJECT = "docker-bake.hcl", "pyproject.toml"

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


Make = Callable[[str, str], Path]


@pytest.fixture(scope="module")
def made(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Make:
    """Make the project of a release with a CI, once; who edits it takes a copy."""
    folder, known = tmp_path_factory.mktemp("made"), {}

    def make(release: str, ci: str) -> Path:
        if (release, ci) not in known:
            known[release, ci] = folder / release / ci / "demo"
            known[release, ci].parent.mkdir(parents=True)
            words = ("copy", *QUIET, "--quiet", f"--vcs-ref=v{release}", f"--data=ci={ci}")
            projects.copier(*words, template, known[release, ci], cwd=folder)
            projects.commit_all(known[release, ci], "Start")
        return known[release, ci]

    return make


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
    made: Make, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(made("0.2.0", "github"), tmp_path / "demo"))
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
    fresh = made(NOW.removeprefix("v"), "github")
    again = "# Drydock's again: who runs it, and how.\n"
    ours = f"# Ours.\nENV OURS=1\nCOPY configs/ configs/\n{apt}LABEL ours=1\n"
    expected = (fresh / "Dockerfile").read_text().replace(again, ours + again)
    assert dockerfile.read_text() == expected
    expected = (fresh / ".github/workflows/ci.yml").read_text() + JOB
    assert ci.read_text() == expected.replace("--no-sync pytest\n", "--no-sync pytest -x\n")
    for line in ("ENV OURS=1", "COPY configs/ configs/", "pytest -x"):
        assert f"{line}`" in said, said
    assert said.count("moved      in ") == 4 and "conflicts" not in said


def test_what_may_need_its_place_stays_a_conflict_that_says_why(made: Make, tmp_path: Path) -> None:
    """In GitLab's file, a job goes to the end and a command stays beside the tests."""
    folder = Path(shutil.copytree(made("0.3.0", "gitlab"), tmp_path / "demo"))
    dockerfile, ci = folder / "Dockerfile", folder / ".gitlab-ci.yml"
    step = "RUN python -m compileall src\n"
    edit(dockerfile, "\nCOPY --chmod=755 src/", f"\n{step}ENV OURS=1\nCOPY --chmod=755 src/")
    ignored = folder / ".dockerignore"
    ignored.write_text(ignored.read_text() + "src/ours\n")
    tests = "    - uv run --no-sync pytest\n"
    edit(ci, tests, f"{tests}    - echo ours\n")
    job = "\nours:\n  stage: build\n  needs: [check]\n  script: [echo ours]\n"
    ci.write_text(ci.read_text() + job)

    said = update(folder)

    assert projects.git("diff", "--name-only", "--diff-filter=U", cwd=folder) == "Dockerfile\n"
    assert "stays      Dockerfile has a conflict: `RUN python -m compileall src` may" in said
    assert "conflicts  in Dockerfile: " in said
    assert "<<<<<<< " in dockerfile.read_text() and step in dockerfile.read_text()
    fresh = made(NOW.removeprefix("v"), "gitlab")
    again = "    # Drydock's again.\n"
    expected = (fresh / ".gitlab-ci.yml").read_text()
    assert ci.read_text() == expected.replace(again, f"    - echo ours\n{again}") + job
    assert ignored.read_text() == (fresh / ".dockerignore").read_text() + "src/ours\n"


def test_what_git_merges_into_another_stage_or_folder_is_named(made: Make, tmp_path: Path) -> None:
    """Git sees no conflict at the end of a stage of 0.4.0, nor above the ENV of its last one."""
    folder = Path(shutil.copytree(made("0.4.0", "github"), tmp_path / "demo"))
    step, copy = "RUN strip /opt/compiled/lib/*.so", "COPY configs/ configs/"
    edit(folder / "Dockerfile", "\nFROM base\n", f"\n{step}\nFROM base\n")
    edit(folder / "Dockerfile", "\nENV PYTHONPATH=", f"\n{copy}\nENV PYTHONPATH=")

    said = update(folder)

    assert not projects.git("diff", "--name-only", "--diff-filter=U", cwd=folder), said
    fresh = (made(NOW.removeprefix("v"), "github") / "Dockerfile").read_text()
    expected = fresh.replace("\nFROM base\n", f"\n{step}\nFROM base\n")
    expected = expected.replace("\nENV PYTHONPATH=", f"\n{copy}\nENV PYTHONPATH=")
    assert (folder / "Dockerfile").read_text() == expected
    assert f"elsewhere  in Dockerfile: `{step}` is in another stage now." in said
    assert f"elsewhere  in Dockerfile: `{copy}` is below another WORKDIR now." in said
    assert said.count("elsewhere ") == 2


def test_what_git_merges_into_another_stage_is_named_beside_a_conflict(
    made: Make, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(made("0.4.0", "github"), tmp_path / "demo"))
    step = "RUN strip /opt/compiled/lib/*.so"
    edit(folder / DOCKERFILE, "\nFROM base\n", f"\n{step}\nFROM base\n")
    edit(folder / DOCKERFILE, "\nWORKDIR /app\n", "\nWORKDIR /ours\n")
    said = update(folder)
    assert projects.git("diff", "--name-only", "--diff-filter=U", cwd=folder) == "Dockerfile\n"
    assert f"elsewhere  in Dockerfile: `{step}` is in another stage now." in said
    assert said.count("elsewhere ") == 1


@pytest.mark.parametrize("release", ["0.2.0", "0.3.0", "0.4.0", "0.6.0", list(RELEASES)[-1]])
def test_no_line_of_drydocks_is_named_as_if_it_were_its_owners(release: str, made: Make) -> None:
    assert (
        astray(*((made(one, "github") / DOCKERFILE).read_text() for one in (release, NOW[1:])))
        == []
    )


# The owner's place in this version, where what moves goes to its end.
PLACE = "# Drydock's again: who runs it, and how.\n"
APT = "RUN apt-get update && apt-get install --yes tini"
USERADD = "RUN useradd --create-home ours"
UNPACK = "curl -fsSL https://example.com/a.tgz | tar -xz -C /opt/tool"
# Above all that fills the last stage of this version.
TOP = "WORKDIR /app\n# --link: a layer is added as it is"
STEP = "      - run: echo ours\n        if: github.event_name == 'push'\n"
BLOCK = "    PYTHONFAULTHANDLER=1 \\\n"
MATRIX = "    strategy:\n      matrix:\n        python: ['3.12', '3.13']\n"

# What teams did to a file of 0.2.0 (GitLab: 0.3.0): lines, above which line, and what becomes of
# them: the line of this version above which they stand, or why the conflict stays.
ADDED = [
    (DOCKERFILE, 'ENV A=1 B="two words"\n', "USER ", PLACE),
    (DOCKERFILE, 'LABEL org.example.title="Words with spaces"\n', "USER ", PLACE),
    (DOCKERFILE, 'LABEL org.example.mark="<<<<<<< ours"\n', "USER ", PLACE),
    (DOCKERFILE, "ENV\tA=1 \\  \n  # ours\n\tB=2  \n", "USER ", PLACE),
    (DOCKERFILE, "ENV A=1\r\n", "USER ", PLACE),
    (DOCKERFILE, "ENV A two words\nLABEL b c\n", "USER ", PLACE),
    (DOCKERFILE, "ENV HOME /ours\n", "ENV PATH", "set again by a line below"),
    (DOCKERFILE, "ENV A='\n", "USER ", "cannot be read"),
    (DOCKERFILE, "COPY --link\n", "USER ", "says nothing"),
    (DOCKERFILE, "ARG GIT_SHA=unknown\nLABEL revision=$GIT_SHA\n", "USER ", PLACE),
    (DOCKERFILE, "ENV PATH=/opt/ours/bin:${PATH}\n", "USER ", PLACE),
    (DOCKERFILE, "ENV OURS=$HOME/ours\n", "USER ", PLACE),
    (DOCKERFILE, "ENV OURS=$HOME/ours\n", "ENV PATH", "is read|another value of HOME"),
    (DOCKERFILE, "ENV A=${B:-c}\n", "USER ", "cannot be followed"),
    (DOCKERFILE, "ENV A='$HOME'\n", "USER ", "cannot be followed"),
    (DOCKERFILE, "ENV HF_HOME=/data\n", "ENV PATH", "set again by a line below"),
    (DOCKERFILE, "ARG HOME\n", "ENV PATH", "set again by a line below"),
    (DOCKERFILE, "EXPOSE 9090\n", "USER ", PLACE),
    (DOCKERFILE, f"# For signals.\n{APT} \\\n    && rm -rf /var/lib/apt/lists/*\n", "USER ", PLACE),
    (
        DOCKERFILE,
        f"{APT.replace('RUN', 'RUN --mount=type=cache,target=/var/cache/apt')}\n",
        "USER ",
        PLACE,
    ),
    (DOCKERFILE, f"{APT} ./ours.deb\n", "USER ", PLACE),
    (DOCKERFILE, f"{APT} && pip install ours\n", "USER ", PLACE),
    (DOCKERFILE, "RUN curl --fail https://example.com | sh\n", "USER ", PLACE),
    (DOCKERFILE, 'RUN python -c "import a; a.get()" && echo "$HOME" $(nproc)\n', "USER ", PLACE),
    (DOCKERFILE, "RUN --mount=type=secret,id=token python get.py\n", "USER ", PLACE),
    (DOCKERFILE, "RUN --mount=source=get.py,target=/get.py python /get.py\n", "USER ", "mounts"),
    (DOCKERFILE, "RUN --mount=type=cache,from=uv,target=/c ls /c\n", "USER ", "mounts"),
    (DOCKERFILE, "RUN\t--mount=source=get.py,target=/get.py python /get.py\n", "USER ", "mounts"),
    (
        DOCKERFILE,
        f"{APT.replace('N', 'N --mount=type=cache,target=/c,from=uv', 1)}\n",
        "USER ",
        "mounts",
    ),
    (DOCKERFILE, "RUN uv pip install ours\n", "USER ", "settings of uv"),
    (DOCKERFILE, "RUN python get.py\n", "COPY --chmod=755 src", "may need what stands around"),
    (DOCKERFILE, "RUN chown 1000 .\n", "COPY --chmod=755 src", "may need what stands around"),
    (DOCKERFILE, "RUN echo 1 >/etc/ours\n", "COPY --chmod=755 src", PLACE),
    (DOCKERFILE, "RUN echo 1 >/etc/ours\n", "USER ", PLACE),
    (DOCKERFILE, "RUN echo 1 >/etc/ours\n", "RUN --mount=from=uv,", "above a step|Drydock's"),
    (DOCKERFILE, "RUN echo 1 >/etc/ours\n", "# Each step compiles", TOP),
    (DOCKERFILE, f"# Ours.\n{APT} \\\n    && rm -rf /var/lib/apt/lists/*\n", "# Each step", TOP),
    (DOCKERFILE, f"{USERADD} \\\n    && {UNPACK}\n", "# Each step compiles", TOP),
    (DOCKERFILE, "RUN echo 1 >/etc/uv/uv.toml\n", "# Each step compiles", "above a step"),
    (DOCKERFILE, "RUN mkdir -p /app/data\n", "# Each step compiles", "above a step"),
    (DOCKERFILE, "RUN curl https://example.com | sh\n", "# Each step compiles", "above a step"),
    (DOCKERFILE, "ENV A=1\n", "# Each step compiles", "above a step"),
    (
        DOCKERFILE,
        f"{APT}\n",
        "# For the steps below; an ARG",
        "ENV PATH=/opt/venv/bin:$PATH PYTHON",
    ),
    (DOCKERFILE, "RUN <<EOF\napt-get update\nEOF\n", "USER ", "followed by lines that look"),
    (DOCKERFILE, "COPY <<EOF /etc/ours\nUSER root\nEOF\n", "USER ", "followed by lines that look"),
    (DOCKERFILE, "RUN cat <<\\EOF >/etc/ours\nUSER root\nEOF\n", "USER ", "followed by lines"),
    (DOCKERFILE, "RUN echo a\\\\\nENV A=1\n", "USER ", "gives lines another end"),
    (DOCKERFILE, "#\tescape=`\nENV A=1\n", "USER ", "gives lines another end"),
    (DOCKERFILE, "COPY configs/ configs/\n", "COPY --chmod=755 *.py", PLACE),
    (DOCKERFILE, "COPY ours.toml ./\n", "COPY --chmod=755 *.py", PLACE),
    (DOCKERFILE, "COPY ours.py main.py\n", "COPY --chmod=755 *.py", "copies to where"),
    (DOCKERFILE, "COPY ours ./\n", "COPY --chmod=755 src", "copies to where"),
    (DOCKERFILE, "COPY . .\n", "COPY --chmod=755 src", "copies to where"),
    (DOCKERFILE, "COPY ours.py /app/src/ours.py\n", "COPY --chmod=755 src", "copies to where"),
    (DOCKERFILE, "COPY ours.py //app/src/ours.py\n", "COPY --chmod=755 src", "copies to where"),
    (DOCKERFILE, "COPY ours.py $HOME/\n", "COPY --chmod=755 src", "a variable"),
    (DOCKERFILE, "COPY --parents src/ours.py ./\n", "COPY --chmod=755 src", "a path"),
    (DOCKERFILE, "COPY\t--from=python /python/ /\n", "USER ", "from a stage that may be another"),
    (DOCKERFILE, "COPY --from=busybox:1 /bin/busybox /bin/busybox\n", "USER ", PLACE),
    (DOCKERFILE, "COPY --from=python /python/ /\n", "USER ", "from a stage that may be another"),
    (DOCKERFILE, "COPY --from=0 /uv /bin/\n", "USER ", "from a stage that may be another"),
    (DOCKERFILE, 'COPY ["a b", "/srv/"]\n', "USER ", "written as a list"),
    (DOCKERFILE, "USER root\n", "USER ", "may need what stands around"),
    (DOCKERFILE, "HEALTHCHECK CMD true\n", "USER ", "may need what stands around"),
    (DOCKERFILE, 'CMD ["--epochs", "3"]\n', "USER ", "may need what stands around"),
    (DOCKERFILE, "VOLUME /data\n", "USER ", "may need what stands around"),
    (DOCKERFILE, "# About the next line.\n", "USER ", "no place"),
    (DOCKERFILE, "    OURS=1 \\\n", BLOCK, BLOCK),
    (DOCKERFILE, "    OURS=$HOME \\\n", BLOCK, "lines that this version changed"),
    (CI, STEP, "      - run: uvx --from hadolint", "      # Drydock's again.\n"),
    (CI, "      # Ours.\n", "      - run: uvx --from hadolint", "      # Drydock's again.\n"),
    (CI, "  workflow_dispatch:\n", "\npermissions:", "  # The tests with what"),
    (CI, "  merge_group: {}\n  workflow_dispatch:\n", "\npermissions:", "  # The tests with what"),
    (CI, MATRIX, "    steps:\n", "    timeout-minutes: 30\n"),
    (GITLAB, "variables:\n  OURS: a\n", "stages:", "stages:"),
    (GITLAB, "    - echo ours\n", "    - uvx --from hadolint", "    # Drydock's again.\n"),
]


@pytest.mark.parametrize(("name", "lines_of_ours", "above", "becomes"), ADDED)
def test_what_a_team_added_means_the_same_or_stays_a_conflict(
    name: str, lines_of_ours: str, above: str, becomes: str, made: Make
) -> None:
    ci, release = ("gitlab", "0.3.0") if name == GITLAB else ("github", "0.2.0")
    last, new = (
        (made(version, ci) / name).read_text() for version in (release, NOW.removeprefix("v"))
    )
    assert last.count(f"\n{above}") >= 1
    own = last.replace(f"\n{above}", f"\n{lines_of_ours}{above}", 1)
    try:
        text, _ = merge(name, lines(last), lines(own), lines(new))
    except Unclear as error:
        assert re.search(becomes, str(error))
    else:
        assert "".join(text) == new.replace(f"\n{becomes}", f"\n{lines_of_ours}{becomes}", 1) != new


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
    text, said = merge(DOCKERFILE, lines(LAST), lines(own), lines(new))
    assert len(said) == 1
    return "".join(text)


@pytest.mark.parametrize(
    ("line", "below", "why"),
    [
        ("ENV PORT=9000", "USER", "set again"),
        ("ENV A=1", "RUN install", ""),
        ("ENV A=1", "RUN uv venv", "above a step"),
        ("ENV A=1", "RUN uv export", "stage that is Drydock's"),
        ("ENV A=1", "    /app/.cache", "lines that this version changed"),
        ("ENV A=1 \\", "USER", "does not end"),
        ("RUN apt-get install --yes git", "RUN install", ""),
        ("RUN apt-get install --yes git && curl example.com", "USER", ""),
        ("RUN apt-get install --yes git", "ENV PORT", "change of the user"),
        ("RUN pip install x", "USER", ""),
        ("RUN pip install x", "COPY src/", "may need"),
        ("RUN pip install x", "ENV PORT", "change of the user"),
        ("USER root", "USER", "may need"),
        ("COPY --from=lock /a /a", "USER", "may be another one"),
        ("COPY a /srv/a", "COPY src/", ""),
        ("COPY a /srv/a", "WORKDIR", ""),
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


@pytest.mark.parametrize(
    ("command", "moves"),
    [
        ("echo 1 >/etc/ours", True),
        ("echo 1 >ours", False),
        ("echo 1 2>/app/ours", False),
        ("echo 1 | sh", False),
        ("echo $(id) >/etc/ours", False),
        ("echo 1 >/etc/ours; rm -rf /app", False),
        ("rm -rf /", False),
        ("rm -rf /srv/../app", False),
        ("chown -R 1000:0 /data /srv/x", True),
        ("chown -R 1000:0 /opt", False),
        ("chown 1000 .", False),
        ("chmod -x /app/main.py", False),
        ("mkdir -p /data && chmod 775 /data", True),
        ("mkdir -p /app/data", False),
        ("mkdir data", False),
        ("mkdir 5", False),
        ("ln -s /opt/tool/bin/x /usr/local/bin/x", True),
        ("ln -sf /data /app", False),
        ("useradd --uid 1001 --create-home ours", True),
        ("useradd app --create-home", False),
        ("useradd --home-dir=/app ours", False),
        ("curl -fsSL https://example.com/a.tgz | tar xz -C /opt/tool --strip-components=1", True),
        ("curl -fsSL https://example.com/a.tgz | tar -xz", False),
        ("curl -fsSL https://example.com/a.tgz | tar -xz -C /", False),
        ("tar --directory=app -xf /a.tar", False),
        ("curl -fsSLo /usr/local/bin/x https://example.com/x", True),
        ("curl -fsSLO https://example.com/x", False),
        ("curl -ox https://example.com/x", False),
        ("wget -qO /usr/local/bin/x https://example.com/x", True),
        ("wget https://example.com/x", False),
        (f"{APT[4:]} && wget -qO /x https://example.com && rm -rf /var/lib/apt/lists/*", True),
        ("ldconfig", False),
        ("apt-get --option Acquire::Retries=3 install --yes git", True),
        ("chmod --recursive 775 /data", True),
        ("tar xzf /a.tgz --directory /opt/tool", True),
        ("wget --quiet --output-document=/x https://example.com/x", True),
        # What the shell, apt or a command reads in another way than it looks.
        ("rm -rf //app", False),
        ("rm -rf /[a]pp", False),
        ("echo 1 >/ap\\\np/x", False),
        ("rm '&&' echo app", False),
        ("apt-get install --yes ' #' && make install", False),
        ("apt-get download git", False),
        ("apt-get --config-file=ours.conf install --yes git", False),
        ("chmod -x ours", False),
        ("ln -s /opt/tool/bin/x", False),
        ("curl -cjar https://example.com", False),
        ("curl -o 5 https://example.com", False),
        ("wget -O /x --output-file=log https://example.com", False),
        ("tar -xPf /a.tar -C /opt/tool", False),
        ("tar -xf /a.tar -C /opt/tool --absolute-names", False),
        ("tar -xf /a.tar -C /opt/tool --one-top-level=x", False),
    ],
)
def test_a_step_passes_the_code_where_it_touches_nothing_but_other_paths(
    command: str, moves: bool
) -> None:
    own = LAST.replace("COPY src/", f"RUN {command}\nCOPY src/")
    last_has_home = "ENV HOME=/home/app\nWORKDIR"
    texts = (text.replace("WORKDIR", last_has_home) for text in (LAST, own, NEW))
    if moves:
        text, _ = merge(DOCKERFILE, *map(lines, texts))
        assert "".join(text).count(f"RUN {command}\n# Drydock's") == 1
    else:
        with pytest.raises(Unclear, match="may need|another value"):
            merge(DOCKERFILE, *map(lines, texts))


def test_no_instruction_moves_to_another_folder_or_away_from_a_step_of_its_owner() -> None:
    copies = LAST.replace("USER", "COPY a a\nUSER")
    assert "COPY a a" in merged(copies)
    with pytest.raises(Unclear, match="another one there"):
        merged(copies, NEW.replace("WORKDIR /app", "WORKDIR /code"))


# Two places that this version changes, and lines between that it leaves: there git merges.
TWO = "FROM base\nENV OLD=1\nWORKDIR /app\nENV B=2\nENV C=3\nSTOPSIGNAL SIGINT\nUSER 1\n"
TWO_NEW = (
    "FROM base\nENV NEW=1\nWORKDIR /app\nENV B=2\nENV C=3\nSTOPSIGNAL SIGINT\n"
    "# Yours: below.\n# Drydock's again.\nUSER 2\n"
)


@pytest.mark.parametrize(
    ("first", "second", "why"),
    [
        ("ENV A=1", "RUN ours", "`RUN ours` may need `ENV A=1`"),
        ("ARG DEBIAN_FRONTEND=noninteractive", APT, "may need `ARG DEBIAN_FRONTEND"),
        ("COPY ours.list /etc/apt/sources.list.d/", APT, "may need `COPY ours.list"),
        ("ARG A=1", "ENV A2=$A", "may need `ARG A=1`"),
        ("ENV A=1", "COPY $A /a", "may need `ENV A=1`"),
        ("ENV A=1", "ENV A=2", "may need `ENV A=1`"),
        ("COPY a /a", "COPY b /a/b", "may need `COPY a /a`"),
        ("ENV A=1", "LABEL A=1", ""),
        ("ENV A=1", "COPY a /a", ""),
        ("ENV A=1", "FROM base", "`ENV A=1` would stand in another stage"),
    ],
)
def test_an_instruction_does_not_pass_another_of_its_owner_that_may_need_it(
    first: str, second: str, why: str
) -> None:
    """The first stands where git sees a conflict and moves, the second where git merges it."""
    own = TWO.replace("ENV OLD", f"{first}\nENV OLD").replace("ENV C", f"{second}\nENV C")
    texts = map(lines, (TWO, own, TWO_NEW))
    if why:
        with pytest.raises(Unclear, match=re.escape(why)):
            merge(DOCKERFILE, *texts)
    else:
        text, _ = merge(DOCKERFILE, *texts)
        assert "".join(text) == TWO_NEW.replace("ENV C", f"{second}\nENV C").replace(
            "# Drydock's", f"{first}\n# Drydock's"
        )


@pytest.mark.parametrize("line", ["COPY a a", "WORKDIR /ours"])
def test_a_line_stays_in_its_folder_where_git_would_merge_it_into_another(line: str) -> None:
    own = TWO.replace("ENV C", f"{line}\nENV C").replace("USER", "ENV A=1\nUSER")
    new = TWO_NEW.replace("WORKDIR /app\n", "").replace("ENV NEW", "WORKDIR /new\nENV NEW")
    with pytest.raises(Unclear, match="in another folder"):
        merge(DOCKERFILE, *map(lines, (TWO, own, new)))


def test_a_step_stays_in_its_stage_where_git_would_merge_it_into_another(made: Make) -> None:
    """At the end of a stage of 0.4.0, this version has another one."""
    last, new = (
        (made(version, "github") / DOCKERFILE).read_text()
        for version in ("0.4.0", NOW.removeprefix("v"))
    )
    own = last.replace("\nFROM base\n", "\nRUN echo 1 >/etc/ours\nFROM base\n")
    own = own.replace("\nUSER ", "\nENV A=1\nUSER ")
    with pytest.raises(Unclear, match="would stand in another stage"):
        merge(DOCKERFILE, *map(lines, (last, own, new)))


def test_a_changed_variable_stays_a_conflict_where_a_line_below_sets_it_again() -> None:
    last, new = (text.replace("WORKDIR /app\n", "ENV A=1\n") for text in (TWO, TWO_NEW))
    own = last.replace("ENV A=1", "ENV A=2")
    text, _ = merge(DOCKERFILE, *map(lines, (last, own, new)))
    assert "".join(text) == new.replace("ENV A=1", "ENV A=2")
    again = [text.replace("STOPSIGNAL", "ENV A=3\nSTOPSIGNAL") for text in (last, own, new)]
    with pytest.raises(Unclear, match="lines that this version changed"):
        merge(DOCKERFILE, *map(lines, again))


def test_a_variable_does_not_pass_a_list_in_which_its_owner_sets_it_again() -> None:
    listed = "ENV C=3 \\\n  D=4 \\\n  E=5 \\\n  F=6"
    last, new = TWO.replace("ENV C=3", listed), TWO_NEW.replace("ENV C=3", f"{listed}0")
    own = last.replace("C=3", "C=3 A=list").replace("ENV OLD", "ENV A=1\nENV OLD")
    with pytest.raises(Unclear, match="`ENV A=1` is set again"):
        merge(DOCKERFILE, *map(lines, (last, own, new)))


def test_a_value_is_not_moved_to_where_a_variable_holds_another_one() -> None:
    own = TWO.replace("USER", "ENV A=$OLD\nUSER")
    with pytest.raises(Unclear, match="another value of OLD"):
        merge(DOCKERFILE, *map(lines, (TWO, own, TWO_NEW)))
    assert "ENV A=$B" in "".join(
        merge(DOCKERFILE, *map(lines, (TWO, TWO.replace("USER", "ENV A=$B\nUSER"), TWO_NEW)))[0]
    )


@pytest.mark.parametrize(
    ("old", "ours", "moves"),
    [
        ("STOPSIGNAL SIGTERM\n", "STOPSIGNAL SIGINT\n", True),
        ("STOPSIGNAL SIGTERM\n", "", True),
        ("USER 1000\n", "USER 2000\n", False),
        ("ENV PORT=8000\n", "", False),
        ("WORKDIR /app\n", "WORKDIR /srv\n", False),
        ("ENV PORT=8000\n", "ENV PORT=8000\nRUN ours\n", False),
        ("STOPSIGNAL SIGTERM\n", "RUN ours\n", False),
    ],
)
def test_a_line_that_both_changed_stays_and_one_that_this_version_still_has_does_not(
    old: str, ours: str, moves: bool
) -> None:
    own = LAST.replace(old, ours)
    if moves:
        assert merged(own) == NEW.replace(old, ours)
    else:
        with pytest.raises(
            Unclear, match="lines that this version changed|may need|below a change"
        ):
            merged(own)


def test_a_last_line_without_its_end_is_not_joined_to_the_one_that_it_moves_above() -> None:
    new = NEW.replace("python", "python3")
    assert merged(f"{LAST}EXPOSE 9090", new) == new.replace("# Drydock", "EXPOSE 9090\n# Drydock")


@pytest.mark.parametrize(
    ("name", "own", "new", "why"),
    [
        (".gitignore", "a\nours\nold\n", "a\nnew\n", "a\nnew\nours\n"),
        (".gitignore", "a\n!ours\nold\n", "a\nnew\n", "order of patterns counts"),
        (".gitignore", "a\n", "a\nnew\n", "`old`, which you deleted, stands beside"),
        (".dockerignore", "a\nold\nours/\n", "a\nnew\n!b/c\n", "a\nnew\n!b/c\nours/\n"),
        (".dockerignore", "a\nold\nb/\n", "a\nnew\n!b/c\n", "`b/` would keep out b/c"),
        (".dockerignore", "a\nold\n**/*.py\n", "a\nnew\n!b/c.py\n", "would keep out b/c.py"),
    ],
)
def test_a_pattern_goes_to_the_end_where_it_leaves_out_the_same(
    name: str, own: str, new: str, why: str
) -> None:
    texts = map(lines, ("a\nold\n", own, new))
    if why.endswith("\n"):
        assert "".join(merge(name, *texts)[0]) == why
    else:
        with pytest.raises(Unclear, match=re.escape(why)):
            merge(name, *texts)


@pytest.mark.parametrize(
    ("job", "why"),
    [
        ("ours:\n  stage: lint\n  script: [a]\n", "stage lint"),
        ("ours:\n  stage: test\n  needs: [unit]\n  script: [a]\n", "names unit"),
        ("audit:\n  stage: test\n  script: [a]\n", "beside lines"),
        ("ours: {script: [a]\n", "no YAML"),
        ("ours: {stage: test, script: [2026-13-45]}\n", "no YAML"),
        ("ours: {stage: test, ? !x [a] : b}\n", "no YAML"),
        ("ours:\n  stage: test\n  script: !reference [unit, script]\n", "names unit"),
    ],
)
def test_a_job_that_needs_what_is_gone_stays_a_conflict(job: str, why: str) -> None:
    last = "stages: [lint, test]\nunit:\n  stage: test\n  script: [old]\n"
    new = "stages: [test]\naudit:\n  stage: test\n  script: [new]\n"
    with pytest.raises(Unclear, match=why):
        merge(GITLAB, *map(lines, (last, f"{last}\n{job}", new)))


def test_a_job_that_is_told_to_need_one_that_is_gone_stays_a_conflict() -> None:
    last = "lint:\n  script: [a]\nunit:\n  script: [old]\n"
    new = "unit:\n  script: [new]\n"
    with pytest.raises(Unclear, match="unit names lint"):
        merge(GITLAB, *map(lines, (last, f"{last}  needs: [lint]\n", new)))


@pytest.mark.parametrize(
    ("own", "why"),
    [
        # A step at the end may use what steps above it made, which are others now.
        ("steps:\n  - b: 1\n  - c: 1\n  - ours: 1\n", "beside lines"),
        ("steps:\n  - b: 2\n  - c: 1\n", "beside lines"),
        ("steps:\n  - b: 1\n", "`- c: 1`, which you deleted, stands"),
    ],
)
def test_a_step_stays_a_conflict_where_those_around_it_are_others(own: str, why: str) -> None:
    last = "steps:\n  - b: 1\n  - c: 1\n"
    new = "steps:\n  - b: 3\n  - d: 1\n"
    with pytest.raises(Unclear, match=why):
        merge(CI, *map(lines, (last, own, new)))


def test_a_step_that_its_owner_moved_does_not_come_back_where_this_version_has_none() -> None:
    last = "steps:\n  - a: 1\n  - b: 1\n  - c: 1\n  - d: 1\n"
    own = last.replace("  - b: 1\n  - c: 1\n", "  - c: 1\n  - b: 1\n")
    new = last.replace("- a: 1", "- a: 2").replace("  - c: 1\n", "")
    with pytest.raises(Unclear, match="you moved `- c: 1`, which this version does not have"):
        merge(CI, *map(lines, (last, own, new)))


@pytest.mark.parametrize(
    ("new", "moves"),
    [
        ("  - uses: a/sync@v2\n  - test: 1\n  - last: 2\n", True),
        ("  - uses: a/sync@v2\n  - more: 1\n  - test: 1\n", True),
        ("  - test: 1\n  - uses: a/sync@v1\n", False),
        ("  - test: 1\n  - uses: a/sync@v2\n", False),
    ],
)
def test_a_step_stays_below_those_that_it_was_below(new: str, moves: bool) -> None:
    last = "steps:\n  - uses: a/sync@v1\n  - test: 1\n  - last: 1\n"
    texts = last, last.replace("  - test", "  - ours: 1\n  - test"), f"steps:\n{new}"
    if moves:
        text, _ = merge(CI, *map(lines, texts))
        assert "".join(text) == texts[2].replace("  - test", "  - ours: 1\n  - test")
    else:
        with pytest.raises(Unclear, match="beside lines"):
            merge(CI, *map(lines, texts))


PYTEST, HADOLINT = "    - pytest\n", "    - hadolint\n"
COMMENTS = "    # Yours: below.\n    # Drydock's again.\n"


@pytest.mark.parametrize(
    ("ours", "between", "becomes"),
    [
        ("    - pytest -x\n", COMMENTS, f"    - pytest -x\n{COMMENTS}"),
        ("    - hadolint -v\n", COMMENTS, f"{COMMENTS}    - hadolint -v\n"),
        (
            "    - pytest -x\n    - hadolint -v\n",
            COMMENTS,
            f"    - pytest -x\n{COMMENTS}    - hadolint -v\n",
        ),
        ("", COMMENTS, COMMENTS),
        ("    - pytest -x\n", "    - new\n", None),
        ("    - pytest -x\n", f"    - new\n{COMMENTS}", None),
        ("    - pytest -x\n    - ours\n    - hadolint -v\n", COMMENTS, None),
    ],
)
def test_a_switch_beside_a_deleted_step_finds_both_where_only_comments_came_between(
    ours: str, between: str, becomes: str | None
) -> None:
    head, tail = "check:\n  script:\n    - sync\n", "    - prune\n"
    last = f"{head}{PYTEST}{HADOLINT}{tail}"
    new = f"{head}{PYTEST}{between}{HADOLINT}{tail}"
    texts = (last, f"{head}{ours}{tail}", new)
    if becomes is None:
        with pytest.raises(Unclear, match="beside lines that this version changed"):
            merge(GITLAB, *map(lines, texts))
    else:
        assert "".join(merge(GITLAB, *map(lines, texts))[0]) == f"{head}{becomes}{tail}"


@pytest.mark.parametrize("release", ["0.3.0", "0.4.0"])
@pytest.mark.parametrize(("ci", "name"), [("github", CI), ("gitlab", GITLAB)])
def test_a_switch_of_pytest_beside_the_deleted_linter_is_settled_in_a_file_of_a_release(
    release: str, ci: str, name: str, made: Make
) -> None:
    last, new = (
        (made(version, ci) / name).read_text() for version in (release, NOW.removeprefix("v"))
    )

    def edited(text: str) -> str:
        text = text.replace("--no-sync pytest\n", "--no-sync pytest -x\n")
        return re.sub(r"\n.*hadolint Dockerfile\n", "\n", text)

    text, said = merge(name, *map(lines, (last, edited(last), new)))
    assert "".join(text) == edited(new) != new
    assert len(said) == 1


@pytest.mark.parametrize("release", ["0.2.0", "0.4.0"])
@pytest.mark.parametrize(
    ("old", "ours"),
    [
        ('tags     = ["demo:ci"]', 'tags     = ["demo:ci", "demo:more"]'),
        ('tags     = ["demo:ci"]', 'tags     = ["ours:ci"]'),
        ('"315532800" }', '"315532800", OURS = "1" }'),
        ('target "image" {\n', 'target "image" {\n  labels = { "a.b/c" = "{" }\n'),
        ('["demo:ci"]\n', '["demo:ci"]\n  platforms = [\n    "linux/arm64",\n  ]\n'),
    ],
)
def test_a_line_of_the_bake_file_of_a_release_goes_to_the_same_target(
    release: str, old: str, ours: str, made: Make
) -> None:
    last, new = (
        (made(version, "github") / BAKE).read_text() for version in (release, NOW.removeprefix("v"))
    )
    texts = [last, last.replace(old, ours), new]
    assert "".join(merge(BAKE, *map(lines, texts))[0]) == new.replace(old, ours) != new


@pytest.mark.parametrize(
    ("own", "new", "becomes"),
    [
        ("ours = 1\n  x = 1", "x = 2", 'target "a" {\n  ours = 1\n  x = 2\n}\n'),
        ("x = 1\n  ours = 1", "x = 2\n  more = 1", "  more = 1\n  ours = 1\n}\n"),
        ("x = 3", "x = 2", "beside lines that this version changed"),
        ("x = 1\n  ours = 1", "x = 2\n  ours = 2", "beside lines|stands twice"),
        ("x = 1\n  x = 1", "x = 2", "`x` stands twice"),
        ("x = 1\n  y = <<E\nE", "x = 2", "no HCL"),
        ("x = 1\n  y = [", "x = 2", "no HCL"),
        ('x = 1\n  y = "', "x = 2", "no HCL"),
    ],
)
def test_an_attribute_of_the_bake_file_stays_a_conflict_where_both_changed_it(
    own: str, new: str, becomes: str
) -> None:
    texts = (f'target "a" {{\n  {text}\n}}\n' for text in ("x = 1", own, new))
    if becomes.endswith("\n"):
        assert "".join(merge(BAKE, *map(lines, texts))[0]).endswith(becomes)
    else:
        with pytest.raises(Unclear, match=becomes):
            merge(BAKE, *map(lines, texts))


def test_a_new_key_goes_to_its_own_target_and_to_no_other_one() -> None:
    last = 'target "a" {\n  x = 1\n}\ntarget "b" {\n  x = 5\n}\n'
    own = last.replace("x = 5\n", "x = 5\n  ours = 1\n")
    new = 'target "b" {\n  x = 6\n}\ntarget "a" {\n  x = 2\n}\n'
    text, _ = merge(BAKE, *map(lines, (last, own, new)))
    assert "".join(text) == new.replace("x = 6\n", "x = 6\n  ours = 1\n")


LINT = '[dependency-groups]\nlint = [\n    "hooks==1",\n    "ruff==1",\n]\n\n[tool.x]\na = ["b"]\n'


@pytest.mark.parametrize(
    ("old", "ours", "becomes"),
    [
        ('    "ruff==1",\n', '    "mypy==1",\n    "ruff==1",\n', '    "mypy==1",\n]\n'),
        ('    "ruff==1",\n', '    "ruff==1",\n    "zizmor==1",\n', '    "zizmor==1",\n]\n'),
        ('a = ["b"]', 'ours = 1\na = ["b"]', "[tool.x]\nours = 1\n"),
        ('    "ruff==1",\n', '    "ruff>=1",\n', "beside lines"),
        ('    "ruff==1",\n', "", "which you deleted, stands beside"),
        ('a = ["b"]', 'a = ["b", "c"]', "beside lines"),
        ('a = ["b"]', "a = [", "no TOML"),
    ],
)
def test_a_row_of_a_group_stays_beside_pins_that_move_and_a_pin_that_both_moved_does_not(
    old: str, ours: str, becomes: str
) -> None:
    new = LINT.replace("==1", "==2").replace('["b"]', '["new"]')
    texts = (LINT, LINT.replace(old, ours), new)
    if becomes.endswith("\n"):
        text = "".join(merge(PYPROJECT, *map(lines, texts))[0])
        assert becomes in text
        added = [line for line in lines(ours) if line.strip() not in old]
        assert sorted(lines(text)) == sorted([*lines(new), *added])
    else:
        with pytest.raises(Unclear, match=becomes):
            merge(PYPROJECT, *map(lines, texts))


def test_a_changed_line_that_this_version_changed_too_is_not_written_beside_it() -> None:
    """A key twice is a document, of which the last one counts."""
    last, own, new = "b: 1\na: {x: 1}\n", "b: 1\na: {x: 1, y: 1}\n", "a: {x: 1} # new\nb: 1\n"
    with pytest.raises(Unclear, match="beside lines"):
        merge(CI, *map(lines, (last, own, new)))
    last = '[dependency-groups]\na = [\n    "b",\n    "c"\n]\n'
    own = last.replace('"c"\n', '"c",\n    "ours",\n')
    with pytest.raises(Unclear, match="beside lines"):
        merge(PYPROJECT, *map(lines, (last, own, last.replace('"c"\n', '"c" # new\n'))))


CODE = 'def f(first, second):\n    """Say."""\n    # Why.\n    return {"a": first, "b": second}\n'


@pytest.mark.parametrize(
    ("old", "ours", "same"),
    [
        ("(first, second)", "(\n    first,\n    second,\n)", True),
        ('{"a": first, "b": second}', "{\n        'a': first,\n        'b': second,\n    }", True),
        ("    ", "  ", True),
        ("# Why.", "# Why not.", False),
        ("    # Why.\n", "", False),
        ("first", "one", False),
        ('"""Say."""', '"""Tell."""', False),
        ("return {", "return {{", False),
    ],
)
def test_code_that_its_owner_only_formatted_is_that_of_this_version(
    old: str, ours: str, same: bool
) -> None:
    texts = CODE, CODE.replace(old, ours), CODE.replace("second", "third")
    if same:
        text, said = merge("src/demo/runtime/a.py", *map(lines, texts))
        assert "".join(text) == texts[2]
        assert said == []
    else:
        with pytest.raises(Unclear, match="you changed more in it than its format"):
            merge("src/demo/runtime/a.py", *map(lines, texts))


def test_a_team_with_shorter_lines_has_no_conflict_in_the_code_of_drydock(
    made: Make, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(made("0.6.0", "github"), tmp_path / "demo"))
    edit(folder / "pyproject.toml", "line-length = 100", "line-length = 88")
    assert "files reformatted" in projects.run(projects.tool("ruff"), "format", cwd=folder).stdout
    edit(folder / "src/demo/runtime/stop.py", "import signal\n", "import signal  # ours\n")

    said = update(folder)

    assert not projects.git("diff", "--name-only", "--diff-filter=U", cwd=folder), said
    code = "src/demo/runtime/curve.py"
    assert (folder / code).read_text() == (made(NOW.removeprefix("v"), "github") / code).read_text()
    assert f"formatted  {code} is as this version has it: format it as you do.\n" in said
    assert "moved " not in said
    assert "signal  # ours\n" in (folder / "src/demo/runtime/stop.py").read_text()


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
