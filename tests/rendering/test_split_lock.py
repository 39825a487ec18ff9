"""The lists that the image is built from: the parts of what `uv export` writes."""

from __future__ import annotations

import platform
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import indexes, projects

SCRIPT = projects.ROOT / "template" / "scripts" / "split_lock.py"
EXPORT = ("uv", "export", "--quiet", "--locked", "--no-emit-project", "--format", "pylock.toml")
PARTS = ("nvidia-cusparse", "nvidia-cusparselt", "nvidia")
MINOR = sys.version_info.minor
MACHINE = platform.machine()

BUILT = {
    "only_source": [],
    "for_others": ["py3-none-win_amd64", "cp312-abi3-macosx_11_0_arm64"],
    "for_musl": [f"py3-none-musllinux_1_2_{MACHINE}"],
    "for_another_machine": ["py3-none-manylinux_2_17_s390x"],
    "for_free_threads": [f"cp3{MINOR}-cp3{MINOR}t-manylinux_2_17_{MACHINE}"],
    "for_a_later_python": [f"cp3{MINOR + 1}-abi3-manylinux_2_17_{MACHINE}"],
}
"""Packages that have to be built by the wheels that they have, beside a source distribution."""
FRAMEWORK = ["framework", "nvidia_cusparse_cu13", "nvidia_cusparselt_cu13", "nvidia_nvvm"]
"""Packages of the framework's group, where `pure` is another, and `native` for other machines."""
READY = {
    "pure": ["py3-none-any"],
    "nvitop": ["py3-none-any"],
    "pure_for_two": ["py2.py3-none-any"],
    "pure_since": [f"py3{MINOR - 1}-none-any"],
    "native": [f"cp3{MINOR}-cp3{MINOR}-manylinux2014_{MACHINE}.manylinux_2_17_{MACHINE}"],
    "stable_abi": ["cp39-abi3-win_amd64", f"cp39-abi3-manylinux_2_17_{MACHINE}"],
    "of_a_private_index": [f"cp3{MINOR}-cp3{MINOR}-linux_{MACHINE}"],
}
"""Packages that have a wheel for this Python on this Linux."""


def parts(text: str) -> list[str]:
    """A pylock.toml as its head and the tables of its packages."""
    return text.rstrip("\n").split("\n\n[[packages]]\n")


def names(text: str) -> set[str]:
    """The packages in a pylock.toml."""
    return {package["name"] for package in tomllib.loads(text)["packages"]}


def split(folder: Path) -> dict[str, str]:
    """What the script writes, by the list's name, run by this Python as the Dockerfile does."""
    for former in folder.glob("pylock.*.toml"):
        if former.name not in ("pylock.group.toml", "pylock.image.toml"):
            former.unlink()
    words = ("pylock.group.toml", "pylock.image.toml", *PARTS)
    projects.run(sys.executable, SCRIPT, *words, cwd=folder)
    lists = {path.name.split(".")[1]: path.read_text() for path in folder.glob("pylock.*.toml")}
    del lists["group"], lists["image"]
    return lists


