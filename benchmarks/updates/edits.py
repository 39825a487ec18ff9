"""What teams do to a generated project, each as a function.

Each takes the project, a source of random numbers and a number for names of its own, and returns
the lines that it added, by file: an update must leave them. Where a project has no such place, it
returns nothing. They edit projects of other templates as well (rivals.py).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from random import Random

Lines = dict[str, list[str]]
Edit = Callable[[Path, Random, int], Lines]

# Packages that teams add, not all of them at the same place of an alphabetical list.
PACKAGES = (
    *("boto3", "click", "einops", "httpx", "joblib", "mlflow", "omegaconf", "openpyxl", "polars"),
    *("pyarrow", "pyyaml", "rich", "scipy", "structlog", "tenacity", "typer", "wandb", "xarray"),
)


WORKFLOWS = (".github/workflows/ci.yml", ".github/workflows/test.yml")
# The step that runs the tests, in Drydock's files and in those of the other templates.
TESTS = re.compile(
    r"^( *)- ((run: )?uv run --no-sync pytest|name: (Run the test suite|Test \w+))$", re.MULTILINE
)
# In newer versions, owners' lines go above this one.
OWN = "# Drydock's again"


def _read(path: Path) -> str:
    """The text of a file; nothing where there is none."""
    return path.read_text() if path.is_file() else ""


def _insert(path: Path, before: str, *lines: str, after: bool = False) -> bool:
    """Insert lines before (or after) the first line that matches an expression."""
    if not path.is_file():
        return False
    text = path.read_text()
    found = re.search(before, text, re.MULTILINE)
    if not found:
        return False
    at = found.end() if after else found.start()
    path.write_text(text[:at] + "".join(f"{line}\n" for line in lines) + text[at:])
    return True


def _append(project: Path, name: str, *lines: str) -> Lines:
    path = project / name
    text = _read(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text + "".join(f"{line}\n" for line in lines))
    return {name: [line for line in lines if line.strip()]}


def _listed(project: Path, name: str, line: str, random: Random, *, sort: bool) -> Lines:
    """Add a line to a list of pyproject.toml: where it sorts, at the end, or anywhere."""
    path = project / "pyproject.toml"
    found = re.search(rf"^{name} = \[\n((?: +.*\n)*)\]", path.read_text(), re.MULTILINE)
    if not found:
        return {}
    rows = found[1].splitlines()
    indent = re.match(" *", rows[0])[0] if rows else "    "
    line = f"{indent}{line}"
    if line in rows:
        return {}
    later = [number for number, row in enumerate(rows) if row > line] if sort else []
    place = later[0] if later else len(rows) if sort else random.randint(0, len(rows))
    rows.insert(place, line)
    body = "".join(f"{row}\n" for row in rows)
    text = path.read_text()
    path.write_text(text[: found.start(1)] + body + text[found.end(1) :])
    return {"pyproject.toml": [line]}


def dependency_as_uv_adds_it(project: Path, random: Random, number: int) -> Lines:
    """`uv add` keeps an alphabetical list in order."""
    return _listed(project, "dependencies", f'"{random.choice(PACKAGES)}>=0.1",', random, sort=True)


def dependency_by_hand(project: Path, random: Random, number: int) -> Lines:
    """A dependency, anywhere in the list."""
    return _listed(project, "dependencies", f'"{random.choice(PACKAGES)}",', random, sort=False)


def dev_dependency(project: Path, random: Random, number: int) -> Lines:
    """A tool to develop with."""
    name = random.choice(("ipykernel", "mypy", "pytest-cov", "pytest-xdist"))
    sort = random.random() < 0.5
    return _listed(project, "dev", f'"{name}",', random, sort=sort) or _listed(
        project, "ci", f'"{name}",', random, sort=sort
    )


def readme(project: Path, random: Random, number: int) -> Lines:
    """A chapter of the README."""
    return _append(project, "README.md", "", f"## Our part {number}", "What it is for.")


def module_and_test(project: Path, random: Random, number: int) -> Lines:
    """A module and its test."""
    package = next(path for path in (project / "src").iterdir() if path.is_dir())
    return _append(
        project, f"src/{package.name}/features_{number}.py", f"ANSWER_{number} = 42"
    ) | _append(project, f"tests/test_features_{number}.py", f"def test_{number}():", "    pass")


def main(project: Path, random: Random, number: int) -> Lines:
    """A line in main.py."""
    if not (project / "main.py").is_file():
        return {}
    return _append(project, "main.py", f"# Ours, {number}.")


def training_loop(project: Path, random: Random, number: int) -> Lines:
    """A line in the middle of the longest module of the owner's."""
    modules = [path for path in project.glob("src/*/*.py") if path.stat().st_size > 500]
    if not modules:
        return {}
    path = max(modules, key=lambda path: path.stat().st_size)
    lines = path.read_text().splitlines(keepends=True)
    place = len(lines) // 2
    lines.insert(place, f"# Ours, in the loop, {number}.\n")
    path.write_text("".join(lines))
    return {path.relative_to(project).as_posix(): [f"# Ours, in the loop, {number}."]}


