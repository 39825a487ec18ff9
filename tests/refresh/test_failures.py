"""Sources that answer 429, 500, nonsense or nothing: one sentence each, and the rest is read."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from email.utils import formatdate

import pytest
import requests

from scripts.refresh.reading import Patience, Source, UnreadableError, asked_pause
from tests.refresh.servers import Answer, StandIn, free_port
from tests.refresh.world import Outcome, World, ended, wheel

SOURCES = ("registry", "index", "end of life")
OPTIONS = {"registry": "--registry", "index": "--index", "end of life": "--end-of-life"}
# The files that a source writes.
FILES = {
    "registry": {"python", "nvidia-cuda", "uv"},
    "index": {"scikit-learn", "pytorch", "jax", "tensorflow", "onnxruntime", "xgboost", "tools"},
    "end of life": {"systems"},
}
ANSWERS = {
    "429": (Answer("slow down", 429), "too many requests (429)"),
    "500": (Answer("oops", 500), "it answers 500"),
    "503 with a page": (Answer("<html>down</html>", 503), "it answers 503"),
    "403": (Answer("no", 403), "it refuses to be read by anyone (403)"),
    "garbage": (Answer(b"\x00\xff<<<", headers={"Content-Type": "text/html"}), "makes no sense"),
    "a list": (Answer([1, 2], headers={"Content-Type": "application/json"}), "makes no sense"),
    "empty": (Answer(b""), "makes no sense"),
    "an empty object": (Answer({}, headers={"Content-Type": "application/json"}), "no sense"),
    "closed": (Answer(status=0), "no connection, or one that ended without an answer"),
}


@dataclass
class Broken:
    """A world in which everything changed, and one source that can be replaced."""

    world: World
    source: str
    stand_in: StandIn

    def refresh(self, address: str | None = None, *more: str) -> Outcome:
        """Run with the source at another address, the stand-in's unless one is given."""
        address = address or self.stand_in.address
        if self.source == "registry":
            more += ("--registry", f"docker.io={address}", "--registry", f"ghcr.io={address}")
        elif self.source == "index":
            more += ("--index", f"{address}/simple/")
        else:
            more += ("--end-of-life", f"{address}/api/v1")
        return self.world.refresh(*more)


@pytest.fixture(params=SOURCES)
def broken(request: pytest.FixtureRequest, world: World) -> Iterator[Broken]:
    """Every source has news; the one of this test answers from a stand-in."""
    world.push("python:3.13-slim-trixie", content="moved")
    world.pages["torch"].append(wheel("torch", "2.9.1", "3.14"))
    world.ends["ubuntu"][0] = ended("24.04", "2029-06-30")
    with StandIn() as stand_in:
        yield Broken(world, request.param, stand_in)


def the_others_were_written(outcome: Outcome, before: dict[str, str], source: str) -> None:
    """Assert that what the source says is as it was, and what the others say is new."""
    for name in FILES[source]:
        assert outcome.texts[name] == before[name], name
    news = {
        "registry": outcome.image("python:3.13-slim-trixie").get("digest") is not None,
        "index": outcome.files["pytorch"]["releases"][0]["pythons"] == ["3.13", "3.14"],
        "end of life": '"2029-06-30"' in outcome.texts["systems"],
    }
    assert news == {name: name != source for name in SOURCES}


@pytest.mark.parametrize("kind", ANSWERS)
def test_a_source_that_misbehaves_is_told_in_a_sentence_and_the_others_are_written(
    broken: Broken, kind: str
) -> None:
    answer, words = ANSWERS[kind]
    broken.stand_in.everything = answer
    before = broken.world.texts()
    outcome = broken.refresh()
    assert outcome.code == 1
    assert outcome.failed
    for sentence in outcome.failed:
        assert words in sentence
        assert broken.stand_in.address in sentence
        assert OPTIONS[broken.source] in sentence
        assert "left as it is" in sentence
        assert "\n" not in sentence
    the_others_were_written(outcome, before, broken.source)


def test_a_source_that_does_not_listen_is_told_in_a_sentence(broken: Broken) -> None:
    before = broken.world.texts()
    outcome = broken.refresh(f"http://127.0.0.1:{free_port()}")
    assert outcome.code == 1
    assert all("no connection" in sentence for sentence in outcome.failed)
    the_others_were_written(outcome, before, broken.source)


