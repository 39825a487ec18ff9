"""Drydock's Jinja extension: it chooses the image, the wheels and the versions.

The form (`copier.yml`) asks; this file answers. Read it from top to bottom:

1. The catalogue    rows read from `catalogue/*.json`, which hold every fact.
2. The request      the answers of the form, tidied; `None` means "free".
3. The constraints  a table of small rules, each with a name.
4. The solver       the first combination of rows that breaks no constraint.
5. The refusal      the smallest set of answers that conflict, and the nearest ones that do not.
6. The stack        the solution as the mapping that the templates read.
7. The form         defaults, choices and checks for each question.
8. The extension    the thin Jinja layer over all that.

Everything up to 7 is a pure function of a catalogue and a mapping of answers. Nothing in here
formats an image tag: the solver returns rows of the catalogue or nothing. There is no network
access, no subprocess and no write; the only files read are the catalogue and, for the default
of one question, the version of a loaded NVIDIA driver.

The file imports no sibling: Copier executes it afresh for the old and the new template during
an update, and a sibling would be imported once and mix their data.
"""

from __future__ import annotations

import difflib
import json
import keyword
import re
import sys
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cache, cached_property
from itertools import combinations
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from copier.errors import UserMessageError
from jinja2 import pass_context
from jinja2.ext import Extension

CATALOGUE = Path(__file__).parent / "catalogue"

# --------------------------------------------------------------------------------------------
# 1. The catalogue
# --------------------------------------------------------------------------------------------

Version = tuple[int, ...]


@cache
def version(text: str) -> Version:
    """Turn "535.183.01" into (535, 183, 1), which compares the way versions do.

    A shorter version sorts before a longer one with the same beginning: "525" means the oldest
    of its branch, so it does not reach "525.60.13".
    """
    return tuple(int(part) for part in text.split("."))


@dataclass(frozen=True)
class Framework:
    """A machine-learning framework, for instance PyTorch."""

    name: str
    title: str
    package: str
    module: str
    offered: bool
    order: int
    artefact: str
    workloads: tuple[str, ...]
    index_url: str | None
    library_path: str


@dataclass(frozen=True)
class Wheel:
    """One build of one release of a framework, for instance PyTorch 2.15.0 for CUDA 13.0.

    `cuda` is None for a CPU build. `kernels` maps a CPU architecture to the compute capabilities
    compiled in; "12.0+PTX" also runs on every newer one.
    """

    framework: str
    version: str
    build: str
    cuda: str | None
    cudnn: int | None
    index: str | None
    requirements: tuple[str, ...]
    kernels: Mapping[str, tuple[str, ...]]
    bundles_cuda: bool
    marker: str | None
    download_mb: int | None
    pythons: tuple[str, ...]
    companions: Mapping[str, str]
    broken: str | None

    @property
    def accelerator(self) -> str:
        """What the build runs on: "gpu" or "cpu"."""
        return "cpu" if self.cuda is None else "gpu"

    @cached_property
    def cuda_version(self) -> Version:
        """The CUDA version as numbers, (0, 0) where there is none."""
        return version(self.cuda or "0.0")


@dataclass(frozen=True)
class Image:
    """A base image: python:slim (`python` is set) or nvidia/cuda (`cuda` is set)."""

    image: str
    os: str
    status: str
    python: str | None = None
    cuda: str | None = None
    flavour: str | None = None
    cudnn: int | None = None
    min_cuda: str | None = None
    driver_branches: tuple[int, ...] = ()
    geforce: bool = False
    digest: str | None = None
    library_path: bool = False

    @property
    def kind(self) -> str:
        """ "slim" for a python image, "nvidia" for one with CUDA."""
        return "slim" if self.cuda is None else "nvidia"

    @cached_property
    def cuda_version(self) -> Version:
        """The CUDA version as numbers, (0, 0) where there is none."""
        return version(self.cuda or "0.0")


@dataclass(frozen=True)
class Gpu:
    """A GPU model: what it needs of a wheel (compute, host) and of a driver (from, to)."""

    name: str
    compute: str
    generation: str
    brand: str
    host: str
    driver_from: str | None
    driver_to: str | None
    refused: str | None = None


class Catalogue:
    """The facts, read from a folder of JSON files and joined into rows.

    Args:
        folder: where the `*.json` files lie.

    Raises:
        OSError, ValueError, KeyError: a file is missing or is not the catalogue it should be.
    """

    FRAMEWORKS = ("scikit-learn", "pytorch", "jax", "tensorflow", "onnxruntime")

    def __init__(self, folder: Path = CATALOGUE) -> None:
        """Read the folder."""
        data = {path.stem: json.loads(path.read_text("utf-8")) for path in folder.glob("*.json")}
        self.as_of: str = data["calendar"]["as_of"]
        self.tools: dict[str, Any] = data["tools"]
        self.dependencies: list[dict[str, Any]] = data["dependencies"]["dependencies"]
        self.uv: dict[str, str] = data["uv"]["uv"][0]
        self.platforms = {row["name"]: row for row in data["platforms"]["platforms"]}
        self.python_end = {row["version"]: row["end_of_life"] for row in data["python"]["versions"]}
        self.systems = {row["name"]: row for row in data["systems"]["systems"]}
        self.gpus = {row["name"]: _row(Gpu, row) for row in data["gpus"]["gpus"]}
        self.floors = {row["cuda_major"]: row["driver"] for row in data["drivers"]["floors"]}
        self.branches = data["drivers"]["branches"]
        self.toolkits = {row["cuda"]: row for row in data["nvidia-cuda"]["toolkits"]}
        self.frameworks = {
            name: _row(Framework, {**row, "module": row["import"]})
            for name in self.FRAMEWORKS
            for row in [data[name]["framework"]]
        }
        self.wheels = {name: _best_first(_wheels(name, data[name])) for name in self.FRAMEWORKS}
        rules = {row["release"]: row for row in data["nvidia-cuda"]["rules"]}
        self.images = tuple(
            [
                _row(Image, {**row, **_without_origin(rules[row["release"]])})
                for row in data["nvidia-cuda"]["images"]
            ]
            + [
                _row(Image, {**row, "status": "current"})
                for row in data["python"]["images"]
                if row.get("status") != "gone"
            ]
        )

    @cached_property
    def builders(self) -> tuple[Image, ...]:
        """The images that have nvcc."""
        return tuple(image for image in self.images if "devel" in (image.flavour or ""))

    @cached_property
    def pythons(self) -> tuple[str, ...]:
        """Python versions, newest first."""
        return tuple(sorted(self.python_end, key=version, reverse=True))

    @cached_property
    def imaged_pythons(self) -> frozenset[str]:
        """Python versions that have a plain image."""
        return frozenset(image.python for image in self.images if image.python)

    @cached_property
    def common_python(self) -> str:
        """The newest Python that the newest release of every framework supports.

        It is the default: a project can then change its framework without changing Python, and
        a machine is likely to have it already.
        """
        newest = [set(wheels[0].pythons) for wheels in self.wheels.values()]
        return next(python for python in self.pythons if all(python in some for some in newest))

    def driver_cuda(self, driver: Version) -> Version:
        """Return the newest CUDA that a driver supports, (0, 0) if it is older than the rows.

        It is a property of the driver's branch: 550.54.14 and 550.144.03 both support 12.4.
        """
        for row in self.branches:
            if row["cuda"] and row["branch"] <= driver[0]:
                return version(row["cuda"])
        return (0, 0)

    def driver_of_cuda(self, cuda: str) -> str:
        """Return the driver branch that first supports a CUDA version."""
        wanted = version(cuda)
        fitting = [row["branch"] for row in self.branches if version(row["cuda"]) >= wanted]
        return str(min(fitting, default=self.branches[0]["branch"] + 1))

    def python_image(self, python: str) -> Image:
        """The plain image of a Python version on the newest system."""
        rows = [row for row in self.images if row.kind == "slim" and row.python == python]
        return min(rows, key=_os_age)

    def branch(self, driver: str) -> Mapping[str, Any] | None:
        """Return the row of a driver's branch, None if there is none."""
        number = version(driver)[0]
        return next((row for row in self.branches if row["branch"] == number), None)

    def long_term_driver(self, today: str) -> str:
        """Return the oldest driver branch that has long-term support on a day.

        Hosts that must not change stay on it, and what runs on it runs on every newer one.
        """
        return next(
            str(row["branch"])
            for row in reversed(self.branches)
            if row["kind"] == "long-term" and is_supported(row["end_of_life"], today)
        )


def _row(cls: type, row: Mapping[str, Any]) -> Any:
    """Build a dataclass from a JSON row, leaving out what the class does not hold."""
    wanted = {field.name for field in fields(cls)}
    return cls(
        **{
            name: tuple(value) if isinstance(value, list) else value
            for name, value in row.items()
            if name in wanted
        }
    )


def _without_origin(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in ("source", "read")}


def _wheels(framework: str, data: Mapping[str, Any]) -> Iterator[Wheel]:
    """Join the builds of a framework with their releases."""
    releases = {row["version"]: row for row in data["releases"]}
    for build in data["builds"]:
        release = releases[build["version"]]
        yield _row(
            Wheel,
            {
                **build,
                "framework": framework,
                "kernels": {host: tuple(row) for host, row in build["kernels"].items()},
                "pythons": release["pythons"],
                "companions": release["companions"],
                "broken": build.get("broken") or release.get("broken"),
            },
        )


