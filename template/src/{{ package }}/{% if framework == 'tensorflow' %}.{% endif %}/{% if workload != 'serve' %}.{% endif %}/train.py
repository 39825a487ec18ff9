"""The training run. With the default settings it reaches 98.5 % on the test part of the example."""

import sys

import keras
import numpy as np
import tensorflow as tf
from tqdm import tqdm

from . import data, model
from .runtime import distributed
from .runtime.distributed import Group
from .runtime.examples import Data, Examples
from .runtime.run import Run
from .runtime.stop import Stop
from .settings import TrainSettings


def train(settings: TrainSettings) -> int:
    """Train, or go on with a run that was interrupted. Returns the exit code."""
    if settings.model_path.suffix != ".keras":
        sys.exit(f"Keras writes files that end with .keras, and {settings.model_path} does not.")
    device = pick_device(settings.device)
    with distributed.join() as group:  # of one process, unless TF_CONFIG names more
        print(f"Training on {model.device()}.", file=sys.stderr)
        examples = data.load(settings)
        with group.start(settings, examples.fingerprint(), device=device) as run:
            return 0 if run.is_complete else fit(settings, examples, run, group)


def pick_device(name: str) -> str:
    """Use the device of that name and return its model. One that is not there is refused."""
    gpus = tf.config.list_physical_devices("GPU")
    if name not in ("auto", "cpu", "gpu") or (name == "gpu" and not gpus):
        has = "has no GPU" if name == "gpu" else "knows cpu, gpu and auto"
        sys.exit(f"--device {name} cannot be used here: TensorFlow {has}.")
    if name == "cpu":
        tf.config.set_visible_devices([], "GPU")
    elif gpus:
        return tf.config.experimental.get_device_details(gpus[0]).get("device_name", "GPU")
    return "CPU"


def has_bfloat16() -> bool:
    """Has the GPU units for bfloat16? Those of compute capability 8.0 (Ampere) and later have."""
    for gpu in tf.config.get_visible_devices("GPU"):
        details = tf.config.experimental.get_device_details(gpu)
        return details.get("compute_capability", (0, 0)) >= (8, 0)
    return False


def fit(settings: TrainSettings, examples: Data, run: Run, group: Group) -> int:
    """Train from the newest checkpoint on, and write the best model. Returns the exit code."""
    keras.utils.set_random_seed(settings.seed)
    if settings.deterministic:
        tf.config.experimental.enable_op_determinism()
    features, labels = examples.train
    steps_per_epoch = -(-len(labels) // settings.batch_size)  # rounded up
    steps = settings.epochs * steps_per_epoch

    bf16 = settings.bf16 and has_bfloat16()
    keras.config.set_dtype_policy("mixed_bfloat16" if bf16 else "float32")
    net, info = model.create(examples.info(settings))
    rising = round(settings.warmup * steps)
    schedule = keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0,
        warmup_target=settings.learning_rate,
        warmup_steps=rising,
        decay_steps=max(steps - rising, 1),
    )
    optimizer = keras.optimizers.Adam(schedule, global_clipnorm=settings.clip_norm)
    optimizer.build(net.trainable_variables)
    kind = type(optimizer).__name__
    loss_function = keras.losses.SparseCategoricalCrossentropy()
    loss_sum = tf.Variable(0.0)  # stays on the device: to read it would mean to wait
    step = 0

    # reduce_retracing: one trace for the last, smaller batch too.
    @tf.function(reduce_retracing=True, autograph=False)
    def learn(
        features: tf.Tensor, labels: tf.Tensor, examples: tf.Tensor, weight: tf.Tensor
    ) -> None:
        with tf.GradientTape() as tape:
            loss = loss_function(labels, net(features, training=True))
            weighted = (loss + sum(net.losses)) * weight  # those of regularizers
        gradients = group.sum(tape.gradient(weighted, net.trainable_variables))
        optimizer.apply(gradients, net.trainable_variables)
        loss_sum.assign_add(loss * examples)

    variables = [*net.variables, *optimizer.variables, loss_sum]  # dropout's random state included
    if saved := group.load(run.newest_checkpoint):
        with run.restoring():
            saved_step, saved_kind, *arrays = saved
            if saved_kind != kind:
                raise TypeError(f"it has the state of {saved_kind} and not of {kind}")
            for variable, array in zip(variables, arrays, strict=True):
                variable.assign(array)
        step = saved_step.item()
    group.align(net.weights)
    if not group.is_main:
        loss_sum.assign(0)  # the sum until here is that of all, and the main process has it

    def save() -> None:
        (total,) = group.sum([loss_sum.value()])
        if group.is_main:
            arrays = [variable.numpy() for variable in variables[:-1]]
            with run.save(step) as file:
                np.savez(file, step, kind, *arrays, total.numpy())

    # disable=None: the bar shows on a terminal only. It goes to stderr, the metrics to stdout.
    hidden = None if group.is_main else True
    with Stop() as stop, tqdm(total=steps, initial=step, unit="step", disable=hidden) as progress:
        while step < steps:
            epoch, done = divmod(step, steps_per_epoch)
            # The order depends on the seed and the epoch alone, so a resumed run sees the same one.
            order = np.random.default_rng([settings.seed, epoch]).permutation(len(labels))
            for batch in group.batches(order, settings.batch_size)[done:]:
                exit_code, save_now = group.agree(stop.exit_code, run.is_due)
                if save_now:
                    save()
                if exit_code:
                    return exit_code
                learn(
                    features[batch.indices],
                    labels[batch.indices],
                    tf.constant(batch.examples, tf.float32),
                    tf.constant(batch.weight, tf.float32),
                )
                step += 1
                progress.update()

            validation_loss, validation_accuracy = evaluate(
                net, examples.validation, settings, group
            )
            (total,) = group.sum([loss_sum.value()])
            run.report(
                step=step,
                epoch=epoch + 1,
                loss=float(total.numpy()) / len(labels),
                validation_loss=validation_loss,
                validation_accuracy=validation_accuracy,
            )
            loss_sum.assign(0)
            if run.is_best("validation_loss"):
                with run.save_best(step) as file:
                    np.savez(file, *net.get_weights())
            save()

    weights = group.load(run.best_checkpoint) or net.get_weights()
    keras.config.set_dtype_policy("float32")  # whatever it was trained in
    best = model.create(info)
    best.net.set_weights(weights)
    test_loss, test_accuracy = evaluate(best.net, examples.test, settings, group)
    if group.is_main:
        model.save(best, run.model_path)
        run.finish(test_loss=test_loss, test_accuracy=test_accuracy)
    return 0


def evaluate(
    net: keras.Model, part: Examples, settings: TrainSettings, group: Group
) -> tuple[float, float]:
    """Return the mean loss and the accuracy on these examples, of which each process takes some."""
    group.align(net.non_trainable_weights)  # such as the means of a BatchNormalization
    own = group.part(part)
    loss = right = 0.0
    for start in range(0, len(own.labels), settings.batch_size):
        labels = own.labels[start : start + settings.batch_size]
        rows = net(own.features[start : start + settings.batch_size], training=False)
        losses = keras.losses.sparse_categorical_crossentropy(labels, rows)
        loss += float(keras.ops.sum(losses))
        right += float((rows.numpy().argmax(axis=1) == labels).sum())
    loss, right = group.sum([tf.constant(loss), tf.constant(right)])
    return float(loss) / len(part.labels), float(right) / len(part.labels)
