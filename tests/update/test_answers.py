"""An answer in an update: one that no longer works, one that changes, one to a former question."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from drydock.catalogue import Catalogue
from tests.support import projects

UPDATE = ("update", "--trust", "--defaults", "--skip-answered", "--skip-tasks")
Edit = Callable[[Path], None]


class Versions:
    """A template repository whose version 1.0.0 is the working tree, and later ones made of it."""

    def __init__(self, folder: Path) -> None:
        """Make it with its first version."""
        self.template = projects.snapshot(folder)
        projects.git("tag", "v1.0.0", cwd=self.template)
        self.projects = 0

    def add(self, edit: Edit) -> str:
        """Make a version that differs from the first by an edit, and return its tag."""
        projects.git("reset", "--quiet", "--hard", "v1.0.0", cwd=self.template)
        edit(self.template)
        projects.commit_all(self.template, "A later version")
        number = len(projects.git("tag", cwd=self.template).split()) + 1
        projects.git("tag", f"v{number}.0.0", cwd=self.template)
        return f"v{number}.0.0"

    def project(self, **answers: Any) -> Path:
        """Make a committed project of the first version."""
        self.projects += 1
        folder = self.template.parent / str(self.projects) / "demo"
        data = [f"--data={name}={value}" for name, value in answers.items()]
        words = ("copy", "--trust", "--defaults", "--skip-tasks", "--quiet", "--vcs-ref=v1.0.0")
        folder.parent.mkdir()
        projects.copier(*words, *data, self.template, folder, cwd=folder.parent)
        projects.commit_all(folder, "Start")
        return folder


@pytest.fixture(scope="module")
def versions(tmp_path_factory: pytest.TempPathFactory) -> Versions:
    return Versions(tmp_path_factory.mktemp("versions") / "drydock")


def answers_of(project: Path) -> dict[str, Any]:
    return yaml.safe_load((project / ".copier-answers.yml").read_text())


def refused(project: Path, *words: str) -> str:
    """Update a project, which must end with one line and no changed file, and return the line."""
    done = projects.copier(*UPDATE, *words, cwd=project, check=False)
    assert done.returncode != 0, done.stderr
    assert projects.git("status", "--porcelain", "--ignored", cwd=project) == ""
    lines = [
        line for line in done.stderr.splitlines() if not line.startswith(("Updating to", "Keeping"))
    ]
    assert len(lines) == 1, done.stderr
    return lines[0]


def edit_json(name: str, change: Callable[[dict[str, Any]], None]) -> Edit:
    """Make an edit that changes a file of the catalogue."""

    def edit(template: Path) -> None:
        path = template / "extensions" / "catalogue" / f"{name}.json"
        data = json.loads(path.read_text())
        change(data)
        path.write_text(json.dumps(data))

    return edit


def replace(name: str, old: str, new: str) -> Edit:
    """Make an edit that replaces a text in a file."""

    def edit(template: Path) -> None:
        text = (template / name).read_text()
        assert old in text
        (template / name).write_text(text.replace(old, new))

    return edit


def without(key: str, column: str, *values: str) -> Callable[[dict[str, Any]], None]:
    """Make a change that drops rows of a table."""

    def change(data: dict[str, Any]) -> None:
        before = len(data[key])
        data[key] = [row for row in data[key] if row[column] not in values]
        assert len(data[key]) < before

    return change


def without_old_cuda(data: dict[str, Any]) -> None:
    """Drop the builds of a framework for CUDA 12 and older."""
    data["builds"] = [row for row in data["builds"] if not row["cuda"] or row["cuda"] >= "13"]


def without_release(data: dict[str, Any]) -> None:
    """Drop the first release of a framework."""
    for key in ("releases", "builds"):
        without(key, "version", "1.9.1")(data)


GPU = {"accelerator": "gpu", "framework": "pytorch"}
STALE = {
    "a GPU that has left the catalogue": (
        GPU | {"gpus": "[V100]"},
        edit_json("gpus", without("gpus", "name", "V100")),
        ("gpus: ", "made with V100", "no GPU of the catalogue", "--data 'gpus=["),
    ),
    "one of two GPUs": (
        GPU | {"gpus": "[V100, A100]"},
        edit_json("gpus", without("gpus", "name", "V100")),
        ("gpus: ", "A100, V100", "this works: --data 'gpus=[A100]'"),
    ),
    "a driver that no build runs on any more": (
        GPU | {"driver": "535"},
        edit_json("pytorch", without_old_cuda),
        ("driver: 535", "the nearest that works is driver: 580."),
    ),
    "a framework": (
        {"framework": "onnxruntime", "workload": "serve"},
        replace("extensions/drydock/catalogue.py", ', "onnxruntime"', ""),
        ("framework: ", "made with onnxruntime", "stay with the version"),
    ),
    "a platform": (
        {"platform": "ovh"},
        edit_json("platforms", without("platforms", "name", "ovh")),
        ("platform: ", "made with ovh", "--data platform=docker"),
    ),
    "a release of the framework": (
        {"advanced": "true", "framework_version": "1.9.1"},
        edit_json("scikit-learn", without_release),
        ("framework_version: ", "made with 1.9.1", "--data framework_version=1."),
    ),
    "a Python that has left the catalogue": (
        {"python_version": "3.11"},
        edit_json("python", without("versions", "version", "3.11")),
        ("python_version: ", "made with 3.11", "--data python_version=3.12"),
    ),
}


@pytest.mark.parametrize("what", STALE)
def test_an_answer_that_no_longer_works_ends_the_update_and_says_what_does(
    what: str, versions: Versions
) -> None:
    answers, edit, words = STALE[what]
    project = versions.project(**answers)
    tag = versions.add(edit)
    line = refused(project, f"--vcs-ref={tag}")
    for word in (*words, "Nothing was changed"):
        assert word in line


def test_a_driver_given_for_this_run_does_not_hide_a_gpu_that_is_gone(versions: Versions) -> None:
    project = versions.project(**GPU, gpus="[V100]", driver="535")
    tag = versions.add(edit_json("gpus", without("gpus", "name", "V100")))
    assert "made with V100" in refused(project, f"--vcs-ref={tag}", "--data=driver=580")


def test_compiling_cuda_without_a_builder_ends_the_update(versions: Versions) -> None:
    project = versions.project(**GPU, advanced="true", compile_cuda="true")

    def no_devel(data: dict[str, Any]) -> None:
        data["images"] = [row for row in data["images"] if "devel" not in row["flavour"]]

    tag = versions.add(edit_json("nvidia-cuda", no_devel))
    assert "compile_cuda: true" in refused(project, f"--vcs-ref={tag}")


def test_the_fix_that_the_refusal_names_works(versions: Versions) -> None:
    project = versions.project(**GPU, gpus="[V100, A100]")
    tag = versions.add(edit_json("gpus", without("gpus", "name", "V100")))
    projects.copier(*UPDATE, f"--vcs-ref={tag}", "--data=gpus=[A100]", cwd=project)
    assert answers_of(project)["gpus"] == ["A100"]
    assert "GPUs: A100." in (project / "Dockerfile").read_text()


def test_a_python_past_its_end_of_life_stays_with_a_note(versions: Versions) -> None:
    """The day of the catalogue moves by itself; that must not change anybody's Python."""
    end = Catalogue().python_end["3.11"]
    assert end
    project = versions.project(python_version="3.11")
    late = edit_json("calendar", lambda data: data.update(as_of="2027-11-15"))
    first = versions.add(late)

    def and_more(template: Path) -> None:
        late(template)
        replace("template/Dockerfile.jinja", "STOPSIGNAL SIGTERM", "STOPSIGNAL SIGINT")(template)

    second = versions.add(and_more)
    for tag in (first, second):
        said = projects.copier(*UPDATE, f"--vcs-ref={tag}", cwd=project).stderr
        assert f"caution    Python 3.11 has had no fixes since {end}" in said
        assert answers_of(project)["python_version"] == "3.11"
        assert (project / ".python-version").read_text() == "3.11\n"
        projects.commit_all(project, tag)
    assert "STOPSIGNAL SIGINT" in (project / "Dockerfile").read_text()
    # A new project does not get it, and neither does one that asks for it anew.
    words = ("copy", "--trust", "--defaults", "--skip-tasks", f"--vcs-ref={second}")
    asked = projects.copier(
        *words,
        "--data=python_version=3.11",
        versions.template,
        project.parent / "new",
        cwd=project.parent,
        check=False,
    )
    assert "end of life" in asked.stderr and asked.returncode


