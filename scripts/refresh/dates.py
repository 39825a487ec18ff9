"""End-of-life dates, read from the API of endoflife.date (https://endoflife.date/docs/api/v1/).

The day of the catalogue itself (`as_of` in calendar.json) is here too: it moves when a row changes
or when a date of end of life has passed, because either changes what is offered, and not otherwise:
a run that finds nothing new changes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date
from typing import Any

import requests

from scripts.refresh.reading import Source, session
from scripts.refresh.rows import Catalogue, Report, insert, newest_first

PYTHON = re.compile(r"[0-9]{1,2}\.[0-9]{1,3}")


class EndOfLife:
    """The API of endoflife.date.

    Args:
        address: its URL, such as https://endoflife.date/api/v1.
        source: how it is asked.
    """

    def __init__(self, address: str, source: Source) -> None:
        """Prepare; nothing is read yet."""
        self._address = address.rstrip("/")
        self._source = source
        self._session = session()

    def close(self) -> None:
        """Close its connections."""
        self._session.close()

    def releases(self, product: str) -> dict[str, dict[str, Any]]:
        """Return the releases of a product by name: {"3.13": {"eolFrom": "2029-10-31", …}, …}.

        Raises:
            UnreadableError: the API does not answer, or not with releases and dates.
        """
        url = f"{self._address}/products/{product}/"
        try:
            return self._source.ask(lambda: self._read(url))
        except requests.HTTPError as error:
            raise self._source.given_up(error) from error

    def _read(self, url: str) -> dict[str, dict[str, Any]]:
        response = self._session.get(url, timeout=self._source.patience.timeout)
        response.raise_for_status()
        releases = {}
        for release in response.json()["result"]["releases"]:
            for field in ("releaseDate", "eolFrom"):
                if release[field] is not None:
                    date.fromisoformat(release[field])
            if not isinstance(release["name"], str):
                raise ValueError(f"a release is named {release['name']!r}")
            releases[release["name"]] = release
        if not releases:
            raise ValueError("no releases in the answer")
        return releases


def refresh_dates(catalogue: Catalogue, api: EndOfLife, report: Report) -> None:
    """Read the dates of the Pythons and of the systems; a Python that came out gets a row."""
    products: dict[str, dict[str, dict[str, Any]]] = {}
    with catalogue.step("The dates of end of life", report):
        _dates(catalogue, api, products, report)
    with catalogue.step("The new Pythons", report):
        _new_pythons(catalogue, products.get("python", {}), report)


def _dates(
    catalogue: Catalogue,
    api: EndOfLife,
    products: dict[str, dict[str, dict[str, Any]]],
    report: Report,
) -> None:
    wanted = [("python", row["version"], row) for row in catalogue.rows("python", "versions")]
    for row in catalogue.rows("systems", "systems"):
        product, _, release = row["name"].partition(" ")
        wanted.append((product, release, row))
    for product, name, row in wanted:
        if product not in products:
            products[product] = api.releases(product)
        if name not in products[product]:
            report.leave(f"endoflife.date does not know {product} {name}: look its date up.")
            continue
        end = products[product][name]["eolFrom"]
        # No date yet is no reason to forget one that a row has.
        if end is not None:
            source = "endoflife" if product == "python" else None
            catalogue.update(row, source, end_of_life=end)


def _new_pythons(catalogue: Catalogue, releases: dict[str, dict[str, Any]], report: Report) -> None:
    versions = catalogue.rows("python", "versions")
    newest = newest_first(versions[0]["version"])
    for name, release in releases.items():
        if release["releaseDate"] is None or release["releaseDate"] > catalogue.today:
            continue
        if not PYTHON.fullmatch(name):
            report.leave(f"endoflife.date lists a Python {name!r}: if it is one, write its row.")
        elif newest_first(name) < newest:
            row = {"version": name, "end_of_life": release["eolFrom"]}
            row |= {"source": "endoflife", "read": catalogue.today}
            insert(versions, row, lambda row: newest_first(row["version"]))


def set_day(catalogue: Catalogue) -> None:
    """Move the day of the catalogue to today, if today offers something else than that day did."""
    calendar = catalogue.files["calendar"]
    passed = any(calendar["as_of"] < end <= catalogue.today for end in _ends(catalogue))
    if catalogue.today > calendar["as_of"] and (passed or catalogue.changes()):
        calendar["as_of"] = catalogue.today


def _ends(catalogue: Catalogue) -> Iterator[str]:
    for name, section in (("python", "versions"), ("systems", "systems"), ("drivers", "branches")):
        for row in catalogue.rows(name, section):
            if row["end_of_life"]:
                yield row["end_of_life"]