def version(project: Path, random: Random, number: int) -> Lines:
    """Another version of the project."""
    path = project / "pyproject.toml"
    line = f'version = "1.{number}.0"'
    text, found = re.subn(r'^version = ".*"$', line, path.read_text(), count=1, flags=re.M)
    path.write_text(text)
    return {"pyproject.toml": [line]} if found else {}


def ruff(project: Path, random: Random, number: int) -> Lines:
    """A setting of ruff."""
    line = f"extend-exclude = ['notebooks_{number}']"
    place = _insert(project / "pyproject.toml", r"^\[tool\.ruff\]\n", line, after=True)
    return {"pyproject.toml": [line]} if place else {}


def mypy(project: Path, random: Random, number: int) -> Lines:
    """A section for another tool."""
    return _append(project, "pyproject.toml", "", "[tool.mypy]", "strict = true")


def environment_variable(project: Path, random: Random, number: int) -> Lines:
    """A variable in the image."""
    line, path = f"ENV OURS_{number}=1", project / "Dockerfile"
    if not path.is_file():
        return {}
    if OWN in path.read_text():
        place = OWN
    else:
        place = random.choice(
            ("^(USER|ENTRYPOINT|STOPSIGNAL) ", r"^WORKDIR (?!/lock|/opt/compiled)")
        )
    return {"Dockerfile": [line]} if _insert(path, place, line) else {}


def apt_line(project: Path, random: Random, number: int) -> Lines:
    """A package of the system in the image."""
    line = f"RUN apt-get update && apt-get install --yes tini  # ours, {number}"
    return {"Dockerfile": [line]} if _insert(project / "Dockerfile", r"^USER ", line) else {}


def copy_line(project: Path, random: Random, number: int) -> Lines:
    """A folder beside the code, in the image."""
    if not (project / "Dockerfile").is_file():
        return {}
    _append(project, f"configs/ours_{number}.yaml", "a: 1")
    line = "COPY configs/ configs/"
    # Since 0.5.0 the code has a stage of its own.
    place = random.choice((r"^USER ", r"^COPY --chmod=755 (src/ src/|\*\.py \./)"))
    if not re.search(place, (project / "Dockerfile").read_text(), re.MULTILINE):
        place = r"^USER "
    found = _insert(project / "Dockerfile", place, line)
    _append(project, ".dockerignore", "!configs")
    return {"Dockerfile": [line], ".dockerignore": ["!configs"]} if found else {}


def _in_last_stage(project: Path, *lines: str, before: str = r"^USER ") -> Lines:
    """Lines in the stage that makes the image, or in the place that is the owner's."""
    path = project / "Dockerfile"
    if not path.is_file():
        return {}
    place = OWN if OWN in path.read_text() else before
    return {"Dockerfile": list(lines)} if _insert(path, place, *lines) else {}


def variable_in_a_list(project: Path, random: Random, number: int) -> Lines:
    """A line more in an ENV that sets several variables."""
    path = project / "Dockerfile"
    text = _read(path)
    listed = list(re.finditer(r"^    [A-Z_]+=\S+ \\\n", text, re.MULTILINE))
    last = text.rfind("\nFROM base")
    listed = [found for found in listed if found.start() > last and "UV_" not in found[0]]
    if not listed:
        return {}
    line, at = f"    OURS_{number}=1 \\", random.choice(listed).end()
    path.write_text(f"{text[:at]}{line}\n{text[at:]}")
    return {"Dockerfile": [line]}


def changed_variable(project: Path, random: Random, number: int) -> Lines:
    """Another value of a variable that Drydock sets."""
    path = project / "Dockerfile"
    text = _read(path)
    found = re.search(r"^( +PYTHONFAULTHANDLER=)1( \\)?$", text, re.MULTILINE)
    if not found:
        return {}
    line = f"{found[1]}0{found[2] or ''}"
    path.write_text(f"{text[: found.start()]}{line}{text[found.end() :]}")
    return {"Dockerfile": [line]}


def revision_label(project: Path, random: Random, number: int) -> Lines:
    """The commit as a label, by a build argument."""
    lines = f"ARG GIT_SHA_{number}=unknown", f"LABEL org.example.revision=$GIT_SHA_{number}"
    return _in_last_stage(project, *lines)


