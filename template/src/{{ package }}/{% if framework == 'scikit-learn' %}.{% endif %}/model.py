"""The model: a linear classifier that learns a batch at a time."""

from pathlib import Path

import numpy as np
import skops.io
from sklearn.linear_model import SGDClassifier

from .runtime.files import atomic_write

MAX_PIXEL = 16
CLASSES = np.arange(10)


def create(learning_rate: float, seed: int) -> SGDClassifier:
    """Return an untrained model."""
    return SGDClassifier(
        loss="log_loss", learning_rate="constant", eta0=learning_rate, random_state=seed
    )


def features(images: np.ndarray) -> np.ndarray:
    """Scale pixel values from 0..16 to 0..1, for training and for prediction alike."""
    return images / MAX_PIXEL


def probabilities(model: SGDClassifier, images: np.ndarray) -> np.ndarray:
    """Return one row of ten probabilities per image."""
    return model.predict_proba(features(images))


def save(model: SGDClassifier, path: Path) -> None:
    """Write the model to `path`, whole or not at all."""
    with atomic_write(path) as file:
        skops.io.dump(model, file)


def load(path: Path) -> SGDClassifier:
    """Read a model. Unlike a pickle, a skops file runs no code of its own when it is loaded."""
    return skops.io.load(path)
