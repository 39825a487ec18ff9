"""The same model under BentoML: one worker, and batches where `BATCH` is set."""

import os
from pathlib import Path

import bentoml
import numpy as np
from demo import model

BATCH = int(os.environ.get("BATCH", "1"))


@bentoml.service(workers=1)
class Predict:
    def __init__(self) -> None:
        self.loaded = model.load(next(Path(os.environ["OUTPUTS"]).glob("model.*")))

    @bentoml.api(batchable=BATCH > 1, max_batch_size=max(BATCH, 2), max_latency_ms=10_000)
    def predict(self, instances: list[list[float]]) -> list[dict]:
        probabilities = model.probabilities(self.loaded, np.array(instances, dtype=np.float32))
        labels = [self.loaded.info.classes[number] for number in probabilities.argmax(axis=1)]
        return [
            {"label": label, "probabilities": row.tolist()}
            for label, row in zip(labels, probabilities, strict=True)
        ]
