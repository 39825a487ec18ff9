"""How the solver's tests load the extension: by its path, as Copier does."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parents[2]
EXTENSION = ROOT / "extensions" / "drydock.py"
FOLDER = ROOT / "extensions" / "catalogue"


def load_extension(path: Path = EXTENSION) -> ModuleType:
    """Execute the extension's file as a module of its own."""
    spec = importlib.util.spec_from_file_location("drydock_under_test", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look their module up by name.
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module
