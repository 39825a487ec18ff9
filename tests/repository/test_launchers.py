"""The recipes of docs/launchers.md: each is read by its tool, and starts what a project starts."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support import projects
from tests.support.kubernetes import Manifest, build, environment_of, manifests, pod_of
from tests.support.quick import answered, rendered

PAGE = (projects.ROOT / "docs/launchers.md").read_text()

# Of the day on which the page says that its sources were read. No project has them, so no refresh
# moves them: who does, reads the sources again.
VERSIONS = {"kubeflow-trainer-api": "2.3.0", "skypilot": "0.14.1"}

# Prints what the models make of resources: what they do not know is missing then.
READ = """
import json, sys
import kubeflow_trainer_api.models as models
given = json.loads(sys.argv[1])
print(json.dumps([getattr(models, model).from_dict(one).to_dict() for model, one in given]))
"""
SKY = """
import json, os, sys
os.environ |= {"HOME": os.getcwd(), "SKYPILOT_DISABLE_USAGE_COLLECTION": "1"}
import sky
task = sky.Task.from_yaml(sys.argv[1])
print(json.dumps([task.run, task.num_nodes, *(str(one) for one in task.resources)]))
"""


def recipe(name: str) -> Manifest:
    """The block of YAML that follows the marker of that name."""
    return yaml.safe_load(re.search(rf"<!-- {name} -->\n```yaml\n(.+?)```", PAGE, re.DOTALL)[1])


def run_with(package: str, code: str, *arguments: str, cwd: Path) -> Any:
    """What a program prints, as JSON, that has this package."""
    wanted = f"{package}=={VERSIONS[package]}"
    words = ("uv", "run", "--isolated", "--no-project", "--python", "3.11", "--with", wanted)
    done = projects.run(*words, "python", "-c", code, *arguments, cwd=cwd)
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory, network: None) -> Manifest:
    """The Job of the project that the page is about."""
    folder = tmp_path_factory.mktemp("demo")
    answers = {"project_name": "demo", "image_name": "ghcr.io/acme/demo", "framework": "pytorch"}
    for name, text in rendered(answered(**answers, accelerator="gpu", extras=["kubernetes"])):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return manifests(build(folder / "kubernetes/overlays/train"))["Job"]


def test_a_recipe_for_an_operator_has_no_word_that_its_api_does_not_know(
    tmp_path: Path, network: None
) -> None:
    trainer = VERSIONS["kubeflow-trainer-api"].rpartition(".")[0]
    assert f"| Kubeflow Trainer {trainer} |" in PAGE
    models = {"trainjob": "TrainerV1alpha1TrainJob", "jobset": "JobsetV1alpha2JobSet"}
    given = [[model, recipe(name)] for name, model in models.items()]
    misspelt = copy.deepcopy(given[1])
    misspelt[1]["spec"]["failurePolicy"]["maxRestart"] = 20
    given.append(misspelt)
    known = run_with("kubeflow-trainer-api", READ, json.dumps(given), cwd=tmp_path)
    assert known == [one for _, one in given[:2]] + known[2:]
    assert known[2] != misspelt[1], "a misspelt word is seen"


def test_the_pod_of_the_jobset_is_the_one_of_the_job_but_for_the_name_of_the_first_one(
    job: Manifest,
) -> None:
    [replicated] = recipe("jobset")["spec"]["replicatedJobs"]
    own, given = pod_of(replicated["template"]), pod_of(job)
    [container], [wanted] = own["containers"], given["containers"]
    expected = environment_of(wanted) | {
        "PET_NNODES": str(replicated["template"]["spec"]["completions"]),
        "PET_MASTER_ADDR": f"demo-train-{replicated['name']}-0-0.demo-train",
    }
    assert environment_of(container) == expected
    assert container["resources"]["limits"] == wanted["resources"]["limits"]
    for key in ("image", "command"):
        assert container[key] == wanted[key]
    assert all(one in wanted["volumeMounts"] for one in container["volumeMounts"])
    assert all(one in given["volumes"] for one in own["volumes"])
    assert own["restartPolicy"] == given["restartPolicy"]
    assert own["terminationGracePeriodSeconds"] == given["terminationGracePeriodSeconds"]


def test_the_trainjob_starts_what_the_job_starts(job: Manifest) -> None:
    spec = recipe("trainjob")["spec"]
    [wanted] = pod_of(job)["containers"]
    for key in ("image", "command"):
        assert spec["trainer"][key] == wanted[key]
    assert spec["trainer"]["resourcesPerNode"]["limits"] == wanted["resources"]["limits"]
    assert environment_of(spec["trainer"]).items() <= environment_of(wanted).items()
    [patch] = spec["runtimePatches"]
    [patched] = patch["trainingRuntimeSpec"]["template"]["spec"]["replicatedJobs"]
    pod = pod_of(patched["template"])
    assert pod["containers"][0]["volumeMounts"][0] in wanted["volumeMounts"]
    assert pod["volumes"][0] in pod_of(job)["volumes"]


def test_skypilot_reads_its_recipe_which_starts_what_the_job_starts(
    job: Manifest, tmp_path: Path
) -> None:
    assert f"| SkyPilot {VERSIONS['skypilot'].rpartition('.')[0]} |" in PAGE
    given = recipe("skypilot")
    (tmp_path / "demo.sky.yaml").write_text(yaml.safe_dump(given))
    run, nodes, resources = run_with("skypilot", SKY, "demo.sky.yaml", cwd=tmp_path)
    assert nodes == 2 and "L4" in resources

    docker = tmp_path / "docker"
    docker.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    docker.chmod(0o755)
    variables = {
        "PATH": f"{tmp_path}:/usr/bin:/bin",
        "SKYPILOT_NUM_NODES": "2",
        "SKYPILOT_NODE_RANK": "1",
        "SKYPILOT_NODE_IPS": "10.0.0.1\n10.0.0.2",
    }
    said = projects.run("bash", "-ec", run, cwd=tmp_path, env=variables).stdout.splitlines()
    [wanted] = pod_of(job)["containers"]
    command, *words = wanted["command"]
    assert said[-4:] == ["--entrypoint", command, wanted["image"], *words]
    told = dict(one.split("=", 1) for one in said if one.startswith("PET_"))
    expected = {name: value for name, value in environment_of(wanted).items() if "PET_" in name}
    del expected["PET_SHUTDOWN_TIMEOUT"]
    assert told == expected | {
        "PET_NNODES": "2",
        "PET_NODE_RANK": "1",
        "PET_MASTER_ADDR": "10.0.0.1",
    }
