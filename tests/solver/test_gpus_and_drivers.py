"""GPUs by capability, the machines they sit in, and the drivers that run them."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from copier.errors import UserMessageError

from drydock.catalogue import FOLDER, Catalogue
from drydock.form import choices, default
from drydock.refusal import explain, refusal
from drydock.request import Request, host_of
from drydock.solver import Solution, solve
from drydock.stack import stack_of
from drydock.versions import version
from tests.support.catalogues import with_ptx_alone

Solve = Callable[..., Solution | None]


def stack(catalogue: Catalogue, **answers: Any) -> Any:
    """What the templates read for a GPU project."""
    return stack_of(catalogue, {"accelerator": "gpu", "advanced": True, **answers})


# ---- by capability


def test_a_gpu_can_be_answered_by_its_capability(catalogue: Catalogue) -> None:
    by_name = stack(catalogue, gpus=["RTX 4090"], driver="550.54.14", compile_cuda=True)
    by_number = stack(catalogue, gpus=["8.9"], driver="550.54.14", compile_cuda=True)
    assert by_number["base"] == by_name["base"]
    assert by_number["framework"] == by_name["framework"]
    assert by_number["devel"] == by_name["devel"]
    assert by_number["devel"]["targets"] == ["8.9"]


def test_a_capability_may_be_a_geforce(solve: Solve) -> None:
    """The image of CUDA 12.8 starts on driver 550 with a datacentre GPU only."""
    for gpu, image in (("A100", "12.8"), ("8.0", None)):
        solution = solve(gpus=(gpu,), driver="550.54.14", cuda="12.8", today="2027-06-01")
        assert solution.image.cuda == image, gpu


def test_a_capability_stands_behind_the_models(catalogue: Catalogue) -> None:
    values = choices(catalogue, {"accelerator": "gpu", "framework": "pytorch"}, "gpus")
    models = [value for value in values if value in catalogue.gpus and not is_number(value)]
    numbers = [value for value in values if is_number(value)]
    assert values == ["any", *models, *numbers]
    assert "8.6" in numbers
    assert "3.7" not in numbers, "no build holds code for it"
    assert "8.7" not in numbers, "a Jetson's"


def is_number(value: str) -> bool:
    """Is it a capability?"""
    return value.replace(".", "").isdigit()


@pytest.mark.parametrize("gpu", ["3.7", "2.1"])
def test_a_capability_that_no_build_serves_is_refused_in_a_sentence(
    catalogue: Catalogue, request_of: Callable[..., Request], gpu: str
) -> None:
    sentence = refusal(catalogue, request_of(gpus=(gpu,), driver="470.256.02"))
    assert sentence.startswith(f"gpus: {gpu} (compute capability) cannot be had")
    assert "instead of" in sentence


def test_every_capability_has_a_machine(catalogue: Catalogue) -> None:
    numbers = [gpu for gpu in catalogue.gpus.values() if not gpu.is_model]
    assert len(numbers) > 15
    for gpu in numbers:
        assert gpu.hosts and gpu.host in gpu.hosts
    assert catalogue.gpus["12.1"].hosts == ("arm64",), "only GB10 has it"
    assert catalogue.gpus["6.1"].hosts == ("amd64",)
    assert catalogue.gpus["8.6"].hosts == ("amd64", "arm64")


# ---- machines


@pytest.mark.parametrize(
    ("gpus", "platform", "host"),
    [
        (("A100",), None, "amd64"),
        (("GH200",), None, "arm64"),
        (("GH200", "A100"), None, "arm64"),
        (("T4G", "T4"), None, "arm64"),
        (("GH200", "GTX 1080"), None, None),
        (("GH200",), "ovh", None),
        (("any",), None, None),
        (("any",), "ovh", "amd64"),
        (("8.6",), None, "amd64"),
    ],
)
def test_the_machines_have_one_architecture(
    catalogue: Catalogue,
    request_of: Callable[..., Request],
    gpus: tuple[str, ...],
    platform: str | None,
    host: str | None,
) -> None:
    assert host_of(catalogue, request_of(gpus=gpus, platform=platform)) == host


def test_gpus_of_different_machines_are_refused(catalogue: Catalogue, solve: Solve) -> None:
    with pytest.raises(UserMessageError, match="one CPU architecture"):
        stack(catalogue, framework="jax", gpus=["GH200", "GTX 1080"], driver="580")
    assert solve(framework="jax", gpus=("GH200", "RTX 3090")) is not None


def test_an_image_for_arm_needs_the_code_of_the_builds_for_arm(
    catalogue: Catalogue, solve: Solve
) -> None:
    """A T4 beside a T4G sits in an ARM server, and PyTorch's builds for ARM begin at 8.0."""
    assert solve(gpus=("T4",)) is not None
    assert solve(gpus=("T4", "T4G")) is None
    found = stack(catalogue, framework="jax", gpus=["T4", "T4G"], driver="580")
    assert found["platform"]["architecture"] == "linux/arm64"


