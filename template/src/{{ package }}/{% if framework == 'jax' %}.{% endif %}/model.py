"""The model: a network with one hidden layer, as functions of its parameters."""

import json
import logging
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from .runtime.files import atomic_write
from .runtime.info import Info

logger = logging.getLogger(__name__)

HIDDEN = 256
DROPOUT = 0.25

Parameters = dict[str, Array]


class Model(NamedTuple):
    """The parameters, and what the model has to know beside them."""

    parameters: Parameters
    info: Info


def create(info: Info, key: Array) -> Parameters:
    """Return the parameters of an untrained model."""
    hidden_key, output_key = jax.random.split(key)
    initialize = jax.nn.initializers.he_normal()
    classes = len(info.classes)
    return {
        "hidden/weights": initialize(hidden_key, (info.features, HIDDEN)),
        "hidden/bias": jnp.zeros(HIDDEN),
        "output/weights": initialize(output_key, (HIDDEN, classes)),
        "output/bias": jnp.zeros(classes),
    }


def inputs(info: Info, rows: np.ndarray) -> np.ndarray:
    """Return what the network takes: standardized rows, for training and prediction alike."""
    return info.standardize(info.examples(rows)).reshape(len(rows), -1)


def logits(parameters: Parameters, inputs: Array, dropout_key: Array | None = None) -> Array:
    """Return logits, one per class; with a key, for training, drop units at random."""
    hidden = inputs @ parameters["hidden/weights"] + parameters["hidden/bias"]
    hidden = jax.nn.relu(hidden)
    if dropout_key is not None:
        kept = jax.random.bernoulli(dropout_key, 1 - DROPOUT, hidden.shape)
        hidden = jnp.where(kept, hidden / (1 - DROPOUT), 0)
    return hidden @ parameters["output/weights"] + parameters["output/bias"]


@jax.jit
def _probabilities(parameters: Parameters, inputs: Array) -> Array:
    return jax.nn.softmax(logits(parameters, inputs))


def probabilities(model: Model, rows: np.ndarray) -> np.ndarray:
    """Return a row of probabilities, one per class, for each row of features."""
    # JAX compiles each new shape: rounded up to a power of two, there are few of them.
    padding = (1 << (len(rows) - 1).bit_length()) - len(rows)
    padded = np.pad(inputs(model.info, rows), ((0, padding), (0, 0)))
    return np.asarray(_probabilities(model.parameters, padded))[: len(rows)]


def save(model: Model, path: Path) -> None:
    """Write the model to `path`, whole or not at all."""
    info = json.dumps(model.info.to_dict())
    with atomic_write(path) as file:
        np.savez(file, info=info, **model.parameters)


def load(path: Path) -> Model:
    """Read a model. NumPy refuses pickles here, so the file cannot run code of its own.

    Raises an error if the model cannot predict.
    """
    logger.info("The model runs on %s.", jax.default_backend())
    with np.load(path, allow_pickle=False) as arrays:
        parameters = {name: jnp.asarray(arrays[name]) for name in arrays if name != "info"}
        model = Model(parameters, Info.from_dict(json.loads(arrays["info"].item())))
    model.info.require_predictions(probabilities(model, np.zeros((1, model.info.features))))
    return model
