"""The same model under BentoML, with one worker and no batches, its defaults."""

import os
from pathlib import Path

import bentoml
import numpy as np
from demo import model


@bentoml.service(workers=1)
class Predict:
    def __init__(self) -> None:
        self.loaded = model.load(next(Path(os.environ["OUTPUTS"]).glob("model.*")))

    @bentoml.api
    def predict(self, instances: list[list[float]]) -> list[dict]:
        probabilities = model.probabilities(self.loaded, np.array(instances, dtype=np.float32))
        labels = [self.loaded.info.classes[number] for number in probabilities.argmax(axis=1)]
        return [
            {"label": label, "probabilities": row.tolist()}
            for label, row in zip(labels, probabilities, strict=True)
        ]
