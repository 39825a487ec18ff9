"""A second solver, slow and plain, to compare the first one with.

It reads the catalogue's files by itself and shares no code with `extensions/drydock`. For each
framework it writes down every combination of build, Python and image, best first, and asks each
rule of each combination. Which combinations an answer allows is kept as a bit mask, so that tens
of thousands of answer sets can be compared in a test.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

FLAVOURS = ["base", "runtime", "cudnn-runtime", "devel", "cudnn-devel"]
FRAMEWORKS = ["scikit-learn", "pytorch", "jax", "tensorflow", "onnxruntime", "xgboost"]


@cache
def numbers(text: str | None) -> tuple[int, ...]:
    """Split a version at its dots."""
    return tuple(int(part) for part in text.split(".")) if text else (0, 0)


@cache
def not_older(one: str, other: str) -> bool:
    """Compare two dotted versions; the shorter of two that agree is the older."""
    for left, right in zip(numbers(one), numbers(other), strict=False):
        if left != right:
            return left > right
    return len(numbers(one)) >= len(numbers(other))


class Oracle:
    """Every combination of the catalogue, and which of them an answer set allows."""

    def __init__(self, folder: Path) -> None:
        self.data = {path.stem: json.loads(path.read_text("utf-8")) for path in folder.glob("*")}
        self.gpus = {row["name"]: row for row in self.data["gpus"]["gpus"]}
        self.gpus |= {
            row["compute"]: self.unnamed(row) for row in self.data["capabilities"]["capabilities"]
        }
        self.platforms = {row["name"]: row for row in self.data["platforms"]["platforms"]}
        self.systems = {row["name"]: row for row in self.data["systems"]["systems"]}
        self.python_end = {
            row["version"]: row["end_of_life"] for row in self.data["python"]["versions"]
        }
        self.toolkits = {row["cuda"]: row for row in self.data["nvidia-cuda"]["toolkits"]}
        rules = {row["release"]: row for row in self.data["nvidia-cuda"]["rules"]}
        self.nvidia = [
            {**row, "rule": rules[row["release"]]} for row in self.data["nvidia-cuda"]["images"]
        ]
        self.slim = [{**row, "cuda": None} for row in self.data["python"]["images"]]
        self.imaged = {row["python"] for row in self.slim}
        self.combinations = {name: self.every_combination(name) for name in FRAMEWORKS}
        self.masks: dict[Any, int] = {}

    def unnamed(self, row: dict[str, Any]) -> dict[str, Any]:
        """Describe what is known of a GPU by its capability alone."""
        models = [gpu for gpu in self.data["gpus"]["gpus"] if gpu["compute"] == row["compute"]]
        return {
            "name": row["compute"],
            "compute": row["compute"],
            "brand": "geforce",  # it may be one
            "hosts": [
                host
                for host in ("amd64", "arm64")
                if any(host in gpu["hosts"] for gpu in models)
                or (not models and (host == "arm64" or not row["tegra"]))
            ],
            "driver_from": row["first_driver"],
            "driver_to": row["last_driver"],
            "tegra": row["tegra"],
            "refused": row["tegra"] and row["first_driver"] is None,
        }

    # ---- what the answers do not decide

    def every_combination(self, name: str) -> list[dict[str, Any]]:
        """Write down every (build, Python, image), the best one first."""
        framework = self.data[name]["framework"]
        releases = {row["version"]: row for row in self.data[name]["releases"]}
        pythons = sorted(self.python_end, key=numbers, reverse=True)
        newest = [
            max(self.data[other]["releases"], key=lambda row: numbers(row["version"]))
            for other in FRAMEWORKS
        ]
        common = next(p for p in pythons if all(p in row["pythons"] for row in newest))
        pythons.sort(key=lambda python: python != common)
        found = [
            {"framework": framework, "release": releases[build["version"]], "build": build}
            | {"python": python, "image": image}
            for build in self.data[name]["builds"]
            for python in pythons
            for image in self.nvidia + self.slim
        ]
        return sorted(
            (each for each in found if self.stands_alone(each)),
            key=lambda each: self.rank(each, pythons),
        )

    @staticmethod
    def rank(each: dict[str, Any], pythons: list[str]) -> list[Any]:
        """Say how good a combination is, the least being the best."""
        build, image = each["build"], each["image"]
        order = [-part for part in numbers(build["version"])]
        order += [0] * (4 - len(order))
        order += [not build["bundles_cuda"], build["index"] is not None]
        order += [-part for part in numbers(build["cuda"])]
        order += [pythons.index(each["python"])]
        if image["cuda"] is None:
            order += [1, 0, 0, 0]
        else:
            above = numbers(image["cuda"])[1] - numbers(build["cuda"])[1]
            order += [0, FLAVOURS.index(image["flavour"]), above > 0, abs(above)]
        return [*order, -Decimal(image["os"].split()[1])]

    def stands_alone(self, each: dict[str, Any]) -> bool:
        """Check the rules that no answer is part of."""
        build, image = each["build"], each["image"]
        if each["release"].get("broken") or each["python"] not in each["release"]["pythons"]:
            return False
        if each["python"] not in self.imaged:
            return False
        if image["cuda"] is None:
            needs_libraries = build["cuda"] is not None and not build["bundles_cuda"]
            return image["python"] == each["python"] and not needs_libraries
        if image["status"] != "current" or build["cuda"] is None:
            return False
        if numbers(image["cuda"])[0] != numbers(build["cuda"])[0]:
            return False
        if each["framework"]["library_path"] == "unset" and image["rule"]["library_path"]:
            return False
        if build["bundles_cuda"]:
            return image["flavour"] == "base"
        return image["flavour"] == "cudnn-runtime" and image["cudnn"] == build["cudnn"]

    # ---- what the answers decide

    def mask(self, framework: str, key: tuple[Any, ...], rule: Callable[[Any], bool]) -> int:
        """Ask a rule of every combination, once for each value of an answer."""
        if (framework, key) not in self.masks:
            bits = 0
            for place, each in enumerate(self.combinations[framework]):
                bits |= bool(rule(each)) << place
            self.masks[framework, key] = bits
        return self.masks[framework, key]

    def best(self, answers: dict[str, Any]) -> tuple[Any, ...] | None:
        """Return (build, version, Python, image, builder) of the best combination, or None."""
        name, today = answers["framework"], answers["today"]
        gpus = [self.gpus[gpu] for gpu in answers["gpus"] if gpu != "any"]
        host = self.machine(answers, gpus)
        if not self.driver_fits(answers["driver"], gpus) or host is None:
            return None
        if answers["platform"] == "kserve" and answers["workload"] != "serve":
            return None
        forward = answers["forward_compat"]
        if forward and {gpu["brand"] for gpu in gpus} != {"datacentre"}:
            return None
        if forward and "any" in answers["gpus"]:
            return None
        strict = "any" in answers["gpus"] or any(gpu["brand"] == "geforce" for gpu in gpus)
        driver, version, cuda = answers["driver"], answers["framework_version"], answers["cuda"]
        python, base, kind = answers["python_version"], answers["gpu_base"], answers["accelerator"]
        workload = answers["workload"]
        rules: list[tuple[tuple[Any, ...], Callable[[Any], bool]]] = [
            (("kind", kind), lambda each: (each["build"]["cuda"] is not None) == (kind == "gpu")),
            (
                ("workload", workload),
                lambda each: ({"train", "serve"} if workload == "both" else {workload}).issubset(
                    each["framework"]["workloads"]
                ),
            ),
            (("today", today), lambda each: self.alive(each, today)),
        ]
        if answers["compile_cuda"]:
            wanted = frozenset(gpu["compute"] for gpu in gpus)
            rules += [
                (
                    ("targets", wanted),
                    lambda each: not wanted & {*each["release"].get("unknown_targets", ())},
                )
            ]
        if version:
            rules += [(("version", version), lambda each: each["build"]["version"] == version)]
        if cuda:
            rules += [(("cuda", cuda), lambda each: each["build"]["cuda"] == cuda)]
        if python:
            rules += [(("python", python), lambda each: each["python"] == python)]
        if base:
            rules += [
                (("base", base), lambda each: (each["image"]["cuda"] is None) == (base == "slim"))
            ]
        if driver:
            rules += [(("image", driver, strict), lambda each: self.starts(each, driver, strict))]
        newest = self.newest_cuda(driver) if driver else None
        if driver and forward:
            computes = tuple(gpu["compute"] for gpu in gpus)
            rules += [
                (
                    ("forward", driver, host, computes),
                    lambda each: (
                        self.runs_by_itself(each, driver, gpus, host)
                        or self.stands_in(each, driver)
                    ),
                )
            ]
            newest = None  # the rule above has asked which PTX the driver loads
        elif driver:
            rules += [(("wheel", driver), lambda each: self.wheel_runs(each["build"], driver))]
        rules += [
            (
                ("gpu", gpu["compute"], host, newest),
                lambda each, gpu=gpu: self.has_code(each, gpu, host, newest),
            )
            for gpu in gpus
        ]
        rules += [
            (("libraries", gpu["name"]), lambda each, gpu=gpu: self.libraries(each["build"], gpu))
            for gpu in gpus
        ]
        allowed = -1
        for key, rule in rules:
            allowed &= self.mask(name, key, rule)
        while allowed > 0:
            # The best one, and those of the same build and Python, which lie beside it.
            first = self.combinations[name][(allowed & -allowed).bit_length() - 1]
            alike = []
            while allowed > 0:
                each = self.combinations[name][(allowed & -allowed).bit_length() - 1]
                if (each["build"], each["python"]) != (first["build"], first["python"]):
                    break
                alike.append(each)
                allowed &= allowed - 1
            for each in sorted(alike, key=lambda each: self.risk(each, driver)):
                builder = self.builder(each, gpus, answers) if answers["compile_cuda"] else None
                if builder or not answers["compile_cuda"]:
                    build = each["build"]
                    image = each["image"]["image"]
                    return (build["build"], build["version"], each["python"], image, builder)
        return None

    def risk(self, each: dict[str, Any], driver: str | None) -> int:
        """0 for an image that starts on newer drivers too, 1 by its branch alone, 2 for none."""
        if each["image"]["cuda"] is None:
            return 2
        if driver is None:
            return 0
        return int(not not_older(self.newest_cuda(driver), each["image"]["rule"]["min_cuda"]))

    def machine(self, answers: dict[str, Any], gpus: list[dict[str, Any]]) -> str | None:
        """Find the one CPU architecture of all machines; x86 comes first, "" is any, None none."""
        wanted = self.platforms[answers["platform"]]["architecture"]
        if not gpus:
            return wanted or ""
        for host in ("amd64", "arm64"):
            if wanted in (None, host) and all(host in gpu["hosts"] for gpu in gpus):
                return host
        return None

    def driver_fits(self, driver: str | None, gpus: list[dict[str, Any]]) -> bool:
        """Does the driver know every GPU, and may each be chosen at all?"""
        for gpu in gpus:
            if gpu.get("refused"):
                return False
            if driver:
                parts = numbers(driver)
                if gpu["driver_to"] and self.branch(driver) > int(gpu["driver_to"].split(".")[0]):
                    return False
                if gpu["driver_from"] and parts < numbers(gpu["driver_from"])[: len(parts)]:
                    return False
        return True

    def branch(self, driver: str) -> int:
        """Which branch is a driver of? Numbers of Windows lie above that of their branch."""
        number = int(driver.split(".")[0])
        known = [row["branch"] for row in self.data["drivers"]["branches"]]
        return max((branch for branch in known if branch <= number), default=number)

    def alive(self, each: dict[str, Any], today: str) -> bool:
        """Is neither the Python nor the system past its end of life?"""
        ends = [self.python_end[each["python"]], self.systems[each["image"]["os"]]["end_of_life"]]
        return not any(end is not None and end <= today for end in ends)

    def wheel_runs(self, build: dict[str, Any], driver: str) -> bool:
        """May a driver run wheels of this CUDA?"""
        floors = {row["cuda_major"]: row["driver"] for row in self.data["drivers"]["floors"]}
        return build["cuda"] is None or not_older(driver, floors[numbers(build["cuda"])[0]])

    def runs_by_itself(
        self, each: dict[str, Any], driver: str, gpus: list[dict[str, Any]], host: str
    ) -> bool:
        """Does the driver need no help to run a build?"""
        newest = self.newest_cuda(driver)
        return self.wheel_runs(each["build"], driver) and all(
            self.has_code(each, gpu, host, newest) for gpu in gpus
        )

    def stands_in(self, each: dict[str, Any], driver: str) -> bool:
        """Has the image a user-mode driver that NVIDIA lets run on this branch of Linux?"""
        image = each["image"]
        if image["cuda"] is None or not image["rule"]["compat"]:
            return False
        number = int(driver.split(".")[0])
        listed = any(
            row["cuda"] == image["cuda"] and number in row["branches"]
            for row in self.data["drivers"]["forward"]
        )
        return listed and not_older(image["cuda"], each["build"]["cuda"])

    def starts(self, each: dict[str, Any], driver: str, strict: bool) -> bool:
        """May a driver start the image?"""
        if each["image"]["cuda"] is None:
            return True
        rule = each["image"]["rule"]
        if not_older(self.newest_cuda(driver), rule["min_cuda"]):
            return True
        return self.branch(driver) in rule["driver_branches"] and (rule["geforce"] or not strict)

    @cache  # noqa: B019 one oracle lives as long as the tests
    def newest_cuda(self, driver: str) -> str:
        """Which CUDA does the branch of a driver support?"""
        older = [
            row
            for row in self.data["drivers"]["branches"]
            if row["branch"] <= numbers(driver)[0] and row["cuda"]
        ]
        return max(older, key=lambda row: row["branch"])["cuda"] if older else "0.0"

    def has_code(
        self, each: dict[str, Any], gpu: dict[str, Any], host: str, newest_cuda: str | None
    ) -> bool:
        """Does a build hold code that runs on a GPU, with PTX that something compiles?"""
        build = each["build"]
        major, minor = numbers(gpu["compute"])
        from_ptx = False
        for kernel in build["kernels"].get(host, []):
            plain = kernel.replace("+PTX", "").rstrip("af")
            built_major, built_minor = numbers(plain)
            same = (built_major, built_minor) == (major, minor)
            if kernel.endswith("a") or gpu.get("tegra"):
                runs = same
            else:
                runs = built_major == major and built_minor <= minor
            if runs:
                language = build.get("partly_ptx", {}).get(gpu["compute"])
                return not language or newest_cuda is None or self.speaks(newest_cuda, language)
            from_ptx |= kernel.endswith("+PTX") and (built_major, built_minor) < (major, minor)
        if not from_ptx or newest_cuda is None or each["framework"].get("own_ptxas"):
            return from_ptx
        return not_older(newest_cuda, build["cuda"])

    def speaks(self, cuda: str, language: str) -> bool:
        """Does a driver of this CUDA know a version of the PTX language?"""
        rows = [row for row in self.toolkits.values() if not_older(cuda, row["cuda"])]
        return any(not_older(row["ptx"], language) for row in rows)

    def libraries(self, build: dict[str, Any], gpu: dict[str, Any]) -> bool:
        """Is there a version of each library that the build admits and that runs the GPU?

        Versions between two rows are those of the older row, so its own version, or the oldest
        that the build admits where that is newer, stands for all of them.
        """
        wanted = build.get("libraries", [])
        return all(self.has_version(one, gpu["compute"]) for one in wanted)

    @cache  # noqa: B019 one oracle lives as long as the tests
    def has_version(self, requirement: str, compute: str) -> bool:
        """Is there a version of a library that a requirement admits and that runs a GPU?"""
        name, *bounds = re.split("(==|>=|<)", requirement.replace(",", ""))
        wanted = list(zip(bounds[::2], bounds[1::2], strict=True))
        rows = [row for row in self.data["libraries"]["libraries"] if row["package"] == name]
        versions = {row["version"] for row in rows}
        versions |= {bound for operator, bound in wanted if operator != "<"}
        runs = []
        for one in versions:
            older = [row for row in rows if not_older(one, row["version"])]
            admitted = all(
                one == bound if operator == "==" else not_older(one, bound) == (operator == ">=")
                for operator, bound in wanted
            )
            if older and admitted:
                row = max(older, key=lambda row: numbers(row["version"]))
                runs.append(not_older(compute, row["oldest_compute"]))
        return any(runs) or not runs

    def builder(
        self, each: dict[str, Any], gpus: Iterable[dict[str, Any]], answers: dict[str, Any]
    ) -> str | None:
        """Try every image with nvcc and return the best that does, or None."""
        found = []
        cuda, today, driver = numbers(each["build"]["cuda"]), answers["today"], answers["driver"]
        for image in self.nvidia:
            toolkit = self.toolkits[image["cuda"]]
            end = self.systems[image["os"]]["end_of_life"]
            here = numbers(self.systems[each["image"]["os"]]["glibc"])
            if (
                "devel" in image["flavour"]
                and image["status"] == "current"
                and numbers(image["cuda"])[0] == cuda[0]
                and (end is None or today < end)
                and numbers(self.systems[image["os"]]["glibc"]) <= here
                and {gpu["compute"] for gpu in gpus} <= set(toolkit["computes"])
            ):
                above = numbers(image["cuda"])[1] - cuda[1]
                ptx_is_lost = (
                    "any" in answers["gpus"]
                    and driver is not None
                    and not not_older(self.newest_cuda(driver), image["cuda"])
                )
                order = [ptx_is_lost, above > 0, abs(above), FLAVOURS.index(image["flavour"])]
                found.append(([*order, -Decimal(image["os"].split()[1])], image["image"]))
        return min(found)[1] if found else None
