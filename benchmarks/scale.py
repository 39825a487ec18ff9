"""Examples per second of one and of two processes, beside a bare distributed loop.

    uv run python -m benchmarks.scale PROJECT

PROJECT is a generated PyTorch or JAX project that is installed (`uv sync`). The bare loop is that
of the framework's own introduction to several processes (DistributedDataParallel with its sampler;
a jitted step over a mesh of all devices), with the network, data, batch and optimizer of the
project: no checkpoints, no metrics, no agreement on a stop, and the examples that do not divide
left out. Both are started by the same variables, and take turns. A rate is that of the epochs after
the first one, by the clock, with their evaluation. Prints the median rates, and their ratio.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.support.training import free_port

EPOCHS, EXAMPLES, BATCH, ROUNDS = 4, 12_000, 64, 3
DATA = """
import sys
import numpy as np
random = np.random.default_rng(0)
np.savez(
    sys.argv[1],
    features=random.normal(size=(int(sys.argv[2]), 16, 16, 1)).astype("float32"),
    label=random.integers(0, 10, int(sys.argv[2])),
)
"""
COMMON = """
import sys
from pathlib import Path
package = next(Path("src").glob("*/train.py")).parent.name
from importlib import import_module
data, model, train, settings = (
    import_module(f"{package}.{name}") for name in ("data", "model", "train", "settings")
)
settings = settings.TrainSettings(data=Path(sys.argv[1]), batch_size=int(sys.argv[2]))
examples, batch, epochs = data.load(settings), settings.batch_size, int(sys.argv[3])
"""
PYTORCH = """
import os
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, DistributedSampler
size = int(os.environ.get("WORLD_SIZE", "1"))
dataset, held = train.as_dataset(examples.train), train.as_dataset(examples.validation)
net = model.Network(examples.info(settings))
sampler = parallel = None
if size > 1:
    dist.init_process_group("gloo")
    sampler, parallel = DistributedSampler(dataset, drop_last=True), DistributedDataParallel(net)
parallel = parallel or net
optimizer = torch.optim.AdamW(net.parameters(), lr=settings.learning_rate)
for epoch in range(epochs):
    if sampler:
        sampler.set_epoch(epoch)
    net.train()
    for features, labels in DataLoader(
        dataset, batch // size, sampler=sampler, shuffle=sampler is None, drop_last=True
    ):
        loss = nn.functional.cross_entropy(parallel(features), labels)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), settings.clip_norm)
        optimizer.step()
    net.eval()
    part = torch.utils.data.Subset(held, range(int(os.environ.get("RANK", "0")), len(held), size))
    with torch.inference_mode():
        for features, labels in DataLoader(part, batch):
            nn.functional.cross_entropy(net(features), labels)
    print("{}", flush=True)
"""
JAX = """
import os
import jax, optax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
size = int(os.environ.get("JAX_NUM_PROCESSES", "1"))
rank = int(os.environ.get("JAX_PROCESS_ID", "0"))
if size > 1:
    jax.distributed.initialize(num_processes=size, process_id=rank)
