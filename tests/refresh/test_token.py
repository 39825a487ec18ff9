"""A registry that wants a token of everybody, over TLS, as Docker Hub and ghcr.io do."""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import jwt
import pytest
import trustme
from dxf import DXFBase

from scripts.refresh.reading import Patience, UnreadableError
from scripts.refresh.registry import Repository
from tests.refresh.servers import Answer, Registry, StandIn
from tests.refresh.world import World

ISSUER = "tests"
SERVICE = "registry.example.org"


@pytest.fixture
def certificates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path, bytes]:
    """A certificate for loopback, its key, and the chain; its authority is trusted."""
    authority = trustme.CA()
    server = authority.issue_cert("127.0.0.1")
    paths = tmp_path / "server.pem", tmp_path / "server.key", tmp_path / "authority.pem"
    paths[0].write_bytes(b"".join(blob.bytes() for blob in server.cert_chain_pems))
    paths[1].write_bytes(server.private_key_pem.bytes())
    authority.cert_pem.write_to_path(str(paths[2]))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(paths[2]))
    return paths[0], paths[1], server.cert_chain_pems[0].bytes()


@pytest.fixture
def token_server(certificates: tuple[Path, Path, bytes]) -> Iterator[StandIn]:
    """A server of tokens for whoever asks; it has none yet."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificates[:2])
    with StandIn(tls=context) as server:
        yield server


@pytest.fixture
def guarded(
    registry_binary: str,
    tmp_path: Path,
    certificates: tuple[Path, Path, bytes],
    token_server: StandIn,
) -> Iterator[Registry]:
    """A real registry that believes that server only."""
    folder = tmp_path / "guarded"
    folder.mkdir()
    token = {
        "realm": f"{token_server.address}/token",
        "service": SERVICE,
        "issuer": ISSUER,
        "rootcertbundle": str(tmp_path / "authority.pem"),
    }
    started = Registry(registry_binary, folder, {"auth": {"token": token}}, certificates[:2])
    yield started
    started.stop()


def token(certificates: tuple[Path, Path, bytes], name: str, *actions: str, life: int = 60) -> str:
    """Return a token that lets its bearer act on a repository (distribution's token spec)."""
    now = int(time.time())
    body = "".join(certificates[2].decode().split("-----")[2].split())
    claims = {
        "iss": ISSUER,
        "aud": SERVICE,
        "sub": "",
        "iat": now - 120,
        "nbf": now - 120,
        "exp": now + life,
        "access": [{"type": "repository", "name": name, "actions": list(actions)}],
    }
    key = certificates[1].read_text()
    return jwt.encode(claims, key, "ES256", headers={"x5c": [body]})


def pushed(guarded: Registry, certificates: tuple[Path, Path, bytes], image: str) -> str:
    """Push an image with a token that allows it."""

    def as_owner(registry: DXFBase, response: object) -> None:
        registry.token = token(certificates, image.rpartition(":")[0], "pull", "push")

    return guarded.push(image, auth=as_owner)


def test_a_token_for_anyone_is_fetched_and_used(
    guarded: Registry, certificates: tuple[Path, Path, bytes], token_server: StandIn
) -> None:
    digest = pushed(guarded, certificates, "nvidia/cuda:13.0.3-base-ubuntu24.04")
    answer = {"token": token(certificates, "nvidia/cuda", "pull")}
    token_server.answers["/token"] = Answer(answer)
    patience = Patience(attempts=1, timeout=5)
    with Repository("docker.io", "nvidia/cuda", guarded.address, patience) as repository:
        assert repository.tags == {"13.0.3-base-ubuntu24.04"}
        assert repository.digest("13.0.3-base-ubuntu24.04") == digest
        assert repository.digest("another") is None
        assert repository.environment(digest) == {}
    assert token_server.asked_for("/token") == 1


def test_a_token_that_ran_out_is_fetched_again(
    guarded: Registry, certificates: tuple[Path, Path, bytes], token_server: StandIn
) -> None:
    digest = pushed(guarded, certificates, "nvidia/cuda:1")
    lasting = Answer({"token": token(certificates, "nvidia/cuda", "pull")})
    # The registry allows a minute of difference between clocks.
    brief = Answer({"token": token(certificates, "nvidia/cuda", "pull", life=-58)})
    token_server.answers["/token"] = [brief, lasting]
    patience = Patience(attempts=1, timeout=5)
    with Repository("docker.io", "nvidia/cuda", guarded.address, patience) as repository:
        assert repository.digest("1") == digest
        time.sleep(3)
        assert repository.digest("1") == digest
    assert token_server.asked_for("/token") == 2


@pytest.mark.parametrize("answer", [Answer({"token": "nonsense"}), Answer("no", 403), Answer({})])
def test_a_registry_that_gives_no_token_to_anyone_is_told_in_a_sentence(
    guarded: Registry, token_server: StandIn, answer: Answer
) -> None:
    token_server.answers["/token"] = answer
    patience = Patience(attempts=1, timeout=5)
    repository = Repository("docker.io", "nvidia/cuda", guarded.address, patience)
    with pytest.raises(UnreadableError, match=f"nvidia/cuda at {guarded.address} could not"):
        repository.digest("1")


def test_a_token_is_never_asked_for_over_plain_http(world: World) -> None:
    challenge = f'Bearer realm="{world.index.address}/token",service="x",scope="y"'
    world.index.answers["/token"] = Answer({"token": "secret"})
    world.dates.everything = Answer("who are you?", 401, {"WWW-Authenticate": challenge})
    outcome = world.refresh("--registry", f"docker.io={world.dates.address}")
    assert outcome.code == 1
    assert any("asks for a token over plain HTTP" in sentence for sentence in outcome.failed)
    assert world.index.asked_for("/token") == 0