def tool_on_path(project: Path, random: Random, number: int) -> Lines:
    """A folder more on PATH."""
    return _in_last_stage(project, f"ENV PATH=/opt/ours-{number}/bin:$PATH", before="^WORKDIR /app")


def copied_file(project: Path, random: Random, number: int) -> Lines:
    """A file beside the code, in the image."""
    added = _in_last_stage(project, f"COPY ours_{number}.toml ./", before="^COPY --chmod=755 src/")
    if not added:
        return {}
    _append(project, f"ours_{number}.toml", "a = 1")
    _append(project, ".dockerignore", f"!ours_{number}.toml")
    return added | {".dockerignore": [f"!ours_{number}.toml"]}


def copied_tool(project: Path, random: Random, number: int) -> Lines:
    """A program of another image."""
    line = "COPY --from=busybox:1.37 /bin/busybox /usr/local/bin/busybox"
    return _in_last_stage(project, line)


def other_step(project: Path, random: Random, number: int) -> Lines:
    """A RUN that is no apt-get."""
    return _in_last_stage(project, f"RUN echo {number} >/etc/ours")


def port(project: Path, random: Random, number: int) -> Lines:
    """A port for metrics."""
    return _in_last_stage(project, f"EXPOSE 90{number:02}", before="^STOPSIGNAL")


def default_arguments(project: Path, random: Random, number: int) -> Lines:
    """Arguments of main.py."""
    if not (project / "Dockerfile").is_file():
        return {}
    return _append(project, "Dockerfile", 'CMD ["--help"]')


def newer_action(project: Path, random: Random, number: int) -> Lines:
    """What Dependabot does: another version of an action, in each place."""
    for name in WORKFLOWS:
        text = _read(project / name)
        found = re.search(r"actions/checkout@.*$", text, re.MULTILINE)
        if found:
            line = f"actions/checkout@{'0' * 39}{number} # v99.0.{number}"
            text = text.replace(found[0], line)
            (project / name).write_text(text)
            return {name: [row for row in text.splitlines() if line in row][:1]}
    return {}


def started_by_hand(project: Path, random: Random, number: int) -> Lines:
    """A button to start the CI."""
    for name in WORKFLOWS:
        if _insert(project / name, r"^  pull_request:.*\n", "  workflow_dispatch:", after=True):
            return {name: ["  workflow_dispatch:"]}
    return {}


def job_settings(project: Path, random: Random, number: int) -> Lines:
    """A variable and a service of the job that tests."""
    for name in WORKFLOWS:
        lines = "    env:", f"      OURS_{number}: 1"
        text = _read(project / name)
        place = re.search(r"^    runs-on: .*\n", text, re.MULTILINE)
        if place and not re.match("    env:", text[place.end() :]):
            _insert(project / name, r"^    runs-on: .*\n", *lines, after=True)
            return {name: [lines[1]]}
    name = ".gitlab-ci.yml"
    line = f"    OURS_{number}: 1"
    if _insert(project / name, r"^  variables:\n", line, after=True):
        return {name: [line]}
    return {}


def step_with_condition(project: Path, random: Random, number: int) -> Lines:
    """A step of several lines, before the tests or in the place for steps of one's own."""
    for name in WORKFLOWS:
        text = _read(project / name)
        if found := re.search(rf"^( *){OWN}", text, re.MULTILINE) or TESTS.search(text):
            lines = [f"- run: echo condition {number}", "  if: github.event_name == 'push'"]
            lines = [f"{found[1]}{line}" for line in lines]
            added = "".join(f"{line}\n" for line in lines)
            (project / name).write_text(f"{text[: found.start()]}{added}{text[found.start() :]}")
            return {name: lines}
    return {}


def deleted_step(project: Path, random: Random, number: int) -> Lines:
    """The linter of the Dockerfile goes; the first line stands for the file."""
    for name in (*WORKFLOWS, ".gitlab-ci.yml"):
        text = _read(project / name)
        if found := re.search(r"^.*hadolint Dockerfile\n", text, re.MULTILINE):
            (project / name).write_text(text[: found.start()] + text[found.end() :])
            return {name: text.splitlines()[:1]}
    return {}


def switches_of_pytest(project: Path, random: Random, number: int) -> Lines:
    """A setting of pytest."""
    line = f'markers = ["slow_{number}"]'
    head = r"^\[tool\.pytest\.ini_options\]\n|^\[tool\.pytest\]\n"
    place = _insert(project / "pyproject.toml", head, line, after=True)
    return {"pyproject.toml": [line]} if place else {}


