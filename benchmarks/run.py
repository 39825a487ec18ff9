"""Build the same project in every way, edit it, build again, start it; write down the figures.

    uv run python -m benchmarks.run --workload small

Needs what the Docker tests need: a running Docker with BuildKit, or root and Debian's docker.io and
mmdebstrap; and a package index. Without a registry the base images are stand-ins (README.md).
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import json
import math
import os
import platform
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.contenders import CONTENDERS, Contender
from benchmarks.subject import (
    NAME,
    POETRY,
    WORKLOADS,
    Subject,
    Workload,
)
from tests.support.docker import daemon, images, standins
from tests.support.docker.cache import cache_folder
from tests.support.docker.client import Container, DockerError, Engine

HERE = Path(__file__).resolve().parent
PREFIX = "bench"
SHORT = 15.0  # seconds; what takes less is repeated until there are five samples
SAMPLES = 5
SCENARIOS = ["cold", "noop", "main", "version", "dev", "small", "framework"]
_INSTALL = re.compile(r"\b(uv sync|uv pip install|pip install|poetry install)\b")


def say(text: str) -> None:
    """A line of progress, with the time."""
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


class OwnDaemon(daemon.Daemon):
    """A daemon beside the one of the tests, whose layers and caches stay out of each other's way.

    What was downloaded survives from run to run, as it does on a laptop.
    """

    def __init__(self) -> None:
        """Choose a folder of its own."""
        super().__init__(cache_folder().with_name("drydock-benchmarks") / "docker-images")

    def tidy(self, engine: Engine, limit: int = 0) -> None:
        """Remove layers, keep what was downloaded."""
        prune(engine)


def prune(docker: Engine) -> None:
    """Remove every build layer and nameless image of a daemon that is ours alone."""
    docker("image", "prune", "--force", check=False, timeout=600)
    for kind in ("regular", "source.local"):
        docker(
            *("builder", "prune", "--all", "--force", f"--filter=type={kind}"),
            check=False,
            timeout=600,
        )


def cached(docker: Engine) -> set[str]:
    """The ids of what is in BuildKit's layer cache."""
    words = ["system", "df", "--verbose", "--format", "{{json .BuildCache}}"]
    rows = json.loads(docker(*words, timeout=600).stdout)
    return {row["ID"].rstrip("*") for row in rows if row["CacheType"] == "regular"}


def forget_since(docker: Engine, kept: set[str]) -> None:
    """Remove what came into the layer cache since: gigabytes after each edit of a large image."""
    while new := cached(docker) - kept:
        for identity in new:
            words = ["builder", "prune", "--all", "--force", f"--filter=id={identity}"]
            docker(*words, check=False, timeout=600)
        if cached(docker) - kept == new:
            break


