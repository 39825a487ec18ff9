"""What `--trust` runs: no network, no writes, and no process but `uv lock` and `git`."""

from __future__ import annotations

import ast
import json
import sys
from pathlib import Path

from tests.support import projects

EXTENSIONS = projects.ROOT / "extensions"
PACKAGE = sorted((EXTENSIONS / "drydock").rglob("*.py"))
SETTLING = sorted((EXTENSIONS / "settling").rglob("*.py"))


def imports(path: Path) -> set[str]:
    """Top-level modules that a file imports anywhere in it, those of its own package left out."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names.add((node.module or "").split(".")[0])
    return names


def test_copier_runs_nothing_but_the_extension_the_lock_and_four_migrations() -> None:
    config = projects.settings()
    own = [name for name in config["_jinja_extensions"] if name.startswith("extensions/")]
    assert own == ["extensions/entry.py:DrydockExtension"]
    commands = [task["command"] for task in config["_tasks"] + config["_migrations"]]
    assert [command[0] for command in commands] == ["{{ _copier_python }}"] * 6, "no shell"
    lock, migration, settle, carry, report, lock_again = (command[1:] for command in commands)
    assert lock == lock_again and len(lock) == 1 and "'extensions', 'lock.py'" in lock[0]
    assert "'extensions', 'leave_out_runtime.py'" in migration[0]
    assert "'extensions', 'report.py'" in report[0] and len(report) == 1
    assert migration[1:] == ["{{ package }}"]
    assert "'extensions', 'settle.py'" in settle[0] and len(settle) == 1
    assert "'extensions', 'carry.py'" in carry[0]
    assert carry[1:] == ["{{ _copier_conf.src_path }}", "{{ _copier_conf.answers_file }}"]
    scripts = {path.name for path in EXTENSIONS.glob("*.py")}
    migrations = {"carry.py", "lock.py", "leave_out_runtime.py", "report.py", "settle.py"}
    assert scripts == {"entry.py"} | migrations


def test_the_trusted_code_imports_little() -> None:
    lock = {"__future__", "os", "re", "shutil", "subprocess", "sys"}
    assert imports(EXTENSIONS / "lock.py") <= lock
    assert imports(EXTENSIONS / "report.py") <= {"__future__", "shutil", "subprocess", "sys"}
    leave_out = {"pathlib", "re", "shutil", "subprocess", "sys"}
    assert imports(EXTENSIONS / "leave_out_runtime.py") <= leave_out
    carry = {"__future__", "pathlib", "shutil", "subprocess", "sys", "tempfile", "copier", "yaml"}
    carry |= {"collections"}
    assert imports(EXTENSIONS / "carry.py") <= carry
    assert imports(EXTENSIONS / "settle.py") <= lock - {"os", "re"} | {
        "pathlib",
        "report",
        "settling",
    }
    settling = {"__future__", "collections", "dataclasses", "difflib", "pathlib", "posixpath", "re"}
    settling |= {"fnmatch", "itertools", "json", "shlex", "shutil", "subprocess", "tempfile"}
    settling |= {"ast", "io", "tokenize", "tomllib", "typing", "yaml"}
    for path in SETTLING:
        assert imports(path) <= settling, path
    assert imports(EXTENSIONS / "entry.py") <= {"sys", "importlib", "pathlib", "uuid"}
    # A module of the package that were imported by its full name would be one of another version.
    calculates = {"difflib", "functools", "inspect", "itertools", "json", "keyword", "operator"}
    calculates |= {"re", "sys", "unicodedata", "urllib", "collections", "dataclasses", "pathlib"}
    calculates |= {"__future__", "typing", "copier", "copier_template_extensions", "jinja2"}
    calculates |= {"textwrap", "prompt_toolkit"}  # the second is what Copier's prompts are made of
    assert len(PACKAGE) > 20
    for path in PACKAGE:
        assert imports(path) <= calculates, path


def test_the_package_reads_nothing_but_its_catalogue_and_the_driver() -> None:
    sources = {path.name: path.read_text("utf-8") for path in PACKAGE}
    forbidden = ("urllib.request", "sys.path", "sys.modules", ".write", "open(", "import_module")
    for name, source in sources.items():
        for word in (*forbidden, "exec(", "eval(", "__import__"):
            assert word not in source, f"{word} in {name}"
    reading = {name: source.count(".read_") for name, source in sources.items()}
    assert {name: n for name, n in reading.items() if n} == {"catalogue.py": 1, "form.py": 1}


def test_the_page_about_trust_names_every_file_that_runs() -> None:
    page = (projects.ROOT / "docs" / "trust.md").read_text()
    for path in (*EXTENSIONS.glob("*.py"), *PACKAGE, *SETTLING):
        name = path.relative_to(EXTENSIONS).as_posix()
        assert f"`{name}`" in page, f"{name} is not described"


# Copier's own way of loading an extension, watched.
AUDIT = """
import sys
events = []
def hook(event, arguments):
    if event in {"socket.connect", "socket.getaddrinfo", "subprocess.Popen", "os.system",
                 "os.exec", "os.posix_spawn", "os.remove", "os.rename", "os.mkdir", "os.rmdir"}:
        events.append((event, repr(arguments)))
    if event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+"):
        events.append((event, repr(arguments)))
