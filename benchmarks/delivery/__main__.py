"""Build, push, edit, build on a fresh runner, pull: for each way of building; write the figures.

    uv run python -m benchmarks.delivery --workload small    # scikit-learn on the CPU
    uv run python -m benchmarks.delivery --workload jax      # JAX with CUDA: 40 GB of disk

Needs root, Debian's mmdebstrap and docker-registry, and a package index. Two daemons of Debian 13
are the machines: one builds, the other pulls. benchmarks/delivery/README.md says what is measured.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import json
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

from benchmarks.contenders import CONTENDERS
from benchmarks.run import Bases, load, machine, say
from benchmarks.subject import NAME, WORKLOADS, Subject
from tests.support import projects
from tests.support.docker import rooted
from tests.support.docker.cache import cache_folder
from tests.support.docker.client import DockerError, Engine
from tests.support.docker.daemon import environment
from tests.support.docker.machines import daemon
from tests.support.docker.registry import Registry, registry

HERE = Path(__file__).resolve().parent
RIVALS = ("uv-multistage", "article-cuda", "pip")
FORMER = "v0.4.0"
"""The release whose image is measured beside: two layers, installed on the base."""
SECOND = {"platform": "openshift", "advanced": True, "apt_packages": "tini"}
"""How another project with the same lock differs, beside its name."""


@dataclass(frozen=True)
class Way:
    """A way of building and publishing: a project in some form, and words for `docker build`."""

    name: str
    title: str
    form: str
    """As benchmarks/subject.py has it."""
    template: str | None = None
    """For a generated project: the folder or the tag of the template."""
    output: str = ""
    cached: bool = False
    """Does its CI read the cache in its own image?"""


def ways() -> list[Way]:
    """Ours, ours of the former release, and the rivals with the defaults of BuildKit."""
    known = {one.name: one for one in CONTENDERS}
    zstd = ",oci-mediatypes=true,compression=zstd"
    return [
        Way("drydock", "Drydock", "drydock", template="", output=zstd, cached=True),
        Way("former", f"Drydock {FORMER[1:]}", "drydock", template=FORMER),
        *(Way(name, known[name].title, known[name].form) for name in RIVALS),
    ]


class Bench:
    """One run: two machines, a registry for each way, samples."""

    def __init__(self, builder: Engine, node: Engine, subject: Subject, work: Path) -> None:
        """`subject` is the project, `work` a folder for what is made."""
        self.builder, self.node, self.subject, self.work = builder, node, subject, work
        self.bases = Bases(builder, subject.state("drydock", "base"))
        self.arguments = self.bases.fresh()
        self.results: dict[str, dict] = {}

    # -- states -----------------------------------------------------------------------------------

    def context(self, way: Way, state: str) -> Path:
        """A folder with the project of a way in a state: base, version-0, small-0 or second."""
        folder = self.work / "contexts" / way.name / state
        shutil.rmtree(folder, ignore_errors=True)
        if way.template:
            shutil.copytree(self.subject.state("drydock", "base"), folder)
            former = self.former(way)
            edited = self.subject.state("drydock", "base" if state == "second" else state)
            for name in ("pyproject.toml", "uv.lock"):
                shutil.copy(edited / name, folder)
            for name in ("Dockerfile", ".dockerignore", "scripts"):
                target = folder / name
                shutil.rmtree(target) if target.is_dir() else target.unlink()
                copy = shutil.copytree if (former / name).is_dir() else shutil.copy
                copy(former / name, target)
        elif way.form == "drydock" and state == "second":
            answers = {**self.subject.workload.answers, **SECOND, "project_name": "second"}
            projects.generate(self.subject.folder / "template", folder, lock=True, **answers)
        else:
            known = "base" if state == "second" else state
            shutil.copytree(self.subject.state(way.form, known), folder)
        rival = HERE.parent / "rivals" / way.name
        if rival.is_dir():
            for name in ("Dockerfile", ".dockerignore"):
                shutil.copy(rival / name, folder)
        if state == "second":
            with (folder / "main.py").open("a") as main:
                main.write(f"\n# {uuid.uuid4()}\n")
        return folder

    def former(self, way: Way) -> Path:
        """The project as the former release generates it."""
        made = self.work / "former" / NAME
        if not made.exists():
            source = self.work / "former-template"
            projects.git("clone", "--quiet", str(projects.ROOT), str(source), cwd=self.work)
            projects.git("checkout", "--quiet", str(way.template), cwd=source)
            answers = {**self.subject.workload.answers, "project_name": NAME, "image_name": NAME}
            projects.generate(source, made, ci="none", **answers)
        return made

    # -- machines ---------------------------------------------------------------------------------

    def fresh_runner(self) -> None:
        """Leave the builder without a layer of what it built, with its downloads and the bases."""
        kept = {*self.arguments.values(), self.bases.uv, self.bases.reference, self.bases.common}
        listed = self.builder("images", "--format={{.Repository}}:{{.Tag}}").stdout.split()
        for tag in listed:
            if tag not in kept and not tag.startswith("drydock-standin"):
                self.builder("image", "rm", "--force", tag, check=False, timeout=600)
        self.builder("image", "prune", "--force", check=False, timeout=600)
        for kind in ("regular", "source.local"):
            words = ["builder", "prune", "--all", "--force", f"--filter=type={kind}"]
            self.builder(*words, check=False, timeout=600)

    def empty_node(self) -> None:
        """Remove every image of the node."""
        if left := self.node("images", "--quiet", "--all").stdout.split():
            self.node("image", "rm", "--force", *set(left), check=False, timeout=600)

    def warm(self) -> None:
        """Fill the download caches of the builder, with all that the edits will ask for."""
        for cache in ("uv", "pip"):
            form = {"uv": "uv-app", "pip": "pip"}[cache]
            context = self.work / "warm"
            shutil.rmtree(context, ignore_errors=True)
            shutil.copytree(self.subject.state(form, "warm"), context)
            shutil.copy(HERE.parent / "warm" / f"{cache}.Dockerfile", context / "Dockerfile")
            (context / ".dockerignore").unlink(missing_ok=True)
            wanted = (context / "Dockerfile").read_text()
            given = {key: text for key, text in self.arguments.items() if f"ARG {key}" in wanted}
            self.builder.build(context, "bench-warm", build_args=given, timeout=3000)

    # -- samples ----------------------------------------------------------------------------------

    def publish(self, way: Way, context: Path, store: Registry, image: str, **more: str) -> dict:
        """Build and push; answers seconds, bytes each way, and what the registry got more."""
        name = f"{store.host}/{image}"
        wanted = (context / "Dockerfile").read_text()
        given = {**self.arguments, **more}
        given = {key: text for key, text in given.items() if f"ARG {key}" in wanted}
        words = [f"--output=type=image,name={name},push=true{way.output}"]
        if way.cached:
            repository = f"{store.host}/{image.partition(':')[0]}"
            words += [f"--cache-from=type=registry,ref={repository}:main", "--cache-to=type=inline"]
            given["SOURCE_DATE_EPOCH"] = "315532800"
        before = store.holds()
        store.meter.reset()
        begin = time.perf_counter()
        build = self.builder.build(context, None, build_args=given, extra=words, timeout=3000)
        seconds = time.perf_counter() - begin
        return {
            "seconds": round(seconds, 2),
            "up": store.meter.up,
            "down": store.meter.down,
            "grown": store.holds() - before,
            "cached": sum(step.cached for step in build.stage_steps()),
        }

    def pull(self, store: Registry, image: str) -> dict:
        """Pull; answers seconds and bytes."""
        store.meter.reset()
        begin = time.perf_counter()
        self.node("pull", "--quiet", f"{store.host}/{image}", timeout=3000)
        seconds = time.perf_counter() - begin
        return {"seconds": round(seconds, 2), "down": store.meter.down}

    def measure(self, way: Way) -> None:
        """The whole sequence of one way."""
        samples: dict[str, dict] = {}
        self.results[way.name] = {"title": way.title, "samples": samples}

        def took(scenario: str, sample: dict) -> None:
            samples[scenario] = sample
            figures = "  ".join(f"{key} {value:,}" for key, value in sample.items())
            say(f"{way.name:14} {scenario:12} {figures}")

        with registry(self.work / "registry") as store:
            main, other = f"{NAME}:main", "second:main"
            self.fresh_runner()
            took("first", self.publish(way, self.context(way, "base"), store, main))
            samples["first"]["holds"] = store.holds()
            self.empty_node()
            took("pull-empty", self.pull(store, main))

            self.fresh_runner()
            edited = self.context(way, "base")
            with (edited / "main.py").open("a") as file:
                file.write(f"\n# {uuid.uuid4()}\n")
            took("line", self.publish(way, edited, store, main))
            took("pull-line", self.pull(store, main))
            for scenario, state in (("version", "version-0"), ("dependency", "small-0")):
                self.fresh_runner()
                took(scenario, self.publish(way, self.context(way, state), store, main))
            took("pull-dependency", self.pull(store, main))

            self.fresh_runner()
            took("again", self.publish(way, self.context(way, "base"), store, main))
            self.pull(store, main)
            self.fresh_runner()
            newer = self.bases.fresh()
            base = newer["UV_PYTHON_IMAGE" if way.form == "uv-package" else "BASE_IMAGE"]
            more = {name: newer[name] for name in ("BASE_IMAGE", "UV_PYTHON_IMAGE")}
            took("base", self.publish(way, self.context(way, "base"), store, main, **more))
            took("pull-base", self.pull(store, main))
            self.builder("image", "rm", "--force", base, check=False)

            self.fresh_runner()
            took("second", self.publish(way, self.context(way, "second"), store, other))
            took("pull-second", self.pull(store, other))
            samples["second"]["holds"] = store.holds()
            self.empty_node()


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workload", choices=("small", "jax"), required=True)
    parser.add_argument("--only", help="ways, separated by commas, in the order to measure them")
    parser.add_argument("--output", type=Path, help="default: results/<workload>.json beside this")
    given = parser.parse_args()
    known = {way.name: way for way in ways()}
    chosen = given.only.split(",") if given.only else list(known)
    if unknown := set(chosen) - set(known):
        parser.error(f"no such way: {', '.join(unknown)}; there are {', '.join(known)}")
    workload = WORKLOADS[given.workload]
    output = given.output or HERE / "results" / f"{workload.name}.json"
    begun = load()
    with contextlib.ExitStack() as stack:
        work = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=cache_folder())))
        one, other = (stack.enter_context(daemon()) for _ in range(2))
        engines = [Engine(*rooted.client(work / "config", environment(h))) for h in (one, other)]
        subject = Subject(workload, work / "subject", 1)
        stack.callback(subject.close)
        bench = Bench(*engines, subject, work)
        bench.warm()
        for name in chosen:
            try:
                bench.measure(known[name])
            except (DockerError, subprocess.TimeoutExpired) as error:
                # One way that fails says so in the results and does not cost the others.
                bench.results[name]["error"] = str(error)[-500:]
                say(f"{name} failed: {error}")
            document = {
                "workload": workload.name,
                "title": workload.title,
                "date": datetime.date.today().isoformat(),
                "command": f"python -m benchmarks.delivery {' '.join(sys.argv[1:])}",
                "machine": machine(bench.builder),
                "load": [begun, load()],
                "base": {"image": bench.bases.reference, "standin": bench.bases.standin},
                "ways": bench.results,
            }
            output.parent.mkdir(parents=True, exist_ok=True)
            output.write_text(json.dumps(document, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