class Bases:
    """The base image that all share, new for every contender and round.

    A layer with random content on top makes BuildKit's layer cache useless (cold) without touching
    the download caches or anybody's images.
    """

    def __init__(self, docker: Engine, project: Path) -> None:
        """Make sure that the images which the project's Dockerfile names exist here."""
        self.docker = docker
        standin = standins.Standins(docker)
        dockerfile = (project / "Dockerfile").read_text()
        self.uv = re.search(r"^FROM (\S+) AS uv$", dockerfile, re.MULTILINE)[1]
        self.reference = next(r for r in images.base_images(project) if r != self.uv)
        self.standin = standin(self.reference)
        standin(self.uv)
        self.common = f"{PREFIX}-common:{NAME}"
        lines = [f"FROM {self.reference}"]
        if self.standin:
            # As the real image has it: a current pip, no list of packages beside that of apt, and
            # certificates that every tool finds. Login shells keep PATH, as they do on the base
            # that the article uses.
            lines += [
                'RUN echo \'Dir::Cache { pkgcache ""; srcpkgcache ""; };\''
                " >/etc/apt/apt.conf.d/docker-clean",
                "ENV PIP_CERT=$SSL_CERT_FILE REQUESTS_CA_BUNDLE=$SSL_CERT_FILE",
                "RUN PYTHONDONTWRITEBYTECODE=1 pip install --no-cache-dir --no-compile --upgrade"
                " --root-user-action=ignore pip"
                " && sed -i '/^if .*id -u.*then$/,/^export PATH$/d' /etc/profile",
            ]
        self._build(lines, self.common)

    def _build(self, lines: list[str], tag: str) -> None:
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "nonce").write_text(f"{uuid.uuid4()}\n")
            Path(folder, "Dockerfile").write_text("\n".join(lines) + "\n")
            self.docker.build(Path(folder), tag)

    def fresh(self) -> dict[str, str]:
        """Build arguments that name a base nobody has built on."""
        tag = uuid.uuid4().hex[:12]
        base, with_uv = f"{PREFIX}-base:{tag}", f"{PREFIX}-uv:{tag}"
        self._build([f"FROM {self.common}", "COPY nonce /etc/nonce"], base)
        lines = [f"FROM {self.uv} AS uv", f"FROM {base}", "COPY --from=uv /uv /uvx /usr/local/bin/"]
        self._build(lines, with_uv)
        return {
            "BASE_IMAGE": base,
            "BUILDER_IMAGE": base,
            "UV_IMAGE": self.uv,
            "UV_PYTHON_IMAGE": with_uv,
            "POETRY_VERSION": POETRY,
        }


def sizes(docker: Engine, tag: str) -> list[tuple[str, int]]:
    """Digest and bytes (of the files in it) of each layer of an image, lowest first.

    `docker history` has the sizes and rows without a layer, `docker inspect` the digests: matched
    by the kinds of instructions that make a layer.
    """
    digests = docker.image(tag)["RootFS"]["Layers"]
    rows = [
        row["Size"]
        for row in docker.history(tag)
        if row["Size"]
        or re.match(r"(RUN|COPY|ADD|WORKDIR|/bin/sh -c(?! #\(nop\)))", row["CreatedBy"])
    ]
    if len(rows) != len(digests):
        # A WORKDIR that exists already, or an older builder: ask for the layers themselves.
        return [(layer.digest, layer.size) for layer in docker.layers(tag)]
    return list(zip(digests, rows, strict=True))


