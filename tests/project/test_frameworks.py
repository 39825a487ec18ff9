"""Every framework, for real: locked, installed and run on this machine's CPU, locked for GPUs."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest

from tests.support import projects

FRAMEWORKS = ("pytorch", "jax", "tensorflow", "onnxruntime", "xgboost")
KINDS = [
    (framework, workload)
    for framework in FRAMEWORKS
    for workload in ("train", "serve")
    if (framework, workload) != ("onnxruntime", "train")
]

# What a run of main.py does not show of a framework, in the words of its project.
COUNTED = """
import os, subprocess, sys

COUNT = '''
import os
from pathlib import Path
from demo import model

model.load(Path("outputs/" + os.environ["ARTEFACT"]))
print(len(os.listdir("/proc/self/task")))
'''

def threads_of_a_model(number, artefact, *variables):
    environment = os.environ | {"ARTEFACT": artefact} | dict.fromkeys(variables, str(number))
    return int(subprocess.check_output([sys.executable, "-c", COUNT], env=environment))
"""
# Runs that are interrupted, and go on with code that is edited meanwhile.
EDITED = """
import itertools, json, subprocess, sys
from pathlib import Path
from demo import train
from demo.runtime.stop import Stop
from demo.settings import TrainSettings

class StopSoon:
    def __init__(self):
        self.left = 3

    def __enter__(self):
        return self

    def __exit__(self, *_error):
        pass

    @property
    def exit_code(self):
        self.left -= 1
        return 143 if self.left < 0 else 0

def require_limits(**settings):
    for name, value in ((name, value) for name, some in settings.items() for value in some):
        try:
            TrainSettings(**{name: value})
        except ValueError:
            continue
        raise AssertionError(f"{name} may be {value}")

def go_on(name, *edit, number=itertools.count()):
    runs_dir = f"outputs/edited-{next(number)}"
    train.Stop = StopSoon
    assert train.train(TrainSettings(runs_dir=runs_dir)) == 143
    path = Path(train.__file__).with_name(name)
    before = path.read_text()
    assert edit[0] in before, edit
    path.write_text(before.replace(*edit))
    flags = ("--resume", "--ignore-code", "--runs-dir", runs_dir)
    done = subprocess.run([sys.executable, "main.py", *flags], capture_output=True, text=True)
    path.write_text(before)
    return done

def require_refusal(name, *edit):
    done = go_on(name, *edit)
    said = done.stderr.splitlines()
    (path,) = (line[14:-1] for line in said if line.startswith("Going on from "))
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr
    assert said[-1].startswith(f"{path} is no checkpoint of this code ("), said[-1]
    assert said[-1].endswith("): begin a new run with --fresh."), said[-1]
"""
# Of those that learn by gradients.
LIMITS = """
require_limits(
    learning_rate=(0, 1e38, float("inf")), clip_norm=(0, 1e38, float("inf")),
    batch_size=(0, 10**23), epochs=(0, 10**23), warmup=(-1, 1, 2), seed=(-1, 2**70),
)
"""
PROMISES = {
    ("pytorch", "train"): f"""{EDITED}
{LIMITS}adam = "AdamW(net.parameters(), lr=settings.learning_rate)"
sgd = "SGD(net.parameters(), lr=settings.learning_rate, momentum=0.9)"
require_refusal("train.py", adam, sgd)
require_refusal("model.py", "nn.Dropout(0.25)", "nn.LayerNorm(32 * 4 * 4)")
# What is edited in the optimizer counts from there on, and so does nothing else.
def losses(*edit):
    *epochs, _ = map(json.loads, go_on("train.py", *edit).stdout.splitlines())
    return [epoch["loss"] for epoch in epochs]

lr = "lr=settings.learning_rate"
assert losses(lr, lr + ", weight_decay=300")[-1] > 2
assert losses(lr, lr + " * 0")[-1] > 2
assert losses(lr, lr + " * 1") == losses(lr, lr)
""",
    ("jax", "train"): f"""{EDITED}
{LIMITS}adam = "optax.adamw(schedule, weight_decay=0.01)"
require_refusal("train.py", adam, "optax.sgd(schedule, momentum=0.9)")
require_refusal("model.py", '"hidden/', '"first/')
# The learning rate may rise until the last step.
import os
from demo import train
from demo.settings import TrainSettings

