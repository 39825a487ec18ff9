"""What the generated CI publishes and when, and what it never does. `docker` is a stand-in."""

from __future__ import annotations

import json
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

from tests.support import projects

_TOOLS = projects.ROOT / "extensions" / "catalogue" / "tools.json"
BUILDKIT = json.loads(_TOOLS.read_text())["moby/buildkit"]["image"]
HOSTED = "ghcr.io/acme/demo"
OTHER = "registry.example.com/team/demo"
ACCOUNT = {"REGISTRY_USERNAME": "robot", "REGISTRY_PASSWORD": "s3cret"}

# Notes each call, and what `login` reads. `run` is what the smoke test does.
DOCKER = """\
#!/bin/sh
echo "$*" >>"$LOG"
case "$*" in
login*) echo "stdin: $(cat)" >>"$LOG"; exit "${LOGIN:-0}" ;;
*--metadata-file*) echo "$REPORT" >"$4"; echo "BASE_IMAGE=${BASE_IMAGE:-}" >>"$LOG" ;;
*Manifest.Digest*) echo "${NEWEST:-}"; exit "${UNKNOWN:-0}" ;;
*"json .Image"*) echo "${IMAGE:-}" ;;
run*dpkg-query*) echo "$PACKAGES" | grep "${7##*@}" ;;
run*) exit "${RUN:-0}" ;;
esac
"""


@pytest.fixture(scope="module")
def made(template: Path, tmp_path_factory: pytest.TempPathFactory):
    """A project by its CI and the name of its image: call it with both."""
    top = tmp_path_factory.mktemp("publishing")
    known: dict[tuple[str, str], Path] = {}

    def make(ci: str, image: str) -> Path:
        if (ci, image) not in known:
            folder = top / str(len(known)) / "demo"
            known[ci, image] = projects.generate(template, folder, ci=ci, image_name=image)
        return known[ci, image]

    return make


REPORT = json.dumps({"publish": {"containerimage.digest": "sha256:ab12"}}, indent=2)


