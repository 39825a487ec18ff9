"""A project in a company: a private index, a CA of its own, packages of the distribution."""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support import indexes, projects
from tests.support.docker import images
from tests.support.docker.client import BuildFailed, Engine
from tests.support.host import Unavailable


@dataclass(frozen=True)
class Company:
    """A project whose packages come from a private index, and the files for the two secrets."""

    project: Path
    index: indexes.PrivateIndex
    bundle: Path


@pytest.fixture(scope="module")
def company(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Company]:
    """A company with a package index and a CA of its own, and a project that also asks for jq."""
    folder = tmp_path_factory.mktemp("company")
    try:
        index = indexes.PrivateIndex(folder)
    except Unavailable as missing:
        pytest.skip(str(missing))
    # What such a company hands out: the public CAs and its own.
    public = Path(os.environ.get("SSL_CERT_FILE") or ssl.get_default_verify_paths().cafile)
    bundle = folder / "bundle.pem"
    bundle.write_bytes(public.read_bytes() + index.ca.read_bytes())
    project = projects.generate(
        template, folder / "digits", advanced=True, package_index=index.url, apt_packages="jq"
    )
    trusted = {"SSL_CERT_FILE": str(bundle), "NETRC": str(index.netrc)}
    projects.run("uv", "lock", cwd=project, env=trusted)
    assert f'registry = "{index.url}"' in (project / "uv.lock").read_text()
    yield Company(project, index, bundle)
    index.close()


def test_the_private_index_is_reached_with_both_secrets_and_neither_gets_into_the_image(
    company: Company, builder: Callable, docker: Engine
) -> None:
    refused = company.index.refused
    # BuildKit does not look at secrets when it looks for a cached step: first the builds that fail.
    with pytest.raises(BuildFailed) as distrust:
        builder(company.project, "company")
    assert re.search("UnknownIssuer|certificate", distrust.value.said)
    assert company.index.refused == refused
    with pytest.raises(BuildFailed) as stranger:
        builder(company.project, "company", secrets={"ca-certificates": company.bundle})
    assert "401" in stranger.value.said
    assert company.index.refused > refused

    both = {"ca-certificates": company.bundle, "netrc": company.index.netrc}
    built = builder(company.project, "company", secrets=both)

    password = company.index.password
    certificate = company.index.ca.read_text().splitlines()[1]
    with docker.saved(built.tag) as archive:
        for member in archive:
            content = archive.extractfile(member).read() if member.isfile() else b""
            assert password.encode() not in content, member.name
            assert certificate.encode() not in content, member.name
    left = docker.image_members(built.tag)
    assert "/root/.netrc" not in left or left["/root/.netrc"].size == 0
    ran = docker.run(built.tag, "--epochs", "1", user="42420:0")
    assert 0 < images.metrics(ran.stdout)[-1]["test_accuracy"] <= 1

    # The packages of the distribution that were asked for, and no lists of what else there is.
    assert docker.run(built.tag, "-n", "6 * 7", entrypoint="jq").stdout == "42\n"
    lists = [path for path in left if path.startswith("/var/lib/apt/lists/")]
    assert [path for path in lists if left[path].size] == []