def rename_ci(template: Path) -> None:
    """What a version does that renames a question: the files, the form and the list of questions.

    Its answer is carried by the default in `copier.yml`; `FORMER` says that the old name is known.
    """
    for path in (template / "template").rglob("*"):
        if path.is_file() and "ci == " in (text := path.read_text()):
            path.write_text(text.replace("ci == ", "pipeline == "))
    for path in (template / "template").glob("*ci == *"):
        path.rename(path.with_name(path.name.replace("ci == ", "pipeline == ")))
    replace("copier.yml", "\nci:\n", "\npipeline:\n")(template)
    replace("copier.yml", "  default: github\n", "  default: \"{{ ci | default('github') }}\"\n")(
        template
    )
    questions = "extensions/drydock/questions.py"
    replace(questions, '    "ci",\n', '    "pipeline",\n')(template)
    replace(questions, '        "ci": list(CI)', '        "pipeline": list(CI)')(template)
    replace(questions, "FORMER: Mapping[str, str] = {}", 'FORMER = {"ci": "is now pipeline"}')(
        template
    )


def test_the_answer_to_a_renamed_question_is_carried(versions: Versions) -> None:
    project = versions.project(ci="gitlab")
    projects.copier(*UPDATE, f"--vcs-ref={versions.add(rename_ci)}", cwd=project)
    answers = answers_of(project)
    assert answers["pipeline"] == "gitlab" and "ci" not in answers
    assert (project / ".gitlab-ci.yml").exists()
    assert not (project / ".github").exists()


