"""`copier update`: what is the user's stays, the rest equals a fresh project, nothing conflicts."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from copier import run_copy, run_update

from tests.support import projects

RELEASES = json.loads((projects.ROOT / "tests" / "releases.json").read_text())
OLD, NEW = "v0.0.1", "v1000.0.0"


@pytest.fixture(scope="module")
def versions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A template repository with two versions: one before this one, and the working tree.

    The older one differs in its catalogue (another uv, another ruff), in a line of the Dockerfile,
    in the length that a name may have, in a module of `runtime` and in a comment of pyproject.toml:
    what a release changes.
    """
    template = projects.snapshot(tmp_path_factory.mktemp("versions") / "drydock")
    new_tree = projects.git("rev-parse", "HEAD^{tree}", cwd=template).strip()
    runtime = "template/src/{{ package }}/runtime"
    edits = {
        "extensions/drydock/names.py": [("LONGEST = 40", "LONGEST = 63")],
        f"{runtime}/files.py": [("whole or absent", "whole or not there")],
        "extensions/catalogue/uv.json": [(pin("uv"), "0.12.5")],
        "extensions/catalogue/tools.json": [(f'"{pin("ruff")}"', '"0.14.0"')],
        "template/Dockerfile.jinja": [("STOPSIGNAL SIGTERM", "STOPSIGNAL SIGINT")],
        "template/pyproject.toml.jinja": [("# Drydock's: what the hooks", "# What the hooks")],
    }
    for name, replacements in edits.items():
        text = (template / name).read_text()
        for new, old in replacements:
            assert new in text, f"{name} does not hold {new}"
            text = text.replace(new, old)
        (template / name).write_text(text)
    tag_both(template, new_tree)
    return template


def tag_both(template: Path, new_tree: str) -> None:
    """Commit the files of a template as version OLD, and then a tree as version NEW."""
    projects.commit_all(template, "An older version")
    projects.git("tag", OLD, cwd=template)
    projects.git("read-tree", new_tree, cwd=template)
    projects.git("checkout-index", "--all", "--force", cwd=template)
    projects.git("commit", "--quiet", "--message", "The working tree", cwd=template)
    projects.git("tag", NEW, cwd=template)


def pin(tool: str) -> str:
    """Version of a tool in the catalogue."""
    catalogue = projects.ROOT / "extensions" / "catalogue"
    if tool == "uv":
        return json.loads((catalogue / "uv.json").read_text())["uv"][0]["version"]
    return json.loads((catalogue / "tools.json").read_text())[tool]["version"]


def copy(template: Path, destination: Path, version: str, *, lock: bool, **answers: str) -> Path:
    """Make a project of one version of the template, as a repository."""
    assert answers.keys() <= projects.questions()
    data = [f"--data={name}={value}" for name, value in answers.items()]
    words = ("copy", "--trust", "--defaults", "--quiet", "--vcs-ref", version, *data)
    tasks = () if lock else ("--skip-tasks",)
    destination.parent.mkdir(exist_ok=True)
    projects.copier(*words, *tasks, template, destination, cwd=destination.parent)
    projects.commit_all(destination, "Start")
    return destination


def update(project: Path, *words: str, env: dict | None = None) -> str:
    """Update a project and return what Copier said; the result is staged and whole."""
    done = projects.copier(
        "update", "--trust", "--defaults", "--skip-answered", *words, cwd=project, env=env
    )
    projects.git("add", "--all", cwd=project)
    for name, text in projects.files(project).items():
        assert "<<<<<<<" not in text, f"conflict in {name}:\n{text}"
        assert not name.endswith(".rej"), f"{name}:\n{text}"
    return done.stdout + done.stderr