def test_the_image_of_gpus_of_arm_servers_is_built_for_them(catalogue: Catalogue) -> None:
    for gpus, built in ((["GH200"], "linux/arm64"), (["A100"], "linux/amd64"), (["any"], None)):
        assert stack(catalogue, gpus=gpus, driver="580")["platform"]["architecture"] == built


# ---- drivers


def test_a_number_of_windows_belongs_to_its_branch(
    catalogue: Catalogue, rows: dict[str, Any]
) -> None:
    seen = 0
    for row in rows["drivers"]["branches"]:
        for number in row.get("windows", []):
            assert catalogue.branch(version(number)).branch == row["branch"]
            seen += 1
    assert seen > 5
    assert catalogue.branch(version("470.57.02")) is None
    assert catalogue.branch_number(version("470.57.02")) == 470


def test_the_last_branch_of_a_gpu_is_asked_of_the_branch_of_a_driver(solve: Solve) -> None:
    assert solve(gpus=("V100",), driver="581.80") is not None
    assert solve(gpus=("V100",), driver="591.44") is None


def test_an_image_that_lists_a_branch_starts_on_its_numbers_of_windows(solve: Solve) -> None:
    """Driver 536.25 is of branch 535, which the images of CUDA 12.4 list for a GeForce too."""
    request = {"gpus": ("RTX 4090",), "cuda": "12.4", "gpu_base": "nvidia", "today": "2026-11-26"}
    on_windows = solve(driver="536.25", **request)
    assert on_windows.image == solve(driver="535.183.01", **request).image
    newest = {"gpus": ("A100",), "driver": "536.25", "today": "2027-06-01", "cuda": "12.6"}
    assert solve(**newest).image.cuda == "12.6"


def test_no_driver_is_made_up_for_a_cuda_that_no_branch_supports(catalogue: Catalogue) -> None:
    assert catalogue.driver_of_cuda("13.9") is None
    older = copy.copy(catalogue)
    older.branches = tuple(row for row in catalogue.branches if row.branch < 595)
    request = {"gpus": ["A100"], "driver": "580.95.05", "cuda": "13.2", "framework": "pytorch"}
    # CUDA 13.2 lists branch 580, and nothing newer is known.
    older.images = tuple(
        row for row in catalogue.images if row.kind == "slim" or row.cuda == "13.2"
    )
    found = stack(older, **request)
    assert found["base"]["kind"] == "nvidia"
    assert "or one that supports CUDA 13.2" in found["why"][1]
    geforce = stack(older, **{**request, "gpus": ["RTX 4090"]})
    assert geforce["base"]["kind"] == "slim"


def test_there_is_a_default_driver_long_after_the_last_row(catalogue: Catalogue) -> None:
    assert catalogue.long_term_driver("2099-01-01") == "620"
    answers = {"accelerator": "gpu", "framework": "pytorch", "today": "2027-12-31"}
    assert default(catalogue, answers, "driver")