class Bench:
    """One run: measures contenders, collects samples."""

    def __init__(
        self,
        docker: Engine,
        subject: Subject,
        workload: Workload,
        own: bool,
        work: Path,
        scenarios: list[str] = SCENARIOS,
    ) -> None:
        """`own`: the daemon is ours alone, its layers can be pruned; `work`: a scratch folder;
        `scenarios`: what to measure, of SCENARIOS. Starts are measured with all of them only.
        """
        self.scenarios = scenarios
        self.docker, self.subject, self.workload, self.own = docker, subject, workload, own
        self.work = work
        self.bases = Bases(docker, subject.state("drydock", "base"))
        self.results: dict[str, dict] = {}

    # -- builds ---------------------------------------------------------------------------------

    def context(self, contender: Contender, state: str) -> Path:
        """The build context of a contender with the project in that state."""
        folder = self.work / "contexts" / contender.name
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self.subject.state(contender.form, state), folder)
        if contender.dockerfile:
            shutil.copy(contender.dockerfile, folder / "Dockerfile")
            shutil.copy(contender.dockerfile.with_name(".dockerignore"), folder)
        return folder

    def build(self, contender: Contender, context: Path, arguments: dict, what: str) -> dict:
        """Build and answer a sample: wall seconds of the command, what BuildKit ran, the image."""
        wanted = (context / "Dockerfile").read_text()
        given = {name: text for name, text in arguments.items() if f"ARG {name}" in wanted}
        tag = f"{PREFIX}-{contender.name}:{what}"
        begin = time.perf_counter()
        build = self.docker.build(context, tag, build_args=given, timeout=3000)
        seconds = time.perf_counter() - begin
        ran = [step for step in build.stage_steps() if step.ran]
        return {
            "seconds": round(seconds, 3),
            "steps_run": len(ran),
            "install_seconds": round(
                sum(step.seconds or 0 for step in ran if _INSTALL.search(step.name)), 1
            ),
            "installed": any(_INSTALL.search(step.name) for step in ran),
            "tag": tag,
        }

    def measure(self, contender: Contender, arguments: dict, per_round: int) -> None:
        """A whole sequence: cold, then every edit against what cold left."""
        own = self.results[contender.name]["scenarios"]
        base: list[tuple[str, int]] = []
        kept: set[str] = set()

        def sample(scenario: str, number: int) -> dict:
            state = f"{scenario}-{number}"
            if state not in self.subject.edits:
                state = scenario if scenario in self.subject.edits else "base"
            context = self.context(contender, state)
            if scenario == "main":
                with (context / "main.py").open("a") as main:
                    main.write(f"\n# {uuid.uuid4()}\n")
            what = "base" if scenario in ("cold", "noop") else scenario
            got = self.build(contender, context, arguments, what)
            layers = sizes(self.docker, got["tag"])
            had = {digest for digest, _ in base} or set(
                self.docker.image(arguments["BASE_IMAGE"])["RootFS"]["Layers"]
            )
            got["new_bytes"] = sum(size for digest, size in layers if digest not in had)
            if scenario == "cold":
                base.extend(layers)
                got["image_bytes"] = self.docker.image(got["tag"])["Size"]
            tag = got.pop("tag")
            if self.own and scenario == "cold":
                kept.update(cached(self.docker))
            elif self.own and got["seconds"] > SHORT:
                self.docker("image", "rm", "--force", tag, check=False, timeout=600)
                forget_since(self.docker, kept)
            own.setdefault(scenario, []).append(got)
            figures = f"{got['seconds']:8.2f} s {got['new_bytes']:>13,} bytes"
            say(f"{contender.name:17} {scenario:9} {figures}")
            return got

        for scenario in self.scenarios:
            for number in range(1 if scenario in ("cold", "framework") else per_round):
                if sample(scenario, number)["seconds"] > SHORT:
                    break

    # -- starts ---------------------------------------------------------------------------------

    def start(self, contender: Contender, times: int) -> None:
        """Seconds from `docker run` to the framework imported, to the first health answer and to
        ready; then the same start offline, read-only and as another user.
        """
        tag = f"{PREFIX}-{contender.name}:base"
        own = self.results[contender.name]
        for _ in range(times):
            own.setdefault("import_seconds", []).append(self.time_import(contender, tag, []))
            health, ready = self.time_health(tag)
            own.setdefault("health_seconds", []).append(health)
            own.setdefault("ready_seconds", []).append(ready)
        environment = self.docker.image(tag)["Config"]
        home = dict(entry.split("=", 1) for entry in environment["Env"]).get("HOME", "/root")
        strict = ["--read-only", "--tmpfs=/tmp", f"--tmpfs={home}/.cache"]
        tries = {
            "offline": ["--network=none"],
            "foreign_user": ["--network=host", "--user=42420"],
            "read_only": ["--network=host", *strict],
            "all_three": ["--network=none", "--user=42420", *strict],
        }
        own["works"] = {
            name: self.time_import(contender, tag, words, check=False) is not None
            for name, words in tries.items()
        }
        imports = ", ".join(f"{one:.2f}" for one in own["import_seconds"])
        say(f"{contender.name:17} import {imports} s, health {own['health_seconds']} s")
        say(f"{contender.name:17} {own['works']}")

    def time_import(
        self, contender: Contender, tag: str, words: list[str], check: bool = True
    ) -> float | None:
        """Seconds from `docker run` to the framework imported; None where it fails unchecked."""
        script = f"import {self.workload.imported}; print('imported', flush=True)"
        entrypoint, command = contender.words(script)
        how = words or ["--network=host"]
        if entrypoint:
            how = [*how, f"--entrypoint={entrypoint}"]
        begin = time.perf_counter()
        with subprocess.Popen(
            [self.docker.client, "run", "--rm", *how, tag, *command],
            env=self.docker.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            errors: list[str] = []
            reader = threading.Thread(target=lambda: errors.extend(process.stderr))
            reader.start()
            took = None
            for line in process.stdout:
                if line.strip() == "imported":
                    took = round(time.perf_counter() - begin, 3)
            process.wait()
            reader.join()
        if took is None and check:
            raise DockerError(f"{tag} does not start:\n{''.join(errors)[-3000:]}")
        return took

    def time_health(self, tag: str) -> tuple[float, float]:
        """Seconds from `docker run` to the first health answer, and to ready."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        model = next((self.subject.generated / "outputs").iterdir())
        begin = time.perf_counter()
        container = self.docker.start_container(
            tag,
            network="host",
            env={"PORT": str(port), "HOST": "127.0.0.1", "MODEL_PATH": f"/model/{model.name}"},
            volumes={model.parent: "/model:ro"},
        )
        times = []
        try:
            for path in ("/healthz", "/readyz"):
                times.append(self._until(f"http://127.0.0.1:{port}{path}", container, begin))
        finally:
            container.remove()
        return times[0], times[1]

    def _until(self, url: str, container: Container, begin: float) -> float:
        for number in range(30_000):
            # 503 is an HTTPError, and that an OSError: not yet.
            with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=5) as answer:
                if answer.status == 200:
                    return round(time.perf_counter() - begin, 3)
            if number % 100 == 99 and not container.state["Running"]:
                raise DockerError(f"the server ended:\n{container.logs()[-3000:]}")
            time.sleep(0.01)
        raise DockerError(f"{url} never answered:\n{container.logs()[-3000:]}")

    # -- the run --------------------------------------------------------------------------------

    def warm(self, chosen: list[Contender]) -> None:
        """Fill each download cache, unmeasured, with all that any state needs."""
        arguments = self.bases.fresh()
        forms = {"uv": "uv-app", "pip": "pip", "poetry": "poetry"}
        for cache in dict.fromkeys(one.cache for one in chosen):
            for state in ("warm", "framework"):
                begin = time.perf_counter()
                self.docker.build(
                    self.subject.state(forms[cache], state),
                    f"{PREFIX}-warm:{cache}",
                    dockerfile=HERE / "warm" / f"{cache}.Dockerfile",
                    build_args=arguments,
                    timeout=3000,
                )
                say(f"{cache}'s cache has what {state} needs: {time.perf_counter() - begin:.0f} s")

    def forget(self, contender: Contender, arguments: dict) -> None:
        """Remove what this contender built in this round."""
        made = self.docker("images", "--quiet", f"{PREFIX}-{contender.name}").stdout.split()
        for tag in {*made, arguments["BASE_IMAGE"], arguments["UV_PYTHON_IMAGE"]}:
            self.docker("image", "rm", "--force", tag, check=False, timeout=600)
        if self.own:
            prune(self.docker)

    def run(self, chosen: list[Contender], rounds: int, save: Callable[[], None]) -> None:
        """All rounds; the order of the contenders turns by one from round to round."""
        for contender in chosen:
            self.results[contender.name] = {
                "title": contender.title,
                "bytecode": contender.bytecode,
                "scenarios": {},
            }
        per_round = math.ceil(SAMPLES / rounds)
        for turn in range(rounds):
            say(f"round {turn + 1} of {rounds}")
            shift = turn % len(chosen)
            for contender in chosen[shift:] + chosen[:shift]:
                arguments = self.bases.fresh()
                try:
                    self.measure(contender, arguments, per_round)
                    if self.scenarios == SCENARIOS:
                        self.start(contender, per_round)
                except (DockerError, subprocess.TimeoutExpired) as error:
                    # One way that fails says so in the results and does not cost the others.
                    self.results[contender.name]["error"] = str(error)[-500:]
                    say(f"{contender.name} failed: {error}")
                self.forget(contender, arguments)
                save()


def fit(project: Path) -> None:
    """Make the model that the servers serve, with the project's own environment."""
    words = ["uv", "run", "python", "-m", f"{NAME}.fit"]
    environment = {key: text for key, text in os.environ.items() if key != "VIRTUAL_ENV"}
    done = subprocess.run(words, cwd=project, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(words)}:\n{done.stderr[-3000:]}")


def machine(docker: Engine) -> dict:
    """What the figures were measured on."""
    server = json.loads(docker("version", "--format", "{{json .Server}}").stdout)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cores": os.cpu_count(),
        "memory_gb": round(memory / 1e9, 1),
        "cpu": _cpu(),
        "kernel": platform.release(),
        "docker": server["Version"],
        "builder": "the BuildKit inside dockerd",
        "storage": docker("info", "--format", "{{.Driver}}").stdout.strip(),
        "python": platform.python_version(),
    }


