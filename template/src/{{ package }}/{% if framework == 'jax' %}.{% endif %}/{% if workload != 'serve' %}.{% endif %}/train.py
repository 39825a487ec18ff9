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
from .runtime import distributed
from .runtime.distributed import Group
from .runtime.examples import Data, Examples
from .runtime.info import Info
from .runtime.run import Run
from .runtime.stop import Stop
from .settings import TrainSettings

State = tuple[model.Parameters, optax.OptState, Array]


def train(settings: TrainSettings) -> int:
    """Train, or go on with a run that was interrupted. Returns the exit code."""
    # Of one process, unless a launcher has started more; with all of their devices.
    with distributed.join(partial(pick_devices, settings)) as group:
        device = group.device
        print(f"Training on {device.platform}.", file=sys.stderr)
        examples = data.load(settings)
        with (
            group.start(settings, examples.fingerprint(), device=device.device_kind) as run,
            jax.default_device(device),
        ):
            return 0 if run.is_complete else fit(settings, examples, run, group)


def pick_devices(settings: TrainSettings) -> list[jax.Device]:
    """Return the devices that the settings name. What is not there is refused with a sentence.

    JAX reads the variable when it first looks for a device.
    """
    if settings.deterministic:
        others = os.environ.get("XLA_FLAGS", "")
        os.environ["XLA_FLAGS"] = f"--xla_gpu_deterministic_ops=true {others}"
    try:
        return jax.devices(None if settings.device == "auto" else settings.device)
    except RuntimeError as error:
        sys.exit(f"--device {settings.device} cannot be used here: {str(error).splitlines()[0]}")


def optimizer_of(settings: TrainSettings, steps: int) -> optax.GradientTransformation:
    """Return AdamW with a learning rate that rises in a line and then falls in a cosine."""
    schedule = optax.warmup_cosine_decay_schedule(
        init_value=0,
        peak_value=settings.learning_rate,
        warmup_steps=int(settings.warmup * steps),  # fewer than `steps`, as optax demands
        decay_steps=steps,
    )
    return optax.chain(
        optax.clip_by_global_norm(settings.clip_norm), optax.adamw(schedule, weight_decay=0.01)
    )


def loss_of(
    parameters: model.Parameters,
    inputs: Array,
    labels: Array,
    counts: Array,
    key: Array,
    bf16: bool,
) -> Array:
    """Return the mean loss of the examples of a batch that count."""
    if bf16:
        parameters, inputs = jax.tree.map(lambda x: x.astype(jnp.bfloat16), (parameters, inputs))
    logits = model.logits(parameters, inputs, dropout_key=key).astype(jnp.float32)
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
    return (losses * counts).sum() / counts.sum()