def ask_for_a_team(template: Path) -> None:
    """What a fork adds: a question."""
    (template / "fork").mkdir()
    (template / "fork" / "team.yml").write_text("team:\n  type: str\n  default: vision\n")


def test_an_answer_to_a_question_that_the_new_version_lacks_is_not_lost_in_silence(
    versions: Versions,
) -> None:
    """As where a fork that asks it has kept the tags of the template that it was made from."""
    project = versions.project()
    with_team = versions.add(ask_for_a_team)
    projects.copier(*UPDATE, f"--vcs-ref={with_team}", "--data", "team=speech", cwd=project)
    assert answers_of(project)["team"] == "speech"
    projects.commit_all(project, "Ours")
    again = versions.add(ask_for_a_team)
    projects.copier(*UPDATE, f"--vcs-ref={again}", cwd=project)
    assert answers_of(project)["team"] == "speech"
    projects.commit_all(project, "Ours again")
    line = refused(project, f"--vcs-ref={versions.add(lambda template: None)}")
    assert line.startswith("team: ") and "fork" in line


def test_a_version_of_a_fork_is_followed_by_versions_of_the_fork_alone(versions: Versions) -> None:
    """As docs/platform-team.md says: a tag of a fork has a label, which Copier sorts as newer."""

    def add_a_file(template: Path) -> None:
        (template / "template" / "TEAM.md").write_text("Ours.\n")

    project = versions.project()
    for number in (1, 2):
        tag = versions.add(add_a_file)
        label = f"{tag}+acme.{number}"
        projects.git("tag", label, cwd=versions.template)
        projects.git("tag", "--delete", tag, cwd=versions.template)
        projects.copier(*UPDATE, f"--vcs-ref={label}", cwd=project)
        assert answers_of(project)["_commit"] == label
        projects.commit_all(project, label)
    assert (project / "TEAM.md").exists()
    upstream = versions.add(lambda template: None)
    projects.git("tag", "v99.0.0", cwd=versions.template)
    line = refused(project, "--vcs-ref=v99.0.0")
    assert label in line and "fork" in line
    projects.git("tag", "--delete", "v99.0.0", upstream, cwd=versions.template)


