"""docs/compatibility.md is what the catalogue says."""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType

import pytest

from tests.support.loading import ROOT


@pytest.fixture(scope="module")
def script() -> ModuleType:
    """The module `scripts/compatibility.py`."""
    path = ROOT / "scripts" / "compatibility.py"
    spec = importlib.util.spec_from_file_location("compatibility_script", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_the_page_is_fresh(script: ModuleType) -> None:
    assert script.main(["--check"]) == 0, "run: python scripts/compatibility.py"


def test_a_stale_page_is_told(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stale = ROOT / "docs" / "trust.md"
    monkeypatch.setattr(script, "PAGE", stale)
    assert script.main(["--check"]) == 1
    assert "is stale" in capsys.readouterr().out


def test_every_gpu_that_is_offered_stands_on_the_page(
    script: ModuleType, drydock: ModuleType
) -> None:
    text = script.page(drydock)
    for gpu in drydock.Catalogue().gpus.values():
        assert gpu.refused or gpu.name in text
