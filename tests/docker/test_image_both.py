"""One repository that trains and serves: two images of one Dockerfile over the same layers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.docker.client import Build, Engine
from tests.support.docker.images import Image, metrics, open_folder
from tests.support.docker.servers import ZERO, ask, until_ready

MORE = "COPY /more/ /"  # what the history says of the layer that only the server has


@pytest.fixture(scope="module")
def pair(docker: Engine, project: Callable, builder: Callable) -> tuple[Image, Image]:
    """The image of the trainer, which `docker build` makes by itself, and that of the server."""
    folder = project("sklearn-both")

    def image(build: Build) -> Image:
        return Image("sklearn-both", folder, build, docker.image(build.tag)["Config"])

    trainer = builder(folder, "sklearn-both-train")
    return image(trainer), image(builder(folder, "sklearn-both-serve", target="serve"))


def test_the_server_adds_one_small_layer_to_those_of_the_trainer(
    pair: tuple[Image, Image], docker: Engine
) -> None:
    trainer, server = (docker.layers(one.tag) for one in pair)
    added = [layer for layer in server if layer not in trainer]
    assert [layer for layer in trainer if layer not in server] == []
    assert len(added) == 1 and MORE in added[0].created_by
    assert added[0].size < 40_000_000


def test_the_image_of_the_trainer_has_no_web_server(
    pair: tuple[Image, Image], docker: Engine
) -> None:
    packages = [
        {Path(path).name for path in docker.image_files(one.tag) if "site-packages" in path}
        for one in pair
    ]
    assert {"uvicorn", "fastapi"} <= packages[1]
    assert not {"uvicorn", "fastapi", "starlette", "httptools"} & packages[0]


def test_what_the_one_trains_the_other_serves_and_each_passes_its_smoke_test(
    pair: tuple[Image, Image], docker: Engine, smoke: Callable[..., str], tmp_path: Path
) -> None:
    trainer, server = pair
    outputs = open_folder(tmp_path / "outputs")
    ran = docker.run(trainer.tag, "--epochs", "3", **trainer.strict(outputs))
    assert metrics(ran.stdout)[-1]["test_accuracy"] > 0.9
    container = docker.start_container(server.tag, **server.strict(outputs))
    until_ready(container)
    status, answer = ask(container, "/predict", {"instances": [ZERO]})
    assert status == 200
    assert answer["predictions"][0]["label"] == "0"
    assert "The server is ready." in smoke(server, outputs, "serve")


def test_the_smoke_test_of_the_trainer_passes(
    pair: tuple[Image, Image], smoke: Callable[..., str]
) -> None:
    assert "test_accuracy" in smoke(pair[0], None, "train")
