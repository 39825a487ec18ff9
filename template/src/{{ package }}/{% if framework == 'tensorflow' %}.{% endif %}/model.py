"""The model: a small convolutional network."""

import logging
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from .runtime.files import atomic_write

logger = logging.getLogger(__name__)

PIXELS = 64
MAX_PIXEL = 16
CLASSES = 10


def create() -> keras.Model:
    """Return an untrained model. It takes rows of 64 pixel values from 0 to 16."""
    return keras.Sequential(
        [
            keras.Input((PIXELS,)),
            layers.Rescaling(1 / MAX_PIXEL),
            layers.Reshape((8, 8, 1)),
            layers.Conv2D(16, 3, padding="same", activation="relu"),
            layers.Conv2D(32, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(2),
            layers.Flatten(),
            layers.Dropout(0.25),
            layers.Dense(CLASSES, activation="softmax"),
        ]
    )


def device() -> str:
    """Return what TensorFlow computes on: GPU, or CPU where there is none."""
    return "GPU" if tf.config.list_physical_devices("GPU") else "CPU"


def probabilities(model: keras.Model, images: np.ndarray) -> np.ndarray:
    """Return one row of ten probabilities per image."""
    return model(images, training=False).numpy()


def save(model: keras.Model, path: Path) -> None:
    """Write the model to `path`, which ends with .keras, whole or not at all."""
    with atomic_write(path) as file:
        model.save(file.name)  # Keras takes a path only


def load(path: Path) -> keras.Model:
    """Read a model. Keras refuses a file that would run code of its own (safe_mode)."""
    logger.info("The model runs on %s.", device())
    return keras.saving.load_model(path, compile=False, safe_mode=True)