def test_a_default_of_this_machine_for_a_question_that_is_not_asked_reaches_no_file(
    versions: Versions, tmp_path: Path
) -> None:
    """Copier's answers file would not have it, so that the next machine would render another."""
    settings = tmp_path / "settings.yml"
    settings.write_text("defaults:\n  apt_packages: ffmpeg\n  image_mirror: mirror.example.com\n")
    env = {"COPIER_SETTINGS_PATH": str(settings)}
    words = ("copy", "--trust", "--defaults", "--skip-tasks", "--vcs-ref=v1.0.0")
    made = {}
    for name, more in {"plain": (), "advanced": ("--data=advanced=true",)}.items():
        folder = tmp_path / name / "demo"
        folder.parent.mkdir()
        said = projects.copier(*words, *more, versions.template, folder, cwd=tmp_path, env=env)
        made[name] = (folder / "Dockerfile").read_text(), answers_of(folder), said.stderr
    dockerfile, answers, said = made["plain"]
    assert "ffmpeg" not in dockerfile and "mirror.example.com" not in dockerfile
    assert "apt_packages" not in answers
    assert "apt_packages of Copier's settings file is not used" in said
    dockerfile, answers, said = made["advanced"]
    assert "ffmpeg" in dockerfile and "mirror.example.com" in dockerfile
    assert answers["apt_packages"] == "ffmpeg"
    assert "is not used" not in said


CARRIED = {
    "description": ({}, "description=Forecasts demand", "pyproject.toml", '"Forecasts demand"'),
    "python": ({}, "python_version=3.12", ".python-version", "3.12"),
    "gpus": (GPU, "gpus=[H100]", "Dockerfile", "GPUs: H100."),
    "driver": (GPU, "driver=595", "Dockerfile", "595"),
    "accelerator": ({}, "accelerator=gpu", "pyproject.toml", "gpu = ["),
    "platform": ({}, "platform=ovh", "Dockerfile", "USER 42420:42420"),
    "image name": ({}, "image_name=ghcr.io/acme/x", "scripts/publish.sh", "image=ghcr.io/acme/x"),
    "ci": ({}, "ci=gitlab", ".gitlab-ci.yml", "stage: build"),
}


@pytest.mark.parametrize("what", CARRIED)
def test_a_changed_answer_is_carried_through(what: str, versions: Versions) -> None:
    """The result is what a fresh project with that answer is, the owner's files left alone."""
    answers, change, file, word = CARRIED[what]
    answers = {"framework": "pytorch", **answers}
    project = versions.project(**answers)
    projects.copier(*UPDATE, "--vcs-ref=v1.0.0", f"--data={change}", cwd=project)
    name, _, value = change.partition("=")
    fresh = versions.project(**{**answers, name: value})
    assert answers_of(project) == answers_of(fresh)
    now, expected = projects.files(project), projects.files(fresh)
    for own in ("README.md", "AGENTS.md", ".copier-answers.yml"):
        del now[own], expected[own]
    assert word in now[file]
    assert now == expected


