"""The command line of the refresh, the order of its steps, and its exit code."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from urllib.parse import urlsplit

from scripts.refresh.dates import EndOfLife, refresh_dates, set_day
from scripts.refresh.images import SOURCE as REGISTRY_SOURCE
from scripts.refresh.images import refresh_images, refresh_uv
from scripts.refresh.libraries import refresh_libraries
from scripts.refresh.nvidia import DRIVERS, TOOLKITS, Nvidia, refresh_nvidia
from scripts.refresh.reading import Patience, Source
from scripts.refresh.registry import PUBLIC, Registries
from scripts.refresh.rows import Catalogue, Report, one_line
from scripts.refresh.wheels import FRAMEWORKS, Index, refresh_wheels, settled_on

CATALOGUE = Path(__file__).parents[2] / "extensions" / "catalogue"
INDEX = "https://pypi.org/simple/"
END_OF_LIFE = "https://endoflife.date/api/v1"
REGISTRY_ROW = {
    "name": REGISTRY_SOURCE,
    "what": "Tag, digest and variables of the image, read from its registry by scripts/refresh",
    "address": "https://registry-1.docker.io/v2/",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Refresh the catalogue.

    Args:
        arguments: those of the command line, None for the ones of this process.

    Returns:
        0 if all sources were read and taken, and nothing that is offered is gone, else 1. What
        could be read is written either way.
    """
    options = _options(arguments)
    catalogue = Catalogue(options.catalogue, options.today)
    report = Report()
    _read_all(catalogue, options, report)
    _name_sources(catalogue)
    set_day(catalogue)
    changes = catalogue.changes()
    if not options.dry_run:
        catalogue.write()
    text = summary(changes, report, options.dry_run)
    print(text)
    if options.summary:
        options.summary.write_text(text + "\n", "utf-8")
    return 1 if report.failures else 0


def summary(changes: list[str], report: Report, dry_run: bool) -> str:
    """Return what happened, in Markdown that reads well on a terminal too.

    Each line is code: in it, nothing that a source says becomes a heading, a link or a mention.
    (GitHub looks for mentions after it has read the Markdown, so that no backslash stops them.)
    """
    changed = "Would change" if dry_run else "Changed"
    parts = []
    for title, lines in (
        ("Failed", report.failures),
        ("For a person", report.by_hand),
        (changed, changes),
    ):
        if lines:
            items = [one_line(line, 1000).replace("`", "'") for line in lines]
            parts.append(
                "\n".join([f"## {title} ({len(lines)})", "", *(f"- `{x}`" for x in items)])
            )
    return "\n\n".join(parts) or "Nothing changed."


def _read_all(catalogue: Catalogue, options: argparse.Namespace, report: Report) -> None:
    patience = Patience(options.attempts, options.pause, options.longest_pause, options.timeout)
    registries = Registries(PUBLIC | dict(options.registry), patience)
    settled = settled_on(options.today, options.settled_days)
    pypi = Source(f"The index {options.index}", "--index URL", patience)
    index = Index(options.index, pypi, settled)
    mirrors: dict[str, Index] = {}
    for name in FRAMEWORKS:
        home = options.pytorch_index or catalogue.files[name]["framework"]["index_url"]
        folders = {row["index"] for row in catalogue.rows(name, "builds") if row["index"]}
        host = Source(f"The index {home}", "--pytorch-index URL", patience)
        for folder in sorted(folders):
            mirrors[folder] = Index(f"{home.rstrip('/')}/{folder}/", host)
    source = Source(f"The dates of {options.end_of_life}", "--end-of-life URL", patience)
    dates = EndOfLife(options.end_of_life, source)
    nvidia = Nvidia(
        options.drivers,
        Source(f"The driver releases of {options.drivers}", "--drivers URL", patience),
        options.toolkits,
        Source(f"The CUDA releases of {options.toolkits}", "--toolkits URL", patience),
    )
    try:
        refresh_dates(catalogue, dates, report)
        refresh_wheels(catalogue, index, mirrors, report)
        refresh_libraries(catalogue, index, report)
        refresh_uv(catalogue, registries, index, report)
        refresh_images(catalogue, registries, report)
        refresh_nvidia(catalogue, nvidia, report)
    finally:
        for each in (registries, index, dates, nvidia, *mirrors.values()):
            each.close()


