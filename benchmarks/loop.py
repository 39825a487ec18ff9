"""What the generated training loop costs beside a bare loop of its framework, step by step.

    uv run python -m benchmarks.loop PROJECT

PROJECT is a generated PyTorch project that is installed (`uv sync`). The same network, optimizer,
data and loader in both loops, which take turns in one process; the bare one has no signals, no
checkpoints, no metrics and no progress bar. What is measured is the CPU time of one thread, so that
the machine may do other work. Prints milliseconds per step, and the share that the generated loop
takes longer.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

MEASURE = """
import importlib, statistics, sys, tempfile, time
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader

package = next(Path("src").glob("*/train.py")).parent.name
model, train, settings, examples, runs = (
    importlib.import_module(f"{package}.{name}")
    for name in ("model", "train", "settings", "runtime.examples", "runtime.runs")
)
torch.set_num_threads(1)
ROUNDS, EPOCHS, BATCH = 3, 2, 128
random = np.random.default_rng(0)
made = examples.split(random.normal(size=(8_000, 24, 24, 1)), random.integers(0, 10, 8_000))
steps = EPOCHS * -(-len(made.train.labels) // BATCH)


def generated(folder):
    given = settings.TrainSettings(
        epochs=EPOCHS, batch_size=BATCH, device="cpu", runs_dir=folder, model_path=f"{folder}/m.pt"
    )
    device = torch.device("cpu")
    with runs.start(given, made.fingerprint(), "cpu") as run:
        started = time.process_time()
        train.fit(given, made, run, device)
        return time.process_time() - started


def bare():
    given = settings.TrainSettings(epochs=EPOCHS, batch_size=BATCH)
    started = time.process_time()
    net = model.Network(made.info(given))
    optimizer = torch.optim.AdamW(net.parameters(), lr=given.learning_rate)
    scheduler = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: train.learning_rate_factor(step, steps, given.warmup)
    )
    loss_function = nn.CrossEntropyLoss()
    loader = DataLoader(train.as_dataset(made.train), BATCH, shuffle=True)
    for _ in range(EPOCHS):
        net.train()
        for features, labels in loader:
            loss = loss_function(net(features), labels)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(net.parameters(), given.clip_norm)
            optimizer.step()
            scheduler.step()
        train.evaluate(net, made.validation, given)
    train.evaluate(net, made.test, given)
    return time.process_time() - started


times = {"bare": [], "generated": []}
for number in range(ROUNDS + 1):
    one = bare()
    with tempfile.TemporaryDirectory() as folder:
        other = generated(folder)
    if number:  # the first round warms up
        times["bare"].append(one)
        times["generated"].append(other)
best = {name: min(values) / steps * 1000 for name, values in times.items()}
median = {name: statistics.median(values) / steps * 1000 for name, values in times.items()}
for name in times:
    print(f"{name}: median {median[name]:.3f} ms, best {best[name]:.3f} ms a step", file=sys.stderr)
print(f"overhead: median {median['generated'] / median['bare'] - 1:+.1%}, "
      f"best {best['generated'] / best['bare'] - 1:+.1%}", file=sys.stderr)
"""


def main() -> int:
    """Measure in the environment of the project."""
    if len(sys.argv) != 2:
        sys.exit("usage: uv run python -m benchmarks.loop PROJECT")
    project = Path(sys.argv[1]).resolve()
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(project / "src")}
    python = project / ".venv/bin/python"
    done = subprocess.run(
        [python, "-c", MEASURE], cwd=project, env=environment, stdout=subprocess.DEVNULL
    )
    return done.returncode


if __name__ == "__main__":
    raise SystemExit(main())
