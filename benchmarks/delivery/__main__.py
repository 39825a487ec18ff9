"""Build, push, edit, build on a fresh runner, pull: for each way of building; write the figures.

    uv run python -m benchmarks.delivery --workload small    # scikit-learn on the CPU
    uv run python -m benchmarks.delivery --workload jax      # JAX with CUDA: 40 GB of disk

Needs root, Debian's mmdebstrap and docker-registry, and a package index. Two daemons of Debian 13
are the machines: one builds, the other pulls. With --buildkitd a BuildKit of its own builds, as the
generated CI has it. benchmarks/delivery/README.md says what is measured.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
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
FORMER = "0.4.0"
"""The release whose image is measured beside: two layers, installed on the base."""
RELEASES = json.loads((projects.ROOT / "tests" / "releases.json").read_text())
"""The commit of each release: a clone need not have the tags."""
SECOND = {"platform": "openshift", "advanced": True, "apt_packages": "tini"}
"""How another project with the same lock differs, beside its name."""


@dataclass(frozen=True)
class Way:
    """A way of building and publishing: a project in some form, and words for `docker build`."""

    name: str
    title: str
    form: str
    """As benchmarks/subject.py has it."""
    template: str = ""
    """For a generated project: the commit of the template, or nothing for this working tree."""
    output: str = ""
    cached: bool = False
    """Does its CI read the cache in its own image?"""


def ways() -> list[Way]:
    """Ours, ours of the former release, and the rivals with the defaults of BuildKit."""
    known = {one.name: one for one in CONTENDERS}
    zstd = ",oci-mediatypes=true,compression=zstd"
    return [
        Way("drydock", "Drydock", "drydock", output=zstd, cached=True),
        Way("former", f"Drydock {FORMER}", "drydock", template=RELEASES[FORMER]),
        *(Way(name, known[name].title, known[name].form) for name in RIVALS),
    ]


SCENARIOS = ("build", "line", "version", "dependency", "base", "second", "shared")
"""What can be left out, beside the first publish."""


@contextlib.contextmanager
def buildkit(program: Path, folder: Path, docker: Engine) -> Iterator[Engine]:
    """A BuildKit of its own with nothing in it; yields the client that builds with it.

    In: its program, a folder for what it stores, and the client whose buildx asks it.
    """
    socket = Path(tempfile.mkdtemp(prefix="drydock-", dir="/tmp")) / "buildkit.sock"
    words = [str(program), "--addr", f"unix://{socket}", "--root", str(folder)]
    words += ["--allow-insecure-entitlement=network.host", "--oci-worker-net=host"]
    with (socket.parent / "log").open("wb") as log:
        process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        end = time.monotonic() + 60
        while not socket.exists():
            if process.poll() is not None or time.monotonic() > end:
                raise SystemExit(f"{program}: {(socket.parent / 'log').read_text()[-1000:]}")
            time.sleep(0.1)
        docker("buildx", "create", "--name=delivery", "--driver=remote", f"unix://{socket}")
        yield Engine(docker.client, {**docker.environment, "BUILDX_BUILDER": "delivery"})
    finally:
        process.terminate()
        process.wait(60)
        shutil.rmtree(folder, ignore_errors=True)
        shutil.rmtree(socket.parent, ignore_errors=True)


class Bench:
    """One run: two machines, a registry for each way, samples."""

    def __init__(
        self,
        builder: Engine,
        node: Engine,
        subject: Subject,
        work: Path,
        own: Engine | None = None,
        bases: Registry | None = None,
    ) -> None:
        """What is measured.

        Args:
            builder: the daemon that makes the base images, and builds where `own` is missing.
            node: the daemon that pulls.
            subject: the project.
            work: a folder for what is made.
            own: a BuildKit of its own that builds.
            bases: where that one finds the base images.
        """
        self.docker, self.builder, self.own = builder, own or builder, own is not None
        self.node, self.subject, self.work, self.shelf = node, subject, work, bases
        self.bases = Bases(builder, subject.state("drydock", "base"))
        self.arguments = self.fresh()
        self.results: dict[str, dict] = {}
        self.layers: dict[str, int] = {}
        """Sizes, as the registry stores them, by digest: the layers that a way has published."""

    def fresh(self) -> dict[str, str]:
        """Build arguments that name a base nobody has built on, where the builder finds it."""
        named = self.bases.fresh()
        if not self.shelf:
            return named
        for argument, reference in named.items():
            if argument.endswith("_IMAGE"):
                name = re.sub(r"[^a-z0-9/]+", "-", reference.rpartition("/")[2])
                named[argument] = f"{self.shelf.host}/{name}"
                self.docker("tag", reference, named[argument])
                self.docker("push", "--quiet", named[argument], timeout=600)
        return named

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
            projects.git("checkout", "--quiet", way.template, cwd=source)
            answers = {**self.subject.workload.answers, "project_name": NAME, "image_name": NAME}
            projects.generate(source, made, ci="none", **answers)
        return made

    # -- machines ---------------------------------------------------------------------------------

    def fresh_runner(self) -> None:
        """Leave the builder without a layer of what it built, with what it downloaded.

        A daemon keeps the bases, a BuildKit of its own does not.
        """
        if self.own:
            for kind in ("regular", "source.local"):
                words = ["buildx", "prune", "--all", "--force", f"--filter=type={kind}"]
                self.builder(*words, check=False, timeout=600)
            return
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

    def warm(self, caches: set[str]) -> None:
        """Fill the download caches of the builder, with all that the edits will ask for."""
        for cache in caches:
            form = {"uv": "uv-app", "pip": "pip"}[cache]
            context = self.work / "warm"
            shutil.rmtree(context, ignore_errors=True)
            shutil.copytree(self.subject.state(form, "warm"), context)
            shutil.copy(HERE.parent / "warm" / f"{cache}.Dockerfile", context / "Dockerfile")
            (context / ".dockerignore").unlink(missing_ok=True)
            given = self.declared(context)
            tag, extra = (
                (None, ["--output=type=cacheonly", "--allow=network.host"])
                if self.own
                else ("bench-warm", [])
            )
            self.builder.build(context, tag, build_args=given, extra=extra, timeout=3000)

    # -- samples ----------------------------------------------------------------------------------

    def declared(self, context: Path, **more: str) -> dict[str, str]:
        """The build arguments that a Dockerfile declares; `more` go before those of the run."""
        wanted = (context / "Dockerfile").read_text()
        given = {**self.arguments, **more}
        return {key: text for key, text in given.items() if f"ARG {key}" in wanted}

    def build(self, way: Way, context: Path) -> dict:
        """Build for the machine itself, and push nothing; answers seconds."""
        given = self.declared(context)
        os.sync()
        begin = time.perf_counter()
        self.builder.build(context, f"local-{way.name}", build_args=given, timeout=3000)
        seconds = time.perf_counter() - begin
        return {"seconds": round(seconds, 2), "load": round(os.getloadavg()[0], 1)}

    def publish(
        self, way: Way, context: Path, store: Registry, image: str, shared: str = "", **more: str
    ) -> dict:
        """Build and push; answers seconds, bytes each way, and what the registry got more.

        `shared` is the image that SHARED_CACHE_ZSTD names, more are build arguments.
        """
        name = f"{store.host}/{image}"
        given = self.declared(context, **more)
        words = [f"--output=type=image,name={name},push=true{way.output}"]
        if way.cached:
            repository = f"{store.host}/{image.partition(':')[0]}"
            caches = [f"{repository}:main", *([f"{store.host}/{shared}"] if shared else [])]
            words += [f"--cache-from=type=registry,ref={cache}" for cache in caches]
            words.append("--cache-to=type=inline")
            given["SOURCE_DATE_EPOCH"] = "315532800"
        if self.own:
            # The Dockerfile of ours names uv's image, which no registry here has by that name.
            uv = f"{self.bases.uv}=docker-image://{self.arguments['UV_IMAGE']}"
            words += ["--allow=network.host", f"--build-context={uv}"]
        before, had = store.holds(), self.layers
        meters = [store.meter, *([self.shelf.meter] if self.shelf else [])]
        for meter in meters:
            meter.reset()
        os.sync()  # what is still to be written of the step before is none of this one's seconds
        begin = time.perf_counter()
        build = self.builder.build(context, None, build_args=given, extra=words, timeout=3000)
        seconds = time.perf_counter() - begin
        now = {layer["digest"]: layer["size"] for layer in store.manifest(image)["layers"]}
        self.layers = {**had, **now}
        return {
            "seconds": round(seconds, 2),
            "load": round(os.getloadavg()[0], 1),
            "up": store.meter.up,
            "down": sum(meter.down for meter in meters),
            "grown": store.holds() - before,
            "cached": sum(step.cached for step in build.stage_steps()),
            "new_layers": sorted(size for digest, size in now.items() if digest not in had),
        }

    def pull(self, store: Registry, image: str) -> dict:
        """Pull; answers seconds and bytes."""
        store.meter.reset()
        os.sync()
        begin = time.perf_counter()
        self.node("pull", "--quiet", f"{store.host}/{image}", timeout=3000)
        seconds = time.perf_counter() - begin
        return {"seconds": round(seconds, 2), "down": store.meter.down}

    def measure(self, way: Way, wanted: list[str]) -> None:
        """The sequence of one way: the first publish, a pull, and what is wanted of SCENARIOS."""
        samples: dict[str, dict] = {}
        self.results[way.name] = {"title": way.title, "samples": samples}
        self.layers = {}

        def took(scenario: str, sample: dict) -> None:
            samples[scenario] = sample
            figures = "  ".join(
                f"{key} {value if isinstance(value, list) else format(value, ',')}"
                for key, value in sample.items()
            )
            say(f"{way.name:14} {scenario:12} {figures}")

        with registry(self.work / "registry") as store:
            main, other = f"{NAME}:main", "second:main"
            if "build" in wanted:
                self.fresh_runner()
                took("build", self.build(way, self.context(way, "base")))
            self.fresh_runner()
            took("first", self.publish(way, self.context(way, "base"), store, main))
            samples["first"]["holds"] = store.holds()
            self.empty_node()
            took("pull-empty", self.pull(store, main))

            if "line" in wanted:
                self.fresh_runner()
                edited = self.context(way, "base")
                with (edited / "main.py").open("a") as file:
                    file.write(f"\n# {uuid.uuid4()}\n")
                took("line", self.publish(way, edited, store, main))
                took("pull-line", self.pull(store, main))
            for scenario, state in (("version", "version-0"), ("dependency", "small-0")):
                if scenario in wanted:
                    self.fresh_runner()
                    took(scenario, self.publish(way, self.context(way, state), store, main))
            if "dependency" in wanted:
                took("pull-dependency", self.pull(store, main))

            if "base" in wanted:
                if not {"line", "version", "dependency"}.isdisjoint(wanted):
                    self.fresh_runner()
                    self.publish(way, self.context(way, "base"), store, main)
                    self.pull(store, main)
                self.fresh_runner()
                newer = self.fresh()
                base = newer["UV_PYTHON_IMAGE" if way.form == "uv-package" else "BASE_IMAGE"]
                more = {name: newer[name] for name in ("BASE_IMAGE", "UV_PYTHON_IMAGE")}
                took("base", self.publish(way, self.context(way, "base"), store, main, **more))
                took("pull-base", self.pull(store, main))
                self.docker("image", "rm", "--force", base, check=False)

            if "second" in wanted:
                self.fresh_runner()
                took("second", self.publish(way, self.context(way, "second"), store, other))
                took("pull-second", self.pull(store, other))
                samples["second"]["holds"] = store.holds()
            if "shared" in wanted and way.cached:
                self.fresh_runner()
                context = self.context(way, "second")
                took("shared", self.publish(way, context, store, "third:main", shared=main))
            self.empty_node()


def command(given: argparse.Namespace) -> str:
    """The words that a reader would give: where files are is of this machine alone."""
    words = [f"--workload {given.workload}"]
    words += [f"--{name} {text}" for name in ("only", "scenarios") if (text := vars(given)[name])]
    return " ".join([*words, *(["--buildkitd buildkitd"] if given.buildkitd else [])])


def version(program: Path) -> str:
    """What a BuildKit says of its version."""
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
    return " ".join(said.stdout.split()[1:3])


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workload", choices=("small", "jax"), required=True)
    parser.add_argument("--only", help="ways, separated by commas, in the order to measure them")
    parser.add_argument("--scenarios", help=f"of {','.join(SCENARIOS)}; default: all")
    parser.add_argument("--buildkitd", type=Path, help="build with this program, a BuildKit's")
    parser.add_argument("--output", type=Path, help="default: results/<workload>.json beside this")
    given = parser.parse_args()
    known = {way.name: way for way in ways()}
    chosen = given.only.split(",") if given.only else list(known)
    if unknown := set(chosen) - set(known):
        parser.error(f"no such way: {', '.join(unknown)}; there are {', '.join(known)}")
    wanted = given.scenarios.split(",") if given.scenarios else list(SCENARIOS)
    if unknown := set(wanted) - set(SCENARIOS):
        parser.error(f"no such scenario: {', '.join(unknown)}; there are {', '.join(SCENARIOS)}")
    if given.buildkitd and "build" in wanted:
        if given.scenarios:
            parser.error("a local build is one of Docker's builder: leave --buildkitd out")
        wanted.remove("build")
    workload = WORKLOADS[given.workload]
    output = given.output or HERE / "results" / f"{workload.name}.json"
    begun = load()
    with contextlib.ExitStack() as stack:
        work = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=cache_folder())))
        one, other = (stack.enter_context(daemon()) for _ in range(2))
        engines = [Engine(*rooted.client(work / "config", environment(h))) for h in (one, other)]
        subject = Subject(workload, work / "subject", 1)
        stack.callback(subject.close)
        more = []
        if given.buildkitd:
            more = [
                stack.enter_context(buildkit(given.buildkitd, work / "buildkit", engines[0])),
                stack.enter_context(registry(work / "bases")),
            ]
        bench = Bench(*engines, subject, work, *more)
        bench.warm({"pip" if known[name].form == "pip" else "uv" for name in chosen})
        for name in chosen:
            try:
                bench.measure(known[name], wanted)
            except (DockerError, subprocess.TimeoutExpired) as error:
                # One way that fails says so in the results and does not cost the others.
                bench.results[name]["error"] = str(error)[-500:]
                say(f"{name} failed: {error}")
            document = {
                "workload": workload.name,
                "title": workload.title,
                "date": datetime.date.today().isoformat(),
                "command": f"python -m benchmarks.delivery {command(given)}",
                "machine": machine(bench.docker),
                "buildkit": version(given.buildkitd) if given.buildkitd else None,
                "load": [begun, load()],
                "base": {"image": bench.bases.reference, "standin": bench.bases.standin},
                "ways": bench.results,
            }
            output.parent.mkdir(parents=True, exist_ok=True)
            output.write_text(json.dumps(document, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
