"""The same model under LitServe, with one worker and no batches, its defaults."""

import os
import sys
from pathlib import Path

import litserve
import numpy as np
from demo import model


class Predict(litserve.LitAPI):
    def setup(self, device: str) -> None:
        self.loaded = model.load(next(Path(os.environ["OUTPUTS"]).glob("model.*")))

    def decode_request(self, request: dict) -> np.ndarray:
        return np.array(request["instances"], dtype=np.float32)

    def predict(self, rows: np.ndarray) -> np.ndarray:
        return model.probabilities(self.loaded, rows)

    def encode_response(self, output: np.ndarray) -> dict:
        labels = [self.loaded.info.classes[number] for number in output.argmax(axis=1)]
        return {"labels": labels, "probabilities": output.tolist()}


if __name__ == "__main__":
    server = litserve.LitServer(Predict(), accelerator="cpu", workers_per_device=1)
    server.run(port=int(sys.argv[1]), host="127.0.0.1", generate_client_file=False)
