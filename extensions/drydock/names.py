"""Names of projects: which are valid, which are taken, and one for the destination folder."""

from __future__ import annotations

import keyword
import re
import sys
import unicodedata
from pathlib import Path

from .catalogue import Catalogue
from .rows import package_name
from .texts import quoted

# What the frameworks and the tools bring along under names of their own.
BROUGHT_ALONG = (
    *("anyio", "click", "cuda", "cupy", "filelock", "httpx", "jaxlib", "jinja2", "joblib"),
    *("keras", "networkx", "nvidia", "onnx", "packaging", "pandas", "pydantic", "pydantic_core"),
    *("scipy", "setuptools", "starlette", "sympy", "tensorboard", "threadpoolctl", "triton", "uv"),
)


LONGEST = 40
"""Characters of a name at most. With more, a line of a generated file that imports from the package
may be longer than the project's own ruff allows; tests/rendering tries it."""


def check_project_name(catalogue: Catalogue, text: str, kept: str | None = None) -> str:
    """Refuse what is no package name, what is too long for one, and the names that are taken.

    Args:
        catalogue: the facts.
        text: the name.
        kept: the name that a project has already, which stays as long as it is.
    """
    too_long = len(text) > LONGEST and text != kept
    if too_long or not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", text):
        return (
            f"{quoted(text)} is no project name; use at most {LONGEST} lower-case letters, digits "
            "and single hyphens, beginning with a letter, for example "
            f"{_free_name(catalogue, text)}."
        )
    taken = taken_names(catalogue).get(text.replace("-", "_"))
    if taken:
        return f"{text} is the name of {taken}; answer another one, for example {text}-project."
    return ""


def _free_name(catalogue: Catalogue, text: str) -> str:
    name = slug(text)
    free = name.replace("-", "_") not in taken_names(catalogue)
    return name if free else slug(f"{name[: LONGEST - 8]}-project")


def taken_names(catalogue: Catalogue) -> dict[str, str]:
    """Return the package names that a project must not have, each with what has it already."""
    packages = [*catalogue.tools, *BROUGHT_ALONG]
    packages += [package_name(row.requirement) for row in catalogue.dependencies]
    for framework in catalogue.frameworks.values():
        packages += [framework.name, framework.package, framework.module]
    for wheel in catalogue.wheels_of(None):
        packages += [*wheel.companions, *wheel.packages]
    own = ("main", "src", "test", "tests", "outputs", "data", "app")
    return {
        **dict.fromkeys(sys.stdlib_module_names, "a module of Python's own library"),
        **dict.fromkeys(keyword.kwlist, "a word of Python's own"),
        **{name.replace("-", "_"): "a package that it uses" for name in packages},
        **dict.fromkeys(own, "a part of every project"),
    }


def name_of_folder(catalogue: Catalogue, folder: str) -> str:
    """Turn the path of the destination folder into a valid project name."""
    name = slug(Path(folder).resolve().name)
    return slug(f"{name}-project") if check_project_name(catalogue, name) else name


def slug(text: str) -> str:
    """Return text as lower-case words joined by hyphens, as long as a name may be; never empty."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    words = re.findall(r"[a-z0-9]+", plain)
    while words and not words[0][0].isalpha():
        words[0] = words[0].lstrip("0123456789")
        words = words if words[0] else words[1:]
    return "-".join(words)[:LONGEST].strip("-") or "project"
