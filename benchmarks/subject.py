"""The project under comparison, in the form that each way of building wants, and its edits.

Drydock generates the project. The rivals get the same main.py, src/ and package versions in the
form their authors would have written: an ordinary pyproject.toml with uv.lock (an application or a
package), a requirements.txt with hashes, a pyproject.toml with poetry.lock.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tomllib
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement

from tests.support import indexes, projects

POETRY = "2.5.1"
NAME = "digits"

# Pure Python, small, without dependencies of their own and in neither workload's lock. A short
# measurement is repeated with another one, so that no cache knows the answer.
SMALL = ["humanize", "tabulate", "toolz", "xmltodict", "parse"]
DEV = ["freezegun", "pyfakefs", "parameterized", "colorlog", "docopt-ng"]


@dataclass(frozen=True)
class Workload:
    """What is built: the answers to Drydock's questions, and the other version of a bump."""

    name: str
    title: str
    answers: dict[str, object]
    package: str
    imported: str
    bump: str
    rounds: int


WORKLOADS = {
    "small": Workload(
        name="small",
        title="scikit-learn server, CPU",
        answers={"workload": "serve"},
        package="scikit-learn",
        imported="sklearn",
        bump="1.9.0",
        rounds=5,
    ),
    "jax": Workload(
        name="jax",
        title="JAX server, CUDA wheels",
        answers={
            "workload": "serve",
            "accelerator": "gpu",
            "framework": "jax",
            "advanced": True,
            "gpu_base": "slim",
        },
        package="jax",
        imported="jax",
        bump="0.11.2",
        rounds=1,
    ),
    "torch": Workload(
        name="torch",
        title="PyTorch server, CUDA wheels",
        answers={
            "workload": "serve",
            "accelerator": "gpu",
            "framework": "pytorch",
            "python_version": "3.11",
            "advanced": True,
            "framework_version": "2.13.0",
            # A base that has a Python, because the pip and Poetry ways need one.
            "gpu_base": "slim",
        },
        package="torch",
        imported="torch",
        bump="2.14.1",
        rounds=1,
    ),
}


def _run(*words: str, cwd: Path) -> str:
    environment = {key: text for key, text in os.environ.items() if key != "VIRTUAL_ENV"}
    done = subprocess.run(
        words, cwd=cwd, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(words)} ended with {done.returncode}:\n{done.stderr[-3000:]}")
    return done.stdout


