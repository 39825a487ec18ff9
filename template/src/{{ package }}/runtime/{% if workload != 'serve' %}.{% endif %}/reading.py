"""Examples from files: tables, arrays and folders of images."""

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, NoReturn

import numpy as np
import pandas as pd

from .identity import visible

TABLES = {".csv", ".tsv", ".parquet"}
IMAGES = {".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}
PARTS = {"train", "training", "test", "testing", "val", "valid", "validation"}
FLOAT32_MAX = np.finfo(np.float32).max
NOTHING = {"", "#N/A", "<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null"}


class Read(NamedTuple):
    """The features of all examples, the class of each, and the names of the features if known."""

    features: np.ndarray
    labels: np.ndarray
    columns: tuple[str, ...] = ()


def read(path: Path, target: str, image_size: int | None = None, gaps: bool = False) -> Read:
    """Read examples. What cannot be read ends the program with a sentence.

    Args:
        path: a table (.csv, .tsv, .parquet) or a folder of such tables; arrays (.npz, or a folder
            with .npy files) called `features` and like `target`; or a folder that has a folder
            of images for each class.
        target: the column, or the array, that has the class of each example.
        image_size: the height and width to bring images to; they have one size if it is None.
        gaps: may values of features be missing? They are NaN.
    """
    try:
        return _read(path, target, image_size, gaps)
    except OSError as error:
        _refuse(path, f"cannot be read: {error.strerror or error}")


def _read(path: Path, target: str, image_size: int | None, gaps: bool) -> Read:
    if path.is_file():
        if path.suffix.lower() in TABLES:
            return _table([path], target, gaps)
        if path.suffix.lower() == ".npz":
            return _arrays(path, lambda: dict(np.load(path, allow_pickle=False)), target, gaps)
        _refuse(path, f"is none of {', '.join(sorted({*TABLES, '.npz'}))}")
    if not path.is_dir():
        _refuse(path, "is neither a file nor a folder" if path.exists() else "does not exist")
    entries = (entry for entry in path.iterdir() if not entry.name.startswith("."))
    inside = sorted(entry for entry in entries if entry.is_file() or entry.is_dir())  # no pipe
    if tables := [entry for entry in inside if entry.suffix.lower() in TABLES]:
        if len(set(map(_part, tables))) > 1:
            _refuse_parts(path, tables)
        return _table(tables, target, gaps)
    if arrays := [entry for entry in inside if entry.suffix == ".npy"]:
        load = lambda: {a.stem: np.load(a, allow_pickle=False) for a in arrays}  # noqa: E731
        return _arrays(path, load, target, gaps)
    if folders := [entry for entry in inside if entry.is_dir()]:
        return _images(path, folders, image_size)
    _refuse(path, "has neither tables nor arrays nor a folder of images for each class")


def _table(paths: list[Path], target: str, gaps: bool) -> Read:
    table = pd.concat([_frame(path, target) for path in paths], ignore_index=True)
    path = paths[0] if len(paths) == 1 else paths[0].parent
    if target not in table:
        names = ", ".join(map(str, table.columns))
        _refuse(path, f"has no column {target}: say which to predict with --target ({names})")
    labels = table.pop(target)
    if table.empty:
        _refuse(path, f"has no example, or no column beside {target}")
    if any(str(name).startswith("Unnamed: ") for name in table):  # pandas calls them so
        _refuse(path, "has a column without a name, such as a row's number: name it or remove it")
    others = [name for name in table if not pd.api.types.is_numeric_dtype(table[name])]
    for name in others:  # nothing but gaps, or true and false with gaps, may be numbers
        filled = table[name].notna().any()
        table[name] = table[name].convert_dtypes() if filled else np.nan
    if texts := [name for name in others if not pd.api.types.is_numeric_dtype(table[name])]:
        example = table[texts[0]].dropna().iloc[0]
        _refuse(path, f"has columns that are no numbers, such as {texts[0]} ({example})")
    with np.errstate(over="ignore"):
        features = table.to_numpy(np.float32, na_value=np.nan)
    wrong = np.isinf(features) if gaps else ~np.isfinite(features)
    if wrong.any():
        values = "infinite values, or too large ones," if gaps else "missing or infinite values,"
        _refuse(path, f"has {values} in {', '.join(map(str, table.columns[wrong.any(axis=0)]))}")
    _require_classes(path, target, labels)
    return Read(
        features,
        _classes(path, target, labels.to_numpy()),
        tuple(map(str, table.columns)),
    )


def _require_classes(path: Path, target: str, labels: pd.Series) -> None:
    """Refuse missing labels. `NA` is one among numbers; among texts it is a class."""
    texts = labels.astype(object).where(labels.notna(), "").map(str)
    numbers = pd.to_numeric(texts, errors="coerce")
    others = set(texts[numbers.isna()])
    doubtful = others & NOTHING
    missing = doubtful if others <= NOTHING and numbers.notna().any() else doubtful & {""}
    if missing:
        named = ", ".join(sorted(missing - {""}))
        _refuse(path, f"has missing values in {target}{f' ({named})' if named else ''}")
    for name in sorted(doubtful):
        print(f"{path}: {name} in {target} is taken for a class.", file=sys.stderr)


def _frame(path: Path, target: str) -> pd.DataFrame:
    try:
        if path.suffix.lower() == ".parquet":
            return pd.read_parquet(path)
        with path.open(encoding="utf-8-sig") as file:
            head = file.readline()
        how = {"sep": max(",;\t", key=head.count), "encoding": "utf-8-sig"}
        table = pd.read_csv(path, **how)
        if not table.index.equals(pd.RangeIndex(len(table))):  # else the first column is the index
            _refuse(path, "has rows of more values than there are columns: name or remove them")
        if target in table and table[target].isna().any():  # or there is a class called None
            written = pd.read_csv(path, **how, usecols=[target], dtype=str, na_filter=False)
            table[target] = written[target].to_numpy()
        return table
    except ImportError:
        _refuse(path, "needs a package that reads Parquet: run `uv add pyarrow`")
    except (OSError, ValueError) as error:  # also what pandas and pyarrow raise
        _refuse(path, f"cannot be read: {str(error).splitlines()[0]}")


def _arrays(path: Path, load: Callable[[], dict[str, np.ndarray]], target: str, gaps: bool) -> Read:
    try:
        arrays = load()
    except Exception as error:  # NumPy raises many kinds, depending on what is damaged
        _refuse(path, f"cannot be read: {error}")
    if missing := {"features", target} - arrays.keys():
        names = ", ".join(sorted(arrays))
        _refuse(path, f"has no array {' and '.join(sorted(missing))}, but {names}")
    features, labels = arrays["features"], arrays[target]
    if features.ndim < 2 or labels.shape != features.shape[:1]:
        _refuse(path, f"has features of shape {features.shape} and labels of {labels.shape}")
    if not features.size:
        _refuse(path, f"has no examples, or no features: their shape is {features.shape}")
    if features.ndim == 3:  # grey images: one channel
        features = features[..., np.newaxis]
    unfit = features.dtype.kind not in "biuf" or (abs(features) > FLOAT32_MAX).any()
    if unfit or (not gaps and np.isnan(features).any()):
        _refuse(path, "has features that are no numbers, or too large ones for float32")
    return Read(features, _classes(path, target, labels))


def _images(path: Path, folders: list[Path], size: int | None) -> Read:
    _refuse_parts(path, folders)
    files = []
    for folder in folders:
        found = [file for file in sorted(visible(folder)) if file.suffix.lower() in IMAGES]
        if not found:
            _refuse(folder, f"has no images ({', '.join(sorted(IMAGES))})")
        files += [(file, folder.name) for file in found]
    try:
        from PIL import Image, ImageOps
    except ImportError:
        _refuse(path, "has images: run `uv add pillow` to read them")
    images = []
    for file, _ in files:
        try:
            with Image.open(file) as image:
                if image.mode[0] in "IF":  # Pillow would cut off what is above 255
                    _refuse(file, "has more than 8 bits per channel: load such images in data.py")
                grey = image.mode in {"1", "L", "LA"}
                image = ImageOps.exif_transpose(image).convert("L" if grey else "RGB")
        except Exception as error:  # Pillow raises many kinds, depending on what is damaged
            _refuse(file, f"cannot be read: {error}")
        images.append(image.resize((size, size)) if size else image)
    if len(sizes := sorted({image.size for image in images})) > 1:
        found = f"from {sizes[0]} to {sizes[-1]}"
        _refuse(path, f"has images of several sizes ({found}): say one with --image-size")
    if len({image.mode for image in images}) > 1:
        images = [image.convert("RGB") for image in images]
    features = np.stack([np.asarray(image) for image in images])
    if features.ndim == 3:
        features = features[..., np.newaxis]
    return Read(features, np.array([name for _, name in files]))


def _refuse_parts(path: Path, entries: list[Path]) -> None:
    if (parts := set(map(_part, entries))) <= PARTS:
        names = " and ".join(sorted(parts))
        _refuse(path, f"is split into {names} already: load these parts in data.py")


def _part(entry: Path) -> str:
    """Return `train` for train.csv and for train-00000-of-00002.parquet, a name of Hugging Face."""
    return re.sub(r"-\d+-of-\d+$", "", entry.stem.lower())


def _classes(path: Path, target: str, labels: np.ndarray) -> np.ndarray:
    """Return labels as texts or whole numbers."""
    if np.issubdtype(labels.dtype, np.floating):
        whole = (abs(labels) < 2**53) & (labels == labels.round())  # not beyond: floats have gaps
        if not whole.all():
            example = labels[~whole][0]
            _refuse(path, f"has values such as {example} in {target}, which are no classes")
        return labels.astype(np.int64)
    return labels if np.issubdtype(labels.dtype, np.integer) else labels.astype(str)


def _refuse(path: Path, why: str) -> NoReturn:
    sys.exit(f"{path} {why}.")
