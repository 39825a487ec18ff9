"""The model: a small network, convolutional for images and dense for rows of a table."""

import logging
import sys
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from .runtime.files import atomic_write
from .runtime.info import Info

logger = logging.getLogger(__name__)


class Network(nn.Module):
    """Takes examples of the shape that `info` says and returns logits, one per class, for each."""

    def __init__(self, info: Info) -> None:
        super().__init__()
        self.info = info
        # Buffers go to the device with the network, and are saved with its weights.
        self.register_buffer("mean", torch.tensor(info.mean))
        self.register_buffer("scale", torch.tensor(info.scale))
        self.layers = convolutional(info) if len(info.shape) == 3 else dense(info)

    def forward(self, examples: Tensor) -> Tensor:
        return self.layers((examples - self.mean) / self.scale)


def convolutional(info: Info) -> nn.Module:
    """Return layers for images whose channels come last."""
    layers = nn.Sequential(
        ChannelsFirst(),
        nn.Conv2d(info.shape[-1], 16, kernel_size=3, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 32, kernel_size=3, padding=1),
        nn.ReLU(),
        MaxPool(4),
        nn.Flatten(),
        nn.Dropout(0.25),
        nn.Linear(32 * 4 * 4, len(info.classes)),
    )
    # As the images lie in memory, for they come with their channels last.
    return layers.to(memory_format=torch.channels_last)


class ChannelsFirst(nn.Module):
    """Brings images to the order of axes that PyTorch's layers take."""

    def forward(self, images: Tensor) -> Tensor:
        return images.movedim(-1, 1)


class MaxPool(nn.Module):
    """Divides images into `parts` by `parts` ones, and returns the largest value of each.

    As nn.AdaptiveMaxPool2d does, which has no deterministic training on a GPU:
    https://docs.pytorch.org/docs/stable/generated/torch.use_deterministic_algorithms.html
    """

    def __init__(self, parts: int) -> None:
        super().__init__()
        self.parts = parts

    def forward(self, images: Tensor) -> Tensor:
        for axis in (-2, -1):
            if images.shape[axis] % self.parts:
                lines = overlapping(images.shape[axis], self.parts)
                images = images.index_select(axis, torch.tensor(lines, device=images.device))
        return nn.functional.max_pool2d(images, [size // self.parts for size in images.shape[-2:]])


def overlapping(size: int, parts: int) -> list[int]:
    """Return the lines of one part after the other, where neighbours share some.

    All are as long as the longest: a shorter one repeats its last line.
    """
    ranges = [range(i * size // parts, -(-(i + 1) * size // parts)) for i in range(parts)]
    length = max(map(len, ranges))
    return [lines[min(i, len(lines) - 1)] for lines in ranges for i in range(length)]


def dense(info: Info) -> nn.Module:
    """Return layers for rows of features."""
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(info.features, 256),
        nn.ReLU(),
        nn.Dropout(0.25),
        nn.Linear(256, len(info.classes)),
    )


def pick_device(name: str = "auto") -> torch.device:
    """Return the device of that name, or the best that this machine has.

    A device that is not there ends the program with a sentence.
    """
    if name == "auto":
        has_mps = torch.backends.mps.is_available()
        name = "cuda" if torch.cuda.is_available() else "mps" if has_mps else "cpu"
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (AssertionError, RuntimeError) as error:  # the first where PyTorch is built without CUDA
        sys.exit(f"--device {name} cannot be used here: {str(error).splitlines()[0]}")
    return device


@torch.inference_mode()
def probabilities(model: Network, rows: np.ndarray) -> np.ndarray:
    """Return a row of probabilities, one per class, for each row of features."""
    examples = torch.from_numpy(model.info.examples(rows)).to(model.mean.device)
    return model.eval()(examples).softmax(dim=1).cpu().numpy()


def save(model: Network, path: Path) -> None:
    """Write the model to `path`, whole or not at all."""
    with atomic_write(path) as file:
        torch.save({"info": model.info.to_dict(), "weights": model.state_dict()}, file)


def load(path: Path) -> Network:
    """Read a model to the best device. weights_only keeps the file from running code of its own.

    Raises an error if the model cannot predict.
    """
    device = pick_device()
    logger.info("The model runs on %s.", device)
    saved = torch.load(path, map_location=device, weights_only=True)
    model = Network(Info.from_dict(saved["info"])).to(device)
    model.load_state_dict(saved["weights"])
    model.info.require_predictions(probabilities(model, np.zeros((1, model.info.features))))
    return model.eval()