@pytest.mark.parametrize(
    ("answers", "line"),
    [
        (
            {"framework": "jax", "gpus": ["RTX 5090"], "driver": "570.124.06"},
            "GPUs: RTX 5090. Driver 570.26 or newer, which the RTX 5090 needs.",
        ),
        (
            {"framework": "jax", "gpus": ["A100", "12.0"], "driver": "575.51.03"},
            "GPUs: A100, 12.0. Driver 570.26 or newer, which compute capability 12.0 needs.",
        ),
        (
            {"gpus": ["V100"], "driver": "580", "cuda": "12.6", "gpu_base": "slim"},
            "GPUs: V100. Driver 525.60.13 or newer, which wheels of CUDA 12 need."
            " Branch 580 is the last that knows the V100.",
        ),
    ],
)
def test_the_driver_of_the_dockerfile_is_one_that_knows_the_gpus(
    catalogue: Catalogue, answers: dict[str, Any], line: str
) -> None:
    assert stack(catalogue, **answers)["why"][1].startswith(line)


def test_the_summary_says_the_last_branch_too(catalogue: Catalogue) -> None:
    lines = stack(catalogue, gpus=["V100", "RTX 4090"], driver="580", gpu_base="slim")["summary"]
    assert "driver     525.60.13 or newer, up to branch 580" in lines


def test_jax_compiles_its_ptx_itself(catalogue: Catalogue) -> None:
    """Its CUDA 13 plugin is built with 13.5; driver 580 supports CUDA 13.0, and so 12.9."""
    answers = {"framework": "jax", "gpus": ("H100",), "driver": "580", "today": catalogue.as_of}
    for own_ptxas, build in ((True, "cuda13"), (False, "cuda12")):
        changed = with_ptx_alone(catalogue, own_ptxas)
        solution = solve_in(changed, {"accelerator": "gpu", **answers})
        assert solution.wheel.build == build


def test_a_driver_that_compiles_ptx_is_one_of_the_builds_cuda(catalogue: Catalogue) -> None:
    answers = {"framework": "jax", "gpus": ["H100"], "driver": "580"}
    by_driver = stack(with_ptx_alone(catalogue, own_ptxas=False), **answers)["why"][1]
    assert "575 or newer, which compiles the PTX of CUDA 12.9 for the H100." in by_driver
    by_jax = stack(with_ptx_alone(catalogue), **answers)["why"][1]
    assert "580 or newer, which wheels of CUDA 13 need." in by_jax
    # The build has code for a T4 itself.
    no_ptx = stack(
        with_ptx_alone(catalogue, own_ptxas=False), **{**answers, "gpus": ["T4"], "driver": "550"}
    )
    assert "525.60.13 or newer, which wheels of CUDA 12 need." in no_ptx["why"][1]


@pytest.mark.parametrize(
    ("driver", "release"),
    [
        ("525.60.13", "2.16.2"),
        ("535.183.01", "2.16.2"),
        ("545.23.06", "2.18.1"),
        ("550.54.14", "2.18.1"),
        ("555.42.02", "2.21.0"),
        (None, "2.21.0"),
    ],
)
def test_a_driver_has_to_know_the_ptx_of_which_a_part_of_the_kernels_is(
    solve: Solve, driver: str | None, release: str
) -> None:
    """TensorFlow's element-wise kernels for Hopper are PTX: 8.5 from 2.19 on, 8.3 before."""
    assert solve(framework="tensorflow", gpus=("H100",), driver=driver).wheel.version == release
    assert solve(framework="tensorflow", gpus=("A100",), driver=driver).wheel.version == "2.21.0"


def test_the_driver_that_compiles_a_part_is_named(catalogue: Catalogue) -> None:
    answers = {"framework": "tensorflow", "gpus": ["H100"], "driver": "580", "gpu_base": "slim"}
    line = stack(catalogue, **answers)["why"][1]
    assert "Driver 555 or newer, which compiles the PTX of CUDA 12.5 for the H100." in line


