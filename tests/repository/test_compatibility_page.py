"""docs/compatibility.md is what the catalogue says."""

from __future__ import annotations

import pytest

from drydock.catalogue import Catalogue
from scripts import compatibility


def test_the_page_is_fresh() -> None:
    assert compatibility.main(["--check"]) == 0, "run: uv run python -m scripts.compatibility"


def test_a_stale_page_is_reported(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stale = compatibility.ROOT / "docs" / "trust.md"
    monkeypatch.setattr(compatibility, "PAGE", stale)
    assert compatibility.main(["--check"]) == 1
    assert "is stale" in capsys.readouterr().out


def test_every_gpu_that_is_offered_stands_on_the_page(catalogue: Catalogue) -> None:
    text = compatibility.page(catalogue)
    for gpu in catalogue.gpus.values():
        assert gpu.refused or not gpu.is_model or gpu.name in text
