"""Rows of images: which tags exist, what they stand for today, and what their driver rule is.

A row whose tag is gone stays, with the status `gone`, which the solver never chooses; the run
fails if it was offered until then. A tag that nobody had seen (`inferred`) is confirmed or gone.
New tags of the families that the catalogue has get rows, made of the tag itself and of the
image's own variables; a system or a CUDA that the catalogue does not know yet is left to a person.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from packaging.version import Version

from scripts.refresh.registry import Registries, Repository
from scripts.refresh.rows import Catalogue, Report, Row, insert, newest_first
from scripts.refresh.wheels import Index

SOURCE = "registry"
CUDA_TAG = re.compile(
    r"([0-9]{1,2}\.[0-9]{1,2})\.[0-9]{1,2}-(?:(cudnn)[0-9]*-)?(base|runtime|devel)"
    r"-ubuntu([0-9]{2}\.[0-9]{2})"
)
PYTHON_TAG = re.compile(r"([0-9]{1,2}\.[0-9]{1,3})-slim-([a-z]+)")
CUDNN = re.compile(r"([0-9]{1,2})\.[0-9].*")
FLAVOURS = ("base", "runtime", "cudnn-runtime", "devel", "cudnn-devel")
GEFORCE = {"geforce", "geforcertx", "titan", "titanrtx"}


def refresh_images(catalogue: Catalogue, registries: Registries, report: Report) -> None:
    """Read the tags of python, nvidia/cuda and the CI images, each as far as it can be read."""
    for what, step in (
        ("The images of Python", _python),
        ("The images of CUDA", _cuda),
        ("The images of generated CI", _ci),
    ):
        with catalogue.step(what, report):
            step(catalogue, registries, report)


def refresh_uv(catalogue: Catalogue, registries: Registries, index: Index, report: Report) -> None:
    """Move the one row of uv to the newest version that has an image, and read its digest.

    The image is named by a tag that the registry answered for, and the row keeps its tag where
    the index cannot be read.
    """
    row = catalogue.rows("uv", "uv")[0]
    newest = None
    with catalogue.step("The version of uv", report):
        newest = index.newest("uv", row["version"], report)
    with catalogue.step("The image of uv", report):
        _uv(catalogue, registries, newest, report)


def _uv(catalogue: Catalogue, registries: Registries, newest: str | None, report: Report) -> None:
    row = catalogue.rows("uv", "uv")[0]
    repository, tag = registries.of(row["image"])
    name = row["image"].removesuffix(tag)
    if newest:
        digest = repository.digest(newest)
        bound = build_bound(newest)
        if digest is None:
            report.leave(f"uv {newest} is out, but has no image {name}{newest} yet.")
        elif row["build"] != build_bound(row["version"]):
            report.leave(f"uv {newest} is out: set it in uv.json, with a build bound of yours.")
        else:
            image = f"{name}{newest}"
            catalogue.update(row, image=image, version=newest, build=bound, digest=digest)
            return
    digest = repository.digest(tag)
    if digest is None:
        report.fail(_gone(row["image"], "name another version in uv.json"))
    else:
        catalogue.update(row, digest=digest)


def build_bound(version: str) -> str:
    """Return the requirement of uv's build backend that uv itself writes for a version."""
    number = Version(version)
    return f"uv_build>={number.major}.{number.minor},<{number.major}.{number.minor + 1}"


def _ci(catalogue: Catalogue, registries: Registries, report: Report) -> None:
    """The images that generated CI files name: they move, so they are only looked for."""
    for row in catalogue.files["tools"].values():
        for image in (row[key] for key in ("image", "service") if key in row):
            repository, tag = registries.of(image)
            if repository.digest(tag) is None:
                report.fail(_gone(image, "name another one in tools.json"))


def _python(catalogue: Catalogue, registries: Registries, report: Report) -> None:
    rows = catalogue.rows("python", "images")
    repository, _ = registries.of(rows[0]["image"])
    for row in rows:
        _read_tag(catalogue, repository, row, report, lambda row: "current")

    systems = {_tag(row).rpartition("-")[2]: row["os"] for row in rows}
    known = {row["version"] for row in catalogue.rows("python", "versions")}
    newest = max((row["python"] for row in rows), key=Version)
    for tag in sorted(repository.tags - {_tag(row) for row in rows}):
        match = PYTHON_TAG.fullmatch(tag)
        if not match or match[1] not in known:
            continue
        image = f"python:{tag}"
        if match[2] not in systems:
            if Version(match[1]) >= Version(newest):
                report.leave(
                    f"{image} is on a system that no row has: add a row of it to systems.json "
                    "(with its glibc) and of the image to python.json."
                )
            continue
        row = {"image": image, "python": match[1], "os": systems[match[2]]}
        row |= _origin(catalogue, repository.digest(tag))
        insert(rows, row, lambda row: (newest_first(_os(row)), newest_first(row["python"])))


