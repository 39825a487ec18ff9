"""The model: a small convolutional network."""

import logging
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from .runtime.files import atomic_write

logger = logging.getLogger(__name__)

MAX_PIXEL = 16
CLASSES = 10


class DigitNet(nn.Module):
    """Takes rows of 64 pixel values from 0 to 16 and returns ten logits for each."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Unflatten(1, (1, 8, 8)),
            nn.Conv2d(1, 16, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.Conv2d(16, 32, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Dropout(0.25),
            nn.Linear(32 * 4 * 4, CLASSES),
        )

    def forward(self, images: Tensor) -> Tensor:
        return self.layers(images / MAX_PIXEL)


def pick_device() -> torch.device:
    """Return the best device that this machine has."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


@torch.inference_mode()
def probabilities(model: DigitNet, images: np.ndarray) -> np.ndarray:
    """Return one row of ten probabilities per image."""
    device = next(model.parameters()).device
    logits = model.eval()(torch.as_tensor(images, dtype=torch.float32, device=device))
    return logits.softmax(dim=1).cpu().numpy()


def save(model: DigitNet, path: Path) -> None:
    """Write the model's weights to `path`, whole or not at all."""
    with atomic_write(path) as file:
        torch.save(model.state_dict(), file)


def load(path: Path) -> DigitNet:
    """Read a model to the best device. weights_only keeps the file from running code of its own."""
    device = pick_device()
    logger.info("The model runs on %s.", device)
    model = DigitNet().to(device)
    model.load_state_dict(torch.load(path, map_location=device, weights_only=True))
    return model.eval()
