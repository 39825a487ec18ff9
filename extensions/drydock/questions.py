"""The questions of the form, and the values of those that are answered by choosing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .catalogue import Catalogue
from .versions import version

# A question to its answer, as the form or a command line gives it. Beside the questions there may
# be `today` (an ISO date), `kept_name` and `kept_python` (of an existing project) and Copier's own
# `_copier_conf`.
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
    "extras",
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

# What decides which code stands in the owner's files. No update can change it: see `changes`.
FIXED = ("project_name", "workload", "framework")

# What a question of `ADVANCED` means while it is not asked. Their defaults in `copier.yml`.
NEUTRAL: Mapping[str, Any] = {
    "forward_compat": False,
    "framework_version": "auto",
    "cuda": "auto",
    "gpu_base": "auto",
    "compile_cuda": False,
    "apt_packages": "",
    "package_index": "",
    "pytorch_index": "",
    "image_mirror": "",
    "python_mirror": "",
}

# Questions of earlier versions to what became of each, as a sentence without a subject. The answer
# to one that was renamed or split is carried by the default of the new question in `copier.yml`,
# such as `{{ old_name | default('github') }}`, since an update has the old answer at hand.
FORMER: Mapping[str, str] = {}

WORKLOADS = ("train", "serve", "both")
ACCELERATORS = ("cpu", "gpu")
CI = ("github", "gitlab", "none")
GPU_BASES = ("auto", "nvidia", "slim")
EXTRAS = ("kubernetes",)
# The platforms whose containers Kubernetes can run: the others have a contract of their own.
ON_KUBERNETES = ("docker", "openshift")


def as_bool(value: Any) -> bool | None:
    """Read a truth value as Copier does; None if it is none."""
    if isinstance(value, bool):
        return value
    text = str(value).strip().lower()
    if text in ("true", "yes", "y", "t", "on", "1"):
        return True
    return False if text in ("false", "no", "n", "f", "off", "0", "none", "~", "") else None


def is_asked(answers: Answers, question: str) -> bool:
    """Tell whether the form asks a question, given the answers to the earlier ones."""
    if question in GPU_QUESTIONS and str(answers.get("accelerator", "cpu")) != "gpu":
        return False
    if question in ADVANCED and not as_bool(answers.get("advanced", False)):
        return False
    if question == "extras" and str(answers.get("platform", "docker")) not in ON_KUBERNETES:
        return False
    return question != "pytorch_index" or str(answers.get("framework")) == "pytorch"


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
        "extras": list(EXTRAS),
        "gpu_base": list(GPU_BASES),
    }[question]