def _name_sources(catalogue: Catalogue) -> None:
    """Describe the registry once a row names it, and drop what this run left without a row."""
    rows = catalogue.rows("sources", "sources")
    now = catalogue.sources_in_use()
    if REGISTRY_SOURCE in now and all(row["name"] != REGISTRY_SOURCE for row in rows):
        rows.append(dict(REGISTRY_ROW))
    orphans = catalogue.sources_in_use(before=True) - now
    rows[:] = [row for row in rows if row["name"] not in orphans]


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.refresh",
        description="Read the sources of the catalogue again, write what changed, and say so.",
        epilog="Exit code: 0, or 1 if something that is offered is gone or a source could not be "
        "read or says what cannot be. docs/refresh.md says more.",
    )
    parser.add_argument("--dry-run", action="store_true", help="show the change, write nothing")
    parser.add_argument("--summary", type=Path, metavar="FILE", help="write what is shown here too")
    parser.add_argument(
        "--catalogue", type=_folder, default=CATALOGUE, metavar="DIR", help="default: %(default)s"
    )
    parser.add_argument(
        "--today",
        type=date.fromisoformat,
        default=datetime.now(UTC).date(),
        metavar="YYYY-MM-DD",
        help="the day to write into rows (default: this one, in UTC)",
    )
    parser.add_argument(
        "--settled-days",
        type=int,
        default=7,
        metavar="N",
        help="age in days from which a new release of a package is taken (default: %(default)s)",
    )
    where = parser.add_argument_group("where to read")
    where.add_argument(
        "--registry",
        action="append",
        default=[],
        type=_registry,
        metavar="NAME=URL",
        help="address of docker.io or ghcr.io, such as docker.io=http://localhost:5000",
    )
    where.add_argument("--index", default=INDEX, type=_url, metavar="URL", help="%(default)s")
    where.add_argument("--pytorch-index", type=_url, metavar="URL", help="as in pytorch.json")
    where.add_argument(
        "--end-of-life", default=END_OF_LIFE, type=_url, metavar="URL", help="%(default)s"
    )
    where.add_argument("--drivers", default=DRIVERS, type=_url, metavar="URL", help="%(default)s")
    where.add_argument("--toolkits", default=TOOLKITS, type=_url, metavar="URL", help="%(default)s")
    how = parser.add_argument_group("how long to wait")
    usual = Patience()
    how.add_argument("--attempts", type=int, default=usual.attempts, metavar="N")
    how.add_argument("--pause", type=float, default=usual.pause, metavar="SECONDS")
    how.add_argument("--longest-pause", type=float, default=usual.longest, metavar="SECONDS")
    how.add_argument("--timeout", type=float, default=usual.timeout, metavar="SECONDS")
    return parser.parse_args(arguments)


def _folder(text: str) -> Path:
    folder = Path(text)
    if not (folder / "calendar.json").is_file():
        raise argparse.ArgumentTypeError(f"{text} holds no catalogue: name a folder that does")
    return folder


def _url(text: str) -> str:
    url = urlsplit(text)
    if url.scheme not in ("http", "https") or not url.netloc:
        raise argparse.ArgumentTypeError(f"{text} is no address: write it as https://host/path")
    return text


def _registry(text: str) -> tuple[str, str]:
    name, _, address = text.partition("=")
    if name not in PUBLIC:
        raise argparse.ArgumentTypeError(
            f"{name} is no registry of the catalogue: write {' or '.join(PUBLIC)}, and =URL"
        )
    if urlsplit(_url(address)).path.strip("/"):
        raise argparse.ArgumentTypeError(f"{address} has a path: write the registry's host alone")
    return name, address.rstrip("/")
