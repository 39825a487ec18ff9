"""The training run. With the default settings it reaches 95.6 % on the test part of the example."""

import numpy as np
import skops.io
from sklearn.metrics import accuracy_score, log_loss
from tqdm import tqdm

from . import data, model
from .runtime import runs
from .runtime.checkpoint import reading
from .runtime.examples import Data, Examples
from .runtime.run import Run
from .runtime.stop import Stop
from .settings import TrainSettings


def train(settings: TrainSettings) -> int:
    """Train, or go on with a run that was interrupted. Returns the exit code."""
    examples = data.load(settings)
    with runs.start(settings, examples.fingerprint(), device="cpu") as run:
        return 0 if run.is_complete else fit(settings, examples, run)


def fit(settings: TrainSettings, examples: Data, run: Run) -> int:
    """Train from the newest checkpoint on, and write the best model. Returns the exit code."""
    info = examples.info(settings)
    net = model.create(info, settings.learning_rate, settings.seed)
    model.require_readable(net.classifier)
    features, labels = model.inputs(info, examples.train.features), examples.train.labels
    steps_per_epoch = -(-len(labels) // settings.batch_size)  # rounded up
    steps = settings.epochs * steps_per_epoch
    step = 0

    if path := run.newest_checkpoint():
        with reading(path):
            saved = skops.io.load(path, trusted=model.TRUSTED)
            parameters = net.classifier.get_params()  # of model.py as it is now
            net.classifier, step = saved["classifier"].set_params(**parameters), saved["step"]
            if step:
                model.probabilities(net, examples.train.features[:1])

    def save() -> None:
        with run.save(step) as file:
            skops.io.dump({"classifier": net.classifier, "step": step}, file)

    # disable=None: the bar shows on a terminal only. It goes to stderr, the metrics to stdout.
    with Stop() as stop, tqdm(total=steps, initial=step, unit="step", disable=None) as progress:
        while step < steps:
            epoch, done = divmod(step, steps_per_epoch)
            # The order depends on the seed and the epoch alone, so a resumed run sees the same one.
            order = np.random.default_rng([settings.seed, epoch]).permutation(len(labels))
            for start in range(done * settings.batch_size, len(labels), settings.batch_size):
                if stop.exit_code or run.is_due:
                    save()
                    if stop.exit_code:
                        return stop.exit_code
                batch = order[start : start + settings.batch_size]
                net.classifier.partial_fit(
                    features[batch], labels[batch], classes=np.arange(len(info.classes))
                )
                step += 1
                progress.update()

            loss, _ = evaluate(net, examples.train)
            validation_loss, validation_accuracy = evaluate(net, examples.validation)
            run.report(
                step=step,
                epoch=epoch + 1,
                loss=loss,
                validation_loss=validation_loss,
                validation_accuracy=validation_accuracy,
            )
            if run.is_best("validation_loss"):
                with run.save_best(step) as file:
                    skops.io.dump(net.classifier, file)
            save()

    if path := run.best_checkpoint():
        with reading(path):
            net.classifier = skops.io.load(path, trusted=model.TRUSTED)
    test_loss, test_accuracy = evaluate(net, examples.test)
    model.save(net, run.model_path)
    run.finish(test_loss=test_loss, test_accuracy=test_accuracy)
    return 0


def evaluate(net: model.Model, part: Examples) -> tuple[float, float]:
    """Return the mean loss and the accuracy on these examples."""
    predicted = model.probabilities(net, part.features)
    loss = log_loss(part.labels, predicted, labels=np.arange(len(net.info.classes)))
    return loss, accuracy_score(part.labels, predicted.argmax(axis=1))
