"""What must hold for every stack, stated from the catalogue's files and not from the solver."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from drydock.catalogue import FOLDER
from drydock.questions import QUESTIONS
from tests.support.oracle import not_older


def raw(folder: Path = FOLDER) -> dict[str, Any]:
    """The files of the catalogue as JSON, by name."""
    return {path.stem: json.loads(path.read_text("utf-8")) for path in folder.glob("*.json")}


def is_a_sentence_about_answers(message: str) -> bool:
    """One line that begins with a question and says something of it."""
    begins = re.match(rf"(?:{'|'.join(QUESTIONS)}): ", message)
    # What was answered is quoted, and may be "None" itself.
    unset = "None" in re.sub(r'"[^"]*"', "", message)
    return bool(begins) and message.endswith(".") and message.isprintable() and not unset


def check(rows: dict[str, Any], answers: dict[str, Any], stack: Any) -> None:
    """Fail with what is wrong about the stack of some answers."""
    assert json.loads(json.dumps(stack)) == stack
    gpu = answers["accelerator"] == "gpu"
    images(rows, stack, gpu)
    python(rows, answers, stack)
    compiler(rows, answers, stack)
    framework(rows, answers["framework"], stack, gpu)
    sources(rows, answers["framework"], stack)
    platform(rows, answers, stack)
    if gpu and answers.get("driver"):
        (line,) = (line for line in stack["summary"] if line.startswith("driver "))
        # A branch alone stands for all its releases.
        floor, driver = line.split()[1], answers["driver"]
        assert not_older(driver, floor) or driver == floor.partition(".")[0], line
    assert len(stack["why"]) == 3
    for line in [*stack["why"], *stack["summary"]]:
        assert line.isprintable() and "None" not in line, line


def images(rows: dict[str, Any], stack: Any, gpu: bool) -> None:
    """FROM names a row that is offered, of the kind that the stack says."""
    slim = [row["image"] for row in rows["python"]["images"] if row.get("status") != "gone"]
    cuda = {row["image"]: row for row in rows["nvidia-cuda"]["images"]}
    image = stack["base"]["image"].partition("@")[0]
    if stack["base"]["kind"] == "slim":
        assert image in slim
    else:
        assert gpu
        assert cuda[image]["status"] == "current"
        assert cuda[image]["flavour"] in ("base", "cudnn-runtime")
    assert stack["uv"]["image"].partition("@")[0] in [row["image"] for row in rows["uv"]["uv"]]


def python(rows: dict[str, Any], answers: dict[str, Any], stack: Any) -> None:
    """CI's image is a plain one of the Python, and the base has that Python or none."""
    image = stack["python"]["image"].partition("@")[0]
    (version,) = {row["python"] for row in rows["python"]["images"] if row["image"] == image}
    assert answers.get("python_version") in (None, version)
    if stack["base"]["kind"] == "slim":
        assert stack["python"]["source"] == "image"
        assert f"python:{version}-" in stack["base"]["image"]
    else:
        assert stack["python"]["source"] == "managed"


def compiler(rows: dict[str, Any], answers: dict[str, Any], stack: Any) -> None:
    """nvcc is there where it is asked for, and knows all it is told to build for."""
    assert (stack["devel"] is not None) == bool(answers.get("compile_cuda"))
    if not stack["devel"]:
        return
    image = stack["devel"]["image"].partition("@")[0]
    (row,) = (row for row in rows["nvidia-cuda"]["images"] if row["image"] == image)
    assert row["status"] == "current" and "devel" in row["flavour"]
    (toolkit,) = (one for one in rows["nvidia-cuda"]["toolkits"] if one["cuda"] == row["cuda"])
    targets = [target.removesuffix("+PTX") for target in stack["devel"]["targets"]]
    assert targets and set(targets) <= set(toolkit["computes"])
    assert targets == sorted(set(targets), key=float)
    if "any" not in answers["gpus"]:
        models = {model["name"]: model["compute"] for model in rows["gpus"]["gpus"]}
        assert set(targets) == {models.get(name, name) for name in answers["gpus"]}


def framework(rows: dict[str, Any], name: str, stack: Any, gpu: bool) -> None:
    """One release, pinned for the CPU and for the GPU, of a build that can be installed."""
    assert (stack["framework"]["gpu"] is not None) == gpu
    groups = [stack["framework"]["cpu"], *([stack["framework"]["gpu"]] if gpu else [])]
    (version,) = {
        text.partition(" ; ")[0].rpartition("==")[2]
        for group in groups
        for text in group["requirements"]
        if re.match(rf"{rows[name]['framework']['package']}\W|onnxruntime-gpu\W", text)
    }
    (release,) = (row for row in rows[name]["releases"] if row["version"] == version)
    assert not release.get("broken")
    builds = [row for row in rows[name]["builds"] if row["version"] == version]
    for group, on_gpu in zip(groups, (False, True), strict=False):
        assert any(
            row["requirements"] == group["requirements"]
            and (row["cuda"] is not None) == on_gpu
            and not row.get("broken")
            for row in builds
        ), group


def sources(rows: dict[str, Any], name: str, stack: Any) -> None:
    """Each index is used, each that is used is there, and it is one of the framework's builds."""
    urls = {index["name"]: index["url"] for index in stack["indexes"]}
    origins = [origin for source in stack["sources"] for origin in source["origins"]]
    assert {origin["index"] for origin in origins} == set(urls)
    groups = {"cpu"} | ({"gpu"} if stack["framework"]["gpu"] else set())
    groups |= {"cuda"} if stack["devel"] else set()
    assert {origin["group"] for origin in origins} <= groups
    folders = {row["index"] for row in rows[name]["builds"]}
    assert {url.rpartition("/")[2] for url in urls.values()} <= folders
    for source in stack["sources"]:
        index_of = {origin["group"]: origin["index"] for origin in source["origins"]}
        # `cuda` includes `gpu`, and the two cannot come from different places.
        assert not stack["devel"] or index_of.get("cuda") == index_of.get("gpu")
        assert len(index_of) == len(source["origins"])


def platform(rows: dict[str, Any], answers: dict[str, Any], stack: Any) -> None:
    """The platform's own row, and a CPU that it has and that every GPU may sit beside."""
    (row,) = (row for row in rows["platforms"]["platforms"] if row["name"] == answers["platform"])
    assert stack["platform"]["uid"] == row["uid"] and stack["platform"]["port"] == row["port"]
    image = stack["platform"]["architecture"]
    assert image in (None, "linux/amd64", "linux/arm64")
    if row["architecture"]:
        assert image == f"linux/{row['architecture']}"
    models = {model["name"]: model for model in rows["gpus"]["gpus"]}
    for name in answers.get("gpus", ()) if answers["accelerator"] == "gpu" else ():
        if name in models:
            assert image and image.removeprefix("linux/") in models[name]["hosts"]
