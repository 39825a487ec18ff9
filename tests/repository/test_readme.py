"""The README's commands, as written."""

from __future__ import annotations

import re
from pathlib import Path

from tests.support import projects

README = (projects.ROOT / "README.md").read_text()


def command(name: str) -> str:
    """The command that follows the marker of that name."""
    return re.search(rf"<!-- {name} -->\n```sh\n(.+)\n```", README)[1]


def test_the_command_to_try_it_makes_a_project_and_trains(
    template: Path, tmp_path: Path, network: None
) -> None:
    checkout = tmp_path / "checkout"
    projects.git("clone", "--quiet", template, checkout, cwd=tmp_path)
    done = projects.run("bash", "-ec", command("try"), cwd=checkout)
    assert '"test_accuracy"' in done.stdout
    assert (tmp_path / "my-project" / "uv.lock").exists()
    assert projects.git("status", "--porcelain", cwd=checkout) == "", "nothing is left over"


def test_ci_runs_the_command_for_the_tests() -> None:
    assert command("test").endswith("uv run pytest")
    assert "<!-- test -->" in (projects.ROOT / ".ci" / "run").read_text()


def test_the_questions_are_those_of_the_form() -> None:
    section = README.partition("## The questions")[2].partition("\n## ")[0]
    table = set(re.findall(r"`([a-z_]+)`", section))
    missing = projects.questions() - table
    assert not missing, f"the README does not name {missing}"


def test_what_the_readme_links_to_exists() -> None:
    for path in [projects.ROOT / "README.md", *(projects.ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", path.read_text()):
            assert (path.parent / target).exists(), f"{path.name}: {target}"


def test_the_tests_that_the_benchmark_page_names_exist() -> None:
    page = (projects.ROOT / "docs/cis.md").read_text()
    sections = dict(re.findall(r"^\| (4\.\d+) \|.*\| (.*) \|$", page, re.MULTILINE))
    assert list(sections) == [f"4.{number}" for number in range(1, 13)]
    tests = "\n".join(path.read_text() for path in (projects.ROOT / "tests").rglob("test_*.py"))
    for section, held_by in sections.items():
        names = re.findall(r"`(test_\w+)`", held_by)
        assert names, section
        assert not [name for name in names if f"def {name}(" not in tests], section


def test_nothing_names_the_machine_that_it_was_made_on() -> None:
    listed = projects.git(
        "ls-files", "--cached", "--others", "--exclude-standard", cwd=projects.ROOT
    )
    for name in listed.splitlines():
        path = projects.ROOT / name
        if path.suffix in {".py", ".md", ".yml", ".yaml", ".toml", ".json", ".jinja", ".lock"}:
            text = path.read_text()
            found = re.search(r"/(?:root(?!/\.netrc)|home/(?!app\b)\w+|Users|work)/[\w.-]+", text)
            assert not found, f"{name}: {found and found[0]}"
