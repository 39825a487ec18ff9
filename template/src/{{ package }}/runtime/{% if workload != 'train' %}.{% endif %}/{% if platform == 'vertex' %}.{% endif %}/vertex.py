"""Vertex AI copies a model to a bucket and tells the server where; nothing is mounted."""

import tempfile
from pathlib import Path


def is_remote(address: str) -> bool:
    """Is it an address in Cloud Storage?"""
    return address.startswith("gs://")


def fetch(address: str) -> Path:
    """Return the path of the file at `address`, after a download if it lies in Cloud Storage."""
    if not is_remote(address):
        return Path(address)
    from google.cloud import storage  # here, since a local model does without

    path = Path(tempfile.mkdtemp(), Path(address).name)
    storage.Blob.from_uri(address, client=storage.Client()).download_to_filename(str(path))
    return path
