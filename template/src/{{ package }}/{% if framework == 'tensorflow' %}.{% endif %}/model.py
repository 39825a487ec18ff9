"""The model: a small network, convolutional for images and dense for rows of a table."""

import json
import logging
import zipfile
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from .runtime.files import atomic_write
from .runtime.info import Info

logger = logging.getLogger(__name__)


class Model(NamedTuple):
    """The network, and what it has to know beside its weights."""

    net: keras.Model
    info: Info


def create(info: Info) -> Model:
    """Return an untrained model."""
    inputs = outputs = keras.Input(info.shape)
    for layer in (
        layers.Normalization(mean=info.mean, variance=np.square(info.scale), dtype="float32"),
        *(convolutional() if len(info.shape) == 3 else dense()),
        layers.Dropout(0.25),
        layers.Dense(len(info.classes), activation="softmax", dtype="float32"),
    ):
        outputs = layer(outputs)
    # Not a Sequential: in bfloat16, that rounds its inputs before they are standardized.
    return Model(keras.Model(inputs, outputs), info)


def convolutional() -> list[layers.Layer]:
    """Return layers for images."""
    return [
        layers.Conv2D(16, 3, padding="same", activation="relu"),
        layers.Conv2D(32, 3, padding="same", activation="relu"),
        layers.MaxPooling2D(2, padding="same"),  # of images that are one pixel high, too
        layers.Flatten(),
    ]


def dense() -> list[layers.Layer]:
    """Return layers for rows of features."""
    return [layers.Flatten(), layers.Dense(256, activation="relu")]


def device() -> str:
    """Return what TensorFlow computes on: GPU, or CPU where there is none."""
    return "GPU" if tf.config.get_visible_devices("GPU") else "CPU"


def probabilities(model: Model, rows: np.ndarray) -> np.ndarray:
    """Return a row of probabilities, one per class, for each row of features."""
    return model.net(model.info.examples(rows), training=False).numpy()


def save(model: Model, path: Path) -> None:
    """Write the model to `path`, which ends with .keras, whole or not at all."""
    with atomic_write(path) as file:
        model.net.save(file.name)  # Keras takes a path only
        with zipfile.ZipFile(file.name, "a") as archive:
            archive.writestr("info.json", json.dumps(model.info.to_dict()))


def load(path: Path) -> Model:
    """Read a model. Keras refuses a file that would run code of its own (safe_mode).

    Raises an error if the model cannot predict.
    """
    logger.info("The model runs on %s.", device())
    with zipfile.ZipFile(path) as archive:
        info = Info.from_dict(json.loads(archive.read("info.json")))
    model = Model(keras.saving.load_model(path, compile=False, safe_mode=True), info)
    model.info.require_predictions(probabilities(model, np.zeros((1, model.info.features))))
    return model
