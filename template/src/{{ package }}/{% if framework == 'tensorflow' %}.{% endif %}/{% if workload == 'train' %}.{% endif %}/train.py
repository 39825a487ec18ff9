"""The training run. With the default settings it reaches 98.2 % on the test digits."""

import json
import sys

import keras
import numpy as np
import tensorflow as tf
from tqdm import tqdm

from . import data, model
from .runtime import checkpoint
from .runtime.files import require_writable
from .runtime.metrics import report
from .runtime.stop import Stop
from .settings import Settings


def train(settings: Settings) -> int:
    """Train, resuming from the newest checkpoint, and write the model. Returns the exit code."""
    keras.utils.set_random_seed(settings.seed)
    tf.config.experimental.enable_op_determinism()
    if settings.model_path.suffix != ".keras":
        sys.exit(f"Keras writes files that end with .keras, and {settings.model_path} does not.")
    require_writable(settings.checkpoint_dir)
    require_writable(settings.model_path.parent)
    if settings.fresh:
        checkpoint.clear(settings.checkpoint_dir)

    print(f"Training on {model.device()}.", file=sys.stderr)
    train_set, test_set = data.load()
    examples = len(train_set.labels)
    steps_per_epoch = -(-examples // settings.batch_size)  # rounded up

    net = model.create()
    optimizer = keras.optimizers.Adam(settings.learning_rate)
    optimizer.build(net.trainable_variables)
    loss_function = keras.losses.SparseCategoricalCrossentropy()
    loss_sum = tf.Variable(0.0)  # stays on the device: to read it would mean to wait
    step = 0

    # reduce_retracing: one trace for the last, smaller batch too.
    @tf.function(reduce_retracing=True, autograph=False)
    def learn(images: tf.Tensor, labels: tf.Tensor) -> None:
        with tf.GradientTape() as tape:
            loss = loss_function(labels, net(images, training=True))
        optimizer.apply(tape.gradient(loss, net.trainable_variables), net.trainable_variables)
        loss_sum.assign_add(loss * tf.cast(tf.size(labels), tf.float32))

    run = settings.model_dump(include={"batch_size", "learning_rate", "seed"})
    steps = settings.epochs * steps_per_epoch
    variables = [*net.variables, *optimizer.variables, loss_sum]  # dropout's random state included
    if path := checkpoint.newest(settings.checkpoint_dir):
        with np.load(path, allow_pickle=False) as saved:
            about, *arrays = saved.values()
        about = json.loads(about.item())
        checkpoint.require_same_run(path, about, run, steps)
        if [array.shape for array in arrays] != [variable.shape for variable in variables]:
            sys.exit(f"{path} does not fit the network in model.py: use --fresh to start again.")
        for variable, array in zip(variables, arrays, strict=True):
            variable.assign(array)
        step = about["step"]

    def save_checkpoint() -> None:
        about = json.dumps({"run": run, "step": step})
        with checkpoint.write(settings.checkpoint_dir, step) as file:
            np.savez(file, about, *[variable.numpy() for variable in variables])

    # disable=None: the bar shows on a terminal only. It goes to stderr, the metrics to stdout.
    with Stop() as stop, tqdm(total=steps, initial=step, unit="step", disable=None) as progress:
        while step < steps:
            epoch, done = divmod(step, steps_per_epoch)
            # The order depends on the seed and the epoch alone, so a resumed run sees the same one.
            order = np.random.default_rng([settings.seed, epoch]).permutation(examples)
            for start in range(done * settings.batch_size, examples, settings.batch_size):
                if stop.exit_code:
                    save_checkpoint()
                    return stop.exit_code
                batch = order[start : start + settings.batch_size]
                learn(train_set.images[batch], train_set.labels[batch])
                step += 1
                progress.update()

            report(epoch=epoch + 1, loss=float(loss_sum.numpy()) / examples)
            loss_sum.assign(0)
            save_checkpoint()

    predicted = model.probabilities(net, test_set.images).argmax(axis=1)
    model.save(net, settings.model_path)
    report(test_accuracy=(predicted == test_set.labels).mean(), model=str(settings.model_path))
    return 0
