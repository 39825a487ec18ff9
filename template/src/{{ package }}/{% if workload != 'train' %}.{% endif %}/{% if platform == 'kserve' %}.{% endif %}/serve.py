"""Which tensors are asked and answered, and how the model's rows come between the two."""

import numpy as np
from fastapi import APIRouter

from .runtime.info import Info
from .runtime.open_inference import Tensor

router = APIRouter()  # for routes of your own


class Interface:
    """What a model is asked and what it answers, as the `info` in its file says.

    `inputs` and `outputs` describe the tensors; the first dimension of each counts the examples.
    The server predicts `example` before it says that it is ready.
    """

    def __init__(self, info: Info) -> None:
        self.inputs = (Tensor("input", "FP32", (-1, info.features)),)
        self.outputs = (
            Tensor("label", "BYTES", (-1,)),
            Tensor("probabilities", "FP32", (-1, len(info.classes))),
        )
        self.classes = np.array(info.classes, dtype=object)
        mean = np.broadcast_to(info.mean, info.shape)
        self.example = {"input": mean.reshape(1, -1).astype(np.float32)}

    def to_rows(self, inputs: dict[str, np.ndarray]) -> np.ndarray:
        """Return what the model takes: one row per example.

        A ValueError is answered with 422 and its sentence.
        """
        return inputs["input"]

    def to_outputs(self, probabilities: np.ndarray) -> dict[str, np.ndarray]:
        """Return what is answered, from what the model says: one row per example."""
        if np.isnan(probabilities).any():
            raise ArithmeticError("The model cannot compute with numbers of this size.")
        return {
            "label": self.classes[probabilities.argmax(axis=1)],
            "probabilities": probabilities,
        }
