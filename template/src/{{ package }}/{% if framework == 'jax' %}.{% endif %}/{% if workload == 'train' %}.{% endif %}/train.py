"""The training run. With the default settings it reaches 97.8 % on the test digits."""

import json
import os
import sys
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array
from tqdm import tqdm

from . import data, model
from .runtime import checkpoint
from .runtime.files import require_writable
from .runtime.metrics import report
from .runtime.stop import Stop
from .settings import Settings


def loss_of(parameters: model.Parameters, images: Array, labels: Array, key: Array) -> Array:
    """Return the mean loss of a batch."""
    logits = model.logits(parameters, images, dropout_key=key)
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()


@partial(jax.jit, donate_argnames=("parameters", "optimizer_state"))
def learn(
    parameters: model.Parameters,
    optimizer_state: optax.OptState,
    images: Array,
    labels: Array,
    key: Array,
    learning_rate: float,
) -> tuple[model.Parameters, optax.OptState, Array]:
    """Learn from a batch, and return its loss beside the new parameters and optimizer state."""
    loss, gradients = jax.value_and_grad(loss_of)(parameters, images, labels, key)
    updates, optimizer_state = optax.adam(learning_rate).update(gradients, optimizer_state)
    return optax.apply_updates(parameters, updates), optimizer_state, loss


def train(settings: Settings) -> int:
    """Train, resuming from the newest checkpoint, and write the model. Returns the exit code."""
    # Same seed, same result on a GPU. JAX reads it when it first uses a device.
    os.environ.setdefault("XLA_FLAGS", "--xla_gpu_deterministic_ops=true")
    require_writable(settings.checkpoint_dir)
    require_writable(settings.model_path.parent)
    if settings.fresh:
        checkpoint.clear(settings.checkpoint_dir)

    print(f"Training on {jax.default_backend()}.", file=sys.stderr)
    train_set, test_set = data.load()
    examples = len(train_set.labels)
    steps_per_epoch = -(-examples // settings.batch_size)  # rounded up

    # Every random number follows from a key and a step or an epoch: there is no state to save.
    model_key, dropout_key, order_key = jax.random.split(jax.random.key(settings.seed), 3)
    parameters = model.create(model_key)
    optimizer_state = optax.adam(settings.learning_rate).init(parameters)
    loss_sum = jnp.zeros(())  # stays on the device: to read it would mean to wait
    step = 0

    run = settings.model_dump(include={"batch_size", "learning_rate", "seed"})
    steps = settings.epochs * steps_per_epoch
    leaves, structure = jax.tree.flatten((parameters, optimizer_state, loss_sum))
    if path := checkpoint.newest(settings.checkpoint_dir):
        with np.load(path, allow_pickle=False) as saved:
            about, *arrays = saved.values()
        about = json.loads(about.item())
        checkpoint.require_same_run(path, about, run, steps)
        if [array.shape for array in arrays] != [leaf.shape for leaf in leaves]:
            sys.exit(f"{path} does not fit the network in model.py: use --fresh to start again.")
        leaves = [jnp.asarray(array) for array in arrays]
        parameters, optimizer_state, loss_sum = jax.tree.unflatten(structure, leaves)
        step = about["step"]

    def save_checkpoint() -> None:
        about = json.dumps({"run": run, "step": step})
        with checkpoint.write(settings.checkpoint_dir, step) as file:
            np.savez(file, about, *jax.tree.leaves((parameters, optimizer_state, loss_sum)))

    # disable=None: the bar shows on a terminal only. It goes to stderr, the metrics to stdout.
    with Stop() as stop, tqdm(total=steps, initial=step, unit="step", disable=None) as progress:
        while step < steps:
            epoch, done = divmod(step, steps_per_epoch)
            order = jax.random.permutation(jax.random.fold_in(order_key, epoch), examples)
            order = np.asarray(order)
            for start in range(done * settings.batch_size, examples, settings.batch_size):
                if stop.exit_code:
                    save_checkpoint()
                    return stop.exit_code
                batch = order[start : start + settings.batch_size]
                parameters, optimizer_state, loss = learn(
                    parameters,
                    optimizer_state,
                    train_set.images[batch],
                    train_set.labels[batch],
                    jax.random.fold_in(dropout_key, step),
                    settings.learning_rate,
                )
                loss_sum += loss * len(batch)
                step += 1
                progress.update()

            report(epoch=epoch + 1, loss=loss_sum.item() / examples)
            loss_sum = jnp.zeros(())
            save_checkpoint()

    predicted = model.probabilities(parameters, test_set.images).argmax(axis=1)
    model.save(parameters, settings.model_path)
    report(test_accuracy=(predicted == test_set.labels).mean(), model=str(settings.model_path))
    return 0
