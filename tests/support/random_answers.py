"""Random answer sets for the properties and for the comparison with the oracle."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

DRIVERS = (
    None, "450.80.02", "470.57.02", "515.43.04", "520.61.05", "525", "525.60.13", "530.30.02",
    "535", "535.183.01", "545.23.06", "550", "550.54.14", "555.42.02", "560.28.03", "565.57.01",
    "570", "570.26", "575.51.03", "580", "580.95.05", "590.44.01", "595", "610.43.02", "616",
    "620", "536.25", "573.48", "581.80", "591.44",
)  # fmt: skip
DAYS = ("2024-06-01", "2026-11-22", "2027-06-01", "2028-11-01", "2029-12-01")


def random_answers(rows: dict[str, Any], seed: int) -> Iterator[dict[str, Any]]:
    """Yield answer sets without end; most of them are possible, many are not."""
    chance = random.Random(seed)
    names = ["scikit-learn", "jax", "tensorflow", "onnxruntime", "xgboost"]
    names += ["pytorch", "pytorch", "pytorch"]
    gpus = [row["name"] for row in rows["gpus"]["gpus"]]
    gpus += [row["compute"] for row in rows["capabilities"]["capabilities"]]
    data_centre = [row["name"] for row in rows["gpus"]["gpus"] if row["brand"] == "datacentre"]
    platforms = [row["name"] for row in rows["platforms"]["platforms"]]
    pythons = [row["version"] for row in rows["python"]["versions"]]
    while True:
        framework = chance.choice(names)
        builds = rows[framework]["builds"]
        gpu = chance.random() < 0.85
        forward = gpu and chance.random() < 0.15
        # Other GPUs are refused with it.
        pool = data_centre if forward and chance.random() < 0.9 else gpus
        picked = chance.sample(pool, chance.choice((1, 1, 1, 2, 3)))
        yield {
            "framework": framework,
            "accelerator": "gpu" if gpu else "cpu",
            "workload": chance.choice(("train", "serve", "serve", "both")),
            "gpus": tuple(chance.choice((picked, picked, picked if forward else ["any"])))
            if gpu
            else (),
            "driver": chance.choice(DRIVERS) if gpu else None,
            "python_version": chance.choice([None, None, *pythons]),
            "platform": chance.choice(platforms),
            "framework_version": chance.choice([None, None, chance.choice(builds)["version"]]),
            "cuda": chance.choice([None, None, chance.choice(builds)["cuda"]]) if gpu else None,
            "gpu_base": chance.choice((None, None, "nvidia", "slim")) if gpu else None,
            "compile_cuda": gpu and chance.random() < 0.2,
            "forward_compat": forward,
            "today": chance.choice((DAYS[1], DAYS[1], *DAYS)),
        }