def publish(
    project: Path, tmp_path: Path, *tags: str, **variables: str
) -> tuple[subprocess.CompletedProcess[str], list[str]]:
    """Run the project's script with the stand-in; returns how it ended and the calls it made.

    Those with which the smoke test gets a sample of data into the container are left out, and those
    that ask for the base image; `log` in `tmp_path` has all.
    """
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/docker").write_text(DOCKER)
    (tmp_path / "bin/docker").chmod(0o755)
    log = tmp_path / "log"
    log.touch()
    environment = {"PATH": f"{tmp_path}/bin:/usr/bin:/bin", "LOG": str(log)}
    environment |= {"REPORT": REPORT, **variables}
    done = subprocess.run(
        ["sh", "scripts/publish.sh", *tags],
        cwd=project,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    others = ("volume ", "create ", "rm ", "buildx imagetools inspect ", "BASE_IMAGE=")
    return done, [call for call in log.read_text().splitlines() if not call.startswith(others)]


def workflow(project: Path) -> dict:
    content = yaml.safe_load((project / ".github/workflows/ci.yml").read_text())
    return {**content, "on": content[True]}  # YAML 1.1 reads the key as a truth value


@pytest.mark.parametrize("image", ["demo", "acme/demo", "localhost:5000/demo"])
@pytest.mark.parametrize("ci", ["github", "gitlab"])
def test_a_name_without_a_registry_is_pushed_nowhere(made, ci: str, image: str) -> None:
    project = made(ci, image)
    text = "".join(text for name, text in projects.files(project).items() if name != "README.md")
    assert not (project / "scripts/publish.sh").exists()
    assert not re.search(r"publish|push=|packages: write|docker login|REGISTRY|tags: \[", text)
    assert f"`{image}` names no registry" in (project / "README.md").read_text()


@pytest.mark.parametrize("image", [HOSTED, OTHER])
def test_github_publishes_pushes_after_the_tests_and_no_pull_request(made, image: str) -> None:
    content = workflow(made("github", image))
    assert content["on"]["push"] == {"branches": ["main"], "tags": ["v*"]}
    job = content["jobs"]["image"]
    assert job["needs"] == "check"
    assert job["steps"][-1]["run"].splitlines() == [
        "case $GITHUB_EVENT_NAME in",
        'push) sh scripts/publish.sh "$GITHUB_REF_NAME" "$GITHUB_SHA" ;;',
        'schedule) sh scripts/publish.sh --if-newer-base "$GITHUB_REF_NAME" ;;',
        "*) sh scripts/publish.sh ;;",
        "esac",
    ]
    assert "if" not in job["steps"][-1]
    assert "failure" not in json.dumps(job) and "always" not in json.dumps(job)


@pytest.mark.parametrize("image", [HOSTED, OTHER])
def test_only_the_step_of_the_script_sees_the_account_of_the_registry(made, image: str) -> None:
    content = workflow(made("github", image))
    assert content["permissions"] == {"contents": "read"}
    assert "permissions" not in content["jobs"]["check"]
    job = content["jobs"]["image"]
    granted = {"contents": "read", "packages": "write"}
    assert job.get("permissions") == (granted if image == HOSTED else None)
    last = job["steps"].pop()
    source = "github.token" if image == HOSTED else "secrets.REGISTRY_PASSWORD"
    assert last["env"]["REGISTRY_PASSWORD"] == f"${{{{ {source} }}}}"
    assert last["env"]["SHARED_CACHE_ZSTD"] == "${{ vars.SHARED_CACHE_ZSTD }}"
    assert "github.token" not in json.dumps(content) and "REGISTRY" not in json.dumps(content)


def test_gitlab_publishes_the_default_branch_and_versions_and_no_merge_request(made) -> None:
    content = yaml.safe_load((made("gitlab", OTHER) / ".gitlab-ci.yml").read_text())
    rules = [rule["if"] for rule in content["workflow"]["rules"]]
    assert rules[1:] == ["$CI_COMMIT_BRANCH == $CI_DEFAULT_BRANCH", "$CI_COMMIT_TAG =~ /^v/"]
    assert content["stages"].index("check") < content["stages"].index("build")
    assert content["build"]["script"][-1].splitlines() == [
        'if test "$CI_PIPELINE_SOURCE" = merge_request_event; then',
        "  sh scripts/publish.sh",
        'elif test "$CI_PIPELINE_SOURCE" = schedule; then',
        '  sh scripts/publish.sh --if-newer-base "$CI_COMMIT_REF_NAME"',
        "else",
        '  sh scripts/publish.sh "$CI_COMMIT_REF_NAME" "$CI_COMMIT_SHA"',
        "fi",
    ]


@pytest.mark.parametrize("ci", ["github", "gitlab"])
@pytest.mark.parametrize("image", ["demo", OTHER])
def test_ci_builds_with_one_version_of_buildkit(made, ci: str, image: str) -> None:
    text = "".join(projects.files(made(ci, image)).values())
    assert re.findall(r"image=(moby/buildkit:\S+)", text) == [BUILDKIT]


@pytest.mark.parametrize(
    "variables", [{}, {"REGISTRY_USERNAME": "robot"}, {**ACCOUNT, "REGISTRY_PASSWORD": ""}]
)
def test_without_an_account_the_image_is_tested_and_one_sentence_says_that_it_is_not_published(
    made, tmp_path: Path, variables: dict[str, str]
) -> None:
    done, calls = publish(made("github", OTHER), tmp_path, "main", **variables)
    assert (done.returncode, done.stderr) == (0, "")
    assert calls[0] == "buildx bake"
    assert calls[1].startswith("run ") and f" {OTHER}:ci " in calls[1] and len(calls) == 2
    [line] = done.stdout.splitlines()
    assert all(word in line for word in ("Nothing is published", *ACCOUNT, "registry.example.com"))


def test_without_a_tag_it_only_reads_from_the_registry(made, tmp_path: Path) -> None:
    done, calls = publish(made("github", OTHER), tmp_path, **ACCOUNT)
    assert done.returncode == 0, done.stderr
    words = [call.partition(" --")[0] for call in calls]
    assert words == [
        "login",
        "stdin: s3cret",
        "buildx bake",
        "run",
        "logout registry.example.com",
    ]


@pytest.mark.parametrize(
    ("tags", "target"), [(["v1.2", "0a1b2c"], "release"), (["main"], "publish")]
)
def test_what_was_pushed_is_tested_by_its_digest_and_then_gets_every_tag(
    made, tmp_path: Path, tags: list[str], target: str
) -> None:
    done, calls = publish(made("none", HOSTED), tmp_path, *tags, **ACCOUNT)
    assert done.returncode == 0, done.stderr
    pushed = f"{HOSTED}@sha256:ab12"
    assert calls[:2] == ["login --username robot --password-stdin ghcr.io", "stdin: s3cret"]
    assert re.fullmatch(rf"buildx bake --metadata-file \S+ {target}", calls[2])
    assert calls[3] == f"pull --quiet {pushed}"
    assert calls[4].startswith("run ") and f" {pushed} " in calls[4]
    create = "buildx imagetools create --tag"
    assert calls[5:-1] == [f"{create} {HOSTED}:{tag} {pushed}" for tag in tags]
    assert calls[-1] == "logout ghcr.io"
    assert "s3cret" not in done.stdout + done.stderr + "".join(calls[:1] + calls[2:])


@pytest.mark.parametrize(("variables", "bakes"), [({"RUN": "1"}, True), ({"LOGIN": "1"}, False)])
def test_no_tag_is_given_where_the_smoke_test_or_the_login_fails(
    made, tmp_path: Path, variables: dict[str, str], bakes: bool
) -> None:
    done, calls = publish(made("none", HOSTED), tmp_path, "main", **ACCOUNT, **variables)
    assert done.returncode != 0
    assert any(" bake " in call for call in calls) == bakes
    assert not any(" create " in call for call in calls)


BASE_LABEL = '{"config":{"Labels":{"org.opencontainers.image.base.digest":"sha256:0a1"}}}'
PACKAGES = "sha256:0a1 libssl3 3.0.1\nsha256:0b2 libssl3 3.0.2"


def test_the_image_is_built_on_the_newest_base_of_the_tag_and_names_it(
    made, tmp_path: Path
) -> None:
    project = made("none", HOSTED)
    done, _ = publish(project, tmp_path, "main", **ACCOUNT, NEWEST="sha256:0b2")
    assert done.returncode == 0, done.stderr
    base = re.search(r"^ARG BASE_IMAGE=(\S+)", (project / "Dockerfile").read_text(), re.M)[1]
    assert f"BASE_IMAGE={base}@sha256:0b2" in (tmp_path / "log").read_text().splitlines()


def test_a_base_whose_registry_does_not_answer_is_left_to_the_builder(made, tmp_path: Path) -> None:
    done, calls = publish(made("none", HOSTED), tmp_path, "main", **ACCOUNT, UNKNOWN="1")
    assert done.returncode == 0, done.stderr
    assert "BASE_IMAGE=" in (tmp_path / "log").read_text().splitlines()
    assert any(" create " in call for call in calls)


SCHEDULED = ("--if-newer-base", "main")


@pytest.mark.parametrize("image", [BASE_LABEL, ""])
def test_a_schedule_publishes_where_the_base_has_moved_on_and_says_what_changed(
    made, tmp_path: Path, image: str
) -> None:
    summary = tmp_path / "summary"
    done, calls = publish(
        made("none", HOSTED),
        tmp_path,
        *SCHEDULED,
        **ACCOUNT,
        NEWEST="sha256:0b2",
        IMAGE=image,
        PACKAGES=PACKAGES,
        GITHUB_STEP_SUMMARY=str(summary),
    )
    assert done.returncode == 0, done.stderr
    assert f"buildx imagetools create --tag {HOSTED}:main {HOSTED}@sha256:ab12" in calls
    if image:  # else nothing had been published with the label
        said = done.stdout.splitlines()[-2:]
        assert said == ["< sha256:0a1 libssl3 3.0.1", "> sha256:0b2 libssl3 3.0.2"]
        assert summary.read_text().splitlines()[-2:] == said


@pytest.mark.parametrize(
    ("variables", "code"), [({"NEWEST": "sha256:0a1"}, 0), ({"UNKNOWN": "1"}, 1)]
)
def test_a_schedule_builds_nothing_where_the_base_is_the_same_or_cannot_be_asked_for(
    made, tmp_path: Path, variables: dict[str, str], code: int
) -> None:
    done, calls = publish(
        made("none", HOSTED), tmp_path, *SCHEDULED, **ACCOUNT, IMAGE=BASE_LABEL, **variables
    )
    assert done.returncode == code
    assert not any(" bake " in call or " create " in call for call in calls)
    assert calls[-1] == "logout ghcr.io"
    assert ("Nothing is published" in done.stdout) == (code == 0)


@pytest.mark.parametrize("ci", ["github", "gitlab"])
def test_known_vulnerabilities_are_a_report_of_the_schedule_that_fails_nothing(
    made, ci: str
) -> None:
    if ci == "github":
        content = workflow(made(ci, OTHER))
        assert content["on"]["schedule"]
        [step] = [s for s in content["jobs"]["check"]["steps"] if "uv audit" in s.get("run", "")]
        assert step["if"] == "github.event_name == 'schedule'" and step["continue-on-error"]
        return
    job = yaml.safe_load((made(ci, OTHER) / ".gitlab-ci.yml").read_text())["audit"]
    assert job["rules"] == [{"if": '$CI_PIPELINE_SOURCE == "schedule"'}] and job["allow_failure"]


GITLAB = {"CI_REGISTRY_USER": "job", "CI_REGISTRY_PASSWORD": "token"}


@pytest.mark.parametrize(
    ("variables", "user"),
    [
        ({**GITLAB, "CI_REGISTRY_IMAGE": OTHER}, "job"),
        ({**GITLAB, "CI_REGISTRY_IMAGE": "registry.example.com/team"}, "job"),
        ({**GITLAB, "CI_REGISTRY_IMAGE": "registry.example.com/te"}, None),
        ({**GITLAB, "CI_REGISTRY_IMAGE": "registry.gitlab.com/team/demo"}, None),
        ({**GITLAB}, None),
        ({**GITLAB, **ACCOUNT, "CI_REGISTRY_IMAGE": OTHER}, "robot"),
    ],
)
def test_in_gitlab_its_own_registry_needs_no_account(
    made, tmp_path: Path, variables: dict[str, str], user: str | None
) -> None:
    done, calls = publish(made("gitlab", OTHER), tmp_path, "main", **variables)
    assert done.returncode == 0, done.stderr
    logins = [call.split()[2] for call in calls if call.startswith("login")]
    assert logins == ([user] if user else [])


# ------------------------------------------------------------------------------ what is in it


KINDS = {
    "cpu": {},
    "gpu": {"accelerator": "gpu", "framework": "jax", "workload": "serve", "driver": "580"},
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_sbom_that_the_readme_tells_how_to_make_lists_just_what_the_image_gets(
    template: Path, tmp_path: Path, network: None, kind: str
) -> None:
    project = projects.generate(template, tmp_path / "demo", lock=True, **KINDS[kind])
    [told] = re.findall(r"^uv export .*$", (project / "README.md").read_text(), re.MULTILINE)
    projects.run("sh", "-c", told, cwd=project)
    document = json.loads((project / "sbom.json").read_text())
    assert (document["bomFormat"], document["specVersion"]) == ("CycloneDX", "1.5")
    listed = [(one["name"], one["version"]) for one in document["components"]]

    dockerfile = (project / "Dockerfile").read_text()
    export = re.search(r'export="(uv export [^"]*)"', dockerfile)[1]
    groups = re.search(r"\$export (.*) --output-file pylock\.image\.toml", dockerfile)[1]
    projects.run("sh", "-c", f"{export} {groups} --output-file pylock.image.toml", cwd=project)
    image = tomllib.loads((project / "pylock.image.toml").read_text())["packages"]
    assert sorted(listed) == sorted((one["name"], one["version"]) for one in image)
    names = {name for name, _ in listed}
    assert ("jax-cuda13-plugin" in names) == (kind == "gpu") and "pytest" not in names
    projects.commit_all(project, "Start")
    assert "sbom.json" not in projects.git("ls-files", cwd=project)