train.optimizer_of(TrainSettings(warmup=0.99), steps=1)
# Somebody's flags for XLA stay, and do not take the place of the one that is asked for.
os.environ["XLA_FLAGS"] = "--xla_dump_to=elsewhere"
train.pick_devices(TrainSettings(deterministic=True))
flags = "--xla_gpu_deterministic_ops=true --xla_dump_to=elsewhere"
assert os.environ["XLA_FLAGS"] == flags
""",
    ("tensorflow", "train"): f"""{EDITED}
{LIMITS}adam = "keras.optimizers.Adam("
require_refusal("train.py", adam, "keras.optimizers.AdamW(")
require_refusal("train.py", adam, "keras.optimizers.SGD(momentum=0.9, learning_rate=")
require_refusal("model.py", "layers.Dropout(0.25)", "layers.Dense(128)")
# What a layer adds to the loss is learnt from.
regularized = 'Dense(len(info.classes), kernel_regularizer=keras.regularizers.L2(100.0)'
done = go_on("model.py", "Dense(len(info.classes)", regularized)
*_, last, _ = done.stdout.splitlines()
assert json.loads(last)["loss"] > 2, done.stdout + done.stderr
# Processes evaluate with the same means of a BatchNormalization.
import keras, numpy as np
from demo.runtime.distributed import Group

class Recorder(Group):
    def align(self, variables):
        self.aligned = list(variables)

normalization = keras.layers.BatchNormalization()
net = keras.Sequential([keras.Input((1,)), normalization, keras.layers.Dense(2, "softmax")])
part = train.Examples(np.zeros((2, 1), np.float32), np.arange(2))
train.evaluate(net, part, TrainSettings(), group := Recorder())
assert group.aligned == [normalization.moving_mean, normalization.moving_variance]
# bfloat16 knows the numbers from 1024 to 2048 to within 8: it is for standardized ones.
from demo import model
from demo.runtime.info import Info

keras.config.set_dtype_policy("mixed_bfloat16")
net, info = model.create(Info((1,), ("a", "b"), mean=(2000,), scale=(1,)))
near, far = net(np.float32([[2000], [2001]])).numpy()[:, 0]
assert near == 0.5 and far != 0.5
# An image may be as flat as a line.
keras.config.set_dtype_policy("float32")
flat = model.create(Info((1, 9, 3), ("a", "b"), mean=(0,) * 3, scale=(1,) * 3))
assert flat.net(np.zeros((2, 1, 9, 3))).shape == (2, 2)
""",
    ("xgboost", "train"): f"""{EDITED}
require_limits(
    learning_rate=(0, 1e-300, 1e38, float("inf")), subsample=(0, 1e-300, 2),
    max_depth=(0, 10**14), rounds=(0,), patience=(0,), report_every=(0,), seed=(-1, 2**70),
)
features = "reshape(len(rows), -1)"
require_refusal("model.py", features, features + "[:, 1:]")
require_refusal("model.py", features, features + ".repeat(2, axis=1)")
# A training that is judged every four rounds is not given up before the first report.
import json, subprocess, sys

flags = ("--rounds", "6", "--report-every", "4", "--patience", "1")
out = subprocess.check_output([sys.executable, "main.py", *flags], text=True)
assert [json.loads(line).get("step") for line in out.splitlines()] == [4, 6, None]
""",
    ("jax", "serve"): f"""{COUNTED}
# PJRT_NPROC, of which only XLA's source speaks, says how many threads each pool has.
few, more = (threads_of_a_model(number, "model.npz", "PJRT_NPROC") for number in (1, 4))
assert more - few >= 9, (few, more)
""",
    ("tensorflow", "serve"): f"""{COUNTED}
