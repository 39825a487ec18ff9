"""A small catalogue, and the servers on loopback that its sources are taken to be."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scripts.refresh.command import main
from scripts.refresh.rows import laid_out
from tests.refresh.servers import Answer, Registry, StandIn

READ = "2026-01-10"  # the day on which the small catalogue was read
TODAY = "2026-01-20"
JSON = {"Content-Type": "application/vnd.pypi.simple.v1+json"}
HTML = {"Content-Type": "text/html"}
BRANDS = ("unknown", "tesla", "nvidia", "quadro")
GEFORCE = ("geforce", "geforcertx", "titan", "titanrtx")


def demand(cuda: str, branches: Sequence[int], brands: Sequence[str] = BRANDS) -> str:
    """Return an NVIDIA_REQUIRE_CUDA as NVIDIA writes it."""
    parts = [
        f"brand={brand},driver>={branch},driver<{branch + 1}"
        for branch in branches
        for brand in brands
    ]
    return " ".join([f"cuda>={cuda}", *parts])


def row(source: str = "pypi", **facts: Any) -> dict[str, Any]:
    """Return a row of the catalogue."""
    return {**facts, "source": source, "read": READ}


def cuda_image(tag: str, status: str, source: str, cudnn: int | None = None) -> dict[str, Any]:
    """Return a row of an nvidia/cuda image."""
    release, _, rest = tag.partition("-")
    flavour, _, system = rest.rpartition("-")
    return row(
        source,
        image=f"nvidia/cuda:{tag}",
        release=release,
        cuda=release.rpartition(".")[0],
        flavour=flavour,
        cudnn=cudnn,
        os=system.replace("ubuntu", "ubuntu "),
        status=status,
    )


def toolkit(cuda: str, oldest: str, newest: str) -> dict[str, Any]:
    """Return the row of a CUDA compiler."""
    return row("cuda-release-notes", cuda=cuda, oldest_compute=oldest, newest_compute=newest)


def framework(name: str, package: str, index_url: str | None = None) -> dict[str, Any]:
    """Return the row of a framework."""
    return {
        **{"name": name, "title": name.title(), "package": package, "import": package},
        **{"artefact": "model", "workloads": ["train"]},
        **row(index_url=index_url, library_path="any"),
    }


def release(version: str, pythons: Sequence[str], **facts: Any) -> dict[str, Any]:
    """Return the row of a release."""
    facts = {"companions": {}} | facts
    return row(version=version, released="2025-12-01", pythons=list(pythons), **facts)


def build(
    version: str, requirement: str, cuda: str | None = None, index: str | None = None, **facts: Any
) -> dict[str, Any]:
    """Return the row of a build."""
    return row(
        version=version,
        build=index or ("cpu" if cuda is None else "plain"),
        cuda=cuda,
        cudnn=9 if cuda else None,
        index=index,
        requirements=[f"{requirement}=={version}"],
        kernels={"amd64": ["8.0", "9.0+PTX"]} if cuda else {},
        bundles_cuda=cuda is not None,
        marker=None,
        download_mb=None,
        **facts,
    )


def pulled(name: str, package: str) -> dict[str, Any]:
    """Return the row of a library that a build pulls."""
    return row(framework=name, build="plain", package=package, newest="9.10.2.21")


def small_catalogue() -> dict[str, dict[str, Any]]:
    """Return the files of a catalogue with one row of each kind that the refresh knows."""
    described = ("pypi", "endoflife", "distributions", "docker-library", "nvidia-list", "inferred")
    return {
        "calendar": {"as_of": READ, "note": "a note"},
        "sources": {
            "sources": [
                {"name": name, "what": f"what {name} is", "address": None}
                for name in (*described, "nvidia-dockerfiles", "cuda-release-notes", "tags", "list")
            ]
        },
        "systems": {
            "systems": [
                row("distributions", name="debian 13", glibc="2.41", end_of_life="2028-08-09"),
                row("distributions", name="debian 12", glibc="2.36", end_of_life="2026-07-11"),
                row("distributions", name="ubuntu 24.04", glibc="2.39", end_of_life="2029-05-31"),
                row("distributions", name="ubuntu 22.04", glibc="2.35", end_of_life="2027-04-01"),
            ]
        },
        "drivers": {
            "floors": [row("cuda-release-notes", cuda_major=12, driver="525.60.13")],
            "branches": [
                row(
                    "cuda-release-notes",
                    branch=590,
                    cuda="13.1",
                    kind="new-feature",
                    end_of_life="2026-12",
                ),
                row(
                    "cuda-release-notes",
                    branch=580,
                    cuda="13.0",
                    kind="long-term",
                    end_of_life="2028-08",
                ),
                row("cuda-release-notes", branch=575, cuda="12.9", kind="ended", end_of_life=None),
            ],
            "container_toolkit": [row("cuda-release-notes", version="1.17.5")],
            "forward": [row("cuda-release-notes", cuda="12.8", branches=[535])],
        },
        "python": {
            "versions": [
                row("endoflife", version="3.14", end_of_life="2030-10-31"),
                row("endoflife", version="3.13", end_of_life="2029-10-31"),
            ],
            "images": [
                row(
                    "docker-library",
                    image="python:3.13-slim-trixie",
                    python="3.13",
                    os="debian 13",
                    note="written by a person",
                ),
                row(
                    "docker-library",
                    image="python:3.13-slim-bookworm",
                    python="3.13",
                    os="debian 12",
                ),
            ],
        },
        "uv": {
            "uv": [
                row(
                    image="ghcr.io/astral-sh/uv:0.9.8",
                    version="0.9.8",
                    build="uv_build>=0.9,<0.10",
                )
            ]
        },
        "tools": {
            "ruff": row(version="0.14.0", note="the newest that was a week old"),
            "actions/checkout": row("tags", pin="actions/checkout@0 # v1"),
            "docker": row("list", image="docker:29-cli", service="docker:29-dind"),
        },
        "pulled": {
            "pulled": [
                pulled("pytorch", "nvidia-cudnn-cu12"),
                pulled("jax", "nvidia-cudnn-cu13"),
                pulled("onnxruntime", "nvidia-cudnn-cu12"),
            ]
        },
        "nvidia-cuda": {
            "rules": [
                row(
                    "nvidia-dockerfiles",
                    release="13.0.3",
                    min_cuda="13.0",
                    driver_branches=[535],
                    geforce=False,
                    read_from="13.0.0",
                    library_path=True,
                ),
                row(
                    "nvidia-dockerfiles",
                    release="12.8.1",
                    min_cuda="12.8",
                    driver_branches=[470, 535],
                    geforce=False,
                    read_from="12.8.1",
                    library_path=True,
                ),
            ],
            "images": [
                cuda_image("13.0.3-base-ubuntu24.04", "current", "nvidia-list"),
                cuda_image("13.0.3-cudnn-runtime-ubuntu24.04", "inferred", "inferred", 9),
                cuda_image("12.8.1-base-ubuntu24.04", "current", "nvidia-list"),
                cuda_image("12.8.1-base-ubuntu22.04", "current", "nvidia-list"),
            ],
            "toolkits": [
                toolkit("12.8", "5.0", "12.0"),
                toolkit("13.0", "7.5", "12.1"),
            ],
        },
        "scikit-learn": {
            "framework": framework("scikit-learn", "scikit-learn"),
            "releases": [release("1.8.0", ["3.13", "3.14"])],
            "builds": [build("1.8.0", "scikit-learn")],
        },
        "pytorch": {
            "framework": framework("pytorch", "torch", "https://download.pytorch.org/whl"),
            "releases": [release("2.9.1", ["3.13"], companions={"torchvision": "0.24.1"})],
            "builds": [
                build("2.9.1", "torch", "12.8"),
                build("2.9.1", "torch", "12.6", "cu126"),
                build("2.9.1", "torch", None, "cpu"),
            ],
        },
        "jax": {
            "framework": framework("jax", "jax"),
            "releases": [release("0.8.1", ["3.13"])],
            "builds": [build("0.8.1", "jax[cuda13]", "13.0"), build("0.8.1", "jax")],
        },
        "tensorflow": {
            "framework": framework("tensorflow", "tensorflow"),
            "releases": [release("2.20.0", ["3.13"])],
            "builds": [build("2.20.0", "tensorflow")],
        },
        "xgboost": {
            "framework": framework("xgboost", "xgboost"),
            "releases": [release("3.2.0", ["3.13"])],
            "builds": [build("3.2.0", "xgboost")],
        },
        "onnxruntime": {
            "framework": framework("onnxruntime", "onnxruntime"),
            "releases": [
                release("1.23.2", ["3.13"]),
                release("1.22.0", ["3.13"], broken="a person's reason"),
            ],
            "builds": [
                build("1.23.2", "onnxruntime-gpu", "12.8"),
                build("1.23.2", "onnxruntime"),
                build("1.22.0", "onnxruntime"),
            ],
        },
    }


def write(folder: Path, files: Mapping[str, Any]) -> None:
    """Write the files of a catalogue."""
    for name, data in files.items():
        (folder / f"{name}.json").write_text(laid_out(data), "utf-8")


def wheel(
    project: str,
    version: str,
    python: str = "3.13",
    platform: str = "manylinux_2_28_x86_64",
    abi: str | None = None,
    day: str = "2025-12-01",
    yanked: bool | str = False,
    requires: str | None = None,
) -> dict[str, Any]:
    """Return a file of a page of the index; `python` "py3" makes a wheel without compiled files."""
    if python == "py3":
        tag = "py3-none-any"
    else:
        interpreter = "cp" + python.replace(".", "")
        tag = f"{interpreter}-{abi or interpreter}-{platform}"
    return {
        "filename": f"{project.replace('-', '_')}-{version}-{tag}.whl",
        "url": "https://example.org/never-fetched.whl",
        "hashes": {},
        "requires-python": requires,
        "upload-time": f"{day}T12:00:00.000000Z",
        "yanked": yanked,
    }


def ended(name: str, end: str | None, released: str | None = "2020-01-01") -> dict[str, Any]:
    """Return a release as endoflife.date's API (v1) tells it."""
    return {
        "name": name,
        "label": name,
        "releaseDate": released,
        "isEol": False,
        "eolFrom": end,
        "isMaintained": True,
    }