def _best_first(wheels: Iterable[Wheel]) -> tuple[Wheel, ...]:
    """Sort by release, newest first; of one the build with its own CUDA, PyPI's, newest CUDA."""
    by_cuda = sorted(wheels, key=lambda wheel: wheel.cuda_version, reverse=True)
    by_build = sorted(by_cuda, key=lambda wheel: (not wheel.bundles_cuda, wheel.index is not None))
    return tuple(sorted(by_build, key=lambda wheel: version(wheel.version), reverse=True))


# --------------------------------------------------------------------------------------------
# 2. The request
# --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Request:
    """What is asked of the solver. The fields are named after the questions of the form.

    `None`, or an empty tuple, means that the answer is free: any value will do. `gpus` holds
    names of the catalogue, or "any" alone.
    """

    today: str
    accelerator: str = "cpu"
    workload: str | None = None
    framework: str | None = None
    gpus: tuple[str, ...] = ()
    driver: str | None = None
    python_version: str | None = None
    platform: str | None = None
    framework_version: str | None = None
    cuda: str | None = None
    gpu_base: str | None = None
    compile_cuda: bool = False

    @cached_property
    def driver_version(self) -> Version | None:
        """The driver as numbers, None if it is free."""
        return version(self.driver) if self.driver else None


class BadAnswerError(ValueError):
    """One answer is not acceptable by itself.

    Attributes:
        question: the name of the question.
        sentence: what is wrong and what to answer instead.
    """

    def __init__(self, question: str, sentence: str) -> None:
        """Keep both, and join them to the message."""
        super().__init__(f"{question}: {sentence}")
        self.question = question
        self.sentence = sentence


GPU_QUESTIONS = ("gpus", "driver", "cuda", "gpu_base", "compile_cuda")
SOLVER_QUESTIONS = tuple(field.name for field in fields(Request) if field.name != "today")


def _today(catalogue: Catalogue, answers: Mapping[str, Any]) -> str:
    """The day that end-of-life dates are compared with: an answer, else the catalogue's own."""
    return str(answers.get("today") or catalogue.as_of)


def read_request(catalogue: Catalogue, answers: Mapping[str, Any]) -> Request:
    """Turn answers into a request. An answer that is absent stays free.

    Args:
        catalogue: the facts.
        answers: question to answer; strings as they stand on a command line are understood.
            `today` (an ISO date) may be among them and defaults to the catalogue's own date.

    Raises:
        BadAnswerError: an answer is malformed or not in the catalogue.
    """
    values: dict[str, Any] = {"today": _today(catalogue, answers)}
    given = {name: answers[name] for name in SOLVER_QUESTIONS if name in answers}
    if given.get("accelerator", "cpu") == "cpu":
        given = {name: value for name, value in given.items() if name not in GPU_QUESTIONS}
    for name, value in given.items():
        sentence = check_alone(catalogue, answers, name, value)
        if sentence:
            raise BadAnswerError(name, sentence)
        if name == "gpus":
            values[name] = as_list(value)
        elif name == "compile_cuda":
            values[name] = as_bool(value)
        elif str(value) != "auto":
            values[name] = str(value)
    return Request(**values)


# --------------------------------------------------------------------------------------------
# 3. The constraints
# --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Constraint:
    """One rule.

    Attributes:
        name: what it is called in tests and documents.
        on: which rows it looks at (see `solve`): "answers" (none), "wheel", "python" (wheel and
            Python), "image", "fit" (wheel, Python and image) or "devel" (wheel, image, builder).
        holds: a function of the catalogue, the request and those rows.
        rule: the rule in words, for refusals and for the documentation.
        silent: the rule is merely that an answer is what it is; refusals do not repeat it.
    """

    name: str
    on: str
    holds: Callable[..., bool]
    rule: str
    silent: bool


CONSTRAINTS: list[Constraint] = []


def constraint(on: str, *, silent: bool = False) -> Callable[..., Callable[..., bool]]:
    """Enter a function into the table of constraints, with its docstring as the rule.

    Args:
        on: see `Constraint.on`.
        silent: the rule is merely that an answer is what it is; refusals do not repeat it.
    """

    def enter(holds: Callable[..., bool]) -> Callable[..., bool]:
        name = holds.__name__.replace("_", "-")
        rule = " ".join((holds.__doc__ or "").split())
        CONSTRAINTS.append(Constraint(name, on, holds, rule, silent))
        return holds

    return enter


def named_gpus(catalogue: Catalogue, request: Request) -> Iterator[Gpu]:
    """Yield the rows of the GPUs that are named; "any" names none."""
    return (catalogue.gpus[name] for name in request.gpus if name != "any")


@constraint("answers")
def gpu_runs_ordinary_wheels(catalogue: Catalogue, request: Request) -> bool:
    """A GPU that needs NVIDIA's l4t images and Jetson wheels is not in the catalogue."""
    return not any(gpu.refused for gpu in named_gpus(catalogue, request))


@constraint("answers")
def driver_knows_gpu(catalogue: Catalogue, request: Request) -> bool:
    """A driver knows a GPU from the release that introduced it to the last branch with it."""
    driver = request.driver_version
    return driver is None or all(
        # A branch alone, such as 570, stands for any of its releases here.
        (not gpu.driver_from or driver >= version(gpu.driver_from)[: len(driver)])
        and (not gpu.driver_to or driver[0] <= version(gpu.driver_to)[0])
        for gpu in named_gpus(catalogue, request)
    )


@constraint("answers")
def platform_has_host(catalogue: Catalogue, request: Request) -> bool:
    """The GPU must sit in a machine of the platform's CPU architecture."""
    if request.platform is None:
        return True
    architecture = catalogue.platforms[request.platform]["architecture"]
    hosts = {gpu.host for gpu in named_gpus(catalogue, request)}
    return architecture is None or hosts <= {architecture}


@constraint("wheel", silent=True)
def build_is_for_accelerator(catalogue: Catalogue, request: Request, wheel: Wheel) -> bool:
    """The build is the one for the accelerator."""
    return wheel.accelerator == request.accelerator


@constraint("wheel", silent=True)
def version_is_asked_for(catalogue: Catalogue, request: Request, wheel: Wheel) -> bool:
    """The release is the one asked for."""
    return request.framework_version in (None, wheel.version)


@constraint("wheel", silent=True)
def cuda_is_asked_for(catalogue: Catalogue, request: Request, wheel: Wheel) -> bool:
    """The build's CUDA is the one asked for."""
    return request.cuda in (None, wheel.cuda)


@constraint("wheel")
def framework_does_workload(catalogue: Catalogue, request: Request, wheel: Wheel) -> bool:
    """The framework must do the work: ONNX Runtime serves models and does not train them."""
    workloads = catalogue.frameworks[wheel.framework].workloads
    return request.workload is None or request.workload in workloads


@constraint("wheel")
def release_installs(catalogue: Catalogue, request: Request, wheel: Wheel) -> bool:
    """A release that cannot be installed is never chosen."""
    return not wheel.broken


@constraint("wheel")
def driver_runs_wheel(catalogue: Catalogue, request: Request, wheel: Wheel) -> bool:
    """The wheels of CUDA 13 need driver 580, those of CUDA 12 525.60.13, those of CUDA 11
    450.80.02, or a newer one.
    """
    driver = request.driver_version
    if driver is None or wheel.cuda is None:
        return True
    return driver >= version(catalogue.floors[wheel.cuda_version[0]])


@constraint("wheel")
def wheel_has_kernels(catalogue: Catalogue, request: Request, wheel: Wheel) -> bool:
    """A GPU needs code in the build: for its compute capability, for a lower minor one of the
    same major, or as PTX for an older one.
    """
    return all(
        any(kernel_runs(kernel, gpu.compute) for kernel in wheel.kernels.get(gpu.host, ()))
        for gpu in named_gpus(catalogue, request)
    )


def kernel_runs(kernel: str, compute: str) -> bool:
    """Tell whether code compiled for one compute capability runs on a GPU of another.

    "8.0" is binary code, which runs within its major version on an equal or higher minor one.
    "12.0+PTX" holds PTX too, which the driver compiles for everything newer. "9.0a" is code
    specific to one architecture, which runs on nothing else.
    Source: CUDA C++ Programming Guide, "Binary Compatibility" and "PTX Compatibility".
    """
    if kernel.endswith("a"):
        return kernel == f"{compute}a"
    built, ptx, _ = kernel.partition("+PTX")
    same_major = version(built)[0] == version(compute)[0]
    return (same_major or bool(ptx)) and version(built) <= version(compute)


@constraint("python", silent=True)
def python_is_asked_for(catalogue: Catalogue, request: Request, wheel: Wheel, python: str) -> bool:
    """The Python is the one asked for."""
    return request.python_version in (None, python)


@constraint("python")
def python_has_wheel(catalogue: Catalogue, request: Request, wheel: Wheel, python: str) -> bool:
    """The framework must have wheels for the Python."""
    return python in wheel.pythons


@constraint("python")
def python_has_image(catalogue: Catalogue, request: Request, wheel: Wheel, python: str) -> bool:
    """The Python must have a plain image, because CI tests the project in one."""
    return python in catalogue.imaged_pythons


