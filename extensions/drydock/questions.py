"""The questions of the form, and the values of those that are answered by choosing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .catalogue import Catalogue
from .versions import version

# A question to its answer, as the form or a command line gives it. Beside the questions there may
# be `today` (an ISO date), `kept_name` (of an existing project) and Copier's own `_copier_conf`.
Answers = Mapping[str, Any]

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
    "advanced",
    "forward_compat",
    "framework_version",
    "cuda",
    "gpu_base",
    "compile_cuda",
    "apt_packages",
    "package_index",
    "pytorch_index",
    "image_mirror",
    "python_mirror",
)
ADVANCED = QUESTIONS[QUESTIONS.index("advanced") + 1 :]
GPU_QUESTIONS = ("gpus", "driver", "forward_compat", "cuda", "gpu_base", "compile_cuda")

WORKLOADS = ("train", "serve")
ACCELERATORS = ("cpu", "gpu")
CI = ("github", "gitlab", "none")
GPU_BASES = ("auto", "nvidia", "slim")


def today(catalogue: Catalogue, answers: Answers) -> str:
    """Return the day that ends of life are compared with: an answer, else the catalogue's own."""
    return str(answers.get("today") or catalogue.as_of)


def every_value(catalogue: Catalogue, answers: Answers, question: str) -> list[str]:
    """List every value of a question that is answered by choosing, possible or not.

    Raises:
        KeyError: the question has no list of values.
    """
    if question in ("framework_version", "cuda"):
        framework = str(answers.get("framework") or "")
        known = framework if framework in catalogue.frameworks else None
        column = "version" if question == "framework_version" else "cuda"
        values = {getattr(wheel, column) for wheel in catalogue.wheels_of(known)}
        return ["auto", *sorted(values - {None}, key=version, reverse=True)]
    return {
        "workload": list(WORKLOADS),
        "accelerator": list(ACCELERATORS),
        "framework": list(catalogue.frameworks),
        "gpus": ["any", *catalogue.gpus],
        "python_version": list(catalogue.pythons),
        "platform": list(catalogue.platforms),
        "ci": list(CI),
        "gpu_base": list(GPU_BASES),
    }[question]
