"""Copier with a memory for templates that it has compiled: `python -m tests.support.compiled WORDS`
is `copier WORDS`.

Two thirds of the time that Copier takes for a project it compiles some 1,200 Jinja templates, three
hundred different ones, and each of the hundreds of projects of these tests has them. What Jinja
makes of a text depends on the text and on settings of its syntax alone, which is how its own
bytecode cache works (https://jinja.palletsprojects.com/en/stable/api/#bytecode-cache); that one is
for files, and nearly all of Copier's templates are names of files and answers of the form.
"""

from __future__ import annotations

import hashlib
import marshal
import os
import sys
from pathlib import Path
from types import CodeType

from jinja2 import Environment

FOLDER = "DRYDOCK_TESTS_COMPILED"
"""The variable that names the folder which the processes of a run of the tests share."""

SYNTAX = (
    *("block_start_string", "block_end_string", "variable_start_string", "variable_end_string"),
    *("comment_start_string", "comment_end_string", "line_statement_prefix"),
    *("line_comment_prefix", "trim_blocks", "lstrip_blocks", "newline_sequence"),
    *("keep_trailing_newline", "optimized", "sandboxed", "is_async", "autoescape"),
)


def remember() -> None:
    """Make Jinja compile no text twice: in this process, and in all those of the folder."""
    compile_anew = Environment.compile
    known: dict[str, CodeType] = {}
    folder = os.environ.get(FOLDER)

    def compile(
        self: Environment, source: object, name: str | None = None, *more: object, **named: object
    ) -> object:
        # The file is left out of the key: Copier clones a template to another folder each time.
        filename = named.pop("filename", None) or (more[0] if more else None)
        if not isinstance(source, str) or named or more[1:]:
            return compile_anew(self, source, name, filename, *more[1:], **named)
        settings = [getattr(self, setting) for setting in SYNTAX]
        # Drydock's own has another name each time that it is loaded, and no syntax.
        syntax = sorted(one for one in self.extensions if not one.startswith("drydock_"))
        told = (sys.version, source, name, settings, syntax)
        key = hashlib.sha256(repr(told).encode()).hexdigest()
        if key not in known:
            path = Path(folder, key) if folder else None
            if path and path.exists():
                known[key] = marshal.loads(path.read_bytes())
            else:
                known[key] = compile_anew(self, source, name, filename)
                if path:
                    part = path.with_suffix(f".{os.getpid()}")
                    part.write_bytes(marshal.dumps(known[key]))
                    part.replace(path)
        return known[key]

    Environment.compile = compile  # type: ignore[method-assign]


if __name__ == "__main__":
    remember()
    from copier.__main__ import CopierApp

    sys.argv[0] = "copier"
    CopierApp.run()