def longer_lines(project: Path, random: Random, number: int) -> Lines:
    """Another length of lines for ruff."""
    path = project / "pyproject.toml"
    line = f"line-length = {120 + number}"
    text, found = re.subn(r"^line-length = .*$", line, path.read_text(), count=1, flags=re.M)
    path.write_text(text)
    return {"pyproject.toml": [line]} if found else {}


def gitignore_by_topic(project: Path, random: Random, number: int) -> Lines:
    """A pattern where its like stand."""
    line = f".ours_cache_{number}/"
    place = _insert(project / ".gitignore", r"^__pycache__/?\n", line, after=True)
    return {".gitignore": [line]} if place else {}


def bake_target(project: Path, random: Random, number: int) -> Lines:
    """A platform more to build for."""
    if not (project / "docker-bake.hcl").is_file():
        return {}
    return _append(
        project,
        "docker-bake.hcl",
        "",
        f'target "ours-{number}" {{',
        '  platforms = ["linux/arm64"]',
        "}",
    )


def dockerignore(project: Path, random: Random, number: int) -> Lines:
    """A pattern that stays out of the image."""
    return _append(project, ".dockerignore", f"src/ours_{number}")


def gitignore(project: Path, random: Random, number: int) -> Lines:
    """A pattern that stays out of Git."""
    return _append(project, ".gitignore", f"/ours_{number}/")


def ci_job(project: Path, random: Random, number: int) -> Lines:
    """A job of its own."""
    if (project / ".gitlab-ci.yml").is_file():
        included = "local: .gitlab/*.yml" in (project / ".gitlab-ci.yml").read_text()
        job = [f"ours {number}:", "  stage: check", f"  script: [echo ours {number}]"]
        name = ".gitlab/ours.yml" if included else ".gitlab-ci.yml"
        return _append(project, name, "", *job)
    for name in WORKFLOWS:
        if (project / name).is_file():
            job = [f"  ours-{number}:", "    runs-on: ubuntu-latest", "    timeout-minutes: 5"]
            job += ["    steps:", f"      - run: echo ours {number}"]
            return _append(project, name, "", *job)
    return {}


def ci_step(project: Path, random: Random, number: int) -> Lines:
    """A step before the tests, or in the place for steps of one's own."""
    for name in (*WORKFLOWS, ".gitlab-ci.yml"):
        text = _read(project / name)
        if found := re.search(rf"^( *){OWN}", text, re.MULTILINE) or TESTS.search(text):
            command = f"echo our step {number}"
            line = f"{found[1]}- {command if name == '.gitlab-ci.yml' else f'run: {command}'}"
            (project / name).write_text(f"{text[: found.start()]}{line}\n{text[found.start() :]}")
            return {name: [line]}
    return {}


def changed_step(project: Path, random: Random, number: int) -> Lines:
    """The tests, with a switch more."""
    for name in (*WORKFLOWS, ".gitlab-ci.yml"):
        text = _read(project / name)
        if found := re.search(r"^.* (--no-sync pytest|make test|poe test)$", text, re.MULTILINE):
            line = f"{found[0]} -x"
            (project / name).write_text(f"{text[: found.start()]}{line}{text[found.end() :]}")
            return {name: [line]}
    return {}


def hook(project: Path, random: Random, number: int) -> Lines:
    """A hook."""
    if not (project / ".pre-commit-config.yaml").is_file():
        return {}
    return _append(
        project,
        ".pre-commit-config.yaml",
        "  - repo: local",
        "    hooks:",
        f"      - id: ours-{number}",
        "        name: ours",
        "        entry: 'true'",
        "        language: system",
    )


def licence(project: Path, random: Random, number: int) -> Lines:
    """A licence."""
    return _append(project, "LICENSE", "All rights reserved.")


def deleted_module(project: Path, random: Random, number: int) -> Lines:
    """A file of the owner's goes; `gone` says so with an empty list."""
    paths = sorted(project.glob("tests/*.py"))
    if not paths:
        return {}
    path = random.choice(paths)
    path.unlink()
    return {path.relative_to(project).as_posix(): []}


EDITS: tuple[Edit, ...] = (
    dependency_as_uv_adds_it,
    dependency_by_hand,
    dev_dependency,
    readme,
    module_and_test,
    main,
    training_loop,
    version,
    ruff,
    mypy,
    environment_variable,
    apt_line,
    copy_line,
    variable_in_a_list,
    changed_variable,
    revision_label,
    tool_on_path,
    copied_file,
    copied_tool,
    other_step,
    port,
    default_arguments,
    newer_action,
    started_by_hand,
    job_settings,
    step_with_condition,
    deleted_step,
    switches_of_pytest,
    longer_lines,
    gitignore_by_topic,
    bake_target,
    dockerignore,
    gitignore,
    ci_job,
    ci_step,
    changed_step,
    hook,
    licence,
    deleted_module,
)
