"""What `.dockerignore` lets into the build. tests/docker looks into the image itself."""

from __future__ import annotations

import re

import pytest

from tests.support import projects

LINES = (projects.ROOT / "template" / ".dockerignore").read_text().splitlines()


def regex(pattern: str) -> str:
    """A pattern of Docker as a regular expression, for a path or for what is below it.

    https://docs.docker.com/build/concepts/context/#syntax
    """
    parts = re.split(r"(\*\*/|\*)", pattern)
    translated = {"**/": "(?:.*/)?", "*": "[^/]*"}
    return "".join(translated.get(part, re.escape(part)) for part in parts) + "(?:/.*)?"


def is_let_in(path: str) -> bool:
    """Does the build see this file? The last line that fits decides."""
    let_in = True
    for line in LINES:
        pattern = line.removeprefix("!")
        if line and not line.startswith("#") and re.fullmatch(regex(pattern), path):
            let_in = line.startswith("!")
    return let_in


@pytest.mark.parametrize(
    "folder", ["", "src/", "src/demo/", "src/demo/deeper/still/", "files/", "files/configs/"]
)
@pytest.mark.parametrize(
    "name",
    [
        *(".env", ".env.production", "prod.env", ".netrc", ".aws/credentials", ".ssh/config"),
        *("id_rsa", "id_rsa.pub", "id_ed25519", "id_ecdsa", "tls.key", "server.pem", "store.p12"),
        *("credentials.json", "gcp-credentials.json", "application_default_credentials.json"),
        *("client_secret.json", "secrets.toml", "secrets.yaml", "secret.yml"),
        *("service-account.json", "service_account_key.json", "kubeconfig"),
    ],
)
def test_a_secret_with_a_usual_name_is_left_out_wherever_it_lies(folder: str, name: str) -> None:
    assert not is_let_in(folder + name)


@pytest.mark.parametrize(
    "path",
    [
        *("main.py", "beside.py", "pyproject.toml", "uv.lock", "scripts/split_lock.py"),
        *("src/demo/__init__.py", "src/demo/credentials.py", "src/demo/credentials/vault.py"),
        *("src/demo/secrets.py", "src/demo/keys.py", "src/demo/environment.py", "src/other/a.py"),
        *("src/demo/configs/base.yaml", "src/demo/labels.json", "src/demo/vocabulary.txt"),
        *("files/configs/base.yaml", "files/model.skops", "files/deeper/still/vocabulary.txt"),
    ],
)
def test_code_and_the_files_beside_it_are_let_in(path: str) -> None:
    assert is_let_in(path)


@pytest.mark.parametrize(
    "path",
    [
        *("data/train.csv", "outputs/model.joblib", ".git/config", ".venv/bin/python"),
        *("configs/base.yaml", "secrets.txt", "tests/test_train.py", "src/demo/__pycache__/a.pyc"),
        *("data/files/a.txt", "profiles/a.txt", "files.tar"),
    ],
)
def test_what_lies_outside_of_the_code_is_left_out(path: str) -> None:
    assert not is_let_in(path)