import json, jinja2, copier.errors, copier_template_extensions
folder, extension, templates, context = sys.argv[1:]
sys.addaudithook(hook)
environment = jinja2.Environment(
    loader=jinja2.FileSystemLoader(folder),
    undefined=jinja2.StrictUndefined,
    extensions=["copier_template_extensions.TemplateExtensionLoader", extension],
)
for template in json.loads(templates):
    environment.from_string(template).render(json.loads(context))
print(json.dumps(events))
"""


def test_the_extension_opens_nothing_for_writing_and_starts_nothing(tmp_path: Path) -> None:
    """Python itself reports what is opened and started (PEP 578) while every question is asked."""
    calls = [
        f"{{{{ drydock.choices('{name}') }}}}"
        for name, details in projects.form().items()
        if "drydock.choices" in str(details.get("choices"))
    ]
    calls += [
        f"{{{{ drydock.default('{name}') }}}}"
        for name, details in projects.form().items()
        if "drydock.default" in str(details.get("default"))
    ]
    calls += ["{{ drydock.preflight() }}", "{{ drydock.stack() }}", "{{ drydock.is_locked() }}"]
    calls += ["{{ drydock.gpus_to_name() }}", "{{ drydock.stored({'gpus': 'L4'}) }}"]
    context = {
        "_copier_conf": {"data": {}, "dst_path": "/somewhere/demo"},
        "_folder_name": "demo",
        "project_name": "demo",
        "workload": "train",
        "accelerator": "gpu",
        "framework": "pytorch",
        "gpus": ["any"],
        "driver": "580",
    }
    done = projects.run(
        sys.executable,
        "-B",
        "-c",
        AUDIT,
        projects.ROOT,
        "extensions/entry.py:DrydockExtension",
        json.dumps(calls),
        json.dumps(context),
        cwd=tmp_path,
    )
    assert json.loads(done.stdout.splitlines()[-1]) == []


def test_the_audit_above_sees_what_it_is_there_for(tmp_path: Path) -> None:
    """The same harness on an extension that writes, starts and connects."""
    bad = tmp_path / "bad.py"
    bad.write_text(
        "import socket, subprocess\n"
        "from jinja2.ext import Extension\n"
        "class DrydockExtension(Extension):\n"
        "    def __init__(self, environment):\n"
        "        super().__init__(environment)\n"
        "        open('written', 'w').close()\n"
        "        subprocess.run(['true'])\n"
        "        socket.socket().connect_ex(('127.0.0.1', 9))\n"
    )
    words = (tmp_path, "bad.py:DrydockExtension", "[]", "{}")
    done = projects.run(sys.executable, "-B", "-c", AUDIT, *words, cwd=tmp_path)
    seen = {event for event, _ in json.loads(done.stdout.splitlines()[-1])}
    assert {"open", "subprocess.Popen", "socket.connect"} <= seen
