"""The endpoint that everybody writes, with FastAPI."""

import os
from pathlib import Path

import numpy as np
from demo import model
from fastapi import FastAPI
from pydantic import BaseModel

app = FastAPI()
loaded = model.load(next(Path(os.environ["OUTPUTS"]).glob("model.*")))


class PredictRequest(BaseModel):
    instances: list[list[float]]


class PredictResponse(BaseModel):
    labels: list[str]
    probabilities: list[list[float]]


@app.post("/predict")
def predict(request: PredictRequest) -> PredictResponse:
    rows = np.array(request.instances, dtype=np.float32)
    probabilities = model.probabilities(loaded, rows)
    labels = [loaded.info.classes[number] for number in probabilities.argmax(axis=1)]
    return PredictResponse(labels=labels, probabilities=probabilities.tolist())