def _cuda(catalogue: Catalogue, registries: Registries, report: Report) -> None:
    rows = catalogue.rows("nvidia-cuda", "images")
    repository, _ = registries.of(rows[0]["image"])
    status = _status_of(rows)
    for row in rows:
        _read_tag(catalogue, repository, row, report, status)
    _new_cuda(catalogue, repository, report)
    status = _status_of(rows)
    for row in rows:
        if row["status"] == "current" and status(row) != "current":
            catalogue.update(row, status=status(row))
    for rule in catalogue.rows("nvidia-cuda", "rules"):
        _read_rule(catalogue, repository, rule, report)


def _read_tag(
    catalogue: Catalogue,
    repository: Repository,
    row: Row,
    report: Report,
    status: Callable[[Row], str],
) -> None:
    """Put what the registry says about a row's tag into the row."""
    before = row.get("status", "current")
    digest = repository.digest(_tag(row))
    if digest is None:
        if before == "current":
            report.fail(
                _gone(row["image"], "merge the changed row, release, and update the projects")
            )
        catalogue.update(row, SOURCE, status="gone")
    elif before in ("gone", "inferred"):
        catalogue.update(row, SOURCE, status=status(row), digest=digest)
    else:
        catalogue.update(row, SOURCE, digest=digest)


def _status_of(rows: Iterable[Row]) -> Callable[[Row], str]:
    """Return a function that tells whether a release is NVIDIA's current one of its minor.

    Only the newest patch of a minor is supported (NVIDIA's support policy); `ended` is a major
    that a person has given up.
    """
    newest: dict[str, str] = {}
    ended = set()
    for row in rows:
        if row["status"] != "gone":
            newest[row["cuda"]] = max(newest.get(row["cuda"], "0"), row["release"], key=Version)
        if row["status"] == "ended":
            ended.add(row["cuda"])

    def status(row: Row) -> str:
        if row["cuda"] in ended:
            return "ended"
        return "current" if row["release"] == newest[row["cuda"]] else "superseded"

    return status


def _new_cuda(catalogue: Catalogue, repository: Repository, report: Report) -> None:
    """Add rows for tags of known releases, newer patches and newer minors."""
    rows = catalogue.rows("nvidia-cuda", "images")
    rules = catalogue.rows("nvidia-cuda", "rules")
    systems = {row["name"] for row in catalogue.rows("systems", "systems")}
    toolkits = {row["cuda"] for row in catalogue.rows("nvidia-cuda", "toolkits")}
    newest_ubuntu = max(Version(_os(row)) for row in rows)
    for release, tags in _interesting(rows, repository.tags).items():
        cuda = release.rpartition(".")[0]
        if cuda not in toolkits:
            report.leave(
                f"nvidia/cuda {release} is out: add CUDA {cuda} to the toolkits of "
                "nvidia-cuda.json, then its images are read."
            )
            continue
        made = []
        for tag in tags:
            match = CUDA_TAG.fullmatch(tag)
            system = f"ubuntu {match[4]}"
            if system not in systems:
                if Version(match[4]) > newest_ubuntu:
                    report.leave(
                        f"nvidia/cuda:{tag} is on a system that no row has: add {system} to "
                        "systems.json (with its glibc), then it is read."
                    )
                continue
            digest = repository.digest(tag)
            cudnn = None
            if match[2]:
                version = repository.environment(digest).get("NV_CUDNN_VERSION", "")
                if not (numbers := CUDNN.fullmatch(version)):
                    report.leave(
                        f"nvidia/cuda:{tag} does not say which cuDNN it has: add its row by hand."
                    )
                    continue
                cudnn = int(numbers[1])
            made.append(
                {
                    "image": f"nvidia/cuda:{tag}",
                    "release": release,
                    "cuda": cuda,
                    "flavour": f"{match[2]}-{match[3]}" if match[2] else match[3],
                    "cudnn": cudnn,
                    "os": system,
                    "status": "current",
                    **_origin(catalogue, digest),
                }
            )
        if made and release not in {rule["release"] for rule in rules}:
            rule = _new_rule(catalogue, repository, release, made, report)
            if rule is None:
                continue
            insert(rules, rule, lambda rule: newest_first(rule["release"]))
        for row in made:
            insert(rows, row, _place)


def _interesting(rows: list[Row], tags: Iterable[str]) -> dict[str, list[str]]:
    """Return the tags without a row, by release, of releases that are or would be current."""
    newest: dict[str, str] = {}
    for row in rows:
        newest[row["cuda"]] = max(newest.get(row["cuda"], "0"), row["release"], key=Version)
    newest_minor = max(newest, key=Version)
    ended = {row["cuda"] for row in rows if row["status"] == "ended"}
    having = {_tag(row) for row in rows}
    found: dict[str, list[str]] = {}
    for tag in sorted(set(tags) - having):
        if not (match := CUDA_TAG.fullmatch(tag)) or match[1] in ended:
            continue
        release, cuda = tag.partition("-")[0], match[1]
        if cuda in newest:
            wanted = Version(release) >= Version(newest[cuda])
        else:
            wanted = Version(cuda) > Version(newest_minor)
        if wanted:
            found.setdefault(release, []).append(tag)
    return found