@constraint("python")
def python_is_supported(catalogue: Catalogue, request: Request, wheel: Wheel, python: str) -> bool:
    """A Python past its end of life is never chosen."""
    return is_supported(catalogue.python_end[python], request.today)


def is_supported(end_of_life: str | None, today: str) -> bool:
    """Tell whether a date of the catalogue lies ahead; ISO dates compare as text."""
    return end_of_life is None or today < end_of_life


@constraint("image")
def image_is_current(catalogue: Catalogue, request: Request, image: Image) -> bool:
    """An image that was superseded, or that nobody has seen, is never chosen."""
    return image.status == "current"


@constraint("image", silent=True)
def base_is_asked_for(catalogue: Catalogue, request: Request, image: Image) -> bool:
    """The base image is of the kind asked for."""
    return request.gpu_base in (None, image.kind)


@constraint("image")
def system_is_supported(catalogue: Catalogue, request: Request, image: Image) -> bool:
    """An image whose Debian or Ubuntu is past its end of life is never chosen."""
    return is_supported(catalogue.systems[image.os]["end_of_life"], request.today)


@constraint("image")
def driver_starts_image(catalogue: Catalogue, request: Request, image: Image) -> bool:
    """An nvidia/cuda image starts only if the driver supports its CUDA, or is of a branch that
    its NVIDIA_REQUIRE_CUDA lists for the GPU's brand.
    """
    driver = request.driver_version
    if driver is None or image.min_cuda is None or driver_supports(catalogue, driver, image):
        return True
    # Nothing is known of a GPU that is not named, so the stricter rule holds.
    brands = {gpu.brand for gpu in named_gpus(catalogue, request)}
    geforce = "geforce" in brands or "any" in request.gpus
    return driver[0] in image.driver_branches and (image.geforce or not geforce)


def driver_supports(catalogue: Catalogue, driver: Version, image: Image) -> bool:
    """Tell whether a driver, and so every newer one, supports the CUDA of an image.

    A branch that NVIDIA_REQUIRE_CUDA lists says nothing of the next branch, and it relies on
    the image's compatibility libraries, which are not made for GeForce.
    """
    return catalogue.driver_cuda(driver) >= version(image.min_cuda or "0.0")


@constraint("fit")
def image_has_python(
    catalogue: Catalogue, request: Request, wheel: Wheel, python: str, image: Image
) -> bool:
    """A python image holds one Python, and the others come with nvidia/cuda images only."""
    return image.python in (None, python)


@constraint("fit")
def one_cuda_major(
    catalogue: Catalogue, request: Request, wheel: Wheel, python: str, image: Image
) -> bool:
    """The image must have no CUDA, or the major that the wheels have."""
    return image.cuda is None or image.cuda_version[0] == wheel.cuda_version[0]


@constraint("fit")
def image_brings_the_rest(
    catalogue: Catalogue, request: Request, wheel: Wheel, python: str, image: Image
) -> bool:
    """An image brings what the wheels leave out, with the same cuDNN, and nothing more."""
    if wheel.cuda is None or wheel.bundles_cuda:
        return image.flavour in (None, "base")
    return image.flavour == "cudnn-runtime" and image.cudnn == wheel.cudnn


@constraint("fit")
def library_path_suits(
    catalogue: Catalogue, request: Request, wheel: Wheel, python: str, image: Image
) -> bool:
    """A framework that needs LD_LIBRARY_PATH unset, as JAX does, cannot use nvidia/cuda."""
    wanted = catalogue.frameworks[wheel.framework].library_path
    return wanted != "unset" or not image.library_path


@constraint("devel")
def compiler_matches_wheel(
    catalogue: Catalogue, request: Request, wheel: Wheel, image: Image, devel: Image
) -> bool:
    """The nvcc that compiles CUDA code must be of the wheels' CUDA major."""
    return devel.cuda_version[0] == wheel.cuda_version[0]


@constraint("devel")
def compiler_is_current(
    catalogue: Catalogue, request: Request, wheel: Wheel, image: Image, devel: Image
) -> bool:
    """A builder image that was superseded, or that nobody has seen, is never chosen."""
    return devel.status == "current"


@constraint("devel")
def compiler_is_supported(
    catalogue: Catalogue, request: Request, wheel: Wheel, image: Image, devel: Image
) -> bool:
    """A builder image whose Ubuntu is past its end of life is never chosen."""
    return is_supported(catalogue.systems[devel.os]["end_of_life"], request.today)


@constraint("devel")
def compiler_knows_gpu(
    catalogue: Catalogue, request: Request, wheel: Wheel, image: Image, devel: Image
) -> bool:
    """An nvcc compiles for the compute capabilities that its CUDA knows."""
    toolkit = catalogue.toolkits[devel.cuda or ""]
    oldest, newest = version(toolkit["oldest_compute"]), version(toolkit["newest_compute"])
    return all(
        oldest <= version(gpu.compute) and version(gpu.compute)[0] <= newest[0]
        for gpu in named_gpus(catalogue, request)
    )


@constraint("devel")
def compiled_code_loads(
    catalogue: Catalogue, request: Request, wheel: Wheel, image: Image, devel: Image
) -> bool:
    """Code compiled against a newer glibc does not load on an older one."""
    built, run = catalogue.systems[devel.os]["glibc"], catalogue.systems[image.os]["glibc"]
    return version(built) <= version(run)


# --------------------------------------------------------------------------------------------
# 4. The solver
# --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Solution:
    """Rows of the catalogue that go together."""

    request: Request
    framework: Framework
    wheel: Wheel
    cpu_wheel: Wheel
    python: str
    image: Image
    devel: Image | None


def solve(
    catalogue: Catalogue,
    request: Request,
    constraints: Sequence[Constraint] = CONSTRAINTS,
) -> Solution | None:
    """Return the best combination of rows that breaks no constraint, or None.

    The newest framework release comes first, then its best CUDA build, then the Python, then
    the smallest image. Each loop drops the rows that its own constraints refuse, so the next
    one sees few.
    """
    on: dict[str, list[Callable[..., bool]]] = {
        name: [] for name in ("answers", "wheel", "python", "image", "fit", "devel")
    }
    for each in constraints:
        on[each.on].append(each.holds)

    def allowed(kind: str, *rows: Any) -> bool:
        return all(holds(catalogue, request, *rows) for holds in on[kind])

    if not allowed("answers"):
        return None
    images: list[Image] | None = None
    for wheel in _wheels_in_order(catalogue, request):
        if not allowed("wheel", wheel):
            continue
        for python in _pythons_in_order(catalogue):
            if not allowed("python", wheel, python):
                continue
            if images is None:
                images = [image for image in catalogue.images if allowed("image", image)]
            fitting = [image for image in images if allowed("fit", wheel, python, image)]
            for image in sorted(
                fitting, key=lambda image: _image_preference(catalogue, request, wheel, image)
            ):
                devel = None
                if request.compile_cuda:
                    builders = [
                        builder
                        for builder in catalogue.builders
                        if allowed("devel", wheel, image, builder)
                    ]
                    if not builders:
                        continue
                    devel = min(builders, key=lambda image: _devel_preference(wheel, image))
                return Solution(
                    request=request,
                    framework=catalogue.frameworks[wheel.framework],
                    wheel=wheel,
                    cpu_wheel=_cpu_wheel(catalogue, wheel),
                    python=python,
                    image=image,
                    devel=devel,
                )
    return None


def _wheels_in_order(catalogue: Catalogue, request: Request) -> Iterator[Wheel]:
    names = [request.framework] if request.framework else _offered_frameworks(catalogue)
    for name in names:
        yield from catalogue.wheels[name]


def _pythons_in_order(catalogue: Catalogue) -> Iterator[str]:
    """The common Python first, then the newest."""
    yield catalogue.common_python
    yield from (python for python in catalogue.pythons if python != catalogue.common_python)


FLAVOURS_BY_SIZE = ("base", "runtime", "cudnn-runtime", "devel", "cudnn-devel")


def _distance(wheel: Wheel, image: Image) -> tuple[bool, int]:
    """Nearest CUDA minor not above the wheel's first, then the nearest above."""
    steps = wheel.cuda_version[1] - image.cuda_version[1]
    return (steps < 0, abs(steps))


def _os_age(image: Image) -> float:
    return -float(image.os.split()[1])


def _image_preference(
    catalogue: Catalogue, request: Request, wheel: Wheel, image: Image
) -> tuple[Any, ...]:
    """nvidia/cuda where it starts at all, and best on every newer driver too; then the smallest.

    Of two of a size the one with the nearest CUDA, then the newest system.
    """
    if image.kind == "slim":
        return (True, False, 0, (False, 0), _os_age(image))
    driver = request.driver_version
    by_branch_only = driver is not None and not driver_supports(catalogue, driver, image)
    size = FLAVOURS_BY_SIZE.index(image.flavour or "base")
    return (False, by_branch_only, size, _distance(wheel, image), _os_age(image))


def _devel_preference(wheel: Wheel, image: Image) -> tuple[Any, ...]:
    size = FLAVOURS_BY_SIZE.index(image.flavour or "devel")
    return (_distance(wheel, image), size, _os_age(image))


