"""What `--trust` runs: code without network, without writes and with no process but `uv lock`."""

from __future__ import annotations

import ast
import json
import sys
from pathlib import Path

import yaml

from tests.support import projects

EXTENSIONS = sorted((projects.ROOT / "extensions").glob("*.py"))


def imports(path: Path) -> set[str]:
    """Top-level modules that a file imports anywhere in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "a sibling import mixes the versions during an update"
            names.add((node.module or "").split(".")[0])
    return names


def test_copier_runs_nothing_but_the_extension_and_the_lock() -> None:
    config = yaml.safe_load((projects.ROOT / "copier.yml").read_text())
    own = [name for name in config["_jinja_extensions"] if name.startswith("extensions/")]
    assert own == ["extensions/drydock.py:DrydockExtension"]
    commands = [task["command"] for task in config["_tasks"] + config["_migrations"]]
    assert len(commands) == 2
    for command in commands:
        assert command[0] == "{{ _copier_python }}", "no shell"
        assert len(command) == 2 and "'extensions', 'lock.py'" in command[1]
    assert {path.name for path in EXTENSIONS} == {"drydock.py", "lock.py"}


def test_the_trusted_code_imports_little() -> None:
    extension, lock = EXTENSIONS
    assert imports(lock) <= {"__future__", "os", "re", "shutil", "subprocess", "sys"}
    allowed = sys.stdlib_module_names | {"jinja2", "copier"}
    assert imports(extension) <= allowed
    risky = {"socket", "ssl", "http", "urllib", "ftplib", "subprocess", "ctypes", "multiprocessing"}
    assert not imports(extension) & (risky - {"urllib"})


AUDIT = """
import sys
allowed_writes = sys.argv.pop(1)
events = []
def hook(event, arguments):
    if event in {"socket.connect", "socket.getaddrinfo", "subprocess.Popen", "os.system",
                 "os.exec", "os.posix_spawn", "os.remove", "os.rename", "os.mkdir", "os.rmdir"}:
        events.append((event, repr(arguments)))
    if event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+"):
        events.append((event, repr(arguments)))
import json, jinja2, copier.errors, runpy
sys.addaudithook(hook)
extension = runpy.run_path(sys.argv[1])["DrydockExtension"]
environment = jinja2.Environment(undefined=jinja2.StrictUndefined)
environment.add_extension(extension)
for template in json.loads(sys.argv[2]):
    environment.from_string(template).render(json.loads(sys.argv[3]))
print(json.dumps(events))
"""


def test_the_extension_opens_nothing_for_writing_and_starts_nothing(tmp_path: Path) -> None:
    """Python itself reports what is opened and started (PEP 578) while every question is asked."""
    extension = projects.ROOT / "extensions" / "drydock.py"
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
    calls += ["{{ drydock.preflight() }}", "{{ drydock.stack() }}"]
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
        "-",
        extension,
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
    done = projects.run(sys.executable, "-B", "-c", AUDIT, "-", bad, "[]", "{}", cwd=tmp_path)
    seen = {event for event, _ in json.loads(done.stdout.splitlines()[-1])}
    assert {"open", "subprocess.Popen", "socket.connect"} <= seen
