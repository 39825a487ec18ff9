"""What a model has to know beside its weights. It travels in the model's file."""

import math
from dataclasses import asdict, dataclass, field
from typing import Any, Self

import numpy as np


@dataclass(frozen=True)
class Info:
    """The examples that a model takes, and the classes that it tells apart."""

    shape: tuple[int, ...]
    """Of one example: (features,) for a row of a table, (height, width, channels) for an image."""
    classes: tuple[str, ...]
    """Their names, in the order of the probabilities."""
    mean: tuple[float, ...]
    """Of each feature of a table, or of each channel of an image, in the training data."""
    scale: tuple[float, ...]
    """The standard deviations, which go with `mean`."""
    columns: tuple[str, ...] = ()
    """The names of the features, if they have names."""
    settings: dict[str, Any] = field(default_factory=dict)
    """Of the run that trained the model."""

    @property
    def features(self) -> int:
        """How many numbers one example has."""
        return math.prod(self.shape)

    def to_dict(self) -> dict[str, Any]:
        """Return what `from_dict` takes: names, numbers, lists and dictionaries, as in JSON."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in asdict(self).items()
        }

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Self:
        """Return what `to_dict` wrote down."""
        return cls(**{name: tuple(v) if isinstance(v, list) else v for name, v in content.items()})

    def examples(self, rows: np.ndarray) -> np.ndarray:
        """Return rows of numbers, each the features of one example, in the shape of examples."""
        return np.asarray(rows, np.float32).reshape(-1, *self.shape)

    def standardize(self, examples: np.ndarray) -> np.ndarray:
        """Bring examples to the mean 0 and the deviation 1 that the training data has."""
        return (examples - np.float32(self.mean)) / np.float32(self.scale)

    def require_predictions(self, probabilities: np.ndarray) -> None:
        """Raise ValueError unless there are probabilities of these classes, a row per example."""
        if probabilities.ndim != 2 or probabilities.shape[1] != len(self.classes):
            shape, classes = probabilities.shape, len(self.classes)
            raise ValueError(f"the model predicts {shape} for {classes} classes")
        if not np.allclose(probabilities.sum(axis=1), 1, atol=0.01):  # false for NaN, too
            raise ValueError("the model predicts no probabilities")