def _replace(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    if old not in text:
        raise SystemExit(f"{path.name} of the generated project has no {old!r}: fix subject.py")
    path.write_text(text.replace(old, new))


@dataclass(frozen=True)
class Edit:
    """A state of the project. `version` is the project's, `framework` the framework's."""

    version: str = "0.1.0"
    framework: str = ""
    dependencies: tuple[str, ...] = ()
    dev: tuple[str, ...] = ()


class Subject:
    """The generated project of a workload, and every state of it in every form.

    In: the workload and an empty folder. The names of the states are the keys of `edits`: `base`,
    `warm`, `framework` and `version-N`, `dev-N`, `small-N`.
    """

    def __init__(self, workload: Workload, folder: Path, samples: int) -> None:
        """Generate the project; there will be `samples` of each short edit."""
        self.workload = workload
        self.folder = folder
        self.index: indexes.Index | None = None
        answers = dict(workload.answers)
        if workload.package == "torch":
            wheel = indexes.find_wheel("torch-2.13.0")
            self.index = indexes.Index({"cpu": [wheel]}, port=28126)
            answers["pytorch_index"] = self.index.url
        template = projects.snapshot(folder / "template")
        self.generated = folder / "generated" / NAME
        projects.generate(
            template,
            self.generated,
            lock=True,
            project_name=NAME,
            image_name=NAME,
            ci="none",
            **answers,
        )
        if not (self.generated / "uv.lock").is_file():
            raise SystemExit("the generated project has no uv.lock: is a package index reachable?")
        self.edits = {
            "base": Edit(),
            "warm": Edit(dependencies=tuple(SMALL[:samples])),
            "framework": Edit(framework=workload.bump),
        }
        for number in range(samples):
            self.edits[f"version-{number}"] = Edit(version=f"0.2.{number}")
            self.edits[f"dev-{number}"] = Edit(dev=(DEV[number],))
            self.edits[f"small-{number}"] = Edit(dependencies=(SMALL[number],))

    def state(self, form: str, name: str) -> Path:
        """The folder that holds the project in that form after that edit, made when first asked."""
        folder = self._folder(form, name)
        if not folder.exists():
            getattr(self, f"_{form.replace('-', '_')}")(name)
        return folder

    def _folder(self, form: str, name: str) -> Path:
        return self.folder / "states" / form / name

    @property
    def versions(self) -> list[str]:
        """`name==version` of everything the image needs, on this machine."""
        return self._versions(self.state("drydock", "base"), *self._groups)

    @property
    def _groups(self) -> list[str]:
        gpu = self.workload.answers.get("accelerator") == "gpu"
        return ["--no-default-groups", "--group", "gpu" if gpu else "cpu"]

    def _copied(self, form: str, name: str) -> Path:
        target = self._folder(form, name)
        target.parent.mkdir(parents=True, exist_ok=True)
        # Without what `uv run` and its program leave beside the project.
        left = shutil.ignore_patterns(".venv", "outputs", "__pycache__", "*.egg-info")
        shutil.copytree(self.generated, target, ignore=left)
        return target

    @staticmethod
    def _versions(project: Path, *words: str) -> list[str]:
        exported = _run(
            *("uv", "export", "--quiet", "--frozen", "--no-emit-project", "--no-hashes"),
            *("--no-annotate", "--no-header", *words),
            cwd=project,
        )
        needed = [Requirement(line) for line in exported.splitlines() if line.strip()]
        return sorted(
            f"{need.name}{need.specifier}"
            for need in needed
            if need.marker is None or need.marker.evaluate()
        )

    def _drydock(self, name: str) -> None:
        """As generated, edited as its README says."""
        edit, project = self.edits[name], self._copied("drydock", name)
        pyproject = project / "pyproject.toml"
        _replace(pyproject, 'version = "0.1.0"', f'version = "{edit.version}"')
        if edit.framework:
            group = "gpu" if "gpu" in self._groups else "cpu"
            package = self.workload.package
            groups = tomllib.loads(pyproject.read_text())["dependency-groups"]
            pinned = next(pin for pin in groups[group] if pin.startswith(f"{package}=="))
            _replace(
                pyproject, f'{group} = ["{pinned}"', f'{group} = ["{package}=={edit.framework}"'
            )
        for marker, added in (("dependencies = [\n", edit.dependencies), ("dev = [\n", edit.dev)):
            for package in added:
                _replace(pyproject, f"\n{marker}", f'\n{marker}    "{package}",\n')
        _run("uv", "lock", "--quiet", cwd=project)

    def _plain(self, form: str, name: str, package: bool) -> Path:
        """An ordinary uv project: the framework among the dependencies, one dev group."""
        edit, project = self.edits[name], self._copied(form, name)
        for left in ("Dockerfile", ".dockerignore", ".copier-answers.yml"):
            (project / left).unlink()
        given = tomllib.loads((self.generated / "pyproject.toml").read_text())
        groups = given["dependency-groups"]
        framework = groups["gpu" if "gpu" in self._groups else "cpu"]
        if edit.framework:
            framework = [f"{self.workload.package}=={edit.framework}"]
        lines = [
            "[project]",
            f'name = "{NAME}"',
            f'version = "{edit.version}"',
            'readme = "README.md"',
            f"requires-python = {json.dumps(given['project']['requires-python'])}",
            "dependencies = "
            + json.dumps([*framework, *given["project"]["dependencies"], *edit.dependencies]),
            "",
            "[dependency-groups]",
            f"dev = {json.dumps([*groups['dev'], *groups['lint'], *edit.dev])}",
            "",
            "[tool.uv]",
            f"exclude-newer = {json.dumps(given['tool']['uv']['exclude-newer'])}",
        ]
        if package:
            lines += ["", "[build-system]"]
            lines += [f"{key} = {json.dumps(text)}" for key, text in given["build-system"].items()]
        else:
            lines.append("package = false")
        (project / "pyproject.toml").write_text("\n".join(lines) + "\n")
        # uv prefers the versions of the lock it finds: one resolution for all.
        shutil.copy(self.state("drydock", name) / "uv.lock", project / "uv.lock")
        _run("uv", "lock", "--quiet", cwd=project)
        ours = self._versions(self.state("drydock", name), *self._groups)
        theirs = self._versions(project, "--no-dev")
        if ours != theirs:
            raise SystemExit(f"{form} {name}: other versions: {set(ours) ^ set(theirs)}")
        return project

    def _uv_app(self, name: str) -> None:
        self._plain("uv-app", name, package=False)

    def _uv_package(self, name: str) -> None:
        self._plain("uv-package", name, package=True)

    def _pip(self, name: str) -> None:
        """requirements.txt with hashes; the image has no use for pyproject.toml."""
        project = self._copied("pip", name)
        for left in ("Dockerfile", ".dockerignore", ".copier-answers.yml", "uv.lock"):
            (project / left).unlink()
        source = self.state("uv-app", name)
        shutil.copy(source / "pyproject.toml", project)
        # Without the header: it names the output file, which would be another list for every edit.
        export = ["uv", "export", "--quiet", "--frozen", "--no-dev", "--no-emit-project"]
        written = ["--no-header", "--output-file", str(project / "requirements.txt")]
        _run(*export, *written, cwd=source)

    def _poetry(self, name: str) -> None:
        """The exact versions of the lock as dependencies, so that poetry.lock has the same."""
        edit, project = self.edits[name], self._copied("poetry", name)
        for left in ("Dockerfile", ".dockerignore", ".copier-answers.yml", "uv.lock"):
            (project / left).unlink()
        pins = self._versions(self.state("drydock", name), *self._groups)
        minor = (self.generated / ".python-version").read_text().strip()
        below = f"3.{int(minor.split('.')[1]) + 1}"
        lines = [
            "[project]",
            f'name = "{NAME}"',
            f'version = "{edit.version}"',
            f'requires-python = ">={minor},<{below}"',
            f"dependencies = {json.dumps(pins)}",
            "",
            "[tool.poetry]",
            "package-mode = false",
            "",
            # The simple index and not PyPI's JSON, which mirrors do not have.
            "[[tool.poetry.source]]",
            'name = "index"',
            'url = "https://pypi.org/simple/"',
            'priority = "primary"',
        ]
        # A group that the image leaves out. Its content decides nothing but the lock's hash.
        lines += ["", "[tool.poetry.group.dev.dependencies]"]
        lines += [f'{package} = "*"' for package in ("pytest", "ruff", *edit.dev)]
        (project / "pyproject.toml").write_text("\n".join(lines) + "\n")
        if name != "base":
            shutil.copy(self.state("poetry", "base") / "poetry.lock", project)
            if not (edit.dependencies or edit.dev or edit.framework):
                return  # Poetry's lock does not hold the project's version
        _run("uv", "tool", "run", f"poetry@{POETRY}", "lock", "--quiet", cwd=project)
        locked = tomllib.loads((project / "poetry.lock").read_text())["package"]
        had = {f"{row['name']}=={row['version']}" for row in locked if "main" in row["groups"]}
        if missing := set(pins) - had:
            raise SystemExit(f"poetry {name}: other versions: {missing}")

    def close(self) -> None:
        """Stop the stand-in of the PyTorch index, if there is one."""
        if self.index:
            self.index.close()
