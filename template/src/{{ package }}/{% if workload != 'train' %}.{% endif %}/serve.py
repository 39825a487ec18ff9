"""What a request holds, what is answered, and how the model's rows come between the two.

A row is an image of 8 x 8 pixels, and the model answers it with ten probabilities.
"""

from typing import Annotated

import numpy as np
from fastapi import APIRouter
from pydantic import BaseModel, Field

router = APIRouter()  # for routes of your own

# strict: neither `true` nor "1" is a number.
Pixel = Annotated[float, Field(strict=True, ge=0, le=16)]
Image = Annotated[list[Pixel], Field(min_length=64, max_length=64)]


class PredictRequest(BaseModel):
    """Images of 8 x 8 pixels, row by row; a pixel goes from 0 (paper) to 16 (ink)."""

    instances: Annotated[list[Image], Field(min_length=1, max_length=256)]


class Prediction(BaseModel):
    """The most likely digit, and the probability of each."""

    label: int
    probabilities: list[float]


class PredictResponse(BaseModel):
    """One prediction per image, in the order of the request."""

    predictions: list[Prediction]


# The server predicts it before it says that it is ready; the description of the API shows it.
EXAMPLE = PredictRequest(instances=[[0.0] * 64])


def to_rows(request: PredictRequest) -> np.ndarray:
    """Return what the model takes: one row per instance.

    A ValueError is answered with 422 and its sentence.
    """
    return np.array(request.instances, dtype=np.float32)


def to_response(probabilities: np.ndarray) -> PredictResponse:
    """Return what is answered, from what the model says: one row per instance."""
    return PredictResponse(
        predictions=[
            Prediction(label=int(row.argmax()), probabilities=row.tolist()) for row in probabilities
        ]
    )