def _cpu_wheel(catalogue: Catalogue, wheel: Wheel) -> Wheel:
    """The CPU build of the same release: tests run on machines without a GPU."""
    return next(
        row
        for row in catalogue.wheels[wheel.framework]
        if row.accelerator == "cpu" and row.version == wheel.version
    )


# --------------------------------------------------------------------------------------------
# 5. The refusal
# --------------------------------------------------------------------------------------------

# An answer of the request: the question, and for `gpus` one of the names.
Answer = tuple[str, str]


def given_answers(request: Request) -> list[Answer]:
    """List the answers that are not free, in the order of the form. A GPU is one answer each."""
    answers: list[Answer] = []
    for name in SOLVER_QUESTIONS:
        value = getattr(request, name)
        if name == "accelerator" or not value:
            continue
        if name == "gpus":
            answers += [(name, gpu) for gpu in value]
        else:
            answers.append((name, "true" if value is True else value))
    return answers


def keep(request: Request, answers: Iterable[Answer]) -> Request:
    """Return the request with only these answers; every other one is free."""
    kept = list(answers)
    values: dict[str, Any] = {
        name: True if name == "compile_cuda" else value for name, value in kept if name != "gpus"
    }
    values.setdefault("accelerator", request.accelerator)
    gpus = tuple(value for name, value in kept if name == "gpus")
    return Request(today=request.today, gpus=gpus, **values)


@dataclass(frozen=True)
class Conflict:
    """Why a request has no solution.

    Attributes:
        answers: a smallest set of answers that cannot stand together.
        rules: the rules that they break, in words.
        fixes: changes of one or two answers, each of which was solved.
    """

    answers: tuple[Answer, ...]
    rules: tuple[str, ...]
    fixes: tuple[tuple[Answer, ...], ...]


def smallest_conflict(catalogue: Catalogue, request: Request) -> tuple[Answer, ...]:
    """Return a smallest set of answers that has no solution by itself.

    It is empty where nothing of the catalogue is supported any more on the day that is asked for.

    Raises:
        ValueError: the request has a solution.
    """
    if solve(catalogue, request) is not None:
        raise ValueError("the answers do not conflict")
    answers = given_answers(request)
    for size in range(len(answers)):
        for some in combinations(answers, size):
            if solve(catalogue, keep(request, some)) is None:
                return some
    return tuple(answers)


def broken_rules(catalogue: Catalogue, request: Request) -> tuple[str, ...]:
    """Return the rules that stand in the way of a request, in words.

    They are those without any one of which it has a solution; where there is none, a set of
    rules without all of which it has one, and from which none can be taken.
    """
    telling = [each for each in CONSTRAINTS if not each.silent]

    def solvable_without(dropped: Sequence[Constraint]) -> bool:
        left = [each for each in CONSTRAINTS if each not in dropped]
        return solve(catalogue, request, left) is not None

    broken = [each for each in telling if solvable_without([each])]
    if not broken and solvable_without(telling):
        broken = telling
        for each in telling:
            fewer = [other for other in broken if other is not each]
            broken = fewer if solvable_without(fewer) else broken
    return tuple(each.rule for each in broken)


def change(request: Request, answer: Answer, value: Any) -> Request:
    """Return the request with one answer changed; of `gpus`, one GPU changed or dropped."""
    name, old = answer
    if name == "gpus":
        gpus = [value if gpu == old else gpu for gpu in request.gpus]
        return replace(request, gpus=tuple(dict.fromkeys(gpu for gpu in gpus if gpu)))
    if name == "accelerator":
        rest = [each for each in given_answers(request) if each[0] not in GPU_QUESTIONS]
        return replace(keep(request, rest), accelerator=value)
    return replace(request, **{name: value})


def free(request: Request, answer: Answer) -> Request:
    """Return the request without one answer; without its accelerator it is for the other one."""
    if answer[0] == "accelerator":
        return change(request, answer, _other_accelerator(request))
    return keep(request, [each for each in given_answers(request) if each != answer])


def _other_accelerator(request: Request) -> str:
    return next(value for value in ACCELERATORS if value != request.accelerator)


def alternatives(catalogue: Catalogue, request: Request, answer: Answer) -> Iterator[Any]:
    """Yield other values for an answer that the request lacks, nearest first."""
    name, old = answer
    if name == "gpus":
        yield from _other_gpus(catalogue, request, old)
    elif name == "framework_version":
        yield from _nearest(old, _column(catalogue, request, "version"))
        yield None
    elif name == "cuda":
        yield from _nearest(old, _column(catalogue, request, "cuda"))
        yield None
    elif name == "python_version":
        yield from _nearest(old, catalogue.pythons)
    elif name == "driver":
        yield from _nearest(old, _telling_drivers(catalogue))
    elif name == "gpu_base":
        yield None
    elif name == "compile_cuda":
        yield False
    elif name == "accelerator":
        yield from (value for value in ACCELERATORS if value != old)
    elif name == "workload":
        yield from (value for value in WORKLOADS if value != old)
    elif name == "framework":
        yield from (value for value in _offered_frameworks(catalogue) if value != old)
    elif name == "platform":
        yield from (value for value in catalogue.platforms if value != old)


def _nearest(old: str, values: Iterable[str]) -> list[str]:
    """Sort versions by their distance from one of them, in steps; the newer of two first."""
    ordered = sorted({*values, old}, key=version, reverse=True)
    place = ordered.index(old)
    by_distance = sorted(range(len(ordered)), key=lambda index: abs(index - place))
    return [ordered[index] for index in by_distance if index != place]


def _column(catalogue: Catalogue, request: Request, column: str) -> list[str]:
    wheels = _wheels_in_order(catalogue, request)
    return [value for wheel in wheels if (value := getattr(wheel, column)) is not None]


def _telling_drivers(catalogue: Catalogue) -> list[str]:
    """Drivers at which something changes: the wheels' floors and the branches."""
    return [*catalogue.floors.values(), *(str(row["branch"]) for row in catalogue.branches)]


def _other_gpus(catalogue: Catalogue, request: Request, old: str) -> Iterator[str | None]:
    """Yield None for none, where others are left, then the models with the nearest capability."""
    if request.gpus:
        yield None
    if old == "any":
        return
    row = catalogue.gpus[old]
    capability = _decimal(row.compute)

    def distance(gpu: Gpu) -> tuple[Any, ...]:
        away = abs(_decimal(gpu.compute) - capability)
        return (gpu.host != row.host, away, gpu.brand != row.brand)

    known = {old, *request.gpus}
    others = [gpu for gpu in catalogue.gpus.values() if gpu.name not in known and not gpu.refused]
    yield from (gpu.name for gpu in sorted(others, key=distance))


def _decimal(compute: str) -> float:
    major, minor = version(compute)
    return major + minor / 10


def nearest_fixes(
    catalogue: Catalogue, request: Request, conflict: Sequence[Answer]
) -> tuple[tuple[Answer, ...], ...]:
    """Return changes that make the request solvable.

    They are every change of one conflicting answer that does; or else one change of two or of
    three answers, of which one is in the conflict.
    """
    answers = list(dict.fromkeys([*conflict, *given_answers(request)]))
    fixes = []
    for size in (1, 2, 3):
        for changed in combinations(answers, size):
            if changed[0] not in conflict:
                break
            fix = _fix(catalogue, request, changed)
            if fix:
                fixes.append(fix)
            if fix and size > 1:
                break
        if fixes:
            break
    return tuple(fixes)


def _fix(
    catalogue: Catalogue, request: Request, changed: Sequence[Answer]
) -> tuple[Answer, ...] | None:
    """Find the nearest values of some answers, one after the other, that solve the request."""
    for answer in changed:
        request = free(request, answer)
    if solve(catalogue, request) is None:
        return None
    told = []
    for answer in changed:
        for value in alternatives(catalogue, request, answer):
            fixed = _answered(request, answer, value)
            if solve(catalogue, fixed) is not None:
                request = fixed
                told.append(_told(answer, value))
                break
        else:
            return None
    return tuple(told)


def _answered(request: Request, answer: Answer, value: Any) -> Request:
    """Return a request that lacks an answer with a value for it."""
    name, _ = answer
    if name == "gpus":
        return replace(request, gpus=(*request.gpus, value) if value else request.gpus)
    return replace(request, **{name: value})


def _told(answer: Answer, value: Any) -> Answer:
    """Say a change the way a person would answer it."""
    name, old = answer
    if name == "gpus":
        return (name, f"{value} instead of {old}" if value else f"without {old}")
    if value is None:
        return (name, "auto")
    return (name, str(value).lower() if isinstance(value, bool) else value)


def explain(catalogue: Catalogue, request: Request) -> Conflict:
    """Explain a request that has no solution.

    Raises:
        ValueError: it has one.
    """
    answers = smallest_conflict(catalogue, request)
    if answers and not any(name in GPU_QUESTIONS for name, _ in answers):
        # No answer says so, but the conflict may be one of this accelerator only.
        other = replace(keep(request, answers), accelerator=_other_accelerator(request))
        if solve(catalogue, other) is not None:
            answers = (("accelerator", request.accelerator), *answers)
    return Conflict(
        answers=answers,
        rules=broken_rules(catalogue, keep(request, answers)),
        fixes=nearest_fixes(catalogue, request, answers),
    )


