"""The data that a study in Python is given: arrays and tables become files beside the study file,
so that the command line can go on with them.

Such a file is named by its content. So no file is ever changed that a study may need, and the study
file says by its name alone whether the data is still the same.

Notation: N examples, D features.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from lockstep.arrays import Array, as_array, as_labels
from lockstep.tables import as_frame, is_frame, joined
from search.errors import LockstepError

PARTS = ("val", "test")  # the parts beside train that may be given apart
PREFIX = "data-"  # of the names of the files that are written
OWN_DATA = PREFIX + r"[0-9a-f]{12}\.(?:npz|npy|parquet)"  # which these names match
_DIGITS = 12  # of a digest in a name


@dataclass(frozen=True, slots=True)
class Data:
    """What a user gives as data.

    X: an array (N, D) or of images, a table, the name of a data set or file, or a table of names to
        arrays or files: several sets of features of the same examples.
    y: the labels (N,), the column of a table, or the .npy file that has them.
    others: X_val, y_val, X_test, y_test, split, groups and image_shape, as far as they are given.
    """

    X: Any
    y: Any
    others: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Files:
    """The data as a study file names it.

    keys: of the table [data]. write: for each file that is to be written into the study's folder,
    by its name, what writes it to a path; it has the same content whenever it has the same name.
    """

    keys: dict[str, Any]
    write: dict[str, Callable[[Path], object]] = field(default_factory=dict)


def files_of(data: Data, folder: Path) -> Files:
    """Return the files of what a user gives. folder: that of the study file.

    Raises LockstepError if something is given that cannot be data.
    """
    if isinstance(data.X, str | Path):
        return _of_file(data, folder)
    if data.y is None:
        raise LockstepError(
            "y is missing: give the labels of X, one for each row, or the name of their column"
        )
    if isinstance(data.X, Mapping):
        return _of_sets(data, folder)
    if is_frame(data.X):
        return _of_frame(data)
    return _of_arrays(data)


def stand_in_for(data: Data) -> dict[str, Any]:
    """Return keys of [data] like those that the data will have, without looking at its values."""
    others: dict[str, Any] = {
        key: f"{key}.npy" for key in ("split", "groups") if key in data.others
    }
    if isinstance(data.X, str | Path):
        return _of_file(data, Path()).keys
    if isinstance(data.X, Mapping):
        features = {str(name): f"{place}.npy" for place, name in enumerate(data.X)}
        return {"features": features, "labels": "y.npy", **others}
    if is_frame(data.X):
        return {"source": "data.parquet", "label": "label", **others}
    return {"source": "data.npz", **others}


def _of_file(data: Data, folder: Path) -> Files:
    """Return a file or known data set as the study file is to name it."""
    from core.datasets.source import suffix_of
    from core.datasets.tables import SUFFIXES

    name = str(data.X)
    keys = {"source": seen_from(folder, name)}
    named = {"label" if suffix_of(name) in SUFFIXES else "labels": data.y, **data.others}
    for key, value in named.items():
        if value is None:
            continue
        if not isinstance(value, str | Path):
            raise LockstepError(
                f"{key if key in data.others else 'y'} is an array, and X is {name!r}: give the "
                "name of a column or file, or X as an array, too"
            )
        of_array = suffix_of(name) == ".npy"
        keys[key] = seen_from(folder, str(value)) if of_array else str(value)
    return Files(keys)


def seen_from(folder: Path, name: str) -> str:
    """Return the path of a file as it is seen from a folder, unless it is absolute or no file."""
    path = Path(name).expanduser()
    if path.is_absolute() or not path.suffix:
        return name
    return Path(os.path.relpath(path.absolute(), folder.absolute())).as_posix()


def _of_arrays(data: Data) -> Files:
    """Return the .npz file of arrays."""
    arrays = {"X": as_array(data.X, "X"), "y": as_labels(data.y, "y")}
    for name, value in data.others.items():
        is_text = name[0] == "y" or name in ("split", "groups")
        arrays[name] = (as_labels if is_text else as_array)(value, name)
    keys: dict[str, Any] = {key: key for key in ("split", "groups") if key in arrays}
    file = f"{PREFIX}{_digest(arrays)}.npz"

    def write(path: Path) -> None:
        with path.open("wb") as stream:
            np.savez(stream, allow_pickle=False, **arrays)

    return Files({"source": file, **keys}, {file: write})


def _of_sets(data: Data, folder: Path) -> Files:
    """Return the .npy files of several sets of features."""
    if unfit := [name for name in data.others if name not in ("split", "groups")]:
        raise LockstepError(
            f"{unfit[0]} is for one set of features, and X has several: say by split which rows "
            "are for train, validation and test"
        )
    write: dict[str, Callable[[Path], object]] = {}

    def named(value: Any, name: str, convert: Callable[[Any, str], Array]) -> str:
        if isinstance(value, str | Path):
            return seen_from(folder, str(value))
        array = convert(value, name)
        file = f"{PREFIX}{_digest({name: array})}.npy"
        write[file] = lambda path: _save(path, array)
        return file

    features = {str(name): named(X, f"X[{name!r}]", as_array) for name, X in data.X.items()}
    keys = {"features": features, "labels": named(data.y, "y", as_labels)}
    for name, value in data.others.items():
        keys[name] = named(value, name, as_labels)
    return Files(keys, write)


def _save(path: Path, array: Array) -> None:
    """Write an .npy file, row after row."""
    with path.open("wb") as stream:
        np.save(stream, np.ascontiguousarray(array), allow_pickle=False)


def _of_frame(data: Data) -> Files:
    """Return the .parquet file of a table."""
    frame, keys = joined(as_frame(data.X), data.y, data.others)
    columns = {str(name): np.asarray(frame[name]) for name in frame.columns}
    file = f"{PREFIX}{_digest(columns)}.parquet"

    def write(path: Path) -> None:
        frame.to_parquet(path, index=False)

    return Files({"source": file, **keys}, {file: write})


def _digest(arrays: Mapping[str, Array]) -> str:
    """Return the first digits of the SHA-256 of arrays with their names, types and shapes."""
    sha256 = hashlib.sha256()
    for name, array in arrays.items():
        plain = array
        if array.dtype == object:  # texts and missing values in the column of a table
            plain = np.frombuffer(json.dumps(array.tolist(), default=str).encode(), np.uint8)
        sha256.update(json.dumps([name, array.dtype.str, array.shape]).encode())
        sha256.update(np.ascontiguousarray(plain).reshape(-1).view(np.uint8).data)
    return sha256.hexdigest()[:_DIGITS]
