"""The same model under LitServe: one worker, and batches of up to `BATCH`."""

import os
import sys
from pathlib import Path

import litserve
import numpy as np
from demo import model

BATCH = int(os.environ.get("BATCH", "1"))


class Predict(litserve.LitAPI):
    def setup(self, device: str) -> None:
        self.loaded = model.load(next(Path(os.environ["OUTPUTS"]).glob("model.*")))

    def decode_request(self, request: dict) -> np.ndarray:
        return np.array(request["instances"], dtype=np.float32)

    def batch(self, inputs: list[np.ndarray]) -> np.ndarray:
        return np.concatenate(inputs)

    def unbatch(self, output: np.ndarray) -> list[np.ndarray]:
        return list(output[:, np.newaxis])

    def predict(self, rows: np.ndarray) -> np.ndarray:
        return model.probabilities(self.loaded, rows)

    def encode_response(self, output: np.ndarray) -> dict:
        labels = [self.loaded.info.classes[number] for number in output.argmax(axis=1)]
        return {"labels": labels, "probabilities": output.tolist()}


if __name__ == "__main__":
    api = Predict(max_batch_size=BATCH, batch_timeout=0.002)
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=1)
    server.run(port=int(sys.argv[1]), host="127.0.0.1", generate_client_file=False)
