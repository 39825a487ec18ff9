"""Print the part of a pylock.toml that has to be compiled: what has no wheel for this Linux, and
what comes from Git. Prints nothing where there is no such package.

The Dockerfile runs it. Usage: python source_only.py pylock.toml
"""

import platform
import sys
import tomllib
from pathlib import Path

PYTHON = f"3{sys.version_info.minor}"
START = "\n[[packages]]\n"


def fits(wheel: dict) -> bool:
    """Can this Python install the wheel? (In the end uv decides, which also looks at glibc.)"""
    pythons, abi, systems = wheel["url"].removesuffix(".whl").split("-")[-3:]
    if abi == "abi3":
        fitting = any(
            tag.startswith("cp3") and int(tag[2:]) <= int(PYTHON) for tag in pythons.split(".")
        )
    else:
        fitting = abi in {"none", f"cp{PYTHON}"} and any(
            tag in {"py3", f"py{PYTHON}", f"cp{PYTHON}"} for tag in pythons.split(".")
        )
    return fitting and any(
        system == "any" or ("manylinux" in system and system.endswith(platform.machine()))
        for system in systems.split(".")
    )


def is_source(package: dict) -> bool:
    """Is the package, an entry of the file, to be built?"""
    if "sdist" in package:
        return not any(map(fits, package.get("wheels", [])))
    archive = package.get("archive", {"url": ".whl"})
    return "vcs" in package or not archive["url"].endswith(".whl")


text = Path(sys.argv[1]).read_text()
head, *tables = text.split(START)
packages = tomllib.loads(text)["packages"]
sources = [table for table, entry in zip(tables, packages, strict=True) if is_source(entry)]
if sources:
    print(START.join([head, *sources]))