def user_edits(project: Path) -> dict[str, str]:
    """Edit a project as its owner would, and commit.

    Returns:
        The files that must be the same after an update.
    """
    (project / "main.py").write_text((project / "main.py").read_text() + "\n# My own line.\n")
    (project / "README.md").write_text("# Mine\n")
    module = next((project / "src").iterdir())
    (module / "features.py").write_text("ANSWER = 42\n")
    (module / "__init__.py").write_text('"""My package."""\n')
    pyproject = project / "pyproject.toml"
    text = pyproject.read_text()
    for old, new in {
        'version = "0.1.0"': 'version = "2.3.4"',
        "dependencies = [\n": 'dependencies = [\n    "packaging>=24",\n',
        "dev = [\n": 'dev = [\n    "pytest-randomly",\n',
    }.items():
        assert old in text
        text = text.replace(old, new, 1)
    pyproject.write_text(text)
    mine = {
        name: text
        for name, text in projects.files(project).items()
        if name.startswith(("main.py", "README.md", "src/", "tests/")) and "/runtime/" not in name
    }
    projects.commit_all(project, "My own work")
    return mine


def packages(project: Path) -> dict[str, str]:
    """What is locked: version by name."""
    lock = tomllib.loads((project / "uv.lock").read_text())
    return {package["name"]: package.get("version", "") for package in lock["package"]}


def test_a_project_keeps_a_name_that_is_too_long_for_a_new_one(
    versions: Path, tmp_path: Path
) -> None:
    name = "a-name-from-before-there-was-a-limit-of-forty-letters"
    project = copy(versions, tmp_path / "demo", OLD, lock=False, project_name=name)
    update(project, "--skip-tasks")
    stored = yaml.safe_load((project / ".copier-answers.yml").read_text())
    assert (stored["_commit"], stored["project_name"]) == (NEW, name)
    assert [path.name for path in (project / "src").iterdir()] == [name.replace("-", "_")]
    words = (f"--data=project_name={name}", "--defaults", "--skip-tasks")
    refused = projects.copier(
        "copy", "--trust", *words, versions, tmp_path / "new", cwd=tmp_path, check=False
    )
    assert refused.returncode == 1 and "at most 40" in refused.stderr


def test_an_update_keeps_the_edits_and_the_rest_equals_a_fresh_project(
    versions: Path, tmp_path: Path, network: None
) -> None:
    project = copy(versions, tmp_path / "demo", OLD, lock=True)
    assert "uv:0.12.5" in (project / "Dockerfile").read_text(), "the old catalogue made it"
    mine = user_edits(project)
    projects.run("uv", "lock", "--quiet", cwd=project)
    projects.commit_all(project, "Lock")
    before = packages(project)

    update(project)

    fresh = copy(versions, tmp_path / "fresh" / "demo", NEW, lock=False)
    now, expected = projects.files(project), projects.files(fresh)
    assert f"uv:{pin('uv')}" in now["Dockerfile"], "the new catalogue rendered the new side"
    assert {name: now[name] for name in mine} == mine, "the user's files are untouched"
    same = expected.keys() - mine.keys() - {"pyproject.toml", ".copier-answers.yml"}
    assert "Dockerfile" in same and ".github/workflows/ci.yml" in same
    assert {name: now[name] for name in same} == {name: expected[name] for name in same}
    assert now[".copier-answers.yml"] == expected[".copier-answers.yml"]
    assert now["pyproject.toml"] == (
        expected["pyproject.toml"]
        .replace('version = "0.1.0"', 'version = "2.3.4"')
        .replace("dependencies = [\n", 'dependencies = [\n    "packaging>=24",\n', 1)
        .replace("dev = [\n", 'dev = [\n    "pytest-randomly",\n', 1)
    )
    projects.run("uv", "lock", "--check", cwd=project)
    after = packages(project)
    assert after["ruff"] == pin("ruff") != before["ruff"], "the lock follows the template"
    moved = {name for name in before if name in after and before[name] != after[name]}
    assert moved <= {"ruff", "demo"}, "and nothing that the template did not move"