# Of both pools, within an operation and for operations side by side.
for name in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
    few, more = (threads_of_a_model(number, "model.keras", name) for number in (1, 4))
    assert more - few == 3, (name, few, more)
""",
    ("onnxruntime", "serve"): """
# OMP_NUM_THREADS says how many threads there are, as with the other frameworks.
import os
from pathlib import Path

def threads_of_a_model(number):
    os.environ["OMP_NUM_THREADS"] = str(number)
    before = set(os.listdir("/proc/self/task"))
    loaded = model.load(Path("outputs/model.onnx"))
    return len(set(os.listdir("/proc/self/task")) - before)

from demo import model
assert [threads_of_a_model(number) for number in (1, 4)] == [0, 3]
""",
}


def names(pylock: str) -> set[str]:
    """The packages of a list that uv exported."""
    return {package["name"] for package in tomllib.loads(pylock)["packages"]}


@pytest.mark.parametrize(("framework", "workload"), KINDS)
def test_a_cpu_project_runs_and_its_own_tests_pass(
    framework: str,
    workload: str,
    answers: dict[str, object],
    template: Path,
    tmp_path: Path,
    network: None,
) -> None:
    project = projects.generate(
        template,
        tmp_path / "demo",
        lock=True,
        workload=workload,
        **answers,
    )
    projects.run("uv", "sync", "--locked", "--quiet", cwd=project)
    python = project / ".venv/bin/python"
    if workload == "train":
        done = projects.run(python, "main.py", cwd=project)
        stated = re.search(r"(\d\d\.\d) %", next(project.glob("src/*/train.py")).read_text())[1]
        last = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")][-1]
        # Other machines sum in another order: near, not equal.
        assert last["test_accuracy"] == pytest.approx(float(stated) / 100, abs=0.02)
    else:
        done = projects.run(python, "-m", "demo.fit", cwd=project)
        reads = float(re.search(r"reads (\d\d\.\d)%", done.stdout)[1])
        stated = re.search(r"(\d\d\.\d) %", next(project.glob("src/*/fit.py")).read_text())[1]
        assert reads == pytest.approx(float(stated), abs=2)
    projects.run(python, "-c", PROMISES.get((framework, workload), ""), cwd=project)
    tests = projects.run(python, "-m", "pytest", "-q", cwd=project)
    assert re.search(r"\d+ passed", tests.stdout)


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_a_gpu_project_locks_both_builds_and_keeps_cuda_from_the_cpu_one(
    framework: str,
    answers: dict[str, object],
    template: Path,
    tmp_path: Path,
    network: None,
) -> None:
    project = projects.generate(
        template,
        tmp_path / "demo",
        lock=True,
        accelerator="gpu",
        workload="serve",
        **answers,
    )
    projects.run("uv", "lock", "--check", cwd=project)

    def exported(*words: str) -> set[str]:
        command = ("uv", "export", "--quiet", "--locked", "--format", "pylock.toml")
        return names(projects.run(*command, "--no-emit-project", *words, cwd=project).stdout)

    default, gpu = exported(), exported("--no-default-groups", "--group", "gpu")
    assert not {name for name in default if name.startswith(("nvidia-", "triton"))}
    assert {name for name in gpu if name.startswith("nvidia-")}
    assert "pytest" in default and "pytest" not in gpu
    assert exported("--only-group", "gpu") < gpu


def test_a_cuda_build_from_the_pytorch_index_is_locked_beside_the_cpu_build(
    template: Path, tmp_path: Path, network: None, torch_answers: dict
) -> None:
    """CUDA 12.6 is not on PyPI: both builds come from indexes of their own."""
    more = {"accelerator": "gpu", "cuda": "12.6", "gpus": ["V100"]}
    project = projects.generate(template, tmp_path / "demo", lock=True, **torch_answers, **more)
    lock = tomllib.loads((project / "uv.lock").read_text())
    origins = {
        package["source"]["registry"].rsplit("/", 1)[-1]
        for package in lock["package"]
        if package["name"] == "torch"
    }
    assert {"cpu", "cu126"} <= origins