mesh = Mesh(np.array(jax.devices()), ("batch",))
shared, same = (NamedSharding(mesh, PartitionSpec(*names)) for names in (["batch"], []))
info = examples.info(settings)
parameters = model.create(info, jax.random.key(0))
optimizer = train.optimizer_of(settings, epochs * len(examples.train.labels) // batch)
state = jax.tree.map(
    lambda leaf: jax.make_array_from_process_local_data(same, np.asarray(leaf)),
    (parameters, optimizer.init(parameters)),
)
def mean(parameters, inputs, labels, key):
    logits = model.logits(parameters, inputs, dropout_key=key)
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()
@jax.jit
def learn(state, inputs, labels, key):
    parameters, optimizer_state = state
    loss, gradients = jax.value_and_grad(mean)(parameters, inputs, labels, key)
    updates, optimizer_state = optimizer.update(gradients, optimizer_state, parameters)
    return (optax.apply_updates(parameters, updates), optimizer_state), loss
score = jax.jit(lambda parameters, inputs, labels: mean(parameters, inputs, labels, None))
def batches(part, order):
    inputs = model.inputs(info, part.features)
    for start in range(0, len(order) - batch + 1, batch):
        own = order[start : start + batch][rank * batch // size : (rank + 1) * batch // size]
        yield [
            jax.make_array_from_process_local_data(shared, array[own])
            for array in (inputs, part.labels)
        ]
step = 0
for epoch in range(epochs):
    order = np.random.default_rng(epoch).permutation(len(examples.train.labels))
    for inputs, labels in batches(examples.train, order):
        step += 1
        state, loss = learn(state, inputs, labels, jax.random.fold_in(jax.random.key(0), step))
    held = examples.validation
    losses = [score(state[0], *both) for both in batches(held, np.arange(len(held.labels)))]
    float(sum(losses))
    print("{}", flush=True)
"""
LOOPS = {"pytorch": PYTORCH, "jax": JAX}


def main() -> int:
    """Measure the project that the command line names."""
    project = Path(sys.argv[1]).resolve()
    code = next(project.glob("src/*/train.py")).read_text()
    framework = "jax" if "import jax" in code else "pytorch"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data, bare = folder / "data.npz", folder / "bare.py"
        python = project / ".venv/bin/python"
        subprocess.run([python, "-c", DATA, data, str(EXAMPLES)], check=True)
        bare.write_text(COMMON + LOOPS[framework])
        flags = ["--data", data, "--batch-size", str(BATCH), "--epochs", str(EPOCHS), "--fresh"]
        flags += ["--runs-dir", folder / "runs", "--model-path", folder / "model" / "model.npz"]
        contenders = {
            "bare": [python, bare, data, str(BATCH), str(EPOCHS)],
            "generated": [python, project / "main.py", *flags],
        }
        rates: dict[tuple[int, str], list[float]] = {}
        for number in range(ROUNDS):
            for size in (1, 2):
                for name in sorted(contenders, reverse=bool(number % 2)):
                    found = rate(contenders[name], size, framework, project)
                    rates.setdefault((size, name), []).append(found)
    for size in (1, 2):
        ratios = [a / b for a, b in zip(rates[size, "generated"], rates[size, "bare"], strict=True)]
        middle = {name: statistics.median(rates[size, name]) for name in contenders}
        print(
            f"{framework}, {size} processes: {middle['generated']:.0f} examples/s generated, "
            f"{middle['bare']:.0f} bare; ratio {statistics.median(ratios):.3f} "
            f"({min(ratios):.3f} to {max(ratios):.3f})"
        )
    return 0


def rate(command: list[str | Path], size: int, framework: str, project: Path) -> float:
    """Return the examples of the training part per second of the epochs after the first one."""
    port = str(free_port())
    started = []
    for rank in map(str, range(size)):
        env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(project / "src")}
        env["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"
        if size > 1 and framework == "jax":
            env |= {"JAX_COORDINATOR_ADDRESS": f"127.0.0.1:{port}", "JAX_PROCESS_ID": rank}
            env |= {"JAX_NUM_PROCESSES": str(size)}
        elif size > 1:
            env |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "LOCAL_RANK": rank}
            env |= {"RANK": rank, "WORLD_SIZE": str(size)}
        log = subprocess.PIPE if rank == "0" else subprocess.DEVNULL
        words = [str(word) for word in command]
        started.append(
            subprocess.Popen(words, cwd=project, env=env, stdout=log, stderr=subprocess.DEVNULL)
        )
    # An epoch's line; the last line of a generated trainer is that of the test.
    ends = [time.monotonic() for line in started[0].stdout if line.startswith(b"{")][:EPOCHS]
    assert not any([process.wait() for process in started]) and len(ends) == EPOCHS
    return EXAMPLES * 0.7 * (EPOCHS - 1) / (ends[-1] - ends[0])


if __name__ == "__main__":
    raise SystemExit(main())
