"""What makes a run the same run: its settings, its data and its code."""

import hashlib
import json
import sys
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from .run_settings import RunSettings

PACKAGE = Path(__file__).parents[1]


def identity(settings: RunSettings, data: Mapping[str, Any]) -> dict[str, Any]:
    """Return, as JSON, what a run must share with the one that it goes on with.

    Args:
        settings: all of them count but those that the class calls harmless, and so does the
            content of a file that one of them names.
        data: what tells the data from other data.
    """
    names = type(settings).model_fields.keys() - settings.harmless
    values = [getattr(settings, name) for name in names]
    files = [value for value in values if isinstance(value, Path) and value.is_file()]
    content = {
        "settings": settings.model_dump(mode="json", include=names),
        "data": data,
        "files": {str(path): _digest(path) for path in files},
        "code": code(),
    }
    return json.loads(json.dumps(content))  # as it comes back from a file


def code() -> dict[str, str]:
    """Return a digest of each file of `src/` and `files/`, and of Python files such as main.py."""
    root = PACKAGE.parents[1]
    if PACKAGE.parent.name == "src":
        files = [*visible(root / "src"), *visible(root / "files"), *root.glob("*.py")]
    else:  # an installed package, among others
        files = list(visible(PACKAGE))
    return {path.relative_to(root).as_posix(): _digest(path) for path in sorted(files)}


def visible(folder: Path) -> Iterator[Path]:
    """Give the files below a folder but caches and hidden ones, as .dockerignore does."""
    for path in folder.rglob("*"):
        parts = path.relative_to(folder).parts
        if path.is_file() and not any(p.startswith(".") or p == "__pycache__" for p in parts):
            yield path


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def versions() -> dict[str, str]:
    """Return the version of Python and of every package that is installed."""
    packages = {item.metadata["Name"]: item.version for item in metadata.distributions()}
    return {"python": sys.version.split()[0], **dict(sorted(packages.items()))}


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return what differs between two identities, in words: by name, old and new."""
    return [*_settings(before, now), *_data(before["data"], now["data"]), *_code(before, now)]


def _settings(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    for name, old, new in _changed(before["settings"], now["settings"]):
        flag = "--" + name.replace("_", "-")
        if name not in before["settings"]:
            yield f"{flag} is new ({new})"
        elif name not in now["settings"]:
            yield f"{flag} is gone (was {old})"
        else:
            yield f"{flag} was {old} and is {new}"


def _data(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    """Name what changed; the digest only where nothing else of the data has."""
    told = False
    for name, old, new in _changed(before, now):
        if name == "digest":
            continue
        told = True
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            yield from _files("the data", "bytes", old, new)
        else:
            yield f"the data: {name} was {old} and is {new}"
    if not told and before != now:
        yield "the content of the data has changed"


def _code(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    # A run of before there was such an entry names no files.
    named = _changed(before.get("files", {}), now["files"])
    for name, old, new in (*named, *_changed(before["code"], now["code"])):
        yield f"{name} {'is new' if old is None else 'is gone' if new is None else 'has changed'}"


def _files(what: str, unit: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    for name, before, after in list(_changed(old, new))[:3]:
        if before is None:
            yield f"{what}: {name} is new"
        elif after is None:
            yield f"{what}: {name} is gone"
        else:
            yield f"{what}: {name} had {before} {unit} and has {after}"


def _changed(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    for name in sorted(old.keys() | new.keys()):
        if old.get(name) != new.get(name) or (name in old) != (name in new):
            yield name, old.get(name), new.get(name)
