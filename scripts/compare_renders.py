"""Render many projects with two versions of the template and print what differs.

    uv run scripts/compare_renders.py 0.3.0             # that release against the working tree
    uv run scripts/compare_renders.py OLD NEW --ignore Dockerfile --ignore 'src/*'

A change that should leave projects as they are is proved with it: every file of every project is
compared byte for byte, and where a version refuses the answers, its sentence is. The exit code is 1
where something differs that `--ignore` (patterns of paths, as in a shell) does not name.
"""

from __future__ import annotations

import argparse
import difflib
import fnmatch
import itertools
import json
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from copier import run_copy
from copier.errors import CopierError

ROOT = Path(__file__).resolve().parent.parent
RELEASES = json.loads((ROOT / "tests" / "releases.json").read_text())

WORKLOADS = ("train", "serve", "both")
FRAMEWORKS = {
    "cpu": ("scikit-learn", "pytorch", "jax", "tensorflow", "onnxruntime", "xgboost"),
    "gpu": ("pytorch", "jax", "tensorflow", "onnxruntime", "xgboost"),
}
PLATFORMS = ("docker", "openshift", "ovh", "sagemaker", "vertex")
CYCLED: dict[str, tuple] = {
    "ci": ("github", "gitlab", "none"),
    "image_name": ("demo", "ghcr.io/acme/demo"),
    "python_version": ("3.13", "3.12", "3.11", "3.13", "3.12"),
    "description": ("Forecasts demand", 'It\'s a "test" with a \\ and an é: # {{ braces }}'),
    "advanced": (False, True, True),
}
FOR_GPU: dict[str, tuple] = {
    "gpus": (["any"], ["H100"], ["V100", "A100"], ["L4", "RTX 4090"], ["GH200"]),
    "driver": ("580", "570.86.15", "610"),
}
ADVANCED: dict[str, tuple] = {
    "apt_packages": ("", "libgl1 ffmpeg"),
    "package_index": ("", "", "https://pypi.example.com/simple"),
    "image_mirror": ("", "registry.example.com/proxy", ""),
}
ADVANCED_GPU: dict[str, tuple] = {
    "gpu_base": ("auto", "nvidia", "slim"),
    "compile_cuda": (False, True),
}


def answer_sets() -> Iterator[tuple[str, dict]]:
    """Yield a name and answers for each workload, accelerator, framework and platform.

    The values of every other question are dealt out in turn, each at its own pace, so that all of
    them occur. No solver is asked: answers that cannot stand together compare the refusal.
    """
    combinations = [
        (workload, accelerator, framework, platform)
        for workload, accelerator in itertools.product(WORKLOADS, FRAMEWORKS)
        for framework in FRAMEWORKS[accelerator]
        for platform in PLATFORMS
        if workload == "serve" or framework != "onnxruntime"
    ]
    dealt = {
        name: itertools.cycle(values)
        for name, values in (CYCLED | FOR_GPU | ADVANCED | ADVANCED_GPU).items()
    }
    for workload, accelerator, framework, platform in combinations:
        answers = {
            "project_name": "demo",
            "workload": workload,
            "accelerator": accelerator,
            "framework": framework,
            "platform": platform,
        }
        answers |= {name: next(dealt[name]) for name in CYCLED}
        if accelerator == "gpu":
            answers |= {name: next(dealt[name]) for name in FOR_GPU}
        if answers["advanced"]:
            answers |= {name: next(dealt[name]) for name in ADVANCED}
            if accelerator == "gpu":
                answers |= {name: next(dealt[name]) for name in ADVANCED_GPU}
            if framework == "pytorch":
                answers["pytorch_index"] = "https://pytorch.example.com/whl"
        yield f"{workload}-{accelerator}-{framework}-{platform}", answers


def clone(version: str, folder: Path) -> Path:
    """Clone a release, a commit or a branch of this repository into a folder and return it."""
    # By its hash: a clone has the branches of this repository only as those of a remote.
    commit = subprocess.run(
        ["git", "-C", str(ROOT), "rev-parse", f"{RELEASES.get(version, version)}^{{commit}}"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    for command in (
        ["git", "clone", "--quiet", "--shared", "--no-checkout", str(ROOT), str(folder)],
        ["git", "-C", str(folder), "checkout", "--quiet", "--detach", commit],
    ):
        subprocess.run(command, check=True)
    # Copier writes the version into the answers file: without tags it is the same for both.
    tags = subprocess.run(
        ["git", "-C", str(folder), "tag"], check=True, capture_output=True, text=True
    ).stdout.split()
    if tags:
        subprocess.run(["git", "-C", str(folder), "tag", "--delete", *tags], stdout=-3, check=True)
    return folder


def render(template: Path, folder: Path, answers: dict) -> dict[str, str]:
    """Return the text of every file of a project by its path, or "refusal" and its sentence."""
    try:
        run_copy(
            str(template),
            folder,
            data=answers,
            defaults=True,
            unsafe=True,
            quiet=True,
            skip_tasks=True,
            vcs_ref="HEAD",
        )
    except (CopierError, ValueError) as refusal:
        return {"refusal": f"{refusal}\n"}
    return {
        path.relative_to(folder).as_posix(): _without_origin(path.read_text())
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def _without_origin(text: str) -> str:
    """Drop the two lines of the answers file that name the template's version and folder."""
    lines = text.splitlines(keepends=True)
    return "".join(line for line in lines if not line.startswith(("_commit:", "_src_path:")))


def main() -> int:
    """Compare, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("old", help="release, commit or branch")
    parser.add_argument("new", nargs="?", help="the same (default: the working tree)")
    parser.add_argument("--ignore", action="append", default=[], metavar="PATTERN")
    parser.add_argument("--quiet", action="store_true", help="name the files, print no diff")
    options = parser.parse_args()

    differing: Counter[str] = Counter()
    projects = refused = compared = 0
    with tempfile.TemporaryDirectory() as temporary:
        top = Path(temporary)
        old = clone(options.old, top / "old")
        new = clone(options.new, top / "new") if options.new else ROOT
        for name, answers in answer_sets():
            before = render(old, top / "before" / name, answers)
            after = render(new, top / "after" / name, answers)
            projects += 1
            refused += "refusal" in before
            for path in sorted(before.keys() | after.keys()):
                compared += 1
                if before.get(path) == after.get(path):
                    continue
                differing[path] += 1
                ignored = any(fnmatch.fnmatch(path, pattern) for pattern in options.ignore)
                if differing[path] == 1 and not ignored and not options.quiet:
                    sys.stdout.writelines(
                        difflib.unified_diff(
                            before.get(path, "").splitlines(keepends=True),
                            after.get(path, "").splitlines(keepends=True),
                            f"{name}/{path} ({options.old})",
                            f"{name}/{path} ({options.new or 'working tree'})",
                            n=1,
                        )
                    )
    unexpected = False
    for path, count in sorted(differing.items()):
        ignored = any(fnmatch.fnmatch(path, pattern) for pattern in options.ignore)
        unexpected |= not ignored
        print(f"{path}: differs in {count} projects{' (ignored)' if ignored else ''}")
    print(
        f"{projects} answer sets, {refused} of them refused; {compared} files, "
        f"{sum(differing.values())} different."
    )
    return int(unexpected)


if __name__ == "__main__":
    sys.exit(main())
