"""Tensors in binary: what follows the JSON of a request or an answer.

https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_binary_data.md
"""

from collections.abc import Iterator

import numpy as np


def to_array(data: memoryview, kind: type, gaps: bool = False) -> np.ndarray:
    """Return the elements in one row: numbers, or texts where `kind` is object.

    NaN is an element if there may be gaps.

    Raises:
        ValueError: says what there is among the data that is no such element.
    """
    if kind is np.object_:
        return np.array(list(_texts(data)), dtype=object)
    little = np.dtype(kind).newbyteorder("<")
    if len(data) % little.itemsize:
        raise ValueError(f"{len(data)} bytes, which is no multiple of {little.itemsize}")
    if kind is np.bool_ and (np.frombuffer(data, np.uint8) > 1).any():
        raise ValueError("a byte that is neither 0 nor 1")
    # Copied, since what lies in the body is not aligned, and a model may write to its rows.
    array = np.frombuffer(data, little).astype(kind)
    if array.dtype.kind == "f" and (np.isinf(array) if gaps else ~np.isfinite(array)).any():
        raise ValueError("a value that is no finite number")
    return array


def to_bytes(array: np.ndarray, kind: type) -> bytes:
    """Return the elements one after the other, row by row."""
    if kind is not np.object_:
        return array.astype(np.dtype(kind).newbyteorder("<")).tobytes()
    texts = [
        text if isinstance(text, bytes) else str(text).encode() for text in array.ravel().tolist()
    ]
    return b"".join(len(text).to_bytes(4, "little") + text for text in texts)


def _texts(data: memoryview) -> Iterator[str]:
    start = 0
    while start < len(data):
        begin = start + 4
        end = begin + int.from_bytes(data[start:begin], "little")
        if end > len(data):
            raise ValueError("an element that ends after its data")
        try:
            yield str(data[begin:end], "utf-8")
        except UnicodeDecodeError:
            raise ValueError("an element that is no UTF-8") from None
        start = end
