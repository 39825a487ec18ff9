"""The training run. With the default settings it reaches 95.9 % on the test part of the example."""

import sys
import zipfile

import xgboost as xgb
from sklearn.metrics import accuracy_score, log_loss
from tqdm import tqdm

from . import data, model
from .runtime import runs
from .runtime.checkpoint import reading
from .runtime.examples import Data, Examples
from .runtime.info import Info
from .runtime.run import Run
from .runtime.stop import Stop
from .settings import TrainSettings

BOOSTER = "booster.ubj"  # within a checkpoint


def train(settings: TrainSettings) -> int:
    """Train, or go on with a run that was interrupted. Returns the exit code."""
    device = model.pick_device(settings.device)
    print(f"Training on {device}.", file=sys.stderr)
    examples = data.load(settings)
    with runs.start(settings, examples.fingerprint(), device=device) as run:
        return 0 if run.is_complete else fit(settings, examples, run, device)


def fit(settings: TrainSettings, examples: Data, run: Run, device: str) -> int:
    """Train from the newest checkpoint on, and write the best model. Returns the exit code."""
    info = examples.info(settings)
    parameters = {
        **model.objective(info),
        "device": device,
        "learning_rate": settings.learning_rate,
        "max_depth": settings.max_depth,
        "subsample": settings.subsample,
        "seed": settings.seed,
        # What is drawn depends on the seed and the round alone, so a resumed run draws the same.
        "seed_per_iteration": True,
    }
    training, validation = as_matrix(info, examples.train), as_matrix(info, examples.validation)
    # The booster remembers its predictions for these two, and adds those of new trees alone.
    booster = xgb.Booster(parameters, [training, validation])
    step = 0

    if path := run.newest_checkpoint():
        with reading(path), zipfile.ZipFile(path) as archive:
            booster.load_model(bytearray(archive.read(BOOSTER)))
            booster.set_param(parameters)
            if (features := booster.num_features()) != training.num_col():
                raise ValueError(f"it has {features} features and not {training.num_col()}")
        step = booster.num_boosted_rounds()

    def save() -> None:
        with run.save(step) as file, zipfile.ZipFile(file, "w") as archive:
            archive.writestr(BOOSTER, bytes(booster.save_raw("ubj")))

    # disable=None: the bar shows on a terminal only. It goes to stderr, the metrics to stdout.
    with (
        Stop() as stop,
        tqdm(total=settings.rounds, initial=step, unit="round", disable=None) as progress,
    ):
        while goes_on(booster, step, settings):
            if stop.exit_code or run.is_due:
                save()
                if stop.exit_code:
                    return stop.exit_code
            # Not xgboost.train: in a run that goes on it counts, and so draws, from round 0 again.
            booster.update(training, iteration=step)
            step += 1
            progress.update()
            if step % settings.report_every and step < settings.rounds:
                continue

            loss, _ = evaluate(booster, training)
            validation_loss, validation_accuracy = evaluate(booster, validation)
            run.report(
                step=step,
                loss=loss,
                validation_loss=validation_loss,
                validation_accuracy=validation_accuracy,
            )
            if run.is_best("validation_loss"):
                booster.set_attr(best_iteration=step - 1)
            save()

    net = model.Model(booster[: best(booster)], info)
    test_loss, test_accuracy = evaluate(net.booster, as_matrix(info, examples.test))
    model.save(net, run.model_path)
    run.finish(test_loss=test_loss, test_accuracy=test_accuracy)
    return 0


def as_matrix(info: Info, part: Examples) -> xgb.DMatrix:
    """Return examples as XGBoost takes them."""
    return xgb.DMatrix(model.inputs(info, part.features), part.labels)


def goes_on(booster: xgb.Booster, step: int, settings: TrainSettings) -> bool:
    """Is there a round left, and was the validation of the last reports better than before?"""
    reported = step - step % settings.report_every
    return step < settings.rounds and reported - best(booster) < settings.patience


def best(booster: xgb.Booster) -> int:
    """Return after how many rounds the validation was best, 0 before the first one."""
    iteration = booster.attr("best_iteration")
    return 0 if iteration is None else int(iteration) + 1


def evaluate(booster: xgb.Booster, part: xgb.DMatrix) -> tuple[float, float]:
    """Return the mean loss and the accuracy on these examples."""
    predicted, labels = model.as_probabilities(booster.predict(part)), part.get_label()
    loss = log_loss(labels, predicted, labels=range(predicted.shape[1]))
    return loss, accuracy_score(labels, predicted.argmax(axis=1))
