"""The code that wheels hold for GPUs, and which compute capabilities run it.

Source: CUDA C++ Programming Guide, "Binary Compatibility", "PTX Compatibility" and
"Family-Specific Features"; CUDA for Tegra, "Application Considerations".
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

from .versions import Version, version


@dataclass(frozen=True)
class Kernel:
    """Code for one compute capability, such as "8.0", "9.0a", "10.0f" or "12.0+PTX".

    `letter` is "a" for code that runs on this capability only, "f" for code that runs on its
    family, and "" for ordinary code. `ptx` tells that it is there as PTX too.
    """

    compute: Version
    letter: str
    ptx: bool


@cache
def read_kernel(text: str) -> Kernel:
    """Read a kernel as the catalogue writes it.

    Raises:
        ValueError: it is none.
    """
    found = re.fullmatch(r"(\d+\.\d+)([af]?)(\+PTX)?", text)
    if found is None:
        raise ValueError(f"{text!r} is no kernel")
    return Kernel(version(found[1]), found[2], bool(found[3]))


@cache
def binary_runs(kernel: str, compute: str, tegra: bool = False) -> bool:
    """Tell whether binary code compiled for one compute capability runs on a GPU of another.

    It runs within its major version on an equal or higher minor one; with "a" only on its own.
    Binary code is not shared between a Tegra chip and other GPUs, nor between two such chips.
    """
    built, wanted = read_kernel(kernel), version(compute)
    if tegra or built.letter == "a":
        return built.compute == wanted
    return built.compute[0] == wanted[0] and built.compute <= wanted


@cache
def kernel_runs(kernel: str, compute: str, tegra: bool = False) -> bool:
    """Tell whether a kernel runs on a GPU: its binary code, or its PTX, which is then compiled.

    PTX runs on every newer GPU, except that of code with a letter, which is bound like its binary.
    """
    built = read_kernel(kernel)
    as_ptx = built.ptx and not built.letter and built.compute <= version(compute)
    return as_ptx or binary_runs(kernel, compute, tegra)
