"""List what has to be compiled: packages of a pylock.toml that have no wheel for this Linux.

The Dockerfile runs it. Usage: python source_only.py pylock.toml
"""

import platform
import sys
import tomllib

PYTHON = f"3{sys.version_info.minor}"


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


with open(sys.argv[1], "rb") as file:
    for package in tomllib.load(file)["packages"]:
        if "sdist" in package and not any(map(fits, package.get("wheels", []))):
            digest = package["sdist"]["hashes"]["sha256"]
            print(f"{package['name']}=={package['version']} --hash=sha256:{digest}")