def test_a_capability_is_replaced_by_another_one_and_a_model_by_a_model(
    catalogue: Catalogue, request_of: Callable[..., Request]
) -> None:
    """An A100 would do, but whoever answers 8.0 has a GPU that is not in the list."""
    asked = {"driver": "550.54.14", "cuda": "12.8", "gpu_base": "nvidia", "today": "2027-06-01"}
    assert solve(catalogue, request_of(gpus=("A100",), **asked)) is not None
    conflict = explain(catalogue, request_of(gpus=("8.0",), **asked))
    assert conflict.fixes
    assert not any(dict(fix).get("gpus", "").startswith("A100") for fix in conflict.fixes)
    conflict = explain(catalogue, request_of(gpus=("V100",), framework_version="2.15.0"))
    assert (("gpus", "T4 instead of V100"),) in conflict.fixes


def solve_in(catalogue: Catalogue, answers: dict[str, Any]) -> Solution | None:
    """Solve with a catalogue of one's own."""
    return solve(catalogue, Request(**answers))


# ---- compilers


def test_a_b300_is_compiled_for_from_cuda_12_9_on(solve: Solve) -> None:
    """The minor version counts: the nvcc of 12.8 knows 10.0 and not 10.3."""
    request = {"cuda": "12.8", "compile_cuda": True, "gpu_base": "slim"}
    assert solve(gpus=("B200",), **request).devel.cuda == "12.8"
    assert solve(gpus=("B300",), **request).devel.cuda == "12.9"


def test_any_gpu_finds_binary_code_where_the_driver_loads_no_ptx(catalogue: Catalogue) -> None:
    """PTX of CUDA 13.3 is not loaded by driver 580, which supports 13.0."""
    answers = {"framework": "jax", "gpus": ["any"], "driver": "580", "compile_cuda": True}
    ptx_alone = with_ptx_alone(catalogue)
    devel = stack(ptx_alone, **answers)["devel"]
    assert devel["image"].startswith("nvidia/cuda:13.0.")
    assert devel["targets"] == ["7.5+PTX", "8.0", "9.0", "10.0", "11.0", "12.0"]
    on_x86 = stack(ptx_alone, **answers, platform="ovh")["devel"]["targets"]
    assert on_x86 == ["7.5+PTX", "8.0", "9.0", "10.0", "12.0"], "11.0 is Thor's"
    newer = stack(ptx_alone, **{**answers, "driver": "620"})["devel"]
    assert newer["image"].startswith("nvidia/cuda:13.3.")


def test_a_kernel_with_a_letter_is_a_target_without_it(catalogue: Catalogue) -> None:
    found = stack(
        catalogue,
        framework="onnxruntime",
        workload="serve",
        gpus=["any"],
        driver="580",
        compile_cuda=True,
    )
    targets = found["devel"]["targets"]
    assert {"9.0", "12.0"} <= {target.removesuffix("+PTX") for target in targets}
    assert not any(letter in target for target in targets for letter in "af")


# ---- builds that are gone


def test_a_build_is_not_offered_where_it_or_its_cpu_build_is_gone(tmp_path: Path) -> None:
    folder = shutil.copytree(FOLDER, tmp_path / "catalogue")
    data = json.loads((folder / "pytorch.json").read_text("utf-8"))
    for row in data["builds"]:
        if (row["version"], row["build"]) in (("2.15.0", "cpu"), ("2.14.1", "cu130")):
            row["broken"] = "gone from the index"
    (folder / "pytorch.json").write_text(json.dumps(data), "utf-8")
    changed = Catalogue(folder)
    answers = {"today": changed.as_of, "framework": "pytorch", "driver": "580"}
    solution = solve_in(changed, {"accelerator": "gpu", "gpus": ("A100",), **answers})
    assert (solution.wheel.version, solution.wheel.build) == ("2.14.1", "cu132")
    answers = {"today": changed.as_of, "framework": "pytorch"}
    assert solve_in(changed, answers).wheel.version == "2.14.1"


def test_a_build_with_two_rows_is_named_once(
    catalogue: Catalogue, request_of: Callable[..., Request]
) -> None:
    request = request_of(framework_version="2.10.0", cuda="13.2")
    assert refusal(catalogue, request).count("cu128") == 1