def export(project: Path) -> dict[str, str]:
    """Lock the project and write the lists of its framework and of all that it needs."""
    projects.run("uv", "lock", "--quiet", cwd=project)
    for name, which in (("group", "--only-group=gpu"), ("image", "--group=gpu")):
        words = ("--no-default-groups", which, "--output-file", f"pylock.{name}.toml")
        projects.run(*EXPORT, *words, cwd=project)
    return {name: (project / f"pylock.{name}.toml").read_text() for name in ("group", "image")}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A project that needs packages of every kind, from an index on loopback and from Git."""
    folder = tmp_path_factory.mktemp("split")
    files = [indexes.make_wheel(folder, name, "1.0", "a library") for name in FRAMEWORK]
    for name, tags in (BUILT | READY).items():
        files.append(indexes.make_sdist(folder, name, "1.0", {}))
        for tag in tags:
            wheel = indexes.make_wheel(folder, name, "1.0", tag)
            files.append(wheel.rename(folder / f"{name}-1.0-{tag}.whl"))
    direct = [
        indexes.make_wheel(folder, "wheel_at_a_url", "1.0", "a wheel"),
        indexes.make_sdist(folder, "source_at_a_url", "1.0", {}),
    ]
    source = folder / "from_git"
    source.mkdir()
    (source / "pyproject.toml").write_text('[project]\nname = "from-git"\nversion = "1.0"\n')
    projects.commit_all(source, "A package")

    index = indexes.Index({"simple": files, "direct": direct})
    urls = {
        path.name.partition("-")[0]: f"{index.url}/direct/"
        + f"{path.name.partition('-')[0].replace('_', '-')}/{path.name}"
        for path in direct
    }
    requirements = [
        *(BUILT | READY),
        *(f"{name} @ {url}" for name, url in urls.items()),
        f"from-git @ git+{source.as_uri()}",
    ]
    project = folder / "demo"
    project.mkdir()
    listed = "".join(f'    "{requirement}",\n' for requirement in requirements)
    (project / "pyproject.toml").write_text(f"""[project]
name = "demo"
version = "1.0"
requires-python = "==3.{MINOR}.*"
dependencies = [
{listed}]

[dependency-groups]
dev = []
gpu = [
    {", ".join(f'"{name}"' for name in (*FRAMEWORK, "only_source", "pure"))},
    "native ; platform_machine == 's390x'",
]

