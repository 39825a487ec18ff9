"""Every file of every kind of project, before anything is installed."""

from __future__ import annotations

import json
import os
import re
import tomllib
from pathlib import Path

import pytest
import yaml

from drydock.names import LONGEST
from tests.support import kubernetes, projects
from tests.support.answer_sets import CHOICES, pairwise

Rendered = dict[str, tuple[dict, Path]]

# What checkov wants of manifests, and why it does not get it.
NOT_OURS = {
    "CKV_K8S_11": "a limit of the CPU slows a process down while other CPUs are idle",
    "CKV_K8S_21": "the namespace is the owner's, in the overlay or by kubectl",
    "CKV_K8S_40": "on OpenShift the user is the platform's; everywhere else it is a high one",
    "CKV_K8S_43": "the digest is the owner's, once there is an image",
    "CKV2_K8S_6": "who may talk to a pod depends on what else is in the cluster",
}


@pytest.fixture(scope="session")
def rendered(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Rendered:
    """A project for each answer set that covers every pair of choices: (answers, folder)."""
    top = tmp_path_factory.mktemp("rendered")
    return {
        name: (answers, projects.generate(template, top / name, project_name="demo", **answers))
        for name, answers in pairwise()
    }


def folders(rendered: Rendered) -> list[Path]:
    return [folder for _, folder in rendered.values()]


def found(rendered: Rendered, pattern: str) -> list[Path]:
    """Files of that name in all projects; a check of none would be no check."""
    paths = [path for folder in folders(rendered) for path in folder.glob(pattern)]
    assert paths, f"no project has {pattern}"
    return paths


def test_every_choice_of_the_form_is_rendered_at_least_once(rendered: Rendered) -> None:
    for name, details in projects.form().items():
        choices = details.get("choices")
        if isinstance(choices, dict):
            used = [answers.get(name) for answers, _ in rendered.values()]
            wanted = choices.values()
            if details.get("multiselect"):
                wanted = [[], *([value] for value in wanted)]
            assert all(value in used for value in wanted), name
    assert {len(answers["gpus"]) for answers, _ in rendered.values() if "gpus" in answers} == {1, 2}


def test_manifests_are_there_where_they_are_asked_for(rendered: Rendered) -> None:
    for answers, folder in rendered.values():
        assert (folder / "kubernetes").exists() == bool(answers.get("extras"))
        assert ("\n## Kubernetes\n" in (folder / "README.md").read_text()) == bool(
            answers.get("extras")
        )


def test_every_name_that_is_answered_is_a_question() -> None:
    assert CHOICES.keys() <= projects.questions()


def test_nothing_of_the_templates_language_is_left(rendered: Rendered) -> None:
    for folder in folders(rendered):
        for name, text in projects.files(folder).items():
            if name in {"README.md", "pyproject.toml", ".copier-answers.yml"}:
                text = text.replace("{{ braces }}", "")
            text = re.sub(r"\$\{\{.*?\}\}", "", text)
            text = re.sub(r"--format '\{\{.*\}\}'", "", text)
            assert not re.search(r"\{\{|\{%|\{#", text), f"{folder.name}/{name}"


def test_no_line_ends_in_blanks_and_no_file_has_blank_runs(rendered: Rendered) -> None:
    for folder in folders(rendered):
        for name, text in projects.files(folder).items():
            where = f"{folder.name}/{name}"
            assert text == "" or (text.endswith("\n") and not text.endswith("\n\n")), where
            assert not re.search(r"[ \t]+\n", text), where
            assert not re.search(r"\n{4,}" if name.endswith(".py") else r"\n{3,}", text), where
            assert not text.startswith("\n"), where


def test_ruff_finds_nothing_to_change(rendered: Rendered) -> None:
    for folder in folders(rendered):
        projects.run(projects.tool("ruff"), "format", "--diff", "--no-cache", ".", cwd=folder)
        projects.run(projects.tool("ruff"), "check", "--no-cache", ".", cwd=folder)


def test_the_longest_name_makes_no_line_too_long(rendered: Rendered, tmp_path: Path) -> None:
    name = "x" * LONGEST
    for folder in folders(rendered):
        for path in (*folder.rglob("*.py"), folder / "pyproject.toml"):
            text = path.read_text().replace("demo", name)
            copy = tmp_path / str(path.relative_to(folder.parent)).replace("demo", name)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_text(text)
    projects.run(projects.tool("ruff"), "format", "--diff", "--no-cache", ".", cwd=tmp_path)
    projects.run(projects.tool("ruff"), "check", "--no-cache", ".", cwd=tmp_path)


def test_pyproject_is_valid_and_holds_the_answers(rendered: Rendered) -> None:
    paths = found(rendered, "pyproject.toml")
    projects.run(projects.tool("validate-pyproject"), *paths, cwd=paths[0].parent)
    for answers, folder in rendered.values():
        content = tomllib.loads((folder / "pyproject.toml").read_text())
        assert content["project"]["description"] == answers["description"]
        groups = content["dependency-groups"]
        assert ("gpu" in groups) == (answers["accelerator"] == "gpu")
        assert ("conflicts" in content["tool"]["uv"]) == (answers["accelerator"] == "gpu")


def test_hadolint_accepts_every_dockerfile(rendered: Rendered) -> None:
    paths = found(rendered, "Dockerfile")
    projects.run(projects.tool("hadolint"), *paths, cwd=paths[0].parent)


def test_no_two_steps_of_a_dockerfile_run_into_each_other(rendered: Rendered) -> None:
    """A continued line is followed by an indented one: a lost backslash would be a new step."""
    words = "ARG|FROM|RUN|WORKDIR|COPY|ENV|LABEL|USER|EXPOSE|HEALTHCHECK|STOPSIGNAL|ENTRYPOINT"
    for path in found(rendered, "Dockerfile"):
        continued = False
        for line in path.read_text().splitlines():
            if continued:
                assert line.startswith("    "), f"{path}: {line}"
            else:
                assert re.match(rf"({words}) |#|$", line), f"{path}: {line}"
            continued = line.endswith("\\")


def steps(dockerfile: Path) -> list[str]:
    """The instructions, each on one line and without comments."""
    lines = [line for line in dockerfile.read_text().splitlines() if not line.startswith("#")]
    return [step for step in "\n".join(lines).replace("\\\n", " ").splitlines() if step]


def test_apt_updates_and_installs_in_one_step_and_upgrades_nothing(rendered: Rendered) -> None:
    using = [
        step for path in found(rendered, "Dockerfile") for step in steps(path) if "apt" in step
    ]
    assert using
    for step in using:
        commands = re.findall(r"apt(?:-get)? (?:-\S+ )*([\w-]+)", step)
        assert commands in ([], ["update", "install"]), step


def test_packages_of_python_are_installed_from_lists_with_hashes(rendered: Rendered) -> None:
    """A pylock file has a hash of every file (PEP 751), which the one of requirements need not."""
    for path in found(rendered, "Dockerfile"):
        text = "\n".join(steps(path))
        installs = re.findall(r"uv pip install (.*?)(?:&&|$)", text, re.MULTILINE)
        assert len(installs) >= 3
        for words in installs:
            assert "--requirements /mnt/pylock." in words or "--require-hashes" in words, words
        assert not re.search(
            r"\b(curl|wget|pip3?) (?!install --python)|ADD |--no-verify-hashes", text
        )


def test_workflows_fit_their_schema_and_zizmor_has_no_objection(rendered: Rendered) -> None:
    workflows = found(rendered, ".github/workflows/*.yml")
    check = projects.tool("check-jsonschema")
    cwd = workflows[0].parent
    projects.run(check, "--builtin-schema", "vendor.github-workflows", *workflows, cwd=cwd)
    projects.run(projects.tool("zizmor"), "--offline", "--no-progress", *workflows, cwd=cwd)
    pipelines = found(rendered, ".gitlab-ci.yml")
    schema = ("--builtin-schema", "vendor.gitlab-ci", "--data-transform", "gitlab-ci")
    projects.run(check, *schema, *pipelines, cwd=cwd)


def test_checkov_accepts_every_dockerfile_every_pipeline_and_every_manifest(
    rendered: Rendered, network: None
) -> None:
    """In one run, since its start is slow. Exceptions are argued in the files and above."""
    top = folders(rendered)[0].parent
    built = top / "manifests"
    built.mkdir()
    for overlay in found(rendered, "kubernetes/overlays/*"):
        name = f"{overlay.parents[2].name}-{overlay.name}.yaml"
        (built / name).write_text(kubernetes.build(overlay))
    kinds = ("dockerfile", "github_actions", "gitlab_ci", "kubernetes")
    words = ("--framework", *kinds, "--skip-download", "--output", "json", "--directory", top)
    # What Kustomize puts together is looked at, and not the parts.
    words += ("--skip-path", "/kubernetes/", "--skip-check", ",".join(NOT_OURS))
    done = projects.run(*kubernetes.tool("checkov", "checkov"), *words, cwd=top, check=False)
    results = [report["results"] for report in json.loads(done.stdout)]
    failed = [one for result in results for one in result["failed_checks"]]
    assert not [(one["file_path"], one["check_id"], one["check_name"]) for one in failed]
    checked = {one["file_path"] for result in results for one in result["passed_checks"]}
    patterns = ("Dockerfile", ".github/workflows/*.yml", ".gitlab-ci.yml")
    there = {path for pattern in patterns for path in found(rendered, pattern)}
    there |= {*built.iterdir()}
    assert {f"/{path.relative_to(top)}" for path in there} <= checked
    for answers, folder in rendered.values():
        skipped = re.findall(r"checkov:skip=(\w+): \w", (folder / "Dockerfile").read_text())
        health = ["CKV_DOCKER_2"] if answers["workload"] != "serve" else []
        assert skipped == ["CKV_DOCKER_7", *health]


def test_ci_builds_what_the_bake_file_says_and_nothing_else(rendered: Rendered) -> None:
    """What makes the layers the same everywhere stands in that file alone."""
    for answers, folder in rendered.values():
        bake = (folder / "docker-bake.hcl").read_text()
        date = r'^  args = \{\s+SOURCE_DATE_EPOCH = "315532800"\s'
        assert re.search(date, bake, re.MULTILINE)
        kinds = ("-train", "-serve") if answers["workload"] == "both" else ("",)
        for kind in kinds:
            assert f'["{answers["image_name"]}{kind}:ci"]' in bake
        outputs = re.findall(r'^  output   = \["type=(\w+)', bake, re.MULTILINE)
        published = ["image"] * len(kinds) if "publish" in bake else []
        assert outputs == ["docker"] * len(kinds) + published
        assert bake.count('inherits = ["image"]') == len(outputs)
        if answers["ci"] == "github":
            jobs = yaml.safe_load((folder / ".github/workflows/ci.yml").read_text())["jobs"]
            steps = [step for job in jobs.values() for step in job["steps"]]
            commands = [step.get("run", step.get("uses", "")) for step in steps]
        elif answers["ci"] == "gitlab":
            commands = yaml.safe_load((folder / ".gitlab-ci.yml").read_text())["build"]["script"]
        else:
            continue
        building = "scripts/publish.sh" if published else "docker buildx bake"
        assert len([command for command in commands if building in command]) == 1
        assert not [
            command for command in commands if re.search(r"docker build |push-action", command)
        ]


def test_the_cache_of_another_project_has_the_compression_of_what_is_published(
    rendered: Rendered,
) -> None:
    """A layer that is taken from there keeps its own, which the platform may not read."""
    seen = set()
    for _, folder in rendered.values():
        names = ("docker-bake.hcl", "README.md", ".github/workflows/ci.yml")
        text = "".join((folder / name).read_text() for name in names if (folder / name).is_file())
        named = set(re.findall("SHARED_CACHE_[A-Z]+", text))
        kind = "ZSTD" if "compression=zstd" in text else "GZIP"
        assert named == ({f"SHARED_CACHE_{kind}"} if 'target "publish' in text else set())
        seen |= named
    assert seen == {"SHARED_CACHE_ZSTD", "SHARED_CACHE_GZIP"}


def test_ci_trains_the_model_that_it_serves_on_the_sample_that_is_committed(
    rendered: Rendered, tmp_path: Path
) -> None:
    """An owner's default may name data that CI has not."""
    for answers, folder in rendered.values():
        if answers["workload"] == "both" and answers["ci"] != "none":
            [pipeline] = [*folder.glob(".github/workflows/ci.yml"), *folder.glob(".gitlab-ci.yml")]
            assert "sh scripts/sample-model.sh\n" in pipeline.read_text()
            assert "main.py train" not in pipeline.read_text()
    script = found(rendered, "scripts/sample-model.sh")[0]
    (tmp_path / "uv").write_text('#!/bin/sh\necho "${DATA:-nothing}:" "$@"\n')
    (tmp_path / "uv").chmod(0o755)
    (tmp_path / "tests").mkdir()

    def trained() -> str:
        env = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
        return projects.run("sh", script, cwd=tmp_path, env=env).stdout

    default = trained()
    assert re.fullmatch(r"nothing: run --locked main\.py train --(epochs|rounds) 1 ?\n", default)
    (tmp_path / "tests/sample.csv").touch()
    (tmp_path / "tests/smoke-test.conf").write_text("arguments='--target species'\n")
    assert trained().startswith("tests/sample.csv: ")
    assert trained().endswith(" 1 --target species\n")


def test_yamllint_and_shellcheck_accept_every_file(rendered: Rendered) -> None:
    documents = [
        *found(rendered, ".github/workflows/*.yml"),
        *found(rendered, ".gitlab-ci.yml"),
        *found(rendered, ".pre-commit-config.yaml"),
        *found(rendered, "kubernetes/**/*.yaml"),
    ]
    config = ("--strict", "--config-file", projects.ROOT / ".yamllint.yaml")
    projects.run(projects.tool("yamllint"), *config, *documents, cwd=documents[0].parent)
    scripts = found(rendered, "scripts/*.sh")
    projects.run(projects.tool("shellcheck"), *scripts, cwd=scripts[0].parent)


def test_only_the_chosen_ci_is_there(rendered: Rendered) -> None:
    for answers, folder in rendered.values():
        assert (folder / ".github").exists() == (answers["ci"] == "github")
        assert (folder / ".gitlab-ci.yml").exists() == (answers["ci"] == "gitlab")


def test_python_is_the_same_everywhere(rendered: Rendered) -> None:
    for answers, folder in rendered.values():
        version = answers["python_version"]
        assert (folder / ".python-version").read_text() == f"{version}\n"
        project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
        assert project["requires-python"] == f"=={version}.*"
        dockerfile = (folder / "Dockerfile").read_text()
        assert f"--python {version} " in dockerfile
        base = re.search(r"^ARG BASE_IMAGE=(\S+)$", dockerfile, re.MULTILINE)[1]
        assert (
            f"python:{version}-" in base or f"uv python install --no-bin {version} " in dockerfile
        )


def test_base_images_come_from_the_mirror_where_one_is_named(rendered: Rendered) -> None:
    for answers, folder in rendered.values():
        dockerfile = (folder / "Dockerfile").read_text()
        images = re.findall(r"^(?:ARG \w+_IMAGE=|FROM )([\w.-]+[/:]\S+)", dockerfile, re.MULTILINE)
        assert len(images) == (4 if answers.get("compile_cuda") else 3)
        if mirror := answers.get("image_mirror"):
            assert all(image.startswith(f"{mirror}/") for image in images)


def test_a_tag_or_a_version_stands_in_no_template_file() -> None:
    """They belong to the catalogue, once: a file of the template may only name a variable."""
    pinned = re.compile(r"(python|cuda|uv|docker):\d|[\w\]]==\d|\d+\.\d+\.\d+|@[0-9a-f]{40}")
    allowed = {'version = "0.1.0"', "0.0.0.0", "127.0.0.1"}
    allowed.add("cuda:1")  # the second GPU
    for path in sorted((projects.ROOT / "template").rglob("*")):
        # One file is a lock with hashes, which scripts/update_tools.py writes from the catalogue.
        if path.is_file() and path.name != "template-update.txt":
            text = path.read_text()
            for line in text.splitlines():
                for harmless in allowed:
                    line = line.replace(harmless, "")
                assert not pinned.search(line), f"{path.name}: {line}"


def test_answers_are_kept_and_computed_values_are_not(rendered: Rendered) -> None:
    for answers, folder in rendered.values():
        stored = yaml.safe_load((folder / ".copier-answers.yml").read_text())
        assert {name: stored[name] for name in answers} == answers
        assert {name for name in stored if not name.startswith("_")} <= projects.questions()


def test_no_path_of_the_template_is_refused_by_windows() -> None:
    for path in (projects.ROOT / "template").rglob("*"):
        assert not set('<>:"|?*\\') & set(path.name), path
        assert not path.name.endswith((" ", ".")), path


def test_the_description_of_a_project_may_hold_any_character(rendered: Rendered) -> None:
    awkward = CHOICES["description"][1]
    readmes = [
        folder / "README.md"
        for answers, folder in rendered.values()
        if answers["description"] == awkward
    ]
    assert readmes
    assert all(awkward in readme.read_text() for readme in readmes)


def test_what_the_shared_layers_are_built_of_is_the_same_on_every_platform(
    template: Path, tmp_path: Path
) -> None:
    """Up to the end of the install steps: only then can projects share the framework's layer."""
    heads = set()
    for platform in CHOICES["platform"]:
        for workload in ("train", "serve"):
            if (platform, workload) == ("kserve", "train"):
                continue
            folder = tmp_path / f"{platform}-{workload}"
            answers = {"platform": platform, "workload": workload}
            projects.generate(template, folder, project_name="demo", **answers)
            dockerfile = (folder / "Dockerfile").read_text()
            own = re.compile(r"^FROM (?:builder AS folders|scratch AS code)$", re.MULTILINE)
            head = own.split(dockerfile, maxsplit=1)[0]
            heads.add(re.sub(r"^#.*\n", "", head, flags=re.MULTILINE).strip())
    assert len(heads) == 1


def test_the_health_check_asks_where_the_server_of_the_platform_answers(
    rendered: Rendered,
) -> None:
    """The variable of the port is set in the image, and the path is one of the server's."""
    asked = {
        "docker": ("PORT", "}/healthz'"),
        "openshift": ("PORT", "}/healthz'"),
        "ovh": ("PORT", "}/healthz'"),
        "sagemaker": ("SAGEMAKER_BIND_TO_PORT", "}/ping'"),
        "vertex": ("AIP_HTTP_PORT", '{e[\\"AIP_HEALTH_ROUTE\\"]}'),
        "kserve": ("PORT", "}/v2/health/live'"),
    }
    for answers, folder in rendered.values():
        dockerfile = (folder / "Dockerfile").read_text()
        if answers["workload"] == "train":
            assert "HEALTHCHECK" not in dockerfile
            continue
        port, path = asked[answers["platform"]]
        check = dockerfile.partition("\nHEALTHCHECK ")[2].partition("\nENTRYPOINT")[0]
        assert f'[\\"{port}\\"]' in check and path in check, folder.name
        assert re.search(rf"^(ENV| +) {port}=8080\b", dockerfile, re.MULTILINE), folder.name


def test_only_sagemaker_gets_root(rendered: Rendered) -> None:
    for answers, folder in rendered.values():
        user = re.findall(r"^USER (\S+)$", (folder / "Dockerfile").read_text(), re.MULTILINE)
        assert user == {"ovh": ["42420:42420"], "sagemaker": ["0:0"]}.get(
            answers["platform"], ["1000:0"]
        )


def test_the_readme_has_a_section_for_its_platform_alone(rendered: Rendered) -> None:
    titles = {
        "openshift": "OpenShift",
        "ovh": "OVHcloud AI",
        "sagemaker": "Amazon SageMaker",
        "vertex": "Vertex AI",
        "kserve": "KServe",
    }
    for answers, folder in rendered.values():
        readme = (folder / "README.md").read_text()
        found = [name for name, title in titles.items() if f"\n## {title}\n" in readme]
        assert found == [answers["platform"]] if answers["platform"] != "docker" else not found
        for block in re.findall(r"```yaml\n(.*?)```", readme, re.DOTALL):
            assert isinstance(yaml.safe_load(block), dict), folder.name
