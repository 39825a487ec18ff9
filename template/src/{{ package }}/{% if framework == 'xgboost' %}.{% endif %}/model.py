"""The model: trees that are boosted by their gradients."""

import hashlib
import json
import logging
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xgboost as xgb

from .runtime.files import atomic_write
from .runtime.info import Info

logger = logging.getLogger(__name__)

DIGEST_SIZE = hashlib.sha256().digest_size


@dataclass
class Model:
    """The trees, and what they have to know beside."""

    booster: xgb.Booster
    info: Info


def objective(info: Info) -> dict[str, Any]:
    """Return the parameters that make the trees predict probabilities of the classes."""
    if len(info.classes) == 2:
        return {"objective": "binary:logistic"}
    return {"objective": "multi:softprob", "num_class": len(info.classes)}


def pick_device(name: str = "auto") -> str:
    """Return the device of that name, or the best that this machine has.

    A device that is not there ends the program with a sentence.
    """
    wanted = "cuda" if name == "auto" else name
    examples = xgb.DMatrix(np.zeros((1, 1)))
    try:
        # XGBoost takes the CPU where there is no GPU, with a warning.
        with xgb.config_context(verbosity=0):
            config = json.loads(xgb.Booster({"device": wanted}, [examples]).save_config())
    except xgb.core.XGBoostError:
        sys.exit(f"--device {name} is none that XGBoost has: use cpu, cuda, cuda:1 or auto.")
    found = config["learner"]["generic_param"]["device"]
    if name != "auto" and not found.startswith(name):
        sys.exit(f"--device {name} cannot be used here: XGBoost has {found} only.")
    return found


def inputs(info: Info, rows: np.ndarray) -> np.ndarray:
    """Return what the trees take: rows as they are, since trees need no standardized ones."""
    return info.examples(rows).reshape(len(rows), -1)


def as_probabilities(predicted: np.ndarray) -> np.ndarray:
    """Return a row of probabilities, one per class, for each prediction of a booster."""
    if predicted.ndim == 1:  # of two classes, XGBoost says how likely the second is
        return np.stack([1 - predicted, predicted], axis=1)
    return predicted


def probabilities(model: Model, rows: np.ndarray) -> np.ndarray:
    """Return a row of probabilities, one per class, for each row of features."""
    return as_probabilities(model.booster.predict(xgb.DMatrix(inputs(model.info, rows))))


def save(model: Model, path: Path) -> None:
    """Write the model to `path`, whole or not at all.

    The format is XGBoost's own, UBJSON. The digest behind it, which XGBoost leaves unread, shows
    whether the file is damaged: XGBoost itself may crash on one that is.
    """
    model.booster.set_attr(info=json.dumps(model.info.to_dict()))
    content = bytes(model.booster.save_raw("ubj"))
    with atomic_write(path) as file:
        file.write(content + hashlib.sha256(content).digest())


def load(path: Path) -> Model:
    """Read a model to the best device. Its format holds data alone, and no code.

    Raises an error if the model cannot predict.
    """
    written = path.read_bytes()
    content = written[:-DIGEST_SIZE]
    if hashlib.sha256(content).digest() != written[-DIGEST_SIZE:]:
        raise ValueError(f"{path} is damaged, or not from `model.save`")
    device = pick_device()
    logger.info("The model runs on %s.", device)
    booster = xgb.Booster({"device": device}, model_file=bytearray(content))
    model = Model(booster, Info.from_dict(json.loads(booster.attr("info"))))
    model.info.require_predictions(probabilities(model, np.zeros((1, model.info.features))))
    return model