def test_the_owners_overlay_stays_in_an_update_and_goes_with_the_answer(
    versions: Versions,
) -> None:
    project = versions.project(extras="[kubernetes]")
    folder = project / "kubernetes"
    own = folder / "overlays/train/kustomization.yaml"
    own.write_text(own.read_text().replace("newTag: main", "newTag: v1.0"))
    (folder / "overlays/train/claim.yaml").unlink()
    projects.commit_all(project, "My own cluster")
    before = own.read_text()
    [job] = [path for path in versions.template.rglob("job.yaml.jinja")]
    job_name = job.relative_to(versions.template).as_posix()
    tag = versions.add(replace(job_name, "backoffLimit: 6", "backoffLimit: 9"))
    projects.copier(*UPDATE, f"--vcs-ref={tag}", cwd=project)
    assert "backoffLimit: 9" in (folder / "train/job.yaml").read_text()
    assert own.read_text() == before
    assert not (folder / "overlays/train/claim.yaml").exists()
    projects.commit_all(project, tag)
    said = projects.copier(*UPDATE, f"--vcs-ref={tag}", "--data=extras=[]", cwd=project).stderr
    assert not folder.exists()
    assert "removed    kubernetes/" in said and own.name in said


MERGED = {
    "a trainer that shall serve": ({}, "workload=both"),
    "a trainer for SageMaker": ({}, "platform=sagemaker"),
    "a trainer that leaves SageMaker": ({"platform": "sagemaker"}, "platform=ovh"),
    "a server for Vertex AI": ({"workload": "serve"}, "platform=vertex"),
    "a trainer that goes to Kubernetes": ({}, "extras=[kubernetes]"),
    "a server on a GPU": ({"framework": "onnxruntime", "workload": "serve"}, "accelerator=gpu"),
}


@pytest.mark.parametrize("what", MERGED)
def test_a_changed_answer_reaches_the_files_of_the_owner_too(what: str, versions: Versions) -> None:
    """In a project that nobody edited, the result is what a fresh project is, to the byte."""
    answers, change = MERGED[what]
    project = versions.project(**answers)
    done = projects.copier(*UPDATE, "--vcs-ref=v1.0.0", f"--data={change}", cwd=project)
    assert "conflicts" not in done.stderr and "by hand" not in done.stderr
    name, _, value = change.partition("=")
    fresh = versions.project(**{**answers, name: value})
    now, expected = projects.files(project), projects.files(fresh)
    assert answers_of(project) == answers_of(fresh)
    del now[".copier-answers.yml"], expected[".copier-answers.yml"]
    assert now == expected


def test_two_answers_of_which_neither_goes_with_the_old_other_one_are_carried_at_once(
    versions: Versions,
) -> None:
    """OVHcloud has no machine for a GH200, and its answer is rendered once more to compare."""
    answers = {**GPU, "platform": "ovh", "gpus": "[H100]"}
    project = versions.project(**answers)
    change = {"platform": "docker", "gpus": "[GH200]"}
    words = [f"--data={name}={value}" for name, value in change.items()]
    projects.copier(*UPDATE, "--vcs-ref=v1.0.0", *words, cwd=project)
    fresh = versions.project(**answers | change)
    assert answers_of(project) == answers_of(fresh)
    names = ("Dockerfile", "README.md", "AGENTS.md", "main.py")
    now, expected = projects.files(project), projects.files(fresh)
    assert [now[name] for name in names] == [expected[name] for name in names]


def test_a_trainer_of_ones_own_learns_to_serve_in_an_update(
    versions: Versions, network: None
) -> None:
    """What its owner wrote stays, to the byte where the answer changes nothing, and it serves."""
    project = versions.project()
    kept = {"src/demo/features.py": "ANSWER = 42\n", "README.md": "# Ours\n\nNothing of yours.\n"}
    for name, text in kept.items():
        (project / name).write_text(text)
    main, settings = project / "main.py", project / "src/demo/settings.py"
    main.write_text(main.read_text() + "# Ours.\n")
    text = settings.read_text()
    mine = '    colour: str = Field("blue", description="ours")\n'
    at = text.index("class TrainSettings")
    at = text.index('"""', text.index('"""', at) + 3) + 4
    settings.write_text(text[:at] + mine + text[at:])
    (project / "AGENTS.md").unlink()
    projects.commit_all(project, "My own work")
    done = projects.copier(*UPDATE, "--vcs-ref=v1.0.0", "--data=workload=both", cwd=project)
    assert "conflicts" not in done.stderr
    assert "by hand    README.md: yours differs too much" in done.stderr
    assert kept == {name: (project / name).read_text() for name in kept}
    assert main.read_text().endswith("# Ours.\n") and mine in settings.read_text()
    assert not (project / "AGENTS.md").exists()
    projects.run("uv", "run", "main.py", "train", cwd=project)
    tests = ("tests/test_serve.py", "tests/test_train.py")
    projects.run("uv", "run", "pytest", "-q", *tests, cwd=project)


