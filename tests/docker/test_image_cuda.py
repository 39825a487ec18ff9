"""A dependency that compiles CUDA code against the framework: the image gets what comes of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support import indexes
from tests.support.docker import images
from tests.support.docker.client import Build, Engine

NAME = "drydock_kernel"
SOURCE = {
    "pyproject.toml": """
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"
""",
    # As such packages do: torch is imported to build, and says where its headers are.
    "setup.py": f"""
import os, shutil, subprocess, sysconfig
import torch
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

assert shutil.which("ninja") and os.environ["FORCE_CUDA"] == "1"

class Nvcc(build_ext):
    def build_extension(self, extension):
        target = self.get_ext_fullpath(extension.name)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        compute = [one.removesuffix("+PTX").replace(".", "")
                   for one in os.environ["TORCH_CUDA_ARCH_LIST"].split()]
        assert os.environ["CUDAARCHS"] == ";".join(compute)
        subprocess.check_call([
            "nvcc", "-shared", "-Xcompiler=-fPIC", "-I" + sysconfig.get_path("include"),
            *(f"-gencode=arch=compute_{{one}},code=sm_{{one}}" for one in compute),
            f'-DTORCH="{{torch.__version__}}"', '-DCOMPUTE="' + " ".join(compute) + '"',
            *extension.sources, "-o", target])

setup(name="{NAME}", version="1.0", ext_modules=[Extension("{NAME}", ["kernel.cu"])],
      cmdclass={{"build_ext": Nvcc}})
""",
    "kernel.cu": f"""
#include <Python.h>
#ifdef __CUDACC__
__global__ void twice(float *x) {{ x[threadIdx.x] *= 2; }}
#endif
static PyModuleDef definition = {{PyModuleDef_HEAD_INIT, "{NAME}", nullptr, -1, nullptr}};
PyMODINIT_FUNC PyInit_{NAME}(void) {{
    PyObject *module = PyModule_Create(&definition);
    PyModule_AddStringConstant(module, "torch", TORCH);
    PyModule_AddStringConstant(module, "compute", COMPUTE);
    return module;
}}
""",
}


@pytest.fixture(scope="module")
def compiled(
    project: Callable, builder: Callable, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Path, Build]]:
    """A project with that dependency in its group `cuda`, and its image."""
    edited = images.copy(project("torch-cuda"), tmp_path_factory.mktemp("cuda"))
    sdist = indexes.make_sdist(tmp_path_factory.mktemp("sdist"), NAME, "1.0", SOURCE)
    index = indexes.Index({"simple": [sdist]}, port=28127)
    pyproject = edited / "pyproject.toml"
    table = f"""[[tool.uv.index]]
name = "kernels"
url = "{index.url}/simple"
explicit = true
exclude-newer = false

[tool.uv.sources]
{NAME} = {{ index = "kernels" }}
"""
    images.replace(pyproject, "[tool.uv.sources]\n", table)
    images.uv(edited, "add", "--no-sync", "--group", "cuda", NAME)
    yield edited, builder(edited, "cuda")
    index.close()


def test_it_is_compiled_for_the_gpus_against_the_framework_of_the_image(
    docker: Engine, compiled: tuple[Path, Build]
) -> None:
    report = "print(json.dumps([torch.__version__, k.torch, k.compute]))"
    code = f"import json, torch, {NAME} as k; {report}"
    ran = docker.run(compiled[1].tag, "-c", code, entrypoint="python", network="none", user="42420")
    of_image, compiled_against, compute = json.loads(ran.stdout)
    assert of_image == compiled_against and of_image.startswith("2.13.0")
    assert compute == "75 90"


def test_neither_toolkit_nor_what_it_was_built_with_is_in_the_image(
    docker: Engine, compiled: tuple[Path, Build]
) -> None:
    paths = [Path("/", path) for path in docker.image_files(compiled[1].tag)]
    assert [path for path in paths if path.name.startswith(f"{NAME}.")]
    programs = {path.name for path in paths if path.parent.name in {"bin", "sbin"}}
    assert "python3" in programs and not programs & {"nvcc", "gcc", "g++", "ninja", "git"}
    assert not [path for path in paths if path.is_relative_to("/opt/build")]
    installed = {path.name.partition("-")[0] for path in paths if path.suffix == ".dist-info"}
    assert {"torch", NAME} <= installed and "ninja" not in installed


def test_the_python_of_the_image_is_its_own(docker: Engine, compiled: tuple[Path, Build]) -> None:
    """The builder's is another one, at another place."""
    code = "import sys; print(sys.prefix, sys.base_prefix)"
    ran = docker.run(compiled[1].tag, "-c", code, entrypoint="python")
    assert ran.stdout.split() == ["/opt/venv", "/usr/local"]
    assert "/opt/python" not in docker.image_files(compiled[1].tag)


def test_another_version_of_the_project_compiles_nothing(
    compiled: tuple[Path, Build], builder: Callable, tmp_path: Path
) -> None:
    edited = images.copy(compiled[0], tmp_path)
    images.replace(edited / "pyproject.toml", 'version = "0.1.0"', 'version = "0.2.0"')
    images.uv(edited, "lock")
    again = builder(edited, "cuda-version")
    assert (
        compiled[1].step("--no-build-isolation").ran
        or compiled[1].step("--no-build-isolation").cached
    )
    assert again.step("[lock 3/3]").ran
    assert again.step("--no-build-isolation").cached
    assert again.step("/mnt/pylock.rest.toml").cached


def test_a_laptop_has_neither(compiled: tuple[Path, Build]) -> None:
    """`uv sync` is for machines without a CUDA toolkit."""
    exported = images.uv(compiled[0], "export", "--quiet", "--locked", "--no-hashes").stdout
    assert "torch==" in exported and NAME not in exported.replace("-", "_")
