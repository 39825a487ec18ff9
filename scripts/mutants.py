"""Break the code in many small ways, and list the ways that the tests do not see.

    uv run python -m scripts.mutants           # all, in some minutes
    uv run python -m scripts.mutants driver    # those whose file or promise has this word, or more

Each is one edit in a copy of the repository: of how the catalogue is read, or of how the stack is
made. The quick tests of the solver then have to fail. A mutant that lives is a promise that no test
holds, and one whose text is no longer there has to be brought up to date: the exit code is 1.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = Path("extensions/drydock")

# The quickest first, since the first failure ends a run.
TESTS = (
    "tests/solver/test_stack.py",
    "tests/solver/test_solver.py",
    "tests/solver/test_libraries.py",
    "tests/solver/test_gpus_and_drivers.py",
    "tests/solver/test_forward_compat.py",
    "tests/form/test_answers.py",
)


@dataclass(frozen=True)
class Mutant:
    """One edit, and what would no longer be true with it."""

    file: str
    old: str
    new: str
    promise: str


MUTANTS = (
    # ---- how the catalogue is read
    Mutant(
        "catalogue.py",
        'if row.get("status") != "gone"',
        "if True",
        "a Python image that is gone is not offered",
    ),
    Mutant(
        "catalogue.py",
        'build.get("broken")\n                or release.get("broken")',
        'release.get("broken")',
        "a build may be broken by itself",
    ),
    Mutant(
        "catalogue.py",
        'or release.get("broken")\n                or cpu_broken[build["version"]]',
        'or cpu_broken[build["version"]]',
        "a release may be broken",
    ),
    Mutant(
        "catalogue.py",
        'or release.get("broken")\n                or cpu_broken[build["version"]]',
        'or release.get("broken")',
        "a release whose CPU build is broken is broken",
    ),
    Mutant(
        "catalogue.py",
        '{**rules[row["release"]], **row}',
        "row",
        "an nvidia/cuda image has the driver rule of its release",
    ),
    Mutant(
        "catalogue.py",
        '"pythons": release["pythons"],',
        '"pythons": data["releases"][0]["pythons"],',
        "a build has the Pythons of its release",
    ),
    Mutant(
        "catalogue.py",
        "(not wheel.bundles_cuda, wheel.index is not None)",
        "(wheel.index is not None, wheel.bundles_cuda)",
        "a build that brings CUDA comes before one that does not",
    ),
    Mutant(
        "catalogue.py",
        "(not wheel.bundles_cuda, wheel.index is not None)",
        "(not wheel.bundles_cuda,)",
        "PyPI's build comes before one of another index",
    ),
    Mutant(
        "catalogue.py",
        "key=lambda wheel: wheel.cuda_version, reverse=True",
        "key=lambda wheel: wheel.cuda_version",
        "of two builds of an index that of the newer CUDA comes first",
    ),
    Mutant(
        "catalogue.py",
        "key=lambda wheel: version(wheel.version), reverse=True",
        "key=lambda wheel: wheel.version, reverse=True",
        "releases compare as versions",
    ),
    Mutant(
        "catalogue.py",
        "return min(rows, key=lambda row: row.os_age)",
        "return max(rows, key=lambda row: row.os_age)",
        "CI's image has the newest Debian",
    ),
    Mutant(
        "catalogue.py",
        "if row.branch <= driver[0]), None)",
        "if row.branch < driver[0]), None)",
        "a driver is of its own branch",
    ),
    Mutant(
        "catalogue.py",
        "str(min(fitting)) if fitting else None",
        "str(max(fitting)) if fitting else None",
        "the first branch with a CUDA version is the oldest with it",
    ),
    Mutant(
        "catalogue.py",
        "rows = [row for row in reversed(self.branches) if",
        "rows = [row for row in self.branches if",
        "the default driver is the oldest long-term branch that is supported",
    ),
    Mutant(
        "catalogue.py",
        "alive = [row for row in rows if is_supported(row.end_of_life, today)]",
        "alive = rows",
        "the default driver is of a branch that is still supported",
    ),
    Mutant(
        "catalogue.py",
        "others = (python for python in self.pythons if python != self.common_python)\n"
        "        return (self.common_python, *others)",
        "return self.pythons",
        "the default Python is one that every framework has",
    ),
    Mutant(
        "catalogue.py",
        '"no ordinary driver" if row["tegra"] and not row["first_driver"] else None',
        "None",
        "a Tegra chip without an ordinary driver is refused",
    ),
    Mutant(
        "catalogue.py",
        'driver_from=row["first_driver"],',
        "driver_from=None,",
        "a capability has a first driver",
    ),
    Mutant(
        "catalogue.py",
        'driver_to=row["last_driver"],',
        "driver_to=None,",
        "a capability has a last driver",
    ),
    # ---- drivers, and what stands in for one
    Mutant(
        "catalogue.py",
        "return bool(image.compat) and driver[0] in",
        "return driver[0] in",
        "an image of which nobody knows that it has cuda-compat has none",
    ),
    Mutant(
        "catalogue.py",
        "and driver[0] in self.forward",
        "and self.branch_number(driver) in self.forward",
        "cuda-compat is for Linux",
    ),
    Mutant(
        "catalogue.py",
        "return min(known, key=version)",
        "return max(known, key=version)",
        "a version of PTX is known from its first CUDA on",
    ),
    Mutant(
        "rules/drivers.py",
        'return "any" not in request.gpus and all(',
        "return all(",
        "forward compatibility is for GPUs that are named",
    ),
    Mutant(
        "rules/drivers.py",
        'all(gpu.brand == "datacentre" for gpu in gpus)',
        'all(gpu.brand != "geforce" for gpu in gpus)',
        "forward compatibility is for data centre GPUs",
    ),
    Mutant(
        "rules/drivers.py",
        " and image.cuda_version >= wheel.cuda_version",
        "",
        "cuda-compat is of the CUDA of the wheels or newer",
    ),
    Mutant(
        "rules/drivers.py",
        "            and loads_code(catalogue, request, driver, gpus, wheel)\n",
        "",
        "cuda-compat is needed for PTX alone, too",
    ),
    Mutant(
        "rules/drivers.py",
        "return driver is None or request.forward_compat or reaches_floor(",
        "return driver is None or reaches_floor(",
        "cuda-compat takes the place of the driver that the wheels need",
    ),
    Mutant(
        "rules/drivers.py",
        "        elif gpu.compute in wheel.partly_ptx:\n"
        "            yield gpu, catalogue.cuda_of_ptx(wheel.partly_ptx[gpu.compute])\n",
        "",
        "a driver compiles a part of the kernels",
    ),
    Mutant(
        "refusal.py",
        "    if request.forward_compat:\n",
        "    if False:\n",
        "a refusal names forward_compat where that is at fault",
    ),
    Mutant(
        "fixes.py",
        "if size == 1 and solve(catalogue, other) is not None:",
        "if False:",
        "a refusal proposes forward_compat where it helps",
    ),
    Mutant(
        "fixes.py",
        "if gpu.is_model == row.is_model and gpu.name",
        "if gpu.name",
        "a capability is replaced by a capability",
    ),
    Mutant(
        "stack/drivers.py",
        "    if _is_bridged(catalogue, solution):\n        return needs\n",
        "",
        "the floor is not that of the wheels where cuda-compat stands in",
    ),
    # ---- what a row says of itself
    Mutant(
        "rows.py",
        'return "cpu" if self.cuda is None else "gpu"',
        'return "gpu" if self.index else "cpu"',
        "a build is for a GPU where it has CUDA",
    ),
    Mutant(
        "rows.py",
        'return "slim" if self.cuda is None else "nvidia"',
        'return "slim" if self.python is not None or self.flavour == "base" else "nvidia"',
        "an image with CUDA is NVIDIA's",
    ),
    Mutant(
        "rows.py",
        "return -float(self.os.split()[1])",
        "return float(self.os.split()[1])",
        "a newer system comes first",
    ),
    Mutant(
        "rows.py",
        'r"[\\[=<>~! ;]"',
        'r"[=<>~! ;]"',
        "the name of a package ends before its extras",
    ),
    # ---- the stack: images
    Mutant(
        "stack/images.py",
        'return f"{name}@{digest}" if digest else name',
        "return name",
        "an image is pinned by its digest where that is known",
    ),
    Mutant(
        "stack/images.py",
        'name = image.removeprefix("ghcr.io/")',
        "name = image",
        "a mirror takes the place of ghcr.io",
    ),
    Mutant(
        "stack/images.py",
        'f"{mirror}/library/{name}"',
        'f"{mirror}/{name}"',
        "an official image lies under library/ of a mirror",
    ),
    Mutant(
        "stack/images.py",
        '"source": "image" if solution.image.kind == "slim" else "managed",',
        '"source": "image",',
        "uv installs Python where the image has none",
    ),
    Mutant(
        "stack/images.py",
        "plain = catalogue.python_image(solution.python)",
        "plain = catalogue.python_image(catalogue.common_python)",
        "CI tests with the Python of the project",
    ),
    Mutant(
        "stack/images.py",
        "        if name in known:\n",
        "        if True:\n",
        "nvcc is told nothing that it does not know",
    ),
    Mutant(
        "stack/images.py",
        "if gpu.is_model or gpu.refused or gpu.compute not in known:",
        "if gpu.is_model or gpu.refused:",
        "nvcc is told nothing that it does not know, where the build has PTX",
    ),
    Mutant(
        "stack/images.py",
        '"+PTX" if code.ptx else targets.get(name, "")',
        'targets.get(name, "")',
        "what the build has as PTX is compiled as PTX too",
    ),
    Mutant(
        "stack/images.py",
        "        if not any(binary_runs(target, gpu.compute, gpu.tegra) for target in targets):\n"
        '            targets[gpu.compute] = ""\n',
        "",
        "no GPU has PTX alone, which its driver may not load",
    ),
    Mutant(
        "stack/images.py",
        "key=lambda target: read_kernel(target).compute",
        "key=str",
        "capabilities are in the order of their numbers",
    ),
    Mutant(
        "stack/images.py",
        'return f"linux/{host}" if host else None',
        'return "linux/amd64" if host else None',
        "the image is for the CPU beside the GPU",
    ),
    Mutant(
        "request.py",
        "usual = [forced] if forced else sorted({gpu.host for gpu in gpus})",
        "usual = sorted({gpu.host for gpu in gpus})",
        "a platform with one CPU forces it",
    ),
    Mutant(
        "request.py",
        "for host in usual if all(host in gpu.hosts for gpu in gpus)",
        "for host in usual",
        "a GPU is refused where no machine has its CPU",
    ),
    Mutant(
        "stack/images.py",
        'host.partition(":")[0] == "localhost"',
        'host == "localhost"',
        "nothing is published to localhost",
    ),
    # ---- the stack: packages
    Mutant(
        "stack/packages.py",
        'groups.append("cuda")',
        "pass",
        "the group cuda has the index of the GPU build",
    ),
    Mutant(
        "stack/packages.py",
        'if group == "gpu" and solution.devel:',
        'if group == "gpu":',
        "there is no source for a group that is not there",
    ),
    Mutant(
        "stack/packages.py",
        "index_url.rstrip('/')",
        "index_url",
        "the address of a mirror may end in a slash",
    ),
    Mutant(
        "stack/packages.py",
        '"cpu": {"requirements": list(solution.cpu_wheel.requirements)},',
        '"cpu": {"requirements": list(wheel.requirements)},',
        "the CPU group has the CPU build",
    ),
    Mutant(
        "stack/packages.py",
        '"bundles_cuda": wheel.bundles_cuda}',
        '"bundles_cuda": True}',
        "wheels that leave CUDA to the image bring none",
    ),
    Mutant(
        "stack/packages.py",
        "and (row.platforms is None or platform in row.platforms)",
        "",
        "a dependency of one platform is not one of another",
    ),
    Mutant(
        "stack/packages.py",
        "and (row.workloads is None or workload in row.workloads)",
        "",
        "a trainer has no dependency of a server",
    ),
    Mutant(
        "stack/packages.py",
        "key=lambda gpu: version(gpu.compute), reverse=True",
        "key=lambda gpu: version(gpu.compute)",
        "a library is held back for the oldest GPU",
    ),
    Mutant(
        "stack/packages.py",
        "        if row.framework == solution.framework.name\n        and",
        "        if",
        "a note is for the framework that brings the library",
    ),
    Mutant(
        "stack/packages.py",
        'if row.get("projects", True)',
        "if True",
        "a tool of Drydock's own tests is none of a project",
    ),
    # ---- the stack: drivers
    Mutant(
        "stack/drivers.py",
        "floor = max(branch, *(need for need, _ in needs), key=version)",
        "floor = max((need for need, _ in needs), key=version)",
        "a driver that an image admits by its branch is a floor of that branch",
    ),
    Mutant(
        "stack/drivers.py",
        "or catalogue.driver_supports(driver, image):",
        "or True:",
        "what an image admits by its branch is not said to run on every newer driver",
    ),
    Mutant(
        "stack/drivers.py",
        "floor, why = max(needs, key=lambda need: version(need[0]))",
        "floor, why = needs[0]",
        "the driver is the newest of all that are needed",
    ),
    Mutant(
        "stack/drivers.py",
        "needs = [(gpu.driver_from,",
        "needs = [] and [(gpu.driver_from,",
        "a GPU's first driver counts",
    ),
    Mutant(
        "stack/drivers.py",
        "return min(ends, key=lambda end: version(end[0]), default=None)",
        "return max(ends, key=lambda end: version(end[0]), default=None)",
        "the last driver is that of the GPU that lost it first",
    ),
    Mutant(
        "stack/__init__.py",
        'str(answers.get("image_mirror") or "")',
        '""',
        "base images come from the mirror",
    ),
    Mutant(
        "stack/__init__.py",
        'str(answers.get("pytorch_index") or solution.framework.index_url or "")',
        'str(solution.framework.index_url or "")',
        "wheels come from the mirror of the index",
    ),
    Mutant(
        "stack/__init__.py",
        "raise UserMessageError(str(error)) from error",
        "raise",
        "a bad answer is one line",
    ),
)


def copy_to(folder: Path) -> None:
    """Copy the working tree, without what git ignores."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)