def test_where_owner_and_answer_change_the_same_lines_of_code_git_has_a_conflict(
    versions: Versions,
) -> None:
    project = versions.project()
    main = project / "main.py"
    main.write_text(
        main.read_text().replace("return train(settings)", "return 2 * train(settings)")
    )
    projects.commit_all(project, "My own work")
    done = projects.copier(*UPDATE, "--vcs-ref=v1.0.0", "--data=workload=both", cwd=project)
    assert "conflicts  in main.py: " in done.stderr
    assert "<<<<<<< before updating" in main.read_text()
    assert "return 2 * train(settings)" in main.read_text()
    assert "UU main.py" in projects.git("status", "--porcelain", cwd=project)
    assert (project / "src/demo/serve.py").exists()


REFUSED = {
    "project_name": ({}, "project_name=other"),
    "workload": ({}, "workload=serve"),
    "workload of a server": ({"workload": "serve"}, "workload=both"),
    "framework": ({}, "framework=jax"),
}


def test_a_project_from_before_the_folder_of_drydocks_own_code_is_told_that_it_cannot_be_merged(
    versions: Versions,
) -> None:
    project = versions.project()
    shutil.rmtree(project / "src/demo/runtime")
    projects.commit_all(project, "As it was")
    for change in ("workload=both", "platform=sagemaker"):
        line = refused(project, "--vcs-ref=v1.0.0", f"--data={change}")
        assert line.startswith(change.partition("=")[0] + ": an update cannot change it")


@pytest.mark.parametrize("what", REFUSED)
def test_a_changed_answer_that_the_owners_files_depend_on_is_refused_with_the_way(
    what: str, versions: Versions
) -> None:
    answers, change = REFUSED[what]
    project = versions.project(**answers)
    line = refused(project, "--vcs-ref=v1.0.0", f"--data={change}")
    assert line.startswith(change.partition("=")[0] + ": an update cannot change it")
    assert f"--data {change} {versions.template} ../" in line


def test_the_way_that_the_refusal_names_ends_in_a_project_with_its_history(
    versions: Versions, network: None
) -> None:
    """Word for word what the refusal and docs/updating.md say."""
    project = versions.project()
    (project / "src" / "demo" / "features.py").write_text("ANSWER = 42\n")
    projects.commit_all(project, "My own work")
    line = refused(project, "--vcs-ref=v1.0.0", "--data=framework=xgboost")
    command = line.partition("`")[2].partition("`")[0].replace(" --trust", " --trust --defaults")
    words = command.replace("copier ", "", 1).split()
    projects.copier(*words, "--vcs-ref=v1.0.0", cwd=project)
    page = (projects.ROOT / "docs" / "updating.md").read_text()
    steps = page.partition("## An answer that an update cannot change")[2]
    script = steps.partition("```sh\n")[2].partition("```")[0]
    projects.run("sh", "-euc", script, cwd=project)
    fresh = project.parent / "demo-xgboost"
    assert answers_of(fresh)["framework"] == "xgboost"
    assert (fresh / "src/demo/features.py").exists()
    assert "import xgboost" in (fresh / "src/demo/model.py").read_text()
    assert projects.git("log", "--format=%s", cwd=fresh).splitlines()[-1] == "Start"
    projects.run("uv", "run", "main.py", "--rounds", "1", cwd=fresh)
