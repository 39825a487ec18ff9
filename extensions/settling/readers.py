"""What the lines of a file say, as a document: YAML, TOML and what a bake file has of HCL."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

import yaml

from .edit import Unclear, says_nothing


class _Loader(yaml.SafeLoader):
    """YAML with tags of any name, such as GitLab's `!reference`."""


_Loader.add_multi_constructor(
    "!", lambda loader, tag, node: (tag, loader.construct_sequence(node, deep=True))
)


def yaml_of(lines: Sequence[str]) -> Any:
    """Read YAML."""
    try:
        return yaml.load("".join(lines), _Loader)
    except (yaml.YAMLError, ValueError, TypeError):  # a date that there is not, a list as a key
        raise Unclear("it is no YAML that can be read") from None


def toml_of(lines: Sequence[str]) -> Any:
    """Read TOML."""
    try:
        import tomllib
    except ImportError:
        raise Unclear("Copier runs with Python 3.10, which cannot read TOML") from None
    try:
        return tomllib.loads("".join(lines).replace("\r\n", "\n"))
    except tomllib.TOMLDecodeError:
        raise Unclear("it is no TOML that can be read") from None


def bake_of(lines: Sequence[str]) -> dict[str, Any]:
    """Read docker-bake.hcl: blocks by type and name, with their attributes as they are written."""
    blocks: dict[str, Any] = {}
    here, statement, depth = blocks, "", 0
    for line in lines:
        if says_nothing(line) or line.lstrip().startswith("//"):
            continue
        plain = re.sub(r'"(\\.|[^"\\])*"', "", line)
        if re.search(r'<<|/\*|"', plain):
            raise Unclear("it is no HCL that can be read")
        depth += len(re.findall(r"[\[({]", plain)) - len(re.findall(r"[\])}]", plain))
        statement = f"{statement} {line.strip()}".strip()
        level = 0 if here is blocks else 1
        opens = level == 0 and re.fullmatch(r'[\w-]+( +"?[\w-]+"?)* *\{', statement)
        if level == 1 and depth == 0 and statement == "}":
            here = blocks
        elif opens or depth == level:
            name, _, value = re.split(r" *([={]) *", f"{statement}=", maxsplit=1)
            if not name or name in here:
                raise Unclear(f"`{name}` stands twice in it")
            here[name] = {} if opens else _given(value)
            here = here[name] if opens else here
        else:
            continue
        statement = ""
    if statement or depth:
        raise Unclear("it is no HCL that can be read")
    return blocks


def _given(value: str) -> Any:
    """A list of texts as such, so that an item can come; anything else as it is written."""
    value = value.removesuffix("=")
    try:
        found = json.loads(value)
    except ValueError:
        return value
    return found if isinstance(found, list) else value
