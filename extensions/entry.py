"""What Copier executes as its Jinja extension: it loads the package `drydock` beside it.

During `copier update` Copier executes this file afresh, once for the old and once for the new
version of the template, in one process. Python keeps a module that was imported under its name
(`sys.modules`), so `import drydock` would render the new version with the code and the data of the
old one, without a word. The package is therefore loaded by its path, each time under a name that
no module ever had; inside it there are relative imports only, which find their own siblings.
"""

import sys
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from uuid import uuid4

_folder = Path(__file__).parent / "drydock"
_spec = spec_from_file_location(
    f"drydock_{uuid4().hex}", _folder / "__init__.py", submodule_search_locations=[str(_folder)]
)
_package = module_from_spec(_spec)
sys.modules[_spec.name] = _package
_spec.loader.exec_module(_package)

DrydockExtension = import_module(f"{_spec.name}.jinja").DrydockExtension