def fit(settings: TrainSettings, examples: Data, run: Run, group: Group) -> int:
    """Train from the newest checkpoint on, and write the best model. Returns the exit code."""
    info = examples.info(settings)
    inputs, labels = prepare(info, examples.train)
    validation = prepare(info, examples.validation)
    steps_per_epoch = -(-len(labels) // settings.batch_size)  # rounded up
    steps = settings.epochs * steps_per_epoch

    # Every random number follows from the seed and a step or an epoch: there is no state to save.
    model_key, dropout_key = jax.random.split(jax.random.key(settings.seed))
    parameters = model.create(info, model_key)
    optimizer = optimizer_of(settings, steps)
    optimizer_state = optimizer.init(parameters)
    # From compute capability 8.0 on (Ampere), a GPU has units for bfloat16.
    device = group.device
    capability = float(getattr(device, "compute_capability", 0)) if device.platform == "gpu" else 0
    bf16 = settings.bf16 and (capability >= 8 or device.platform == "tpu")
    loss_sum = jnp.zeros(())  # stays on the device: to read it would mean to wait
    step = 0

    # All that a step computes is in here: outside, each operation would be called by itself.
    @partial(
        jax.jit,
        donate_argnames=("parameters", "optimizer_state", "loss_sum"),
        out_shardings=group.replicated,
    )
    def learn(
        parameters: model.Parameters,
        optimizer_state: optax.OptState,
        loss_sum: Array,
        step: int,
        key: Array,
        inputs: Array,
        labels: Array,
        counts: Array,
    ) -> State:
        """Learn from a batch, and return the new parameters, state and sum of the losses."""
        key = jax.random.fold_in(key, step)
        loss, gradients = jax.value_and_grad(loss_of)(parameters, inputs, labels, counts, key, bf16)
        updates, optimizer_state = optimizer.update(gradients, optimizer_state, parameters)
        parameters = optax.apply_updates(parameters, updates)
        return parameters, optimizer_state, loss_sum + loss * counts.sum()

    state = parameters, optimizer_state, loss_sum
    if saved := group.load(run.newest_checkpoint):
        with run.restoring():
            step = saved.pop("step").item()
            state = state_of(saved, like=state)
    parameters, optimizer_state, loss_sum = group.everywhere(state)

    def save() -> None:
        if group.is_main:
            with run.save(step) as file:
                np.savez(file, step=step, **named((parameters, optimizer_state, loss_sum)))

    # disable=None: the bar shows on a terminal only. It goes to stderr, the metrics to stdout.
    hidden = None if group.is_main else True
    with Stop() as stop, tqdm(total=steps, initial=step, unit="step", disable=hidden) as progress:
        while step < steps:
            epoch, done = divmod(step, steps_per_epoch)
            order = np.random.default_rng([settings.seed, epoch]).permutation(len(labels))
            for batch in group.batches(order, settings.batch_size)[done:]:
                exit_code, save_now = group.agree(stop.exit_code, run.is_due)
                if save_now:
                    save()
                if exit_code:
                    return exit_code
                parameters, optimizer_state, loss_sum = learn(
                    parameters,
                    optimizer_state,
                    loss_sum,
                    step,
                    dropout_key,
                    *group.take(batch, inputs, labels),
                )
                step += 1
                progress.update()

            validation_loss, validation_accuracy = evaluate(parameters, validation, settings, group)
            run.report(
                step=step,
                epoch=epoch + 1,
                loss=loss_sum.item() / len(labels),
                validation_loss=validation_loss,
                validation_accuracy=validation_accuracy,
            )
            loss_sum -= loss_sum
            if run.is_best("validation_loss"):
                with run.save_best(step) as file:
                    np.savez(file, **parameters)
            save()

    if best := group.load(run.best_checkpoint):
        parameters = group.everywhere(best)
    test_loss, test_accuracy = evaluate(parameters, prepare(info, examples.test), settings, group)
    if group.is_main:
        model.save(model.Model(parameters, info), run.model_path)
        run.finish(test_loss=test_loss, test_accuracy=test_accuracy)
    return 0


def named(state: State) -> dict[str, Array]:
    """Return the arrays of a state by where they are in it."""
    return {jax.tree_util.keystr(path): leaf for path, leaf in jax.tree.leaves_with_path(state)}


def state_of(arrays: dict[str, np.ndarray], like: State) -> State:
    """Return a state like that one, of arrays by their names. Raises ValueError for other ones."""
    own = named(like)
    shapes, expected = ({name: x.shape for name, x in some.items()} for some in (arrays, own))
    if shapes != expected:
        raise ValueError("it has other parameters, or the state of another optimizer")
    return jax.tree.unflatten(jax.tree.structure(like), [arrays[name] for name in own])


def prepare(info: Info, part: Examples) -> Examples:
    """Return examples whose features are what the network takes."""
    return Examples(model.inputs(info, part.features), part.labels)


def evaluate(
    parameters: model.Parameters, prepared: Examples, settings: TrainSettings, group: Group
) -> tuple[float, float]:
    """Return the mean loss and the accuracy on these examples, which the devices share."""
    inputs, labels = prepared
    sums = jax.jit(sums_of, out_shardings=group.replicated)
    loss = right = 0.0
    for batch in group.batches(range(len(inputs)), settings.batch_size):
        losses, hits = sums(parameters, *group.take(batch, inputs, labels))
        loss, right = loss + losses, right + hits
    return float(loss) / len(inputs), float(right) / len(inputs)


def sums_of(
    parameters: model.Parameters, inputs: Array, labels: Array, counts: Array
) -> tuple[Array, Array]:
    """Return the sum of the losses of a batch, and how many answers are right."""
    logits = model.logits(parameters, inputs)
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
    return (losses * counts).sum(), ((logits.argmax(axis=1) == labels) * counts).sum()
