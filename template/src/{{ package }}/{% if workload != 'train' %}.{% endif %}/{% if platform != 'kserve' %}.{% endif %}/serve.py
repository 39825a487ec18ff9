"""What a request holds, what is answered, and how the model's rows come between the two."""

from typing import Annotated

import numpy as np
from fastapi import APIRouter
from pydantic import BaseModel, Field

from .runtime.info import Info

router = APIRouter()  # for routes of your own

LARGEST = float(np.finfo(np.float32).max)
# strict: neither `true` nor "1" is a number.
Number = Annotated[float, Field(strict=True, ge=-LARGEST, le=LARGEST)]


class Interface:
    """What a model is asked and what it answers, as the `info` in its file says.

    `request_type` and `response_type` describe the API, and requests are parsed with the first.
    The server predicts `example` before it says that it is ready.
    """

    def __init__(self, info: Info) -> None:
        count = info.features
        order = ", ".join(info.columns) or f"an array of shape {info.shape}, the last axis fastest"
        size = Field(min_length=count, max_length=count, description=f"{count} numbers: {order}")
        Instance = Annotated[list[Number], size]
        Label = Annotated[str, Field(json_schema_extra={"enum": list(info.classes)})]

        class PredictRequest(BaseModel):
            """The examples to predict, each as a list of its numbers."""

            instances: Annotated[list[Instance], Field(min_length=1, max_length=256)]

        class Prediction(BaseModel):
            """The most likely class, and the probability of each in the order of `label`'s enum."""

            label: Label
            probabilities: list[float]

        class PredictResponse(BaseModel):
            """One prediction per instance, in the order of the request."""

            predictions: list[Prediction]

        mean = np.broadcast_to(info.mean, info.shape).ravel()
        example = [float(f"{value:.3g}") for value in mean]  # short in the description
        self.classes = info.classes
        self.request_type = PredictRequest
        self.response_type = PredictResponse
        self.example = PredictRequest(instances=[example])

    def to_rows(self, request: BaseModel) -> np.ndarray:
        """Return what the model takes: one row per instance.

        A ValueError is answered with 422 and its sentence.
        """
        return np.array(request.instances, dtype=np.float32)

    def to_response(self, probabilities: np.ndarray) -> BaseModel:
        """Return what is answered, from what the model says: one row per instance."""
        if np.isnan(probabilities).any():
            raise ArithmeticError("The model cannot compute with numbers of this size.")
        predictions = [
            {"label": self.classes[row.argmax()], "probabilities": row.tolist()}
            for row in probabilities
        ]
        return self.response_type(predictions=predictions)