def describe(catalogue: Catalogue, request: Request, answer: Answer) -> str:
    """Say an answer with the fact about it that a conflict turns on."""
    name, value = answer
    if name == "gpus" and value in catalogue.gpus:
        gpu = catalogue.gpus[value]
        return f"gpus: {value} (compute capability {gpu.compute})"
    if name == "driver":
        cuda = ".".join(str(part) for part in catalogue.driver_cuda(version(value)))
        return f"driver: {value}" + ("" if cuda == "0.0" else f" (supports CUDA {cuda})")
    if name == "framework_version":
        builds = [
            wheel.build
            for wheel in _wheels_in_order(catalogue, request)
            if wheel.version == value and wheel.accelerator == "gpu"
        ]
        built = (
            f" (built as {', '.join(builds)})" if builds and request.accelerator == "gpu" else ""
        )
        return f"framework_version: {value}{built}"
    return f"{name}: {value}"


def sentence_of(catalogue: Catalogue, request: Request, conflict: Conflict) -> str:
    """Put a conflict into one sentence: the answers, the rules, the nearest answers that work."""
    if not conflict.answers:
        return f"Nothing in the catalogue is supported on {request.today}; use a newer template."
    told = [describe(catalogue, request, answer) for answer in conflict.answers]
    text = f"{' and '.join(told)} {'cannot be had' if len(told) == 1 else 'cannot stand together'}"
    if conflict.rules:
        rules = [rule[0].lower() + rule[1:].rstrip(".") for rule in conflict.rules]
        text += f", because {'; and '.join(rules)}"
    if conflict.fixes:
        fixes = [" with ".join(f"{n}: {v}" for n, v in fix) for fix in conflict.fixes]
        text += f"; the nearest that works is {', or '.join(fixes)}"
    return f"{text}."


# --------------------------------------------------------------------------------------------
# 6. The stack
# --------------------------------------------------------------------------------------------


def stack(catalogue: Catalogue, answers: Mapping[str, Any]) -> dict[str, Any]:
    """Compute what the templates read from the answers; an absent answer means its default.

    Returns:
        A mapping of JSON values, described in `docs/decisions`.

    Raises:
        UserMessageError: an answer is malformed, or the answers conflict. The message is one
            line that says what to answer instead.
    """
    try:
        solution = solved(catalogue, read_request(catalogue, answers))
        complete = with_defaults(catalogue, answers)
        if complete != answers:
            solution = solved(catalogue, read_request(catalogue, complete))
    except BadAnswerError as error:
        raise UserMessageError(str(error)) from error
    request = solution.request
    mirror = str(answers.get("image_mirror") or "")
    index_url = str(answers.get("pytorch_index") or solution.framework.index_url or "")
    gpu = solution.wheel.accelerator == "gpu"
    platform = catalogue.platforms[request.platform or "docker"]
    return {
        "uv": {
            "image": named(catalogue.uv["image"], catalogue.uv.get("digest"), mirror),
            "version": catalogue.uv["version"],
            "build": catalogue.uv["build"],
        },
        "python": {
            "version": solution.python,
            "source": "image" if solution.image.kind == "slim" else "managed",
            "image": _image_facts(catalogue.python_image(solution.python), mirror)["image"],
        },
        "base": _image_facts(solution.image, mirror),
        "devel": _devel_facts(catalogue, solution, mirror),
        "framework": {
            "name": solution.framework.name,
            "title": solution.framework.title,
            "package": solution.framework.package,
            "import": solution.framework.module,
            "version": solution.wheel.version,
            "artefact": solution.framework.artefact,
            "companions": dict(solution.wheel.companions),
            "cpu": _wheel_facts(solution.framework, solution.cpu_wheel, index_url),
            "gpu": _wheel_facts(solution.framework, solution.wheel, index_url) if gpu else None,
        },
        **_index_tables(solution, index_url),
        "dependencies": _requirements(catalogue, request, "dependencies"),
        "dev_dependencies": _requirements(catalogue, request, "dev"),
        "build_dependencies": _requirements(catalogue, request, "build"),
        "cuda": solution.wheel.cuda,
        "driver": driver_facts(catalogue, solution) if gpu else None,
        "platform": {**platform, "architecture": _architecture(catalogue, request)},
        "registry": registry(str(answers.get("image_name") or "")),
        "download_mb": solution.wheel.download_mb,
        "why": why(catalogue, solution),
        "summary": summary(catalogue, solution, mirror),
        "tools": catalogue.tools,
    }


def registry(image_name: str) -> str:
    """Return the host of the registry that an image's name begins with, "" where it names none.

    By Docker's rule, a first part without a dot or a port is a name on Docker Hub. Nothing is
    published to localhost, which is another machine in CI.
    """
    host, slash, _ = image_name.partition("/")
    if not slash or not re.search(r"[.:]", host) or host.partition(":")[0] == "localhost":
        return ""
    return host


def _requirements(catalogue: Catalogue, request: Request, group: str) -> list[str]:
    """What a project of this kind starts with, beside the framework."""
    return [
        row["requirement"]
        for row in catalogue.dependencies
        if row["group"] == group
        and (row["frameworks"] is None or request.framework in row["frameworks"])
        and (row["workloads"] is None or request.workload in row["workloads"])
        and (row["platforms"] is None or (request.platform or "docker") in row["platforms"])
    ]


def _index_tables(solution: Solution, index_url: str) -> dict[str, list[dict[str, Any]]]:
    """What [[tool.uv.index]] and [tool.uv.sources] have to say, for the CPU and the GPU build."""
    indexes: list[dict[str, Any]] = []
    origins: dict[str, list[dict[str, Any]]] = {}
    builds = {"cpu": solution.cpu_wheel}
    if solution.wheel.accelerator == "gpu":
        builds["gpu"] = solution.wheel
    for group, wheel in builds.items():
        facts = _wheel_facts(solution.framework, wheel, index_url)
        if index := facts["index"]:
            indexes.append(index)
            origin = {"index": index["name"], "marker": facts["marker"]}
            groups = [group]
            if group == "gpu" and solution.devel:
                # uv applies a source by the group that is asked for, and `cuda` includes `gpu`.
                groups.append("cuda")
            for package in facts["packages"]:
                origins.setdefault(package, []).extend({**origin, "group": one} for one in groups)
    sources = [{"package": name, "origins": rows} for name, rows in origins.items()]
    return {"indexes": indexes, "sources": sources}


def summary(catalogue: Catalogue, solution: Solution, mirror: str) -> list[str]:
    """What was chosen, for the terminal: framework, image, driver, size of the download."""
    wheel = solution.wheel
    build = f", CUDA {wheel.cuda}" if wheel.cuda else ""
    lines = [
        f"framework  {solution.framework.title} {wheel.version}{build}, Python {solution.python}",
        f"image      {mirrored(solution.image.image, mirror)}",
    ]
    if wheel.accelerator == "gpu":
        lines.append(f"driver     {driver_facts(catalogue, solution)['floor']} or newer")
    if wheel.download_mb:
        lines.append(f"download   about {wheel.download_mb / 1000:.1f} GB of wheels for the image")
    return lines


def solved(catalogue: Catalogue, request: Request) -> Solution:
    """Return the solution, or raise a UserMessageError that says why there is none."""
    solution = solve(catalogue, request)
    if solution is None:
        conflict = explain(catalogue, request)
        raise UserMessageError(sentence_of(catalogue, request, conflict))
    return solution


def with_defaults(catalogue: Catalogue, answers: Mapping[str, Any]) -> dict[str, Any]:
    """Return the answers with the default of each one that is absent and that matters."""
    complete = {**answers}
    for question in ("accelerator", "framework", "gpus", "driver", "python_version", "platform"):
        if question in GPU_QUESTIONS and str(complete["accelerator"]) != "gpu":
            continue
        if question not in complete:
            complete[question] = default(catalogue, complete, question)
    return complete


def mirrored(image: str, mirror: str) -> str:
    """Return the image's name behind a mirror: a prefix in place of the public registry."""
    if not mirror:
        return image
    name = image.removeprefix("ghcr.io/")
    return f"{mirror}/{name}" if "/" in name else f"{mirror}/library/{name}"


def named(image: str, digest: str | None, mirror: str) -> str:
    """Return an image as FROM names it: behind the mirror, and pinned where its digest is known."""
    name = mirrored(image, mirror)
    return f"{name}@{digest}" if digest else name


def _image_facts(image: Image, mirror: str) -> dict[str, Any]:
    return {
        "image": named(image.image, image.digest, mirror),
        "kind": image.kind,
        "os": image.os,
        "digest": image.digest,
    }


def _devel_facts(catalogue: Catalogue, solution: Solution, mirror: str) -> dict[str, Any] | None:
    """The builder image, and the compute capabilities to compile for; None without a builder.

    Those of the GPUs that are named; for "any", those that the framework's build was compiled for
    and the builder's CUDA knows.
    """
    if not solution.devel:
        return None
    targets = {gpu.compute for gpu in named_gpus(catalogue, solution.request)}
    if "any" in solution.request.gpus:
        toolkit = catalogue.toolkits[solution.devel.cuda or ""]
        oldest, newest = version(toolkit["oldest_compute"]), version(toolkit["newest_compute"])
        targets |= {
            kernel
            for kernels in solution.wheel.kernels.values()
            for kernel in kernels
            if oldest <= version(kernel.removesuffix("+PTX")) <= newest
        }
    # "9.0+PTX" says all that "9.0" does.
    targets -= {target for target in targets if f"{target}+PTX" in targets}
    ordered = sorted(targets, key=lambda target: version(target.removesuffix("+PTX")))
    return {**_image_facts(solution.devel, mirror), "targets": ordered}


