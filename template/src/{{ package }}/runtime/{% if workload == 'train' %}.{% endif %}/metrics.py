"""Metrics for people and programs to read: one JSON object a line, on standard output."""

import json
import sys

from tqdm import tqdm


def report(**metrics: float | str) -> None:
    """Print the metrics as one line."""
    tqdm.write(json.dumps(metrics))  # print() would tear the progress bar
    sys.stdout.flush()