def driver_branch(kind: str, *releases: tuple[str, str]) -> dict[str, Any]:
    """Return a branch as NVIDIA's releases.json tells it: version and day, newest first."""
    notes = "https://docs.nvidia.com/datacenter/tesla/tesla-release-notes"
    return {
        "type": kind,
        "driver_info": [
            {
                "release_version": version,
                "release_date": day,
                "release_notes": f"{notes}-{version.replace('.', '-')}/index.html",
                "architectures": ["x86_64", "aarch64"],
                "runfile_url": {"x86_64": f"https://example.org/{version}.run"},
            }
            for version, day in releases
        ],
    }


def toolkit_listing(releases: Sequence[str]) -> str:
    """Return the page of https://developer.download.nvidia.com/compute/cuda/redist/."""
    names = ["cuda_nvcc/", *(f"redistrib_{release}.json" for release in releases)]
    links = "".join(f"<li><a href='{name}'>{name}</a></li>" for name in names)
    return f"<html><body><a href='..'>..</a>{links}</body></html>"


def cuda_environment(tag: str, branches: Sequence[int]) -> dict[str, str]:
    """Return the variables of an nvidia/cuda image."""
    return {
        "NVIDIA_REQUIRE_CUDA": demand(".".join(tag.split(".")[:2]), branches),
        "LD_LIBRARY_PATH": "/usr/local/nvidia/lib",
        "NV_CUDNN_VERSION": "9.15.1.9-1",
    }


