"""The data. `load` is the one function to replace with yours."""

import numpy as np
from sklearn.datasets import load_digits

from .runtime.examples import Data, split
from .runtime.reading import read
from .settings import TrainSettings


def load(settings: TrainSettings) -> Data:
    """Return the examples to learn from and to judge by.

    Replace it for data that `--data` cannot read: nothing else knows where examples come from. It
    is called once per run, and what it returns tells the run from runs on other data.
    """
    if settings.data:
        found = read(settings.data, settings.target, settings.image_size)
        return split(found.features, found.labels, found.columns, settings.data)
    # The example: 1797 handwritten digits of 8 x 8 pixels, which come with scikit-learn.
    digits = load_digits()
    return split(digits.images[..., np.newaxis], digits.target)