def _cpu() -> str:
    with contextlib.suppress(OSError):
        found = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
        if found:
            return found[1]
    return platform.machine()


def load() -> str:
    """The load averages, so that a reader sees how quiet the machine was."""
    return " ".join(f"{one:.1f}" for one in os.getloadavg())


@contextlib.contextmanager
def docker_engine() -> Iterator[tuple[Engine, bool]]:
    """An Engine, and whether its daemon is this program's own."""
    with daemon.connect(OwnDaemon) as docker:
        yield docker, docker.environment.get("DOCKER_HOST") == OwnDaemon().host


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workload", choices=sorted(WORKLOADS), required=True)
    parser.add_argument("--repeat", type=int, help="rounds over all contenders")
    parser.add_argument("--cold", action="store_true", help="only the cold build, in a file apart")
    parser.add_argument("--only", help="rivals, separated by commas, in the order to measure them")
    parser.add_argument("--output", type=Path, help="default: results/<workload>.json beside this")
    parser.add_argument("--work", type=Path, help="folder for projects; default: a temporary one")
    given = parser.parse_args()
    workload = WORKLOADS[given.workload]
    known = {one.name: one for one in CONTENDERS}
    only = dict.fromkeys(["drydock", *given.only.split(",")] if given.only else known)
    if unknown := only.keys() - known.keys():
        parser.error(f"no such contender: {', '.join(unknown)}; there are {', '.join(known)}")
    chosen = [known[name] for name in only]
    rounds = given.repeat or workload.rounds
    name = f"{workload.name}-cold" if given.cold else workload.name
    output = given.output or HERE / "results" / f"{name}.json"
    words = [f"--workload {workload.name}"]
    words += [f"--repeat {given.repeat}"] if given.repeat else []
    words += ["--cold"] if given.cold else []
    words += [f"--only {given.only}"] if given.only else []

    with contextlib.ExitStack() as stack:
        work = given.work or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        work.mkdir(parents=True, exist_ok=True)
        docker, own = stack.enter_context(docker_engine())
        say(f"making the projects in {work}")
        subject = Subject(workload, work, math.ceil(SAMPLES / rounds))
        stack.callback(subject.close)
        fit(subject.generated)
        scenarios = ["cold"] if given.cold else SCENARIOS
        bench = Bench(docker, subject, workload, own, work, scenarios)
        document = {
            "workload": name,
            "title": workload.title,
            "command": f"uv run python -m benchmarks.run {' '.join(words)}",
            "date": datetime.date.today().isoformat(),
            "rounds": rounds,
            "machine": machine(docker),
            "base": {"image": bench.bases.reference, "standin": bench.bases.standin},
            "uv": bench.bases.uv,
            "poetry": POETRY,
            "packages": subject.versions,
            "bump": f"{workload.package}=={workload.bump}",
            "load_before": load(),
            "contenders": bench.results,
        }

        def save() -> None:
            document["load_after"] = load()
            output.parent.mkdir(parents=True, exist_ok=True)
            output.write_text(json.dumps(document, indent=1) + "\n")

        bench.warm(chosen)
        bench.run(chosen, rounds, save)
    say(f"written: {output.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