def test_a_source_that_is_too_slow_is_given_up(broken: Broken) -> None:
    broken.stand_in.everything = Answer({}, delay=0.6)
    before = broken.world.texts()
    outcome = broken.refresh(None, "--timeout", "0.2")
    assert outcome.code == 1
    assert all("no answer within 0.2 s" in sentence for sentence in outcome.failed)
    the_others_were_written(outcome, before, broken.source)


def test_a_source_that_failed_is_not_asked_again_in_the_same_run(broken: Broken) -> None:
    broken.stand_in.everything = Answer("oops", 500)
    outcome = broken.refresh()
    asked = len(broken.stand_in.requests)
    # Two attempts for each source that failed; a registry has one for each repository.
    assert asked == 2 * len(outcome.failed)


def test_a_source_that_recovers_is_read(world: World) -> None:
    world.publish()
    path = "/api/v1/products/ubuntu/"
    good = world.dates.answers[path]
    del world.ends["ubuntu"]
    for bad in (Answer("oops", 500), Answer("x"), Answer(status=0), Answer("later", 429)):
        world.dates.answers[path] = [bad, good]
        outcome = world.refresh()
        assert outcome.code == 0, bad
    assert world.dates.asked_for(path) == 8


def test_the_pause_that_a_source_asks_for_is_kept(world: World) -> None:
    world.publish()
    path = "/api/v1/products/ubuntu/"
    slow = Answer("later", 429, headers={"Retry-After": "1"})
    world.dates.answers[path] = [slow, world.dates.answers[path]]
    del world.ends["ubuntu"]
    assert world.refresh().code == 0
    first, second = (when for asked, when in world.dates.requests if asked == path)
    assert second - first >= 1


def test_a_pause_that_is_too_long_is_not_waited_for(world: World) -> None:
    world.dates.everything = Answer("later", 429, headers={"Retry-After": "30"})
    began = time.monotonic()
    outcome = world.refresh()
    assert time.monotonic() - began < 20
    assert outcome.code == 1
    assert "asks to wait 30 s" in outcome.failed[0]
    assert len(world.dates.requests) == 1


def test_a_registry_that_lists_a_tag_but_has_no_manifest_is_not_believed(world: World) -> None:
    before = world.texts()
    tags = {"name": "library/python", "tags": ["3.13-slim-trixie", "3.13-slim-bookworm"]}
    with StandIn() as stand_in:
        stand_in.answers["/v2/library/python/tags/list"] = Answer(tags)
        outcome = world.refresh("--registry", f"docker.io={stand_in.address}")
    assert outcome.code == 1
    assert any("is listed, but has no manifest" in sentence for sentence in outcome.failed)
    assert outcome.texts["python"] == before["python"]


def test_a_digest_that_is_none_is_not_written(world: World) -> None:
    before = world.texts()
    with StandIn() as stand_in:
        stand_in.everything = Answer({}, headers={"Docker-Content-Digest": "sha256:abc"})
        outcome = world.refresh("--registry", f"docker.io={stand_in.address}")
    assert outcome.code == 1
    assert any("no digest of 3.13-slim" in sentence for sentence in outcome.failed)
    assert outcome.texts["python"] == before["python"]


def test_a_pause_can_be_a_date() -> None:
    response = requests.Response()
    response.headers["Retry-After"] = formatdate(time.time() + 30, usegmt=True)
    pause = asked_pause(requests.HTTPError(response=response))
    assert 25 < pause <= 30
    response.headers["Retry-After"] = formatdate(time.time() - 30, usegmt=True)
    assert asked_pause(requests.HTTPError(response=response)) == 0
    response.headers["Retry-After"] = "soon"
    assert asked_pause(requests.HTTPError(response=response)) is None
    assert asked_pause(requests.ConnectionError()) is None


def test_pauses_grow_from_attempt_to_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)

    def fail() -> None:
        raise requests.ConnectionError

    source = Source("It", "--option", Patience(attempts=4, pause=2))
    with pytest.raises(UnreadableError):
        source.ask(fail)
    assert slept == [2, 4, 8]