def _wheel_facts(framework: Framework, wheel: Wheel, index_url: str) -> dict[str, Any]:
    packages = [_package(requirement) for requirement in wheel.requirements]
    index = None
    if wheel.index:
        url = f"{index_url.rstrip('/')}/{wheel.index}"
        index = {"name": f"{framework.name}-{wheel.index}", "url": url}
    facts = {
        "requirements": list(wheel.requirements),
        "packages": packages,
        "index": index,
        "marker": wheel.marker,
    }
    if wheel.accelerator == "cpu":
        return facts
    return {**facts, "build": wheel.build, "bundles_cuda": wheel.bundles_cuda}


def _package(requirement: str) -> str:
    """The name that a requirement begins with."""
    return re.split(r"[\[=<>~! ;]", requirement, maxsplit=1)[0]


def _architecture(catalogue: Catalogue, request: Request) -> str | None:
    """The Docker platform to build for, or None where that of the builder will do."""
    forced = catalogue.platforms[request.platform or "docker"]["architecture"]
    hosts = {gpu.host for gpu in named_gpus(catalogue, request)}
    if forced:
        return f"linux/{forced}"
    return f"linux/{hosts.pop()}" if len(hosts) == 1 else None


def driver_facts(catalogue: Catalogue, solution: Solution) -> dict[str, str]:
    """The oldest driver that runs the solution, and the rule in a sentence.

    For an nvidia/cuda image it is the newer of two: what the wheels need, and what the image
    demands. A driver that the image admits only by its branch stands for that branch alone.
    """
    wheel, image = solution.wheel, solution.image
    floor = catalogue.floors[wheel.cuda_version[0]]
    rule = f"CUDA {wheel.cuda_version[0]} wheels run on driver {floor} or newer"
    if image.min_cuda is None:
        return {"floor": floor, "rule": f"{rule}."}
    demanded = catalogue.driver_of_cuda(image.min_cuda)
    driver = solution.request.driver_version
    if driver is None or driver[0] >= int(demanded):
        floor = max(floor, demanded, key=version)
        return {
            "floor": floor,
            "rule": f"{rule}; the image starts on {demanded} or newer (CUDA {image.min_cuda}).",
        }
    branch = str(driver[0])
    return {
        "floor": max(floor, branch, key=version),
        "rule": f"{rule}; the image starts on branch {branch}, which its NVIDIA_REQUIRE_CUDA "
        f"lists, and on driver {demanded} or newer.",
    }


def driver_age(catalogue: Catalogue, request: Request) -> str:
    """A remark for a driver whose branch gets no more updates; empty for the others."""
    row = catalogue.branch(request.driver) if request.driver else None
    if row is None or (row["kind"] != "ended" and is_supported(row["end_of_life"], request.today)):
        return ""
    ended = f" in {row['end_of_life']}" if row["end_of_life"] else ""
    return f" Branch {row['branch']} reached its end of life{ended}."


def why(catalogue: Catalogue, solution: Solution) -> list[str]:
    """Three short lines a reviewer can check: the image, the driver, what to run to see it."""
    wheel, image, title = solution.wheel, solution.image, solution.framework.title
    if wheel.cuda is None:
        return [
            f"{title} {wheel.version} needs no CUDA: plain Python {solution.python} on {image.os}.",
            "No GPU and no driver is needed.",
            f'Check: uv run python -c "import {solution.framework.module} as m; '
            'print(m.__version__)"',
        ]
    gpus = ", ".join(solution.request.gpus) or "any"
    driver = solution.request.driver or "any"
    brings = "bring CUDA themselves" if wheel.bundles_cuda else "leave CUDA and cuDNN to the image"
    build = "" if wheel.build in ("wheels", "plain") else f" {wheel.build}"
    wheels = f"{title} {wheel.version}{build} wheels {brings}"
    if image.kind == "nvidia":
        image_line = (
            f"{wheels}; driver {driver} may start nvidia/cuda {image.cuda} {image.flavour}."
        )
    elif solution.request.gpu_base == "slim":
        image_line = f"{wheels}; plain Python was asked for."
    elif solution.framework.library_path == "unset":
        image_line = f"{wheels}; the LD_LIBRARY_PATH of an nvidia/cuda image would hide that."
    else:
        image_line = f"{wheels}; no nvidia/cuda image is sure to start on driver {driver}."
    facts = driver_facts(catalogue, solution)
    return [
        image_line,
        f"GPUs: {gpus}. Driver {facts['floor']} or newer: {facts['rule']}"
        + driver_age(catalogue, solution.request),
        "Check on the host: nvidia-smi --query-gpu=name,compute_cap,driver_version --format=csv",
    ]


# --------------------------------------------------------------------------------------------
# 7. The form
# --------------------------------------------------------------------------------------------

WORKLOADS = ("train", "serve")
ACCELERATORS = ("cpu", "gpu")
CI = ("github", "gitlab", "none")
EXTRAS = ("devcontainer", "renovate", "kubernetes")
GPU_BASES = ("auto", "nvidia", "slim")

# In the order in which the form asks them.
QUESTIONS = (
    "project_name",
    "description",
    "workload",
    "accelerator",
    "framework",
    "gpus",
    "driver",
    "python_version",
    "platform",
    "image_name",
    "ci",
    "extras",
    "advanced",
    "framework_version",
    "cuda",
    "gpu_base",
    "compile_cuda",
    "apt_packages",
    "package_index",
    "pytorch_index",
    "image_mirror",
)
ADVANCED = QUESTIONS[QUESTIONS.index("advanced") + 1 :]


def as_list(value: Any) -> tuple[str, ...]:
    """Read a list, or the text of one as it stands on a command line: "[V100, T4]"."""
    if isinstance(value, str):
        value = value.strip().removeprefix("[").removesuffix("]").split(",")
    texts = [str(item).strip().strip("'\"") for item in value]
    return tuple(dict.fromkeys(text for text in texts if text))


def as_bool(value: Any) -> bool | None:
    """Read a truth value as Copier does; None if it is none."""
    if isinstance(value, bool):
        return value
    text = str(value).strip().lower()
    if text in ("true", "yes", "y", "t", "on", "1"):
        return True
    return False if text in ("false", "no", "n", "f", "off", "0", "none", "~", "") else None


def _offered_frameworks(catalogue: Catalogue) -> list[str]:
    rows = sorted(catalogue.frameworks.values(), key=lambda row: row.order)
    return [row.name for row in rows if row.offered]


def domain(catalogue: Catalogue, answers: Mapping[str, Any], question: str) -> list[str]:
    """List every value of a question that is answered by choosing, possible or not.

    Raises:
        KeyError: the question has no list of values.
    """
    if question in ("framework_version", "cuda"):
        framework = str(answers.get("framework") or "")
        known = [framework] if framework in catalogue.frameworks else _offered_frameworks(catalogue)
        column = "version" if question == "framework_version" else "cuda"
        rows = [getattr(wheel, column) for name in known for wheel in catalogue.wheels[name]]
        values = dict.fromkeys(value for value in rows if value)
        return ["auto", *sorted(values, key=version, reverse=True)]
    return {
        "workload": list(WORKLOADS),
        "accelerator": list(ACCELERATORS),
        "framework": _offered_frameworks(catalogue),
        "gpus": ["any", *catalogue.gpus],
        "python_version": list(catalogue.pythons),
        "platform": list(catalogue.platforms),
        "ci": list(CI),
        "extras": list(EXTRAS),
        "gpu_base": list(GPU_BASES),
    }[question]


def possible(
    catalogue: Catalogue, answers: Mapping[str, Any], question: str, values: Iterable[Any]
) -> Iterator[Any]:
    """Yield the values of a question with which the other answers have a solution."""
    if question not in SOLVER_QUESTIONS or question in ("workload", "accelerator"):
        # What the project does and where comes first; the rest follows from it.
        yield from values
        return
    for value in values:
        picked = [value] if question == "gpus" and isinstance(value, str) else value
        try:
            request = read_request(catalogue, {**answers, question: picked})
        except BadAnswerError:
            # The value itself, or what another answer becomes beside it.
            continue
        if solve(catalogue, request) is not None:
            yield value


def choices(
    catalogue: Catalogue, answers: Mapping[str, Any], question: str
) -> list[str | list[str]]:
    """List the values of a question that can still succeed, as values or [label, value] pairs.

    Args:
        catalogue: the facts.
        answers: the answers so far; an answer that is absent may still become anything.
        question: one that is answered by choosing.

    Raises:
        KeyError: the question has no list of values.
    """
    others = {name: value for name, value in answers.items() if name != question}
    values = list(possible(catalogue, others, question, domain(catalogue, others, question)))
    labels = {
        "framework": lambda name: catalogue.frameworks[name].title,
        "platform": lambda name: catalogue.platforms[name]["title"],
        "gpus": lambda name: _gpu_label(catalogue, name),
    }
    if question not in labels:
        return values
    return [[labels[question](value), value] for value in values]