def fill(registry: Registry) -> dict[str, str]:
    """Push what the small catalogue names; return the digests by image."""
    plain = [row["image"] for row in small_catalogue()["python"]["images"]]
    plain += ["docker:29-cli", "docker:29-dind", "astral-sh/uv:0.9.8"]
    digests = {image: registry.push(image) for image in plain}
    branches = {"13.0.3": [535], "12.8.1": [470, 535]}
    for row in small_catalogue()["nvidia-cuda"]["images"]:
        tag = row["image"].rpartition(":")[2]
        environment = cuda_environment(tag, branches[row["release"]])
        digests[row["image"]] = registry.push(row["image"], environment)
    return digests


@dataclass
class Outcome:
    """What a run of the command did."""

    code: int
    said: str
    files: dict[str, dict[str, Any]]
    texts: dict[str, str]

    def row(self, file: str, section: str, **facts: Any) -> dict[str, Any]:
        """Return the one row that has those facts."""
        rows = self.files[file][section]
        found = [row for row in rows if all(row.get(key) == facts[key] for key in facts)]
        assert len(found) == 1, (facts, rows)
        return found[0]

    def image(self, image: str) -> dict[str, Any]:
        """Return the row of an image."""
        return self.row("python" if image.startswith("python:") else "nvidia-cuda", "images",
                        image=image)  # fmt: skip

    @property
    def changed(self) -> list[str]:
        """The lines that say what changed."""
        return self._lines("Changed") or self._lines("Would change")

    @property
    def failed(self) -> list[str]:
        """The sentences that say what failed."""
        return self._lines("Failed")

    @property
    def left(self) -> list[str]:
        """The sentences that are for a person."""
        return self._lines("For a person")

    def _lines(self, title: str) -> list[str]:
        for part in self.said.split("## "):
            if part.startswith(f"{title} ("):
                return [line[3:-1] for line in part.splitlines() if re.fullmatch("- `.*`", line)]
        return []


