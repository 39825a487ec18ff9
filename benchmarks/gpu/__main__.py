"""Try on a machine with a GPU what a generated project promises.

    python -m benchmarks.gpu PROJECT --python PROJECT/.venv/bin/python

PROJECT trains and serves (workload=both) and is installed with its packages for the GPU. Only a
copy of it is run. This needs the standard library alone. It ends with 1 if a promise is broken,
and with 2 if there is nothing to try.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.gpu.project import (
    HIDDEN,
    Broken,
    Client,
    Project,
    Run,
    Unusable,
    last_line,
    with_number,
)

# A kernel checks an index on the device, and what fails there is an error for the whole process.
FAILING_KERNEL = """
import torch
import main
from {package} import model

probabilities = model.probabilities

def failing(network, rows):
    index = torch.tensor([1000 if rows.max() > 1e30 else 0], device=network.mean.device)
    torch.zeros(1, device=network.mean.device)[index].cpu()
    return probabilities(network, rows)

model.probabilities = failing
raise SystemExit(main.main())
"""


class LeftOut(Exception):
    """A check cannot be done here, and why."""


def same_twice(project: Project) -> str:
    """The same seed gives the same result twice, to the last digit."""
    return compared(project, project.train("again"))


def ended_by_sigterm(project: Project) -> str:
    """A run ended by SIGTERM after three reports and its --resume report what a whole one does."""
    return interrupted(project, signal.SIGTERM, 128 + signal.SIGTERM)


def ended_by_sigkill(project: Project) -> str:
    """A run ended by SIGKILL after three reports and its --resume report what a whole one does."""
    return interrupted(project, signal.SIGKILL, -signal.SIGKILL)


def interrupted(project: Project, stop: signal.Signals, code: int) -> str:
    """End a run by a signal, go on with it, and compare its result."""
    first = project.train(stop.name, stop=stop)
    require_stopped(first, code)
    then = project.train(stop.name, "--resume")
    result = compared(project, then)
    return f"{len(first.lines)} reports, then {len(then.lines) - 1}; {result}"


def require_stopped(run: Run, code: int) -> None:
    """Refuse a run that was sent a signal and ended otherwise."""
    if run.code == 0:
        raise Broken("the run was at its end before the signal: give more --passes")
    if run.code != code:
        raise Broken(f"the run ended with {run.code}: {last_line(run.stderr)}")


def compared(project: Project, run: Run) -> str:
    """Return the result of a run, which is that of the undisturbed one."""
    if run.result() != project.whole:
        raise Broken(f"{run.result()}, where the undisturbed run says {project.whole}")
    return run.result()


def crossed(project: Project) -> str:
    """A run begun on the GPU goes on on the CPU, and again on the GPU, to its end."""
    first = project.train("crossed", stop=signal.SIGTERM)
    require_stopped(first, 128 + signal.SIGTERM)
    then = project.train("crossed", "--resume", device="cpu", stop=signal.SIGTERM, env=HIDDEN)
    if then.code == 0:  # it stopped early, or there are few passes
        return f"{len(first.lines)} reports, the rest on the CPU; {then.result()}"
    require_stopped(then, 128 + signal.SIGTERM)
    result = project.train("crossed", "--resume").result()
    return f"{len(first.lines)} reports, {len(then.lines)} on the CPU, the rest; {result}"


def refused(project: Project) -> str:
    """A device that is not there is refused with one sentence and exit code 1."""
    gpu, sentences = project.framework.gpu, []
    for device, env in ((f"{gpu}:99", {}), (gpu, HIDDEN)):
        run = project.train("refused", device=device, env=env)
        sentences.append(last_line(run.stderr))
        # Where no GPU is seen JAX logs a traceback of its own code.
        traced = f'File "{project.folder}' in run.stderr
        if run.code != 1 or traced or not sentences[-1].startswith("--device"):
            raise Broken(f"--device {device} ended with {run.code}: {sentences[-1]}")
    return " / ".join(sentences)


def nameless(project: Project) -> str:
    """A user without a name (uid 42420 of group 0) trains and gets a model."""
    if os.geteuid() != 0 or not shutil.which("setpriv"):
        raise LeftOut("this takes root, and setpriv")
    user = ["setpriv", "--reuid=42420", "--regid=0", "--clear-groups", "--no-new-privs"]
    user.append("--inh-caps=-all")
    if subprocess.run([*user, project.python, "-c", ""], capture_output=True).returncode:
        raise LeftOut(f"uid 42420 cannot run {project.python}")
    home = project.folder / "home"
    for folder in (home, project.model("nameless").parent):  # group 0 may write, as in the image
        folder.mkdir(parents=True)
        folder.chmod(0o2775)
    env = {"HOME": str(home), "LOGNAME": "app"}
    result = project.train("nameless", passes=3, prefix=user, env=env).result()
    if project.model("nameless").stat().st_uid != 42420:
        raise Broken("the model is another user's")
    return result


def served(project: Project) -> str:
    """The server gets ready on the GPU and answers the example of its description with 200."""
    with project.served() as server:
        (first, lost), (then, more) = server.rate(32, seconds=5), server.rate(32, seconds=5)
        client, times = Client(server.port), []
        for _ in range(300):
            started = time.perf_counter()
            client.ask("POST", server.route, server.example)
            times.append((time.perf_counter() - started) * 1e3)
        times.sort()
        device = server.log.read_text().partition("The model runs on ")[2].partition('."')[0]
    if project.device != "cpu" and device.lower() == "cpu":
        raise Broken("the model runs on the CPU")
    return (
        f"on {device}, ready in {server.seconds:.1f} s; 32 connections: {first:.0f} answers a "
        f"second in the first five, {then:.0f} in the next, {lost + more} other than 200; "
        f"one connection: p50 {times[150]:.2f} ms, p99 {times[296]:.2f} ms"
    )


def failed_kernel(project: Project) -> str:
    """A server ends with exit code 1 when a kernel that failed in a request has broken its GPU."""
    if project.framework.package != "torch":
        raise LeftOut("this is for PyTorch only")
    if project.device == "cpu":
        raise LeftOut("on a CPU only the request fails")
    package = next((project.folder / "src").glob("*/runtime")).parent.name
    program = project.folder / "failing_kernel.py"
    program.write_text(FAILING_KERNEL.format(package=package))
    with project.served(program.name) as server:
        client = Client(server.port)
        status, _ = client.ask("POST", server.route, with_number(1e38, server.example))
        try:
            code = server.process.wait(60)
        except subprocess.TimeoutExpired:
            code = None
        said = last_line(server.log.read_text())
    if (status, code) != (500, 1):
        raise Broken(f"the answer was {status}, the exit code is {code}: {said}")
    return f"the answer was 500, the exit code is 1: {said}"


CHECKS = (
    *(same_twice, ended_by_sigterm, ended_by_sigkill, crossed),
    *(refused, nameless, served, failed_kernel),
)


def machine(project: Project) -> str:
    """The GPU, its driver and the versions: what the checks run on."""
    code = "import platform, sys; name = sys.argv[1]; "
    code += "print('Python', platform.python_version(), name, __import__(name).__version__)"
    commands = [[project.python, "-c", code, project.framework.package]]
    if project.device != "cpu" and shutil.which("nvidia-smi"):
        query = ["--query-gpu=name,driver_version", "--format=csv,noheader"]
        commands.append(["nvidia-smi", *query])
    outputs = [subprocess.run(c, env=project.env, capture_output=True).stdout for c in commands]
    said = [" ".join(output.decode().split()) for output in outputs]
    return "; ".join([*said, f"--device {project.device}, {project.passes} passes"])


def main() -> int:
    """Do every check, one after the other, and print a table of them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("project", type=Path, help="the folder of a generated project")
    parser.add_argument("--python", type=Path, required=True, help="the one with its packages")
    parser.add_argument("--device", choices=["cuda", "gpu", "cpu"], help="default: its GPU")
    parser.add_argument("--passes", type=int, default=60, help="epochs or rounds, default: 60")
    given = parser.parse_args()
    # So that what was started is ended then, too.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        try:
            project = Project(*vars(given).values(), to=Path(folder))
        except Unusable as error:
            print(error, file=sys.stderr)
            return 2
        print(heading := machine(project), flush=True)
        for check in CHECKS:
            try:
                how, seen = "kept", check(project)
            except LeftOut as reason:
                how, seen = "left out", str(reason)
            except Broken as reason:
                how, seen = "BROKEN", str(reason)
            except (OSError, ValueError, KeyError) as error:
                how, seen = "BROKEN", f"{type(error).__name__}: {error}"
            print(f"{check.__name__}: {how}: {seen}", flush=True)
            rows.append((check.__doc__, how, seen.replace("|", "\\|")))
    print(f"\n{heading}\n\n| promise | | seen |\n| --- | --- | --- |")
    for row in rows:
        print(f"| {' | '.join(row)} |")
    return int("BROKEN" in (how for _, how, _ in rows))


if __name__ == "__main__":
    sys.exit(main())