def _gpu_label(catalogue: Catalogue, name: str) -> str:
    if name == "any":
        return "any (not known yet)"
    gpu = catalogue.gpus[name]
    return f"{name} ({gpu.generation}, compute capability {gpu.compute})"


# ------------------------------------------------------------------------------- defaults


def default(catalogue: Catalogue, answers: Mapping[str, Any], question: str) -> Any:
    """Return the default of a question: a value that is valid with every other answer given.

    Where the answers given conflict already there is none; `stack` then says why.

    Raises:
        KeyError: there is no such question.
    """
    others = {name: value for name, value in answers.items() if name != question}
    if question == "project_name":
        return default_project_name(catalogue, answers)
    if question == "image_name":
        return answers.get("project_name") or default_project_name(catalogue, answers)
    fixed: dict[str, Any] = {
        "description": "A machine-learning project",
        "workload": WORKLOADS[0],
        "accelerator": ACCELERATORS[0],
        "ci": CI[0],
        "extras": [],
        "advanced": False,
        "compile_cuda": False,
        "apt_packages": "",
        "package_index": "",
        "pytorch_index": "",
        "image_mirror": "",
    }
    if question in fixed:
        return fixed[question]
    preferred = _preferred(catalogue, others, question)
    return next(possible(catalogue, others, question, preferred), preferred[0])


def _preferred(catalogue: Catalogue, answers: Mapping[str, Any], question: str) -> list[Any]:
    """List the values that may become the default of a question, the best one first."""
    if question == "driver":
        loaded = loaded_driver()
        return [
            *([loaded] if loaded else []),
            catalogue.long_term_driver(_today(catalogue, answers)),
            *_telling_drivers(catalogue),
        ]
    values = domain(catalogue, answers, question)
    if question == "framework" and answers.get("accelerator") == "gpu":
        return ["pytorch", *(value for value in values if value != "pytorch")]
    if question == "gpus":
        return [[value] for value in values]
    if question == "python_version":
        best = catalogue.common_python
        return [best, *(value for value in values if value != best)]
    return values


def loaded_driver(roots: Iterable[Path] = (Path("/proc"), Path("/sys"))) -> str | None:
    """Return the version of this machine's NVIDIA kernel module, None where none is loaded."""
    for root in roots:
        for path in (root / "driver/nvidia/version", root / "module/nvidia/version"):
            try:
                text = path.read_text("utf-8", errors="replace")
            except OSError:
                continue
            found = re.search(r"\b\d{3,4}(?:\.\d+){1,2}\b", text)
            if found:
                return found.group()
    return None


def default_project_name(catalogue: Catalogue, answers: Mapping[str, Any]) -> str:
    """Turn the destination folder's name into a valid project name."""
    settings = answers.get("_copier_conf") or {}
    folder = Path(str(settings.get("dst_path") or ".")).resolve().name
    name = slug(folder)
    return name if not check_project_name(catalogue, answers, name) else slug(f"{name}-project")


def slug(text: str) -> str:
    """Return text as lower-case words joined by hyphens, at most 63 characters; never empty."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    words = re.findall(r"[a-z0-9]+", plain)
    while words and not words[0][0].isalpha():
        words[0] = words[0].lstrip("0123456789")
        words = words if words[0] else words[1:]
    return "-".join(words)[:63].strip("-") or "project"


# --------------------------------------------------------------------------------- checks


def check(catalogue: Catalogue, answers: Mapping[str, Any], question: str, value: Any) -> str:
    """Return "" if a value is acceptable beside the other answers, else what to answer instead.

    Raises:
        KeyError: there is no such question.
    """
    sentence = check_alone(catalogue, answers, question, value)
    if sentence or question not in SOLVER_QUESTIONS:
        return sentence
    try:
        request = read_request(catalogue, {**answers, question: value})
    except BadAnswerError:
        # Another answer is at fault, and is refused at its own question.
        return ""
    if solve(catalogue, request) is not None:
        return ""
    return sentence_of(catalogue, request, explain(catalogue, request))


def check_alone(catalogue: Catalogue, answers: Mapping[str, Any], question: str, value: Any) -> str:
    """Return "" if a value is acceptable by itself, else ONE sentence: what to answer instead.

    Raises:
        KeyError: there is no such question.
    """
    return CHECKS[question](catalogue, answers, value)


def check_project_name(catalogue: Catalogue, answers: Mapping[str, Any], value: Any) -> str:
    """Refuse what is no package name, and the names that are taken."""
    text = str(value)
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", text) or len(text) > 63:
        return (
            f"{_shown(text)} is no project name; use at most 63 lower-case letters, digits and "
            f"single hyphens, beginning with a letter, for example {_free_name(catalogue, text)}."
        )
    taken = taken_names(catalogue).get(text.replace("-", "_"))
    if taken:
        return f"{text} is the name of {taken}; answer another one, for example {text}-project."
    return ""


def _free_name(catalogue: Catalogue, text: str) -> str:
    name = slug(text)
    free = name.replace("-", "_") not in taken_names(catalogue)
    return name if free else slug(f"{name[:50]}-project")


# What the frameworks and the tools bring along under names of their own.
BROUGHT_ALONG = (
    *("anyio", "click", "cuda", "cupy", "filelock", "httpx", "jaxlib", "jinja2", "joblib"),
    *("keras", "networkx", "nvidia", "onnx", "packaging", "pandas", "pydantic", "pydantic_core"),
    *("scipy", "setuptools", "starlette", "sympy", "tensorboard", "threadpoolctl", "triton", "uv"),
)


def taken_names(catalogue: Catalogue) -> dict[str, str]:
    """Return the package names that a project must not have, each with what has it already."""
    packages = [*catalogue.tools, *BROUGHT_ALONG]
    packages += [_package(row["requirement"]) for row in catalogue.dependencies]
    for framework in catalogue.frameworks.values():
        packages += [framework.name, framework.package, framework.module]
        for wheel in catalogue.wheels[framework.name]:
            packages += [*wheel.companions, *map(_package, wheel.requirements)]
    own = ("main", "src", "test", "tests", "outputs", "data", "app")
    return {
        **dict.fromkeys(sys.stdlib_module_names, "a module of Python's own library"),
        **dict.fromkeys(keyword.kwlist, "a word of Python's own"),
        **{name.replace("-", "_"): "a package that it uses" for name in packages},
        **dict.fromkeys(own, "a part of every project"),
    }


def check_description(catalogue: Catalogue, answers: Mapping[str, Any], value: Any) -> str:
    """Refuse what would break a one-line text: control characters and the like."""
    text = str(value)
    # Control characters, surrogates, line and paragraph separators, and the marks that
    # reorder text on the screen.
    bad = next((c for c in text if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp")), None)
    bad = bad or next((c for c in text if c in "\u202a\u202b\u202c\u202d\u202e\u2066\u2067"), None)
    if bad is not None:
        return (
            f"The description holds the character U+{ord(bad):04X}; answer one line of plain "
            "text, for example: Forecasts tomorrow's load."
        )
    if not text.strip() or len(text) > 300:
        return "Answer one line of 1 to 300 characters, for example: Forecasts tomorrow's load."
    return ""


def check_image_name(catalogue: Catalogue, answers: Mapping[str, Any], value: Any) -> str:
    """Refuse what is no repository of Docker's reference grammar, and tags."""
    text = str(value)
    example = "for example registry.example.com/team/churn"
    bare = re.sub(r"(@.*|:[^/]*)$", "", text)
    if bare != text and _is_repository(bare):
        return f"{_shown(text)} holds a tag or a digest; answer the name alone: {bare}."
    if not _is_repository(text):
        return (
            f"{_shown(text)} is no image name; answer lower-case registry/namespace/name, "
            f"without a tag, {example}."
        )
    return ""


_LABEL = r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?"
_HOST = rf"(?:localhost|{_LABEL}(?:\.{_LABEL})+|{_LABEL}(?=:))(?::[0-9]{{1,5}})?"
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"


def _is_repository(text: str) -> bool:
    """Tell whether text is a repository of Docker's reference grammar, in lower case."""
    path = rf"{_COMPONENT}(?:/{_COMPONENT})*"
    return len(text) <= 255 and bool(re.fullmatch(rf"(?:{_HOST}/)?{path}", text))


def check_driver(catalogue: Catalogue, answers: Mapping[str, Any], value: Any) -> str:
    """Refuse what is no driver version."""
    text = str(value)
    if re.fullmatch(r"[1-9][0-9]{2}(\.[0-9]{1,3}){0,2}", text):
        return ""
    return (
        f"{_shown(text)} is no driver version; answer the oldest driver of your hosts as "
        f"`nvidia-smi` prints it, for example {_telling_drivers(catalogue)[0]} or 535.183.01."
    )


def check_gpus(catalogue: Catalogue, answers: Mapping[str, Any], value: Any) -> str:
    """Refuse unknown models, an empty list, and "any" beside a model."""
    names = as_list(value) if isinstance(value, (str, list, tuple)) else (str(value),)
    if not names:
        return "Choose at least one GPU, for example L4, or any if you do not know yet."
    if "any" in names and len(names) > 1:
        return (
            f"any stands alone; leave it out and keep {', '.join(n for n in names if n != 'any')}."
        )
    for name in names:
        if name != "any" and name not in catalogue.gpus:
            return (
                f"{_shown(name)} is no GPU of the catalogue; {_did_you_mean(name, catalogue.gpus)}"
            )
    return ""


