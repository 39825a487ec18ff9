"""The data: 1797 handwritten digits of 8 x 8 pixels, which scikit-learn ships with itself."""

from typing import NamedTuple

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split


class Digits(NamedTuple):
    """Images, one row of 64 pixel values from 0 to 16 each, and the digit that each one shows."""

    images: np.ndarray
    labels: np.ndarray


def load() -> tuple[Digits, Digits]:
    """Return the training digits and the test digits, split the same way every time."""
    images, labels = load_digits(return_X_y=True)
    train_images, test_images, train_labels, test_labels = train_test_split(
        images.astype(np.float32), labels, test_size=0.25, random_state=0, stratify=labels
    )
    return Digits(train_images, train_labels), Digits(test_images, test_labels)
