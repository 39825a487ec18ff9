"""What practitioners asked, and what sources that know nothing of the rows say (cases.md)."""

from __future__ import annotations

import re
from typing import Any

import pytest

from drydock.catalogue import Catalogue
from drydock.questions import QUESTIONS
from tests.support import cases
from tests.support.cases import Case

CASES = cases.read()


@pytest.mark.parametrize("case", CASES, ids=[case["id"] for case in CASES])
def test_a_case_is_answered_as_its_source_says(catalogue: Catalogue, case: Case) -> None:
    assert cases.faults(catalogue, case) == [], (case["question"], case["why"], case["source"])


def test_there_are_many_cases_each_with_a_name_of_its_own_in_order() -> None:
    names = [case["id"] for case in CASES]
    assert len(names) >= 150
    assert names == sorted(set(names))
    assert len({case["kind"] for case in CASES}) > 10


def test_a_case_has_the_keys_that_its_table_explains_and_answers_that_are_asked_for() -> None:
    always = Case.__annotations__.keys() - {"expect", "because", "offered"}
    for case in CASES:
        assert always <= case.keys() <= Case.__annotations__.keys(), case["id"]
        assert case["verdict"] in ("works", "refused"), case["id"]
        assert case["certainty"] in ("stated", "inferred"), case["id"]
        assert ("because" in case) == (case["verdict"] == "refused"), case["id"]
        assert case["answers"].keys() <= set(QUESTIONS), case["id"]
        known = {"sentence_names"} if "because" in case else cases.CHECKS.keys()
        assert case.get("expect", {}).keys() <= known, case["id"]


def test_only_what_the_catalogue_lacks_is_not_offered(rows: dict[str, Any]) -> None:
    judged = [case for case in CASES if case.get("offered", True)]
    assert len(judged) >= 150
    imaged = {row["python"] for row in rows["python"]["images"]}
    builders = {
        row["cuda"].rsplit(".", 1)[0]
        for row in rows["nvidia-cuda"]["images"]
        if "devel" in row["flavour"] and row["status"] == "current"
    }
    for case in CASES:
        if case not in judged:
            answers = case["answers"]
            releases = {row["version"] for row in rows[answers["framework"]]["releases"]}
            lacking = (
                answers.get("framework_version", "") not in {*releases, ""},
                answers.get("python_version", "") not in {*imaged, ""},
                bool(answers.get("compile_cuda")) and answers["cuda"] not in builders,
            )
            assert any(lacking), case["id"]


def test_a_case_says_where_it_was_read_and_when() -> None:
    for case in CASES:
        assert case["source"].strip() and case["why"].strip(), case["id"]
        assert re.fullmatch(r"2026-\d\d-\d\d", case["read"]), case["id"]


def test_the_table_explains_every_key_of_a_case() -> None:
    table = cases.FILE.with_suffix(".md").read_text("utf-8")
    explained = set(re.findall(r"`(\w+)`", " ".join(re.findall(r"^\|(.*?)\|", table, re.M))))
    checked = {*cases.CHECKS, "sentence_names"}
    assert explained == (Case.__annotations__.keys() - {"id"}) | checked