def _did_you_mean(text: str, values: Iterable[str]) -> str:
    """Name the values to answer instead: all of a few, the most similar of many."""
    names = list(values)
    if len(names) > 12:
        lowered = {name.lower(): name for name in names}
        near = difflib.get_close_matches(text.lower(), list(lowered), n=3, cutoff=0.3)
        similar = {"auto", *(lowered[name] for name in near)}
        names = [name for name in names if name in similar] or names
    return f"answer one of {', '.join(names)}."


def check_python_version(catalogue: Catalogue, answers: Mapping[str, Any], value: Any) -> str:
    """Refuse what is no Python of the catalogue."""
    text = str(value)
    if text in catalogue.pythons:
        return ""
    if text == "3.1" and not isinstance(value, str):
        return "YAML reads 3.10 as the number 3.1; put it in quotes, for example '3.13'."
    known = ", ".join(catalogue.pythons)
    return f"{_shown(text)} is no Python of the catalogue; answer one of {known}."


def check_choice(question: str) -> Callable[[Catalogue, Mapping[str, Any], Any], str]:
    """Make the check of a question whose values are listed."""

    def check_listed(catalogue: Catalogue, answers: Mapping[str, Any], value: Any) -> str:
        values = domain(catalogue, answers, question)
        if str(value) in values:
            return ""
        return f"{_shown(str(value))} is none of its values; {_did_you_mean(str(value), values)}"

    return check_listed


def check_extras(catalogue: Catalogue, answers: Mapping[str, Any], value: Any) -> str:
    """Refuse unknown extras."""
    for name in as_list(value):
        if name not in EXTRAS:
            return f"{_shown(name)} is no extra; answer any of {', '.join(EXTRAS)}, or none."
    return ""


def check_bool(catalogue: Catalogue, answers: Mapping[str, Any], value: Any) -> str:
    """Refuse what Copier does not read as a truth value."""
    return "" if as_bool(value) is not None else f"{_shown(str(value))}: answer true or false."


def check_apt_packages(catalogue: Catalogue, answers: Mapping[str, Any], value: Any) -> str:
    """Refuse what is no list of Debian package names."""
    for name in str(value).split(" "):
        if name and not re.fullmatch(r"[a-z0-9][a-z0-9+.-]+", name):
            return (
                f"{_shown(name)} is no Debian package name; answer names separated by spaces, "
                "without versions, for example: libgl1 ffmpeg."
            )
    return ""


def check_url(catalogue: Catalogue, answers: Mapping[str, Any], value: Any) -> str:
    """Refuse what is no web address, and credentials in one."""
    text = str(value)
    example = "for example https://pypi.example.com/simple"
    if not text:
        return ""
    if not re.fullmatch(r"https?://[A-Za-z0-9.\-_~:/@%+\[\]]+", text):
        return f"{_shown(text)} is no http or https address; answer one, {example}, or nothing."
    try:
        parts = urlsplit(text)
        valid = bool(parts.hostname) and parts.port != 0
    except ValueError:
        return f"{_shown(text)} is no http or https address; answer one, {example}, or nothing."
    if "@" in parts.netloc:
        return (
            "The address holds credentials, which would be committed; answer it without them, "
            f"{example}, and give them at build time as a secret."
        )
    return "" if valid else f"{_shown(text)} names no host; answer an address, {example}."


def check_image_mirror(catalogue: Catalogue, answers: Mapping[str, Any], value: Any) -> str:
    """Refuse what is no registry prefix."""
    text = str(value)
    if not text or re.fullmatch(rf"{_HOST}(?:/{_COMPONENT})*", text):
        return ""
    return (
        f"{_shown(text)} is no registry prefix; answer a lower-case host and path, without "
        "https:// and without a slash at the end, for example registry.example.com/proxy."
    )


def _shown(text: str) -> str:
    """Quote what a user typed, on one line and not too long."""
    clean = "".join(c if c.isprintable() else "?" for c in text)
    return f'"{clean[:60]}…"' if len(clean) > 60 else f'"{clean}"'


CHECKS: dict[str, Callable[[Catalogue, Mapping[str, Any], Any], str]] = {
    "project_name": check_project_name,
    "description": check_description,
    "workload": check_choice("workload"),
    "accelerator": check_choice("accelerator"),
    "framework": check_choice("framework"),
    "gpus": check_gpus,
    "driver": check_driver,
    "python_version": check_python_version,
    "platform": check_choice("platform"),
    "image_name": check_image_name,
    "ci": check_choice("ci"),
    "extras": check_extras,
    "advanced": check_bool,
    "framework_version": check_choice("framework_version"),
    "cuda": check_choice("cuda"),
    "gpu_base": check_choice("gpu_base"),
    "compile_cuda": check_bool,
    "apt_packages": check_apt_packages,
    "package_index": check_url,
    "pytorch_index": check_url,
    "image_mirror": check_image_mirror,
}


def preflight(
    catalogue: Catalogue, answers: Mapping[str, Any], given: Mapping[str, Any] | None = None
) -> bool:
    """Look at the answers given in advance, before the first question is asked.

    Args:
        catalogue: the facts.
        answers: every answer known by now, an earlier run's among them.
        given: the ones given for this run, by --data or --data-file; all of them by default.

    Returns:
        True.

    Raises:
        UserMessageError: the first bad answer, or answers that conflict, in one line.
    """
    given = answers if given is None else given
    known = {name: value for name, value in answers.items() if name in QUESTIONS}
    gpu = str(known.get("accelerator", "cpu")) == "gpu"
    for name in QUESTIONS:
        if name not in given or (name in GPU_QUESTIONS and "accelerator" in known and not gpu):
            continue
        sentence = check_alone(catalogue, known, name, given[name])
        sentence = sentence or _not_asked(known, name, given[name])
        if sentence:
            raise UserMessageError(f"{name}: {sentence}")
    try:
        request = read_request(catalogue, known)
    except BadAnswerError:
        # An earlier run's answer that is no longer offered: Copier asks that question again.
        return True
    if solve(catalogue, request) is None:
        conflict = explain(catalogue, request)
        if any(name in given for name, _ in conflict.answers):
            raise UserMessageError(sentence_of(catalogue, request, conflict))
    return True


def _not_asked(answers: Mapping[str, Any], question: str, value: Any) -> str:
    """Say that an answer given in advance has no effect, or one that would not be remembered."""
    if str(value).lower() in ("", "auto", "false", "[]"):
        return ""
    if question in GPU_QUESTIONS and "accelerator" not in answers:
        return "It is asked only for a GPU; give accelerator=gpu too."
    if question in ADVANCED and not as_bool(answers.get("advanced", False)):
        return f"It is asked only if advanced is true; give advanced=true too, or no {question}."
    return ""


# --------------------------------------------------------------------------------------------
# 8. The extension
# --------------------------------------------------------------------------------------------


class Drydock:
    """What templates see as `drydock`: the functions above, fed with the answers so far."""

    def __init__(self) -> None:
        """Read nothing yet: the catalogue is loaded when it is first asked for."""
        self._loaded: Catalogue | None = None

    def _catalogue(self) -> Catalogue:
        if self._loaded is None:
            self._loaded = Catalogue()
        return self._loaded

    @pass_context
    def choices(self, context: Any, question: str) -> list[str | list[str]]:
        """See `choices`."""
        answers = answers_before(context, question)
        return choices(self._catalogue(), answers, question)

    @pass_context
    def default(self, context: Any, question: str) -> Any:
        """See `default`."""
        answers = answers_before(context, question)
        return default(self._catalogue(), answers, question)

    @pass_context
    def check(self, context: Any, question: str, value: Any) -> str:
        """See `check`."""
        return check(self._catalogue(), answers_before(context, question), question, value)

    @pass_context
    def preflight(self, context: Any) -> bool:
        """See `preflight`."""
        answers = {name: context[name] for name in QUESTIONS if name in context}
        settings = context.get("_copier_conf")
        return preflight(self._catalogue(), answers, settings["data"] if settings else None)

    @pass_context
    def stack(self, context: Any) -> dict[str, Any]:
        """See `stack`."""
        names = (*QUESTIONS, "_copier_conf", "today")
        answers = {name: context[name] for name in names if name in context}
        return stack(self._catalogue(), answers)


def answers_before(context: Any, question: str) -> dict[str, Any]:
    """Pick the answers that bind a question from a Jinja context or a mapping.

    Those of earlier questions do, and those given in advance. During an update the context also
    holds an earlier run's answers to later questions; they do not bind, because they are about
    to be asked again. A mapping without `_copier_conf` is taken whole.
    """
    settings = context.get("_copier_conf")
    names = [name for name in (*QUESTIONS, "_copier_conf", "today") if name in context]
    if settings:
        later = QUESTIONS[QUESTIONS.index(question) :]
        names = [name for name in names if name not in later or name in settings["data"]]
    return {name: context[name] for name in names}


class DrydockExtension(Extension):
    """Adds the global `drydock` to Copier's Jinja environment."""

    def __init__(self, environment: Any) -> None:
        """Add it to this environment."""
        super().__init__(environment)
        environment.globals["drydock"] = Drydock()
