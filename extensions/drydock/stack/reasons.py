"""What was chosen and why, in lines: for the reviewer of a Dockerfile and for the terminal."""

from __future__ import annotations

from ..catalogue import Catalogue
from ..solver import Solution
from ..versions import is_supported
from .drivers import driver_age, driver_floor, last_branch
from .images import behind_mirror


def why(catalogue: Catalogue, solution: Solution) -> list[str]:
    """Return three short lines a reviewer can check: the image, the driver, what to run."""
    wheel, image, title = solution.wheel, solution.image, solution.framework.title
    if wheel.cuda is None:
        system = image.os.title()
        return [
            f"{title} {wheel.version} needs no CUDA: the image is python:slim on {system}.",
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
        image_line = f"{wheels}; the image is nvidia/cuda {image.cuda} {image.flavour}."
    elif solution.request.gpu_base == "slim":
        image_line = f"{wheels}; python:slim was asked for."
    elif solution.framework.library_path == "unset":
        image_line = f"{wheels}; LD_LIBRARY_PATH in an nvidia/cuda image would hide it."
    else:
        image_line = f"{wheels}; no nvidia/cuda image is sure to start on driver {driver}."
    floor = driver_floor(catalogue, solution)
    last = last_branch(catalogue, solution)
    until = f" Branch {last[0]} is the last that knows {last[1]}." if last else ""
    return [
        image_line,
        f"GPUs: {gpus}. Driver {floor.words}.{until}{driver_age(catalogue, solution.request)}",
        "Check on the host: nvidia-smi --query-gpu=name,compute_cap,driver_version --format=csv",
    ]


def summary(catalogue: Catalogue, solution: Solution, mirror: str) -> list[str]:
    """Return what was chosen, for the terminal: framework, image, driver, size of the download."""
    wheel = solution.wheel
    build = f", CUDA {wheel.cuda}" if wheel.cuda else ""
    lines = [
        f"framework  {solution.framework.title} {wheel.version}{build}, Python {solution.python}",
        f"image      {behind_mirror(solution.image.image, mirror)}",
    ]
    if wheel.accelerator == "gpu":
        floor = driver_floor(catalogue, solution)
        last = last_branch(catalogue, solution)
        until = f", up to branch {last[0]}" if last else ""
        lines.append(f"driver     {floor.brief}{until}")
    if wheel.download_mb:
        lines.append(f"download   about {wheel.download_mb / 1000:.1f} GB of wheels for the image")
    return lines


def python_age(catalogue: Catalogue, solution: Solution) -> list[str]:
    """Return a line for the terminal if the Python has ended, which a project that has it keeps."""
    python, today = solution.python, solution.request.today
    end = catalogue.python_end[python]
    if is_supported(end, today):
        return []
    return [
        f"caution    Python {python} has had no fixes since {end}, and new projects do not get it: "
        f"`copier update --data python_version={catalogue.common_python}` moves this one."
    ]
