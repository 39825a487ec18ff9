"""The training run. With the default settings it reaches 98.1 % on the test part of the example."""

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
from .runtime import runs
from .runtime.examples import Data, Examples
from .runtime.run import Run
from .runtime.stop import Stop
from .settings import TrainSettings


def train(settings: TrainSettings) -> int:
    """Train, or go on with a run that was interrupted. Returns the exit code."""
    device = pick_device(settings)
    print(f"Training on {device.platform}.", file=sys.stderr)
    examples = data.load(settings)
    with (
        runs.start(settings, examples.fingerprint(), device=device.device_kind) as run,
        jax.default_device(device),
    ):
        return 0 if run.is_complete else fit(settings, examples, run, device)


def pick_device(settings: TrainSettings) -> jax.Device:
    """Return the device that the settings name. One that is not there is refused with a sentence.

    JAX reads the variable when it first looks for a device.
    """
    if settings.deterministic:
        os.environ.setdefault("XLA_FLAGS", "--xla_gpu_deterministic_ops=true")
    try:
        return jax.devices(None if settings.device == "auto" else settings.device)[0]
    except RuntimeError as error:
        sys.exit(f"--device {settings.device} cannot be used here: {str(error).splitlines()[0]}")


def optimizer_of(settings: TrainSettings, steps: int) -> optax.GradientTransformation:
    """Return AdamW with a learning rate that rises in a line and then falls in a cosine."""
    schedule = optax.warmup_cosine_decay_schedule(
        init_value=0,
        peak_value=settings.learning_rate,
        warmup_steps=round(settings.warmup * steps),
        decay_steps=max(steps, 1),
    )
    return optax.chain(
        optax.clip_by_global_norm(settings.clip_norm), optax.adamw(schedule, weight_decay=0.01)
    )


def loss_of(
    parameters: model.Parameters, inputs: Array, labels: Array, key: Array, bf16: bool
) -> Array:
    """Return the mean loss of a batch."""
    if bf16:
        parameters, inputs = jax.tree.map(lambda x: x.astype(jnp.bfloat16), (parameters, inputs))
    logits = model.logits(parameters, inputs, dropout_key=key).astype(jnp.float32)
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()


def fit(settings: TrainSettings, examples: Data, run: Run, device: jax.Device) -> int:
    """Train from the newest checkpoint on, and write the best model. Returns the exit code."""
    info = examples.info(settings)
    inputs, labels = model.inputs(info, examples.train.features), examples.train.labels
    steps_per_epoch = -(-len(labels) // settings.batch_size)  # rounded up
    steps = settings.epochs * steps_per_epoch

    # Every random number follows from a key and a step or an epoch: there is no state to save.
    model_key, dropout_key, order_key = jax.random.split(jax.random.key(settings.seed), 3)
    parameters = model.create(info, model_key)
    optimizer = optimizer_of(settings, steps)
    optimizer_state = optimizer.init(parameters)
    # From compute capability 8.0 on (Ampere), a GPU has units for bfloat16.
    capability = float(getattr(device, "compute_capability", 0)) if device.platform == "gpu" else 0
    bf16 = settings.bf16 and (capability >= 8 or device.platform == "tpu")
    loss_sum = jnp.zeros(())  # stays on the device: to read it would mean to wait
    step = 0

    @partial(jax.jit, donate_argnames=("parameters", "optimizer_state"))
    def learn(
        parameters: model.Parameters,
        optimizer_state: optax.OptState,
        inputs: Array,
        labels: Array,
        key: Array,
    ) -> tuple[model.Parameters, optax.OptState, Array]:
        """Learn from a batch, and return its loss beside the new parameters and state."""
        loss, gradients = jax.value_and_grad(loss_of)(parameters, inputs, labels, key, bf16)
        updates, optimizer_state = optimizer.update(gradients, optimizer_state, parameters)
        return optax.apply_updates(parameters, updates), optimizer_state, loss

    leaves, structure = jax.tree.flatten((parameters, optimizer_state, loss_sum))
    if path := run.newest_checkpoint():
        with np.load(path, allow_pickle=False) as saved:
            saved_step, *arrays = saved.values()
        if [array.shape for array in arrays] != [leaf.shape for leaf in leaves]:
            sys.exit(f"{path} does not fit the network in model.py: leave out --ignore-code.")
        leaves = [jnp.asarray(array) for array in arrays]
        parameters, optimizer_state, loss_sum = jax.tree.unflatten(structure, leaves)
        step = saved_step.item()

    def save() -> None:
        with run.save(step) as file:
            np.savez(file, step, *jax.tree.leaves((parameters, optimizer_state, loss_sum)))

    # disable=None: the bar shows on a terminal only. It goes to stderr, the metrics to stdout.
    with Stop() as stop, tqdm(total=steps, initial=step, unit="step", disable=None) as progress:
        while step < steps:
            epoch, done = divmod(step, steps_per_epoch)
            order = jax.random.permutation(jax.random.fold_in(order_key, epoch), len(labels))
            order = np.asarray(order)
            for start in range(done * settings.batch_size, len(labels), settings.batch_size):
                if stop.exit_code or run.is_due:
                    save()
                    if stop.exit_code:
                        return stop.exit_code
                batch = order[start : start + settings.batch_size]
                parameters, optimizer_state, loss = learn(
                    parameters,
                    optimizer_state,
                    inputs[batch],
                    labels[batch],
                    jax.random.fold_in(dropout_key, step),
                )
                loss_sum += loss * len(batch)
                step += 1
                progress.update()

            net = model.Model(parameters, info)
            validation_loss, validation_accuracy = evaluate(net, examples.validation, settings)
            run.report(
                step=step,
                epoch=epoch + 1,
                loss=loss_sum.item() / len(labels),
                validation_loss=validation_loss,
                validation_accuracy=validation_accuracy,
            )
            loss_sum = jnp.zeros(())
            if run.is_best("validation_loss"):
                with run.save_best(step) as file:
                    np.savez(file, **parameters)
            save()

    if path := run.best_checkpoint():
        with np.load(path, allow_pickle=False) as saved:
            parameters = {name: jnp.asarray(saved[name]) for name in saved}
    net = model.Model(parameters, info)
    test_loss, test_accuracy = evaluate(net, examples.test, settings)
    model.save(net, run.model_path)
    run.finish(test_loss=test_loss, test_accuracy=test_accuracy)
    return 0


def evaluate(net: model.Model, part: Examples, settings: TrainSettings) -> tuple[float, float]:
    """Return the mean loss and the accuracy on these examples."""
    loss = right = 0.0
    for start in range(0, len(part.labels), settings.batch_size):
        labels = part.labels[start : start + settings.batch_size]
        rows = model.probabilities(net, part.features[start : start + settings.batch_size])
        picked = rows[np.arange(len(labels)), labels]
        loss -= np.log(np.maximum(picked, np.finfo(picked.dtype).tiny)).sum()
        right += (rows.argmax(axis=1) == labels).sum()
    return float(loss) / len(part.labels), float(right) / len(part.labels)