@pytest.fixture(scope="module")
def three_versions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A template of which each version has its own catalogue and its own code, in a module of the
    extension's package.
    """
    template = projects.snapshot(tmp_path_factory.mktemp("three") / "drydock")
    data, code = Path("extensions/catalogue/uv.json"), Path("extensions/drydock/stack/reasons.py")
    sentence = "No GPU and no driver is needed."
    assert sentence in (projects.ROOT / code).read_text()
    for number in (1, 2, 3):
        text = (projects.ROOT / data).read_text()
        (template / data).write_text(text.replace(pin("uv"), f"0.12.{number}"))
        text = (projects.ROOT / code).read_text()
        (template / code).write_text(text.replace(sentence, f"Said by the code of {number}."))
        projects.commit_all(template, f"Version {number}")
        projects.git("tag", f"v{number}.0.0", cwd=template)
    return template


def test_each_side_of_an_update_runs_its_own_code_on_its_own_catalogue(
    three_versions: Path, tmp_path: Path
) -> None:
    """Several updates in one process, in which Python keeps every module that it has imported.

    Copier asks the old version what it had rendered. Code or data of the new one in its answer
    would make the difference look like an edit of the owner's, and give a conflict.
    """
    settings = {"defaults": True, "unsafe": True, "quiet": True, "skip_tasks": True}
    for first, *later in ((1, 2, 3), (1, 3)):
        project = tmp_path / f"from-{first}-to-{later[0]}"
        run_copy(str(three_versions), project, vcs_ref=f"v{first}.0.0", **settings)
        dockerfile = project / "Dockerfile"
        dockerfile.write_text(dockerfile.read_text() + "# A line of mine.\n")
        for number in later:
            projects.commit_all(project, "Before the update")
            run_update(project, vcs_ref=f"v{number}.0.0", overwrite=True, **settings)
            text = dockerfile.read_text()
            assert re.findall(r"Said by the code of (\d)", text) == [str(number)]
            assert set(re.findall(r"uv:0\.12\.(\d)", text)) == {str(number)}
            assert text.endswith("# A line of mine.\n")
            assert "<<<<<<<" not in text


def test_a_deleted_file_stays_deleted(versions: Path, tmp_path: Path) -> None:
    project = copy(versions, tmp_path / "demo", OLD, lock=False)
    module = next((project / "src").iterdir())
    gone = [module / "data.py", project / "scripts" / "smoke-test.sh", project / "README.md"]
    for path in gone:
        path.unlink()
    projects.commit_all(project, "I do not want these")
    update(project, "--skip-tasks")
    assert not [path for path in gone if path.exists()]


def test_the_lock_is_refreshed_once_and_in_the_project_only(
    versions: Path, tmp_path: Path, network: None
) -> None:
    project = copy(versions, tmp_path / "demo", OLD, lock=True)
    log = spy_on_uv(tmp_path)
    update(project, env={"PATH": f"{log.parent}:{os.environ['PATH']}"})
    assert log.read_text().splitlines() == [f"{project.resolve()} lock --quiet"]


def test_an_update_without_uv_ends_well_and_says_what_to_run(
    versions: Path, tmp_path: Path, path_without_uv: str
) -> None:
    project = copy(versions, tmp_path / "demo", OLD, lock=False)
    said = update(project, env={"PATH": path_without_uv})
    assert "run `uv lock`" in said
    assert f"uv:{pin('uv')}" in (project / "Dockerfile").read_text()


def test_an_update_can_change_an_answer(versions: Path, tmp_path: Path) -> None:
    project = copy(versions, tmp_path / "demo", OLD, lock=False)
    update(project, "--skip-tasks", "--data=ci=gitlab", "--data=platform=ovh")
    assert (project / ".gitlab-ci.yml").exists()
    assert not (project / ".github").exists()
    assert "USER 42420:42420" in (project / "Dockerfile").read_text()


def test_what_is_mended_in_the_runtime_reaches_a_project_and_joins_the_edits_of_its_owner(
    versions: Path, tmp_path: Path
) -> None:
    project = copy(versions, tmp_path / "demo", OLD, lock=False)
    runtime = project / "src" / "demo" / "runtime"
    module = runtime / "files.py"
    assert "whole or not there" in module.read_text()
    module.write_text(module.read_text() + "\nMINE = True\n")
    (runtime / "signals.py").unlink()
    (project / "tests" / "runtime" / "test_files.py").unlink()
    projects.commit_all(project, "My own work")

    update(project, "--skip-tasks")

    assert "whole or absent" in module.read_text()
    assert module.read_text().endswith("MINE = True\n")
    assert not (runtime / "signals.py").exists()
    assert not (project / "tests" / "runtime" / "test_files.py").exists()


@pytest.mark.parametrize("workload", ["train", "serve"])
def test_a_project_without_the_runtime_goes_on_without_it(workload: str, tmp_path: Path) -> None:
    template = since("0.3.0", tmp_path / "drydock")
    project = copy(template, tmp_path / "demo", "v0.3.0", lock=False, workload=workload)
    before = {name for name in projects.files(project) if name.startswith(("src/", "tests/"))}
    for later in ("v1000.0.1", "v1000.0.2"):
        update(project, "--skip-tasks")
        projects.commit_all(project, "Update")
        after = {name for name in projects.files(project) if name.startswith(("src/", "tests/"))}
        assert after == before
        dockerfile = template / "template" / "Dockerfile.jinja"
        dockerfile.write_text(dockerfile.read_text() + "# A newer line.\n")
        projects.commit_all(template, "Newer")
        projects.git("tag", later, cwd=template)


@pytest.mark.parametrize(
    ("ci", "file", "line"),
    [
        ("github", ".github/workflows/ci.yml", "      - run: echo mine"),
        ("gitlab", ".gitlab-ci.yml", "    - echo mine"),
        ("github", "Dockerfile", "ENV MINE=1"),
    ],
)
def test_lines_in_the_places_of_the_owner_stay_whatever_the_template_changes_around_them(
    ci: str, file: str, line: str, tmp_path: Path
) -> None:
    """The old version differs in the lines above and below each place."""
    template = projects.snapshot(tmp_path / "drydock")
    tree = projects.git("rev-parse", "HEAD^{tree}", cwd=template).strip()
    changed = 0
    for path in (path for path in (template / "template").rglob("*") if path.is_file()):
        text = path.read_text()
        older = re.sub(
            r"(.*)(\n *# Yours: [^\n]*below this(?:.|\n)*?# Drydock's again.*\n)",
            r"\1 #\2#\n",
            text,
        )
        if older != text:
            changed += 1
            path.write_text(older)
    assert changed == 3
    tag_both(template, tree)
    project = copy(template, tmp_path / "demo", OLD, lock=False, ci=ci)
    text = (project / file).read_text()
    again = re.search(r"^ *# Drydock's again", text, re.MULTILINE)
    (project / file).write_text(text[: again.start()] + line + "\n" + text[again.start() :])
    projects.commit_all(project, "Mine")
    update(project, "--skip-tasks")
    fresh = copy(template, tmp_path / "fresh" / "demo", NEW, lock=False, ci=ci)
    now, expected = (one / file for one in (project, fresh))
    assert now.read_text().replace(line + "\n", "") == expected.read_text()
    assert line in now.read_text().splitlines()


def test_what_an_owner_had_let_into_the_image_or_kept_out_of_it_merges(tmp_path: Path) -> None:
    template = since("0.4.0", tmp_path / "drydock")
    project = copy(template, tmp_path / "demo", "v0.4.0", lock=False)
    path = project / ".dockerignore"
    path.write_text(path.read_text().replace("!src\n", "!src\n!configs\n") + "src/demo/big\n")
    projects.commit_all(project, "Mine")
    update(project, "--skip-tasks")
    fresh = (
        copy(template, tmp_path / "fresh" / "demo", NEW, lock=False) / ".dockerignore"
    ).read_text()
    assert path.read_text() == fresh.replace("!src\n", "!src\n!configs\n") + "src/demo/big\n"


@pytest.mark.parametrize("workload", ["train", "serve"])
def test_the_dependencies_of_a_project_without_the_runtime_stay_as_its_owner_has_them(
    workload: str, tmp_path: Path
) -> None:
    """Also where the owner had added one beside each line that the template has new."""
    template = since("0.4.0", tmp_path / "drydock")
    project = copy(template, tmp_path / "demo", "v0.4.0", lock=False, workload=workload)
    pyproject = project / "pyproject.toml"
    text = re.sub(
        r"^dependencies = \[\n((?:.+\n)+?)\]\n",
        lambda found: (
            "dependencies = [\n"
            + "".join(
                f'    "mine-{number}",\n{line}\n'
                for number, line in enumerate(found[1].splitlines())
            )
            + '    "mine",\n]\n'
        ),
        pyproject.read_text(),
        flags=re.MULTILINE,
    )
    assert text.count("mine") > 3
    pyproject.write_text(text)
    projects.commit_all(project, "Mine")
    mine = tomllib.loads(text)["project"]["dependencies"]
    said = update(project, "--skip-tasks")
    assert tomllib.loads(pyproject.read_text())["project"]["dependencies"] == mine
    assert "conflicts " not in said
    assert "<<<<<<<" not in pyproject.read_text()
    fresh = copy(template, tmp_path / "fresh" / "demo", NEW, lock=False, workload=workload)
    now = tomllib.loads((fresh / "pyproject.toml").read_text())["project"]["dependencies"]
    assert not set(now) <= set(mine), "a new project has more"


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_only_the_list_of_dependencies_is_given_back_and_lines_end_as_they_did(
    end: str, tmp_path: Path
) -> None:
    before = ["[project]", "dependencies = [", '    "mine",', "]", "# é", "a = 1", ""]
    pyproject = tmp_path / "pyproject.toml"
    pyproject.write_bytes(end.join(before).encode())
    projects.commit_all(tmp_path, "Mine")
    after = [*before[:3], '    "pandas>=2.2",', *before[3:5], "a = 2", ""]
    pyproject.write_bytes(end.join(after).encode())
    script = projects.ROOT / "extensions" / "leave_out_runtime.py"
    projects.run(sys.executable, script, "demo", cwd=tmp_path)
    assert pyproject.read_bytes() == end.join([*before[:5], "a = 2", ""]).encode()


@pytest.mark.parametrize("line", ["from demo.runtime import mine\n", "RUN = 'mine.py'\n"])
def test_a_folder_of_the_name_runtime_that_is_the_owner_s_stays(
    line: str, since_long_names: Path, tmp_path: Path
) -> None:
    """Also where no line of the code imports it."""
    project = copy(since_long_names, tmp_path / "demo", "v0.3.0", lock=False)
    mine = {
        "src/demo/runtime/mine.py": "MINE = 1\n",
        "tests/runtime/test_mine.py": "from demo.runtime import mine\n",
        "main.py": line,
    }
    for name, text in mine.items():
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text(text)
    projects.commit_all(project, "My own runtime")
    update(project, "--skip-tasks")
    kept = projects.files(project)
    assert {name: kept.get(name) for name in mine} == mine


def test_a_word_like_runtime_in_the_code_keeps_no_folder_that_nothing_uses(
    since_long_names: Path, tmp_path: Path
) -> None:
    project = copy(since_long_names, tmp_path / "demo", "v0.3.0", lock=False)
    (project / "src" / "demo" / "jobs.py").write_text("def end(job):\n    return job.runtime\n")
    projects.commit_all(project, "A job has a run time")
    update(project, "--skip-tasks")
    assert not (project / "src" / "demo" / "runtime").exists()


def since(release: str, template: Path) -> Path:
    """Make a template repository with a release and, as version NEW, the working tree.

    The tags of this repository may not have come along with a clone, so new ones are made.
    """
    projects.snapshot(template)
    tree = projects.git("rev-parse", "HEAD^{tree}", cwd=template).strip()
    projects.git("fetch", "--quiet", projects.ROOT, RELEASES[release], cwd=template)
    projects.git("reset", "--quiet", "--hard", "FETCH_HEAD", cwd=template)
    projects.git("tag", "--force", f"v{release}", cwd=template)
    commit = projects.git("commit-tree", tree, "-p", "HEAD", "-m", "Now", cwd=template).strip()
    projects.git("reset", "--quiet", "--hard", commit, cwd=template)
    projects.git("tag", NEW, cwd=template)
    return template


@pytest.fixture(scope="module")
def since_long_names(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """From 0.3.0, the last release whose conditions stood in the names of files, to this one."""
    return since("0.3.0", tmp_path_factory.mktemp("since") / "drydock")


# Each framework and each workload: one pattern of `copier.yml` is to hold the files of all pairs.
@pytest.mark.parametrize(
    ("framework", "workload"),
    [
        ("scikit-learn", "serve"),
        ("pytorch", "train"),
        ("jax", "train"),
        ("tensorflow", "train"),
        ("onnxruntime", "serve"),
    ],
)
def test_files_that_moved_in_the_template_neither_return_nor_change_in_a_project(
    framework: str, workload: str, since_long_names: Path, tmp_path: Path
) -> None:
    answers = {"framework": framework, "workload": workload}
    project = copy(since_long_names, tmp_path / "demo", "v0.3.0", lock=False, **answers)
    names = {"train": ("train.py", "stop.py"), "serve": ("server.py", "app.py")}[workload]
    edited, deleted = (project / "src" / "demo" / name for name in names)
    edited.write_text(edited.read_text() + "\n# My own line.\n")
    deleted.unlink()
    (project / "tests" / "test_files.py").unlink()
    (project / "tests" / "test_mine.py").write_text("def test_mine():\n    assert True\n")
    mine = user_edits(project)
    assert {"main.py", "README.md", "src/demo/features.py", "tests/test_mine.py"} <= mine.keys()

    update(project, "--skip-tasks")

    now = projects.files(project)
    assert {name: text for name, text in now.items() if name in mine} == mine
    appeared = now.keys() - mine.keys()
    assert not {name for name in appeared if name.startswith(("src/", "tests/"))}
    assert '"packaging>=24"' in now["pyproject.toml"]
    assert f"_commit: {NEW}" in now[".copier-answers.yml"]


@pytest.mark.parametrize("release", RELEASES)
def test_every_release_updates_to_this_version(release: str, tmp_path: Path, network: None) -> None:
    template = since(release, tmp_path / "drydock")
    project = copy(template, tmp_path / "demo", f"v{release}", lock=True)
    mine = user_edits(project)
    projects.run("uv", "lock", "--quiet", cwd=project)
    projects.commit_all(project, "Lock")
    update(project)
    fresh = copy(template, tmp_path / "fresh" / "demo", NEW, lock=False)
    now, expected = projects.files(project), projects.files(fresh)
    # An older project has no AGENTS.md, and gets none: it would be the owner's.
    same = expected.keys() - mine.keys() - {"pyproject.toml", "AGENTS.md"}
    same = {name for name in same if not name.startswith(("src/", "tests/"))}
    assert {name: now[name] for name in mine} == mine
    assert {name: now.get(name) for name in same} == {name: expected[name] for name in same}
    scripts = {name for name in now if name.startswith("scripts/")}
    assert scripts <= expected.keys(), "a script stayed that this version does not have"
    projects.run("uv", "lock", "--check", cwd=project)


def spy_on_uv(folder: Path) -> Path:
    """Put a `uv` on a path of its own that notes each call and then runs the real one.

    Returns:
        The file with the notes: a line with working directory and arguments for each call. The
        folder that holds it is what to put on PATH.
    """
    real = shutil.which("uv")
    spy = folder / "spy"
    spy.mkdir()
    log = spy / "calls.txt"
    script = spy / "uv"
    script.write_text(f'#!/bin/sh\necho "$PWD $*" >>"{log}"\nexec "{real}" "$@"\n')
    script.chmod(0o755)
    return log
