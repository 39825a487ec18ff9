"""Every accelerator, framework, `any` or a GPU, compiler and platform: rendered, or one sentence.

The files are rendered by `support/quick.py` and not by Copier itself, which takes a second for a
project; the projects of test_rendering.py are Copier's.
"""

from __future__ import annotations

import re
import tomllib
from itertools import product
from typing import Any

import pytest
from copier.errors import UserMessageError

from tests.support import stacks
from tests.support.quick import answered, rendered

FRAMEWORKS = ("scikit-learn", "pytorch", "jax", "tensorflow", "onnxruntime", "xgboost")
PLATFORMS = ("docker", "openshift", "ovh", "sagemaker", "vertex")
ROWS = stacks.raw()


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("framework", FRAMEWORKS)
@pytest.mark.parametrize("accelerator", ["cpu", "gpu"])
def test_a_combination_is_rendered_or_refused_in_a_sentence(
    accelerator: str, framework: str, platform: str
) -> None:
    on_gpu = accelerator == "gpu"
    gpu_answers = (
        product((["any"], ["V100"], ["GB200"]), (False, True)) if on_gpu else [([], False)]
    )
    for (gpus, compile_cuda), workload in product(gpu_answers, ("train", "serve")):
        given = {
            "accelerator": accelerator,
            "framework": framework,
            "platform": platform,
            "workload": workload,
            "advanced": True,
        }
        if on_gpu:
            given |= {"gpus": gpus, "compile_cuda": compile_cuda}
        try:
            context = answered(**given)
        except UserMessageError as error:
            assert stacks.is_a_sentence_about_answers(str(error)), str(error)
            assert on_gpu or (framework, workload) == ("onnxruntime", "train")
            continue
        stacks.check(ROWS, context, context["stack"])
        files = dict(rendered(context))
        for name, text in files.items():
            assert not re.search(r"\bNone\b", text) or name.endswith((".py", ".md")), name
        hold_together(files, context)


def lists_fit_stages(docker: str, stages: list[tuple[str, str]]) -> None:
    """Each list that `lock` writes has a stage that installs it, and the last stage adds each of
    them as a layer that depends on nothing below it, and does nothing else with files.
    """
    command = r"python split_lock\.py pylock\.group\.toml pylock\.image\.toml(?: \\\n(.*))?\n"
    [words] = re.findall(command, docker)
    lists = [*words.split(), "framework", "rest"]
    named = [name for _, name in stages]
    assert [name for name in named if name in lists] == lists
    for name in (*lists, "source"):
        assert docker.count(f"source=/lock/pylock.{name}.toml,target=/mnt/pylock.{name}.toml") == 1
    last = docker[docker.rindex("\nFROM base\n") :]
    links = re.findall(r"^COPY --link --from=(\S+) /(\S+)/ /$", last, re.M)
    folders = [name for name in named if name == "folders"]
    assert links == [(name, name) for name in ("python", *lists, "compiled", "code", *folders)]
    after = last[last.index("COPY --link") :]
    touching = re.findall(r"^(?:RUN|ADD|WORKDIR|VOLUME|COPY (?!--link --from=)).*", after, re.M)
    assert touching == [], "a step that needs the files of the image makes a builder fetch them"


def hold_together(files: dict[str, str], context: dict[str, Any]) -> None:
    """The Dockerfile and pyproject.toml say what the stack says, and each other."""
    stack = context["stack"]
    docker = files["Dockerfile"]
    assert re.findall(r"^ARG BASE_IMAGE=(.*)", docker, re.M) == [stack["base"]["image"]]
    assert re.findall(r"^ARG BUILDER_IMAGE=(.*)", docker, re.M) == [stack["python"]["image"]]
    stages = re.findall(r"^FROM (\S+)(?: AS ([\w-]+))?", docker, re.M)
    images = {image for image, _ in stages} - {name for _, name in stages}
    devel = {stack["devel"]["image"]} if stack["devel"] else set()
    arguments = {"${BASE_IMAGE}", "${BUILDER_IMAGE}"}
    assert images == {*arguments, "scratch", stack["uv"]["image"], *devel}
    lists_fit_stages(docker, stages)
    assert f'requires-python = "=={context["python_version"]}.*"' in files["pyproject.toml"]
    assert files[".python-version"].strip() == context["python_version"]
    for names in re.findall(r"TORCH_CUDA_ARCH_LIST=\"(.*)\"", docker):
        assert names.split() == stack["devel"]["targets"]
    for names in re.findall(r"CUDAARCHS=\"(.*)\"", docker):
        assert re.fullmatch(r"\d{2,3}(;\d{2,3})*", names), names
    project = tomllib.loads(files["pyproject.toml"])
    groups = project["dependency-groups"]
    assert {"cpu", "dev", "lint"} <= groups.keys()
    assert ("gpu" in groups) == (context["accelerator"] == "gpu")
    asked = set(re.findall(r"--(?:only-)?group (\w+)", docker))
    assert asked <= groups.keys()
    uv = project["tool"]["uv"]
    indexes = {index["name"] for index in uv.get("index", [])}
    for package, origins in uv.get("sources", {}).items():
        for origin in origins:
            assert origin["group"] in groups, package
            assert origin["index"] in indexes, package
    for pair in uv.get("conflicts", []):
        assert {one["group"] for one in pair} <= groups.keys()
    assert set(uv["default-groups"]) <= groups.keys()
