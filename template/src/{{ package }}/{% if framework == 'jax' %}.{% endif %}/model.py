"""The model: a network with one hidden layer, as functions of its parameters."""

import logging
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from .runtime.files import atomic_write

logger = logging.getLogger(__name__)

PIXELS = 64
MAX_PIXEL = 16
HIDDEN = 256
CLASSES = 10
DROPOUT = 0.25

Parameters = dict[str, Array]


def create(key: Array) -> Parameters:
    """Return the parameters of an untrained model."""
    hidden_key, output_key = jax.random.split(key)
    initialize = jax.nn.initializers.he_normal()
    return {
        "hidden/weights": initialize(hidden_key, (PIXELS, HIDDEN)),
        "hidden/bias": jnp.zeros(HIDDEN),
        "output/weights": initialize(output_key, (HIDDEN, CLASSES)),
        "output/bias": jnp.zeros(CLASSES),
    }


def logits(parameters: Parameters, images: Array, dropout_key: Array | None = None) -> Array:
    """Take rows of 64 pixel values from 0 to 16; with a key, for training, drop units at random."""
    hidden = images / MAX_PIXEL @ parameters["hidden/weights"] + parameters["hidden/bias"]
    hidden = jax.nn.relu(hidden)
    if dropout_key is not None:
        kept = jax.random.bernoulli(dropout_key, 1 - DROPOUT, hidden.shape)
        hidden = jnp.where(kept, hidden / (1 - DROPOUT), 0)
    return hidden @ parameters["output/weights"] + parameters["output/bias"]


@jax.jit
def _probabilities(parameters: Parameters, images: Array) -> Array:
    return jax.nn.softmax(logits(parameters, images))


def probabilities(parameters: Parameters, images: np.ndarray) -> np.ndarray:
    """Return one row of ten probabilities per image."""
    # JAX compiles each new shape: rounded up to a power of two, there are few of them.
    padding = (1 << (len(images) - 1).bit_length()) - len(images)
    padded = np.pad(images, ((0, padding), (0, 0)))
    return np.asarray(_probabilities(parameters, padded))[: len(images)]


def save(parameters: Parameters, path: Path) -> None:
    """Write the parameters to `path`, whole or not at all."""
    with atomic_write(path) as file:
        np.savez(file, **parameters)


def load(path: Path) -> Parameters:
    """Read the parameters. NumPy refuses pickles here, so the file cannot run code of its own."""
    logger.info("The model runs on %s.", jax.default_backend())
    with np.load(path, allow_pickle=False) as arrays:
        return {name: jnp.asarray(array) for name, array in arrays.items()}