[[tool.uv.index]]
url = "{index.url}/simple"
default = true
""")
    yield project
    index.close()


def test_what_has_no_wheel_for_this_linux_or_comes_from_git_is_built(project: Path) -> None:
    listed = names(export(project)["image"])
    assert len(listed) == len(BUILT | READY) + len(FRAMEWORK) + 3, "the list lacks a package"
    built = {name.replace("_", "-") for name in BUILT} | {"source-at-a-url", "from-git"}
    assert names(split(project)["source"]) == built


def test_the_libraries_of_the_framework_are_told_by_the_longest_beginning_that_fits(
    project: Path,
) -> None:
    export(project)
    lists = split(project)
    assert {part: names(lists[part]) for part in PARTS} == {
        "nvidia-cusparse": {"nvidia-cusparse-cu13"},
        "nvidia-cusparselt": {"nvidia-cusparselt-cu13"},
        "nvidia": {"nvidia-nvvm"},
    }


def test_the_lists_together_are_the_image_and_share_no_package(project: Path) -> None:
    whole = export(project)["image"]
    lists = split(project)
    assert set(lists) == {*PARTS, "framework", "rest", "source"}
    every = [name for text in lists.values() for name in names(text)]
    # `native` is in the framework's list for another machine only.
    assert sorted(every) == sorted([*names(whole), "native"])
    assert "native" in names(lists["rest"])
    assert names(lists["framework"]) == {"framework", "pure", "native"}


def test_a_list_has_the_very_lines_that_uv_wrote(project: Path) -> None:
    """So that the hash of each file is still there, and nothing moves that did not change."""
    exported = export(project)
    for part, text in split(project).items():
        head, *tables = parts(exported["image" if part in ("rest", "source") else "group"])
        first, *kept = parts(text)
        assert first == head
        assert kept and kept == [table for table in tables if table in kept]


def test_a_list_without_a_package_is_one_that_uv_installs(project: Path, tmp_path: Path) -> None:
    exported = export(project)
    for name, text in exported.items():
        head, *tables = parts(text)
        [pure] = [one for one in tables if one.startswith('name = "pure"')]
        (tmp_path / f"pylock.{name}.toml").write_text(f"{head}\n\n[[packages]]\n{pure}\n")
    install = ("uv", "pip", "install", "--preview-features", "pylock", "--target", "installed")
    lists = split(tmp_path)
    assert {part for part, text in lists.items() if names(text)} == {"framework"}
    for part in lists.keys() - {"framework"}:
        projects.run(*install, "--requirements", f"pylock.{part}.toml", cwd=tmp_path)
    assert not list((tmp_path / "installed").glob("*.dist-info"))


def test_neither_the_version_of_the_project_nor_a_dev_dependency_is_in_a_list(
    project: Path,
) -> None:
    """BuildKit compares the content of these files: another byte would install everything again."""
    original = export(project)
    before = split(project)
    pyproject = project / "pyproject.toml"
    text = pyproject.read_text()
    edited = text.replace('version = "1.0"', 'version = "2.0"').replace("dev = []", 'dev = ["six"]')
    assert edited != text
    (project / "six").mkdir()
    (project / "six" / "pyproject.toml").write_text('[project]\nname = "six"\nversion = "1"\n')
    pyproject.write_text(f'{edited}\n[tool.uv.sources]\nsix = {{ path = "six" }}\n')
    after = export(project)
    assert 'name = "six"' in (project / "uv.lock").read_text()
    assert after == original
    assert split(project) == before


def test_no_list_of_a_gpu_project_is_half_a_gigabyte_unless_it_is_a_single_library(
    template: Path, tmp_path: Path, network: None
) -> None:
    """By the sizes of the wheels in the lock. Registries refuse huge layers, and nodes pull several
    at a time.
    """
    answers = {"accelerator": "gpu", "framework": "jax", "driver": "580"}
    made = projects.generate(template, tmp_path / "demo", lock=True, **answers)
    dockerfile = (made / "Dockerfile").read_text()
    command = re.search(r'export="uv export (?:.*\\\n)+.*', dockerfile)[0]
    command = command.replace("python split_lock.py", f"{sys.executable} {SCRIPT}")
    projects.run("sh", "-c", command.replace("\\\n", " "), cwd=made)
    sizes = {}
    for path in made.glob("pylock.*.toml"):
        packages = tomllib.loads(path.read_text())["packages"]
        sizes[path.name.split(".")[1]] = {
            package["name"]: max(
                wheel["size"]
                for wheel in package["wheels"]
                if re.search(r"(x86_64|any)\.whl$", wheel["url"])
            )
            for package in packages
            if "wheels" in package
        }
    whole = sizes.pop("group"), sizes.pop("image")
    assert sum(whole[0].values()) > 2_000_000_000
    assert len([part for part in sizes if part.startswith("nvidia")]) > 5
    for part, wheels in sizes.items():
        assert sum(wheels.values()) < 500_000_000 or len(wheels) == 1, (part, wheels)


@pytest.mark.parametrize(
    "words", [("./libs/common",), ("--no-workspace", "./libs/common"), ("./common-1.0.whl",)]
)
def test_what_the_build_does_not_see_is_refused_in_a_sentence_that_is_true(
    tmp_path: Path, words: tuple[str, ...]
) -> None:
    """`uv export` alone says that it is no member of a workspace, or that it is not found."""
    (tmp_path / "libs" / "common").mkdir(parents=True)
    (tmp_path / "libs" / "common" / "pyproject.toml").write_text(
        '[project]\nname = "common"\nversion = "1.0"\n'
    )
    (tmp_path / "pyproject.toml").write_text(
        f'[project]\nname = "demo"\nversion = "1.0"\nrequires-python = "==3.{MINOR}.*"\n'
        '[build-system]\nrequires = ["uv_build"]\nbuild-backend = "uv_build"\n'
    )
    wheel = indexes.make_wheel(tmp_path, "common", "1.0", "a package")
    wheel.rename(tmp_path / "common-1.0-py3-none-any.whl")
    check = (sys.executable, SCRIPT, "uv.lock")
    projects.run(*check, cwd=tmp_path)
    projects.run("uv", "lock", "--quiet", "--offline", cwd=tmp_path)
    projects.run(*check, cwd=tmp_path)
    place = words[-1].removeprefix("./").replace("1.0.whl", "1.0-py3-none-any.whl")
    projects.run(
        *("uv", "add", "--quiet", "--offline", "--no-sync", *words[:-1], f"./{place}"), cwd=tmp_path
    )
    refused = projects.run(*check, cwd=tmp_path, check=False)
    assert refused.returncode == 1
    assert refused.stderr.startswith(f"common is added from {place}, which the build of the image")