def _place(row: Row) -> tuple[Any, ...]:
    return newest_first(row["release"]), newest_first(_os(row)), FLAVOURS.index(row["flavour"])


def _new_rule(
    catalogue: Catalogue, repository: Repository, release: str, rows: list[Row], report: Report
) -> Row | None:
    base = _base_of(release, rows)
    facts = base and _rule(repository, base, report)
    if not facts:
        report.leave(f"nvidia/cuda {release} is out, but has no image whose driver rule was read.")
        return None
    origin = {"source": SOURCE, "read": catalogue.today, "read_digest": base["digest"]}
    return {"release": release, **facts, **origin}


def _read_rule(catalogue: Catalogue, repository: Repository, rule: Row, report: Report) -> None:
    """Read the driver rule of a release from its image, if that is another one than last time."""
    base = _base_of(rule["release"], catalogue.rows("nvidia-cuda", "images"))
    if base is None or rule.get("read_digest") == base["digest"]:
        return
    if facts := _rule(repository, base, report):
        catalogue.update(rule, SOURCE, **facts, read_digest=base["digest"])


def _base_of(release: str, rows: Iterable[Row]) -> Row | None:
    """The base image of a release on the newest system, among those that were seen."""
    fitting = [
        row
        for row in rows
        if row["release"] == release
        and row["flavour"] == "base"
        and row["status"] != "gone"
        and row.get("digest")
    ]
    return max(fitting, key=lambda row: Version(_os(row)), default=None)


def _rule(repository: Repository, base: Row, report: Report) -> dict[str, Any] | None:
    environment = repository.environment(base["digest"])
    try:
        facts = driver_rule(environment)
    except ValueError as error:
        report.leave(f"{base['image']}: {error}. Its rule in nvidia-cuda.json is yours to write.")
        return None
    if facts["min_cuda"] != base["cuda"]:
        report.leave(
            f"{base['image']} demands CUDA {facts['min_cuda']}, which its tag does not say: "
            "write its rule in nvidia-cuda.json by hand."
        )
        return None
    return facts | {"read_from": base["release"]}


def driver_rule(environment: Mapping[str, str]) -> dict[str, Any]:
    """Return the fields of a rule that the variables of an nvidia/cuda image state.

    NVIDIA_REQUIRE_CUDA is a list of alternatives separated by spaces, each of them conditions
    joined by commas: a driver that supports the CUDA, or a brand of GPU with a driver of one
    branch (`driver>=535,driver<536`). A branch is kept if every listed brand that is not GeForce
    has it, so that the rule never promises a start that some GPU does not get; `geforce` tells
    that the GeForce and Titan brands have those branches too.

    Raises:
        ValueError: the variable is missing or says something else.
    """
    text = environment.get("NVIDIA_REQUIRE_CUDA", "")
    min_cuda = None
    branches: dict[str, set[int]] = {}
    for alternative in text.split():
        if match := re.fullmatch(r"cuda>=([0-9]{1,2}\.[0-9]{1,2})", alternative):
            min_cuda = match[1]
        elif match := re.fullmatch(
            r"brand=(\w+),driver>=([0-9]{3}),driver<([0-9]{3})", alternative
        ):
            if int(match[3]) != int(match[2]) + 1:
                raise ValueError(f"NVIDIA_REQUIRE_CUDA names no single branch in {alternative!r}")
            branches.setdefault(match[1], set()).add(int(match[2]))
        else:
            raise ValueError(f"NVIDIA_REQUIRE_CUDA has an unknown part {alternative!r}")
    if min_cuda is None:
        raise ValueError("NVIDIA_REQUIRE_CUDA names no CUDA version")
    others = [having for brand, having in branches.items() if brand not in GEFORCE]
    common = set.intersection(*others) if others else set()
    return {
        "min_cuda": min_cuda,
        "driver_branches": sorted(common),
        "geforce": bool(common) and all(common <= branches.get(brand, set()) for brand in GEFORCE),
        "library_path": bool(environment.get("LD_LIBRARY_PATH")),
    }


def _origin(catalogue: Catalogue, digest: str | None) -> Row:
    return {"source": SOURCE, "read": catalogue.today, "digest": digest}


def _gone(image: str, remedy: str) -> str:
    return f"{image} is offered, but its tag is gone from the registry: {remedy}."


def _tag(row: Row) -> str:
    return row["image"].rpartition(":")[2]


def _os(row: Row) -> str:
    """The number of a row's system: "24.04" of "ubuntu 24.04"."""
    return row["os"].rpartition(" ")[2]