def first_failure(folder: Path) -> str:
    """Run the tests of a copy; return the first that fails, "" if all pass."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-x", "-q", "--tb=no", "-p", "no:cacheprovider", *TESTS],
        cwd=folder,
        env={
            **os.environ,
            "PYTHONPATH": str(folder / "extensions"),
            "PYTHONDONTWRITEBYTECODE": "1",
        },
        capture_output=True,
        text=True,
    )
    if not done.returncode:
        return ""
    lines = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    return lines[0].split(" - ")[0] if lines else f"pytest ended with {done.returncode}"


def main(*words: str) -> int:
    """Try the mutants that have one of the words, all without any; return the exit code."""
    lives = stale = killed = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        copy_to(folder)
        failure = first_failure(folder)
        if failure:
            print(f"The tests fail without a mutant: {failure}")
            return 1
        for mutant in MUTANTS:
            if words and not any(word in f"{mutant.file} {mutant.promise}" for word in words):
                continue
            path = folder / PACKAGE / mutant.file
            text = path.read_text("utf-8")
            if text.count(mutant.old) != 1:
                stale += 1
                print(f"stale   {mutant.file}: {mutant.promise}", flush=True)
                continue
            path.write_text(text.replace(mutant.old, mutant.new), "utf-8")
            failure = first_failure(folder)
            path.write_text(text, "utf-8")
            killed += bool(failure)
            lives += not failure
            how = f"killed by {failure.removeprefix('FAILED ')}" if failure else "LIVES"
            print(f"{how}: {mutant.file}: {mutant.promise}", flush=True)
    print(f"{killed} killed, {lives} alive, {stale} stale")
    return 1 if lives or stale else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
