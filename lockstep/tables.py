"""Data frames as the tables of studies: one table with a column of labels, and of parts if some are
given apart."""

from __future__ import annotations

from typing import Any

import numpy as np

from lockstep.arrays import as_labels
from search.errors import LockstepError

Frame = Any  # a pandas.DataFrame; pandas is imported late
_LABEL, _SPLIT = "label", "split"  # what columns are called that have no name yet


def is_frame(value: Any) -> bool:
    """Return whether a value is a data frame whose columns have names, of pandas or alike."""
    columns = getattr(value, "columns", None)
    return columns is not None and all(isinstance(name, str) for name in columns)


def as_frame(value: Any) -> Frame:
    """Return a data frame as one of pandas."""
    if hasattr(value, "to_pandas"):  # of Polars, PyArrow and others
        value = value.to_pandas()
    return value.reset_index(drop=True)


def joined(X: Frame, y: Any, others: dict[str, Any]) -> tuple[Frame, dict[str, str]]:
    """Return one table with labels, and the keys of [data] that explain its columns.

    y: the labels, or the name of their column in X. others: as in `Data`.

    Raises LockstepError if the parts do not fit together.
    """
    if "image_shape" in others:
        raise LockstepError("image_shape is for arrays, and X is a table: leave it out")
    frame, label = _labelled(X, y, "X")
    keys = {"label": label}
    for key in ("split", "groups"):
        if (value := others.get(key)) is not None:
            frame, keys[key] = _with_column(frame, value, key)
    apart = {"validation": "val", "test": "test"}
    parts = {part: short for part, short in apart.items() if others.get(f"X_{short}") is not None}
    if not parts:
        return frame, keys
    if "split" in keys:
        raise LockstepError("split and X_val or X_test are both given: give one of them")
    import pandas as pd

    tables = {"train": frame}
    for part, short in parts.items():
        if not is_frame(others[f"X_{short}"]):
            raise LockstepError(f"X_{short} must be a table with named columns, as X is")
        named = y if isinstance(y, str) else others.get(f"y_{short}")
        other, its = _labelled(as_frame(others[f"X_{short}"]), named, f"X_{short}")
        tables[part] = other.rename(columns={its: label})
        if set(tables[part].columns) != set(frame.columns):
            raise LockstepError(f"X and X_{short} must have the same columns")
    if "groups" in keys:
        raise LockstepError("groups and X_val or X_test are both given: say by split what is what")
    keys["split"] = _free(frame, _SPLIT)
    parted = [each.assign(**{keys["split"]: part}) for part, each in tables.items()]
    return pd.concat(parted, ignore_index=True), keys


def _labelled(frame: Frame, y: Any, name: str) -> tuple[Frame, str]:
    """Return a table with its labels, and the name of their column."""
    if isinstance(y, str):
        if y not in frame.columns:
            raise LockstepError(
                f"y = {y!r}: {name} has no such column; it has {', '.join(frame.columns[:20])}"
            )
        return frame, y
    given = getattr(y, "name", None)
    usable = isinstance(given, str) and given and given not in frame.columns
    column = str(given) if usable else _free(frame, _LABEL)
    return _with_values(frame, y, column, "y" if name == "X" else name.replace("X", "y"))


def _with_column(frame: Frame, value: Any, key: str) -> tuple[Frame, str]:
    """Return a table with a column for a purpose, and its name, which the value may be."""
    if isinstance(value, str):
        return frame, value
    return _with_values(frame, value, _free(frame, key), key)


def _with_values(frame: Frame, values: Any, column: str, name: str) -> tuple[Frame, str]:
    """Return a table with these values as a column. Raises LockstepError if they do not fit."""
    array = None if values is None else as_labels(values, name)
    if array is None or array.ndim not in (1, 2) or len(array) != len(frame):
        shape = "nothing" if array is None else f"the shape {np.shape(array)}"
        rows = f"{len(frame):,} rows"
        raise LockstepError(f"{name} must have a value for each of {rows}, not {shape}")
    if array.ndim == 2:
        if array.shape[1] != 1:
            raise LockstepError(f"{name} must be one column, not of the shape {array.shape}")
        array = array[:, 0]
    return frame.assign(**{column: array}), column


def _free(frame: Frame, name: str) -> str:
    """Return this name, or one like it that no column has."""
    while name in frame.columns:
        name += "_"
    return name