@dataclass
class World:
    """The small catalogue in a folder, and its sources as they are today.

    Attributes:
        folder: of the catalogue.
        registry: a real one, for docker.io and ghcr.io.
        index: a stand-in for PyPI (/simple/) and for PyTorch's index (/whl/).
        dates: a stand-in for endoflife.date.
        nvidia: a stand-in for NVIDIA's lists of drivers and of CUDA releases.
        out: reads what was printed.
        digests: what was pushed, by image.
        pages, ends, torch, drivers, toolkits: what the stand-ins say.
        requires: by project, what the metadata of its wheels require.
        instead: what they answer in place of that, by path.
    """

    folder: Path
    registry: Registry
    index: StandIn
    dates: StandIn
    nvidia: StandIn
    out: Any
    digests: dict[str, str] = field(default_factory=dict)
    pages: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    ends: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    torch: dict[str, list[str]] = field(default_factory=dict)
    drivers: dict[str, dict[str, Any]] = field(default_factory=dict)
    toolkits: list[str] = field(default_factory=list)
    requires: dict[str, list[str]] = field(default_factory=dict)
    instead: dict[str, Answer] = field(default_factory=dict)

    def settle(self) -> None:
        """Let the index and the dates say what the small catalogue says."""
        both = ["3.13", "3.14"]
        self.pages = {
            "scikit-learn": [wheel("scikit_learn", "1.8.0", python) for python in both],
            "torch": [wheel("torch", "2.9.1")],
            "torchvision": [wheel("torchvision", "0.24.1")],
            "jax": [wheel("jax", "0.8.1", "py3")],
            "jaxlib": [wheel("jaxlib", "0.8.1")],
            "tensorflow": [wheel("tensorflow", "2.20.0")],
            "xgboost": [wheel("xgboost", "3.2.0")],
            "onnxruntime": [wheel("onnxruntime", "1.23.2"), wheel("onnxruntime", "1.22.0")],
            "onnxruntime-gpu": [wheel("onnxruntime-gpu", "1.23.2")],
            "jax-cuda13-plugin": [wheel("jax-cuda13-plugin", "0.8.1")],
            "nvidia-cudnn-cu12": [wheel("nvidia-cudnn-cu12", "9.10.2.21", "py3")],
            "nvidia-cudnn-cu13": [wheel("nvidia-cudnn-cu13", "9.10.2.21", "py3")],
            "uv": [wheel("uv", "0.9.8", "py3")],
            "ruff": [wheel("ruff", "0.14.0", "py3")],
        }
        linux = 'platform_system == "Linux"'
        self.requires = {
            "torch": ["numpy", f"nvidia-cudnn-cu12==9.10.2.21; {linux}"],
            "jax": ["jax-cuda13-plugin[with-cuda]<=0.8.1,>=0.8.1; extra == 'cuda13'"],
            "jax-cuda13-plugin": ["nvidia-cudnn-cu13<10.0,>=9.8; extra == 'with-cuda'"],
            "onnxruntime-gpu": ["flatbuffers", "nvidia-cudnn-cu12~=9.0"],
        }
        self.torch = {
            label: [f"torch-2.9.1+{label}-cp313-cp313-manylinux_2_28_x86_64.whl"]
            for label in ("cu126", "cpu")
        }
        self.ends = {
            "python": [ended("3.14", "2030-10-31"), ended("3.13", "2029-10-31")],
            "debian": [ended("13", "2028-08-09"), ended("12", "2026-07-11")],
            "ubuntu": [ended("24.04", "2029-05-31"), ended("22.04", "2027-04-01")],
        }
        self.drivers = {
            "590": driver_branch("new feature branch", ("590.48.01", "2025-12-18")),
            "580": driver_branch(
                "lts branch", ("580.126.09", "2026-01-13"), ("580.65.06", "2025-08-04")
            ),
            "460": driver_branch(
                "production branch", ("460.106.00", "2021-10-26"), ("460.32.03", "")
            ),
        }
        self.toolkits = ["12.8.1", "13.0.3", "13.0.0"]

    def push(self, image: str, **options: Any) -> str:
        """Push an image, and remember its digest."""
        self.digests[image] = self.registry.push(image, **options)
        return self.digests[image]

    def push_cuda(self, tag: str, branches: Sequence[int], **more: Any) -> str:
        """Push an nvidia/cuda image that demands a driver as NVIDIA's do."""
        environment = cuda_environment(tag, branches) | more
        return self.push(f"nvidia/cuda:{tag}", environment=environment)

    def edit(self, name: str) -> _Editing:
        """Change a file of the catalogue in a `with` block."""
        return _Editing(self.folder / f"{name}.json")

    def texts(self) -> dict[str, str]:
        """The files of the catalogue as they lie there."""
        return {path.stem: path.read_text("utf-8") for path in self.folder.glob("*.json")}

    def publish(self) -> None:
        """Put the pages into the stand-ins."""
        for project, files in self.pages.items():
            for file in files if project in self.requires else ():
                self._show_metadata(file, self.requires[project])
            page = {"meta": {"api-version": "1.0"}, "name": project, "files": files}
            self.index.answers[f"/simple/{project}/"] = Answer(page, headers=JSON)
        for label, names in self.torch.items():
            links = "".join(
                f'<a href="{name.replace("+", "%2B")}">{name}</a><br/>' for name in names
            )
            page = f"<!DOCTYPE html><html><body>{links}</body></html>"
            self.index.answers[f"/whl/{label}/torch/"] = Answer(page, headers=HTML)
        self.nvidia.answers["/releases.json"] = Answer(self.drivers)
        self.nvidia.answers["/redist/"] = Answer(toolkit_listing(self.toolkits), headers=HTML)
        for product, releases in self.ends.items():
            result = {"schema_version": "1.2.0", "result": {"name": product, "releases": releases}}
            self.dates.answers[f"/api/v1/products/{product}/"] = Answer(result)
        for stand_in in (self.index, self.dates, self.nvidia):
            stand_in.answers |= self.instead

    def _show_metadata(self, file: dict[str, Any], requires: list[str]) -> None:
        """Let the index show the metadata of a file beside it (PEP 658)."""
        lines = ["Metadata-Version: 2.4", "Name: project", "Version: 1"]
        text = "\n".join([*lines, *(f"Requires-Dist: {each}" for each in requires)]).encode()
        file["url"] = f"{self.index.address}/files/{file['filename']}"
        file["core-metadata"] = {"sha256": hashlib.sha256(text).hexdigest()}
        self.index.answers[f"/files/{file['filename']}.metadata"] = Answer(text)

    def arguments(self, *more: str, today: str = TODAY) -> list[str]:
        """Return the arguments of a run against these servers, which does not wait long."""
        return [
            *("--catalogue", str(self.folder)),
            *("--today", today),
            *("--registry", f"docker.io={self.registry.address}"),
            *("--registry", f"ghcr.io={self.registry.address}"),
            *("--index", f"{self.index.address}/simple/"),
            *("--pytorch-index", f"{self.index.address}/whl"),
            *("--end-of-life", f"{self.dates.address}/api/v1"),
            *("--drivers", f"{self.nvidia.address}/releases.json"),
            *("--toolkits", f"{self.nvidia.address}/redist/"),
            *("--attempts", "2", "--pause", "0.01", "--longest-pause", "3", "--timeout", "5"),
            *more,
        ]

    def refresh(self, *more: str, today: str = TODAY) -> Outcome:
        """Run the command."""
        self.publish()
        code = main(self.arguments(*more, today=today))
        texts = self.texts()
        files = {name: json.loads(text) for name, text in texts.items()}
        return Outcome(code, self.out.readouterr().out, files, texts)


@dataclass
class _Editing:
    path: Path

    def __enter__(self) -> dict[str, Any]:
        self.data = json.loads(self.path.read_text("utf-8"))
        return self.data

    def __exit__(self, *exception: Any) -> None:
        self.path.write_text(laid_out(self.data), "utf-8")
