"""Examples to learn from: features and labels, in three parts."""

import hashlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .identity import visible
from .info import Info
from .run_settings import RunSettings


class Examples(NamedTuple):
    """Features, float32 and one row or image per example, and the index of each one's class."""

    features: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True)
class Data:
    """What `data.load` returns."""

    train: Examples
    validation: Examples
    """To choose the best checkpoint by."""
    test: Examples
    """To judge the finished model by: nothing is chosen by it."""
    classes: tuple[str, ...]
    columns: tuple[str, ...] = ()
    """The names of the features, if they have names."""
    path: Path | None = None
    """Where it was read, if it is a file or a folder."""

    def info(self, settings: RunSettings) -> Info:
        """Return what the model has to know. Mean and scale are those of the training part alone.

        A feature that never changes has the scale 1. Missing values do not count; a feature that
        has no value has the mean 0.
        """
        features = self.train.features
        axes = tuple(range(features.ndim - 1))  # all but the columns, or the channels
        gaps = np.isnan(features)
        # NumPy warns of a mean of nothing, so a feature without a value is counted, as NaN.
        counted = ~gaps | gaps.all(axis=axes) if gaps.any() else True
        mean = np.nan_to_num(features.mean(axis=axes, dtype=np.float64, where=counted))
        scale = features.std(axis=axes, dtype=np.float64, where=counted)
        return Info(
            shape=features.shape[1:],
            classes=self.classes,
            mean=tuple(mean.tolist()),
            scale=tuple(np.where(scale > 0, scale, 1).tolist()),
            columns=self.columns,
            settings=settings.model_dump(mode="json"),
        )

    def fingerprint(self) -> dict[str, Any]:
        """Return what tells this data from other data: names, sizes and a digest, as JSON."""
        digest = hashlib.sha256(repr((self.classes, self.columns)).encode())
        parts = (self.train, self.validation, self.test)
        for array in (array for part in parts for array in part):
            digest.update(repr((array.shape, array.dtype)).encode())
            digest.update(np.ascontiguousarray(array))
        return {
            "files": _sizes(self.path) if self.path else {},
            "examples": [len(part.labels) for part in parts],
            "digest": digest.hexdigest(),
        }


def split(
    features: np.ndarray,
    labels: Sequence[Any] | np.ndarray,
    columns: Sequence[str] = (),
    path: Path | None = None,
    validation: float = 0.15,
    test: float = 0.15,
) -> Data:
    """Split examples into three parts, the same way every time, with the classes' shares in each.

    Args:
        features: one row or image per example.
        labels: the class of each, a text or a whole number.
        columns: the names of the features.
        path: where the examples were read.
        validation: the share of that part.
        test: the share of that part.

    Returns:
        The parts. A class of one example is in the training part.
    """
    classes, labels = np.unique(np.asarray(labels), return_inverse=True)
    names = tuple(map(str, classes.tolist()))
    if not names:
        sys.exit(f"{path or 'The data'} has no examples.")
    if len(names) < 2:
        sys.exit(f"{path or 'The data'} has examples of one class only: {', '.join(names)}.")
    if len(names) == len(labels) > 2:
        sys.exit(f"{path or 'The data'} has another class for each of its {len(labels)} examples.")
    shuffled = np.random.default_rng(0).permutation(len(labels))
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    counts = np.bincount(labels)
    # Each example's place within its class, from just above 0 to 1: the first go to the test.
    places = np.concatenate([np.arange(1, count + 1) / count for count in counts])
    order = by_class[np.argsort(places, kind="stable")]
    tests, validations = round(len(order) * test), round(len(order) * validation)
    parts = np.split(order, [tests, tests + validations])
    if not all(map(len, parts)):
        sys.exit(f"{path or 'The data'} has {len(order)} examples: too few to learn and to judge.")
    test_part, validation_part, train_part = (
        Examples(features[part].astype(np.float32), labels[part].astype(np.int64)) for part in parts
    )
    return Data(train_part, validation_part, test_part, names, tuple(columns), path)


def _sizes(path: Path) -> dict[str, int]:
    """Return the size of each file in bytes, by its name."""
    if path.is_file():
        return {path.name: path.stat().st_size}
    files = sorted(visible(path))
    return {file.relative_to(path).as_posix(): file.stat().st_size for file in files}
