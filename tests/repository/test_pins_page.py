"""docs/pins.md is what the catalogue says of packages that want one release of PyTorch."""

from __future__ import annotations

from pathlib import Path

import pytest

from drydock.catalogue import Catalogue
from scripts import pins


def test_the_page_is_fresh() -> None:
    assert pins.main(["--check"]) == 0, "run: uv run python -m scripts.pins"


def test_a_stale_page_is_told_and_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(pins, "PAGE", tmp_path / "pins.md")
    assert pins.main(["--check"]) == 1
    assert "is stale" in capsys.readouterr().out
    assert pins.main([]) == 0
    assert pins.main(["--check"]) == 0


@pytest.mark.parametrize(
    ("torch", "answer"),
    [
        ("==2.14.0", "2.14.0"),
        ("<2.15.0,>=2.14.0", "2.14.1"),
        (">=2.10", "2.15.0"),
        ("==2.3.1", None),
    ],
)
def test_the_answer_is_the_newest_release_that_fits(
    catalogue: Catalogue, torch: str, answer: str | None
) -> None:
    wheel = pins.fitting(catalogue, torch)
    assert (wheel.version if wheel else None) == answer
    assert wheel is None or wheel.index is None, "PyPI's build"


def test_a_release_that_nothing_fits_says_so(catalogue: Catalogue) -> None:
    row = {"package": "old", "version": "1", "torch": "==2.0.1", "companions": []}
    assert pins.line(catalogue, row)[3:] == ["–", "no release of the catalogue", "–"]


def test_a_pin_names_a_release_and_what_goes_with_it(catalogue: Catalogue) -> None:
    """vLLM 0.32.0 wants torchvision 0.28.0, which is the companion of torch 2.13.0."""
    (row,) = [row for row in pins.pins() if (row["package"], row["version"]) == ("vllm", "0.32.0")]
    wheel = pins.fitting(catalogue, row["torch"])
    assert wheel is not None
    assert f"torchvision=={wheel.companions['torchvision']}" in row["companions"]
    assert "`framework_version: 2.13.0`, CUDA 13.0" in pins.line(catalogue, row)


def test_every_row_has_wheels_or_pins_nothing() -> None:
    rows = pins.pins()
    assert {row["package"] for row in rows} >= {"vllm", "xformers", "flash-attn"}
    for row in rows:
        assert row["wheels"] == (row["torch"] is not None), row["package"]
