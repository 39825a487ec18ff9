"""Which projects the rendering tests make: every pair of choices at least once."""

from __future__ import annotations

from collections.abc import Iterator

from allpairspy import AllPairs

from drydock.catalogue import Catalogue
from drydock.questions import ADVANCED, GPU_QUESTIONS, ON_KUBERNETES
from drydock.request import read_request
from drydock.solver import solve

CHOICES: dict[str, list] = {
    "workload": ["train", "serve", "both"],
    "accelerator": ["cpu", "gpu"],
    "framework": ["scikit-learn", "pytorch", "jax", "tensorflow", "onnxruntime", "xgboost"],
    "platform": ["docker", "openshift", "ovh", "sagemaker", "vertex"],
    "ci": ["github", "gitlab", "none"],
    "extras": [[], ["kubernetes"]],
    "image_name": ["demo", "ghcr.io/acme/demo", "registry.example.com/team/demo"],
    "python_version": ["3.11", "3.12", "3.13"],
    "gpus": [["any"], ["H100"], ["V100", "A100"], ["L4", "RTX 4090"]],
    "driver": ["580", "570.86.15", "610"],
    "advanced": [False, True],
    "gpu_base": ["auto", "nvidia", "slim"],
    "compile_cuda": [False, True],
    "apt_packages": ["", "libgl1 ffmpeg"],
    "package_index": ["", "https://pypi.example.com/simple"],
    "pytorch_index": ["", "https://pytorch.example.com/whl"],
    "image_mirror": ["", "registry.example.com/proxy"],
    "python_mirror": ["", "https://mirror.example.com/python-build-standalone"],
    "description": ["Forecasts demand", 'It\'s a "test" with a \\ and an é: # {{ braces }}'],
}
"""What is tried for each question. The order of the names is that of the form."""

CATALOGUE = Catalogue()


def asked(name: str, answers: dict) -> bool:
    """Would the form ask this question after these answers?"""
    if name in GPU_QUESTIONS and answers["accelerator"] == "cpu":
        return False
    if name in ADVANCED and not answers.get("advanced"):
        return False
    if name == "extras" and answers["platform"] not in ON_KUBERNETES:
        return False
    return not (name == "pytorch_index" and answers["framework"] != "pytorch")


def _possible(values: list) -> bool:
    """Is there a solution for these answers? (allpairspy asks with the first few of a set, too.)

    Whether the solver is right is asked elsewhere: here it says which projects there can be.
    """
    answers = dict(zip(CHOICES, values, strict=False))
    if len(answers) < 3:
        return True
    kept = {name: value for name, value in answers.items() if asked(name, answers)}
    if answers.get("extras") and "extras" not in kept:
        return False  # such a set would count as one that has the pair
    if kept["accelerator"] == "gpu" and kept["framework"] == "scikit-learn":
        return False
    return solve(CATALOGUE, read_request(CATALOGUE, kept)) is not None


def pairwise() -> Iterator[tuple[str, dict]]:
    """Yield a name and the answers of each project that has to be made."""
    for number, values in enumerate(AllPairs(list(CHOICES.values()), filter_func=_possible)):
        answers = dict(zip(CHOICES, values, strict=True))
        kept = {name: value for name, value in answers.items() if asked(name, answers)}
        words = (kept["framework"], kept["accelerator"], kept["workload"], kept["platform"])
        yield f"{number:02d}-{'-'.join(words)}", kept
