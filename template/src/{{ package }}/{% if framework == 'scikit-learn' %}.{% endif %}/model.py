"""The model: a linear classifier that learns a batch at a time."""

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import skops.io
from sklearn.linear_model import SGDClassifier

from .runtime.files import atomic_write
from .runtime.info import Info

TRUSTED: list[str] = []
"""Types of others that a model's file may bring, such as lightgbm.sklearn.LGBMClassifier."""


@dataclass
class Model:
    """The classifier, and what it has to know beside its weights."""

    classifier: SGDClassifier
    info: Info


def create(info: Info, learning_rate: float, seed: int) -> Model:
    """Return an untrained model."""
    classifier = SGDClassifier(
        loss="log_loss", learning_rate="constant", eta0=learning_rate, random_state=seed
    )
    return Model(classifier, info)


def inputs(info: Info, rows: np.ndarray) -> np.ndarray:
    """Return what the classifier takes: standardized rows, for training and prediction alike."""
    return info.standardize(info.examples(rows)).reshape(len(rows), -1)


def probabilities(model: Model, rows: np.ndarray) -> np.ndarray:
    """Return a row of probabilities, one per class, for each row of features."""
    return model.classifier.predict_proba(inputs(model.info, rows))


def require_readable(classifier: SGDClassifier) -> None:
    """End the program with a sentence if no file of the classifier could be read again."""
    found = skops.io.get_untrusted_types(data=skops.io.dumps(classifier))
    if unknown := sorted(set(found) - set(TRUSTED)):
        names = ", ".join(unknown)
        sys.exit(f"A file with {names} could not be read again: add that to TRUSTED in model.py.")


def save(model: Model, path: Path) -> None:
    """Write the model to `path`, whole or not at all."""
    require_readable(model.classifier)
    with atomic_write(path) as file:
        skops.io.dump({"classifier": model.classifier, "info": model.info.to_dict()}, file)


def load(path: Path) -> Model:
    """Read a model. Unlike a pickle, a skops file runs no code of its own when it is loaded.

    Raises an error if the model cannot predict.
    """
    saved = skops.io.load(path, trusted=TRUSTED)
    model = Model(saved["classifier"], Info.from_dict(saved["info"]))
    model.info.require_predictions(probabilities(model, np.zeros((1, model.info.features))))
    return model
