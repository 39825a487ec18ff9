"""Cut pylock.toml files down to some of their packages; the lines that stay are unchanged.

    python split_lock.py PART=pylock.toml ...    writes pylock.PART.toml for each
    python split_lock.py uv.lock                 stops if the image cannot be built from it

The part `nvidia` is NVIDIA's libraries; `source` is what has to be built, because it has no wheel
for this Linux or comes from Git. The Dockerfile runs this on what `uv export` wrote. A part changes
only when its own packages do, so the layer that is installed from it is rebuilt only then.
"""

import platform
import sys
import tomllib
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

START = "\n[[packages]]\n"


def file_name(file: dict) -> str:
    """Name of a file that a package lists (https://peps.python.org/pep-0751/)."""
    return PurePosixPath(urlsplit(file.get("url") or file["path"]).path).name


def fits(wheel: str) -> bool:
    """Can this Python on this Linux install a wheel of that name? (An estimate that leaves the
    version of glibc out; uv has the last word when it installs.)

    https://packaging.python.org/en/latest/specifications/platform-compatibility-tags/
    """
    *_, pythons, abi, systems = wheel.removesuffix(".whl").split("-")
    mine = sys.version_info.minor
    older = {f"{kind}3{minor}" for kind in ("cp", "py") for minor in range(mine)}
    tags = {"py3", f"py3{mine}", f"cp3{mine}"}
    if abi == "abi3":
        tags |= older
    elif abi == "none":
        tags |= {tag for tag in older if tag.startswith("py")}
    return (
        abi in {"none", "abi3", f"cp3{mine}"}
        and not tags.isdisjoint(pythons.split("."))
        and any(
            system == "any"
            or (system.startswith(("manylinux", "linux")) and system.endswith(platform.machine()))
            for system in systems.split(".")
        )
    )


def is_nvidia(package: dict) -> bool:
    """Is the package, an entry of the file, a library of NVIDIA?"""
    return package["name"].startswith("nvidia-")


def is_source(package: dict) -> bool:
    """Is the package, an entry of the file, to be built?"""
    if "archive" in package:
        return not file_name(package["archive"]).endswith(".whl")
    if "sdist" in package:
        return not any(fits(file_name(wheel)) for wheel in package.get("wheels", []))
    return "vcs" in package


def refuse_local(lock: Path) -> None:
    """Stop if a package of uv.lock lies in a folder or a file beside the project, where the build
    does not see it. uv would say that it is no workspace member, or not found.
    """
    # Where there is no lock, uv says so.
    packages = tomllib.loads(lock.read_text())["package"] if lock.exists() else []
    for package in packages:
        kinds = {"editable", "directory", "virtual", "path"} & package["source"].keys()
        for place in (package["source"][kind] for kind in kinds):
            if place != ".":
                sys.exit(
                    f"{package['name']} is added from {place}, which the build of the image does "
                    "not see: move its code to src/, where it needs no `uv add`, or add the "
                    "package from an index or from Git."
                )


PARTS = {"nvidia": is_nvidia, "source": is_source}

if sys.argv[1:] == ["uv.lock"]:
    refuse_local(Path("uv.lock"))
    sys.exit()

for argument in sys.argv[1:]:
    part, _, path = argument.partition("=")
    text = Path(path).read_text()
    head, *tables = text.split(START)
    entries = zip(tables, tomllib.loads(text)["packages"], strict=True)
    kept = [table for table, package in entries if PARTS[part](package)]
    content = START.join([head, *kept]) if kept else f"{head}\npackages = []"
    Path(f"pylock.{part}.toml").write_text(f"{content.rstrip()}\n")
