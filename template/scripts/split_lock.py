"""Cut the pylock.toml files that `uv export` wrote into the lists that the image is installed from.

    python split_lock.py uv.lock

stops if the image cannot be built from the lock, and

    python split_lock.py pylock.group.toml pylock.image.toml [pylock.LARGER.toml] [PART ...]

reads the framework with all that it needs, and all that the image needs, and writes disjoint lists:

- pylock.source.toml: what has to be built, having no wheel for this Linux or coming from Git;
- pylock.PART.toml for each PART: packages of the framework by the beginning of their names, each in
  the longest PART that fits;
- pylock.framework.toml: what is left of the framework;
- pylock.rest.toml: what is left of the image;
- pylock.more.toml: what a larger image has beside all that.

The lines of a package stay as uv wrote them. A list changes only when its own packages do, so a
layer that is installed from it is rebuilt only then.
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


def read(path: str) -> tuple[str, dict[str, dict]]:
    """A pylock.toml file: what stands before the packages, and each package's lines with their
    meaning.
    """
    text = Path(path).read_text()
    head, *tables = text.split(START)
    meanings = tomllib.loads(text)["packages"]
    return head, dict(zip((table.rstrip() for table in tables), meanings, strict=True))


def write(part: str, head: str, tables: list[str]) -> None:
    """Write the list of a part."""
    content = (
        START.join([head, *(f"{table}\n" for table in tables)])
        if tables
        else f"{head}\npackages = []"
    )
    Path(f"pylock.{part}.toml").write_text(f"{content.rstrip()}\n")


def main(group: str, image: str, *parts: str) -> None:
    """Write the lists; the words are those of the command line."""
    larger = [part for part in parts if part.endswith(".toml")]
    head, framework = read(group)
    whole_head, whole = read(image)
    lists: dict[str, list[str]] = {part: [] for part in (*parts, "framework") if part not in larger}
    for table, package in framework.items():
        if not is_source(package):
            fitting = [part for part in lists if package["name"].startswith(part)]
            lists[max(fitting, key=len, default="framework")].append(table)
    for part, tables in lists.items():
        write(part, head, tables)
    write("rest", whole_head, beside(framework, whole))
    everything = whole
    for path in larger:
        more_head, everything = read(path)
        write("more", more_head, beside({**framework, **whole}, everything))
    source = [table for table, package in everything.items() if is_source(package)]
    write("source", whole_head, source)


def beside(those: dict[str, dict], whole: dict[str, dict]) -> list[str]:
    """What `whole` has beside those packages, but for what is to be built."""
    # A package that is needed only on some machines there may be needed here in any case.
    always = {
        (package["name"], package.get("version"))
        for package in those.values()
        if "marker" not in package
    }
    return [
        table
        for table, package in whole.items()
        if table not in those
        and (package["name"], package.get("version")) not in always
        and not is_source(package)
    ]


if sys.argv[1:] == ["uv.lock"]:
    refuse_local(Path("uv.lock"))
else:
    main(*sys.argv[1:])