# ---- what a change of one word would break


def test_code_is_looked_for_in_the_builds_of_the_machines(
    catalogue: Catalogue, solve: Solve
) -> None:
    """Beside a GH200 a T4 sits in an ARM server too, for which PyTorch's builds begin at 8.0."""
    assert solve(gpus=("A100", "GH200")) is not None
    assert solve(gpus=("T4", "GH200")) is None
    changed = with_ptx_alone(catalogue, own_ptxas=False)
    kernels = {"amd64": ("8.0", "9.0"), "arm64": ("7.5+PTX", "9.0")}
    wheels = tuple(replace(wheel, kernels=kernels) for wheel in changed.wheels["jax"])
    changed.wheels = {**changed.wheels, "jax": wheels}
    answers = {"today": catalogue.as_of, "accelerator": "gpu", "framework": "jax", "driver": "580"}
    for gpus, build in ((("A100",), "cuda13"), (("A100", "GH200"), "cuda12")):
        assert solve_in(changed, {**answers, "gpus": gpus}).wheel.build == build


def test_a_capability_has_a_last_driver(solve: Solve) -> None:
    assert solve(gpus=("7.0",), driver="580") is not None
    assert solve(gpus=("7.0",), driver="595") is None


def test_a_gpu_that_is_named_gets_the_nearest_compiler(catalogue: Catalogue) -> None:
    """It runs the binary code, and needs no PTX."""
    answers = {"framework": "jax", "gpus": ["H100"], "driver": "580", "compile_cuda": True}
    devel = stack(catalogue, **answers)["devel"]
    assert devel["image"].startswith("nvidia/cuda:13.3.")
    assert devel["targets"] == ["9.0"]


def test_the_targets_of_any_gpu_are_those_of_its_machines_and_of_the_compiler(
    catalogue: Catalogue,
) -> None:
    answers = {"gpus": ["any"], "driver": "580", "compile_cuda": True}
    assert "11.0" in stack(catalogue, **answers)["devel"]["targets"]
    assert "11.0" not in stack(catalogue, **answers, platform="ovh")["devel"]["targets"]
    old = stack(with_ptx_alone(catalogue), **{**answers, "driver": "525.60.13", "framework": "jax"})
    assert old["devel"]["targets"] == ["7.5+PTX", "8.0", "9.0"], "CUDA 12.0 knows no newer one"


def test_ptx_stays_ptx_beside_code_with_a_letter(catalogue: Catalogue) -> None:
    """ONNX Runtime 1.28 holds 12.0a and PTX for 12.0."""
    found = stack(
        catalogue,
        framework="onnxruntime",
        framework_version="1.28.0",
        workload="serve",
        gpus=["any"],
        driver="580",
        compile_cuda=True,
    )
    assert "12.0+PTX" in found["devel"]["targets"]


def test_a_branch_that_an_image_lists_is_named_by_its_number(catalogue: Catalogue) -> None:
    line = stack(catalogue, gpus=["A100"], driver="536.25", cuda="12.6", today="2027-06-01")["why"][
        1
    ]
    assert "535 or newer of branch 535, which the image lists" in line
    later = copy.copy(catalogue)
    later.images = tuple(
        row for row in catalogue.images if row.kind == "slim" or row.cuda == "12.9"
    )
    answers = {"gpus": ["B200"], "driver": "570.133.20", "gpu_base": "nvidia"}
    assert "570.26 or newer of branch 570" in stack(later, **answers)["why"][1]


def test_the_last_branch_is_that_of_the_gpu_that_ends_first(catalogue: Catalogue) -> None:
    changed = copy.copy(catalogue)
    p100 = replace(catalogue.gpus["P100"], driver_to="570")
    changed.gpus = {**catalogue.gpus, "P100": p100}
    line = stack(changed, gpus=["V100", "P100"], driver="550")["why"][1]
    assert "Branch 570 is the last that knows the P100." in line
