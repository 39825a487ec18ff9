"""The folder of all runs, `outputs/runs`: one of them goes on, or a new one begins.

Each run has a folder there, by its time in UTC and a short id; `run.py` says what is in it.
`latest` leads to the newest. It is for people: nothing here reads it.
"""

import json
import os
import secrets
import sys
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from .files import atomic_write, require_replaceable, require_writable, unwritable
from .identity import differences, identity, versions
from .run import Run, now
from .run_settings import RunSettings


def start(settings: RunSettings, data: Mapping[str, Any], device: str) -> Run:
    """Return the run to train: an interrupted one that fits, or else a new one.

    The newest run with the same settings, data and code goes on if it is not complete and no
    other process has it, so that a scheduler can start a job again as it started it before.
    What cannot be done ends the program with a sentence.

    Args:
        settings: those of the run. With `fresh` it is a new one; with `resume` it is none, and a
            complete one is returned too.
        data: what tells the data from other data, as JSON.
        device: what computes, for the record.
    """
    require_writable(settings.runs_dir)
    require_replaceable(settings.model_path)
    about = {**identity(settings, data), "versions": versions(), "device": device}
    run = None if settings.fresh else _earlier(settings, about)
    if run is None:
        if settings.resume:
            sys.exit(_why_none(settings, about))
        run = _new(settings, about)
    if not run.is_complete:
        _point_to(run.folder)
    return run


def _earlier(settings: RunSettings, about: dict[str, Any]) -> Run | None:
    """Return the newest run that fits and is free. None if a complete one is newer than it."""
    for folder, before in _all(settings.runs_dir):
        if _differences(settings, before, about):
            continue
        if before["state"] == "complete":
            if not settings.resume:
                return None
            print(f"{folder} is complete: nothing was trained.", file=sys.stderr)
            return Run(folder, before, settings.model_path)
        run = Run(folder, {**before, **about}, settings.model_path)
        if not run.acquire():
            print(f"Another process trains {folder}.", file=sys.stderr)
        elif _about(folder / "run.json") != before:  # it has come to its end in between
            run.release()
            return _earlier(settings, about)
        else:
            run.write()
            return run
    return None


def _new(settings: RunSettings, about: dict[str, Any]) -> Run:
    identifier = f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
    folder = settings.runs_dir / identifier
    begun = {"id": identifier, "state": "unfinished", "started": now()}
    run = Run(folder, {**begun, **about}, settings.model_path)
    try:
        folder.mkdir()
        run.acquire()
    except OSError as error:
        sys.exit(unwritable(folder, error))
    run.write()
    print(f"Beginning {folder}.", file=sys.stderr)
    return run


def _all(folder: Path) -> list[tuple[Path, dict[str, Any]]]:
    """Return the folder of each run and what its run.json says, the newest first."""
    found: dict[str, tuple[Path, dict[str, Any]]] = {}
    for path in folder.glob("*/run.json"):
        about = _about(path)
        if about and about["id"] == path.parent.name:  # neither `latest` nor a copy
            found[about["started"]] = path.parent, about
    return [found[started] for started in sorted(found, reverse=True)]


def _about(path: Path) -> dict[str, Any] | None:
    """Return what a run.json says. One that is damaged is skipped with a sentence."""
    try:
        about = json.loads(path.read_text("utf-8"))
        if about.keys() >= {"id", "started", "state", "settings", "data", "code"}:
            return about
    except (OSError, ValueError, AttributeError):
        pass
    print(f"Skipping {path}: it is damaged.", file=sys.stderr)
    return None


def _differences(settings: RunSettings, before: dict[str, Any], about: dict[str, Any]) -> list[str]:
    if settings.ignore_code:
        before = {**before, "code": about["code"]}
    return differences(before, about)


def _why_none(settings: RunSettings, about: dict[str, Any]) -> str:
    """Say why no run can go on: what differs from the newest one."""
    if not (runs := _all(settings.runs_dir)):
        return f"There is no run in {settings.runs_dir} to go on with."
    folder, before = runs[0]
    changes = _differences(settings, before, about)
    if not changes:
        return f"{folder} cannot go on here meanwhile: leave out --resume to begin a new run."
    return (
        f"{folder} is another run: {'; '.join(changes)}. "
        "Leave out --resume to begin a new run, or go on with the old one as it was."
    )


def _point_to(folder: Path) -> None:
    """Make `latest` lead to the run: a link, or a file with its name where there are no links."""
    latest = folder.parent / "latest"
    link = folder.parent / f".unfinished-{folder.name}-latest"
    try:
        link.symlink_to(folder.name, target_is_directory=True)
        os.replace(link, latest)
    except OSError:
        with suppress(OSError):
            link.unlink(missing_ok=True)
        with atomic_write(folder.parent / "latest.txt") as file:
            file.write(folder.name.encode() + b"\n")
