"""Labels as people have them: integers, strings, bytes, booleans, whole floats, one-hot rows.

Notation: N examples, C classes.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import numpy.typing as npt

from core.datasets.dataset import DataError

Array = npt.NDArray[Any]

LABEL_LENGTH = 200
MANY = 20  # Floats with more values than this, most of them rare, are no classes.
_INTEGER = re.compile(r"[+-]?(0|[1-9]\d{0,17})")
_NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*")


def read_labels(y: Array, n: int, where: str, like: str) -> Array:
    """Return the labels of n examples as integers or strings, (n,).

    y: (n,) or (n, 1): integers, strings, bytes in UTF-8, booleans (which become "False" and
    "True") or whole floats; or (n, C): one 1 in each row, the others 0, which is class 0 to C - 1.
    where, like: what labels and examples are called in a message.

    Raises DataError if they are something else, are missing, look like numbers to be predicted, or
    cannot be printed.
    """
    given = f"{y.dtype} {y.shape}"
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    elif y.ndim == 2 and len(y) == n and y.dtype.kind in "iufb":
        y = _from_one_hot(y, where)
    if y.dtype.kind == "S":
        try:
            y = np.char.decode(y, "utf-8")
        except UnicodeDecodeError as error:
            raise DataError(f"{where} has bytes that are not UTF-8.") from error
    elif y.dtype.kind == "b":
        y = y.astype(str)
    if y.shape != (n,) or y.dtype.kind not in "iufU":
        raise DataError(f"{where} must be {n} integers or strings like {like}, not {given}.")
    if y.dtype.kind == "f":
        y = _from_floats(y, where)
    if y.dtype.kind == "U":
        _check_none_missing(y, where)
    labels = map(str, np.unique(y))
    if odd := [label for label in labels if not label.isprintable() or len(label) > LABEL_LENGTH]:
        raise DataError(
            f"{where} has the label {odd[0][:20]!r}: labels must be printable and of "
            f"{LABEL_LENGTH} characters at most."
        )
    return y


def read_text_labels(y: Array, where: str) -> Array:
    """Return labels that were read as text, (N,): as integers if all are whole numbers.

    A text such as "07" is no number. Raises DataError as `read_labels` does.
    """
    texts = np.unique(y).tolist()
    _check_none_missing(y, where)
    if all(_INTEGER.fullmatch(text) for text in texts):
        y = y.astype(np.int64)
    elif all(_NUMBER.fullmatch(text) for text in texts) and any(
        set(text) & set(".eE") for text in texts
    ):
        y = y.astype(np.float64)
    return read_labels(y, len(y), where, "the rows")


def _check_none_missing(y: Array, where: str) -> None:
    """Raise DataError if a text among the labels, (N,), stands for none."""
    missing = np.isin(y, [text for text in np.unique(y) if text.strip() in ("", "nan", "NaN")])
    if missing.any():
        first = int(missing.argmax())
        raise DataError(
            f"{where} has no label ({str(y[first])!r}) in {missing.sum():,} of {len(y):,} rows, "
            f"first in row {first + 1}: leave these rows out, or label them."
        )


def _from_one_hot(y: Array, where: str) -> Array:
    """Return the class of each row, (N,). Raises DataError if a row has not one 1 among zeros."""
    ones = y == 1
    wrong = (ones.sum(axis=1) != 1) | ~(ones | (y == 0)).all(axis=1)
    if wrong.any():
        row = int(wrong.argmax())
        raise DataError(
            f"{where} of the shape {y.shape} must have one 1 in each row and zeros beside it, and "
            f"row {row + 1} is {np.array2string(y[row], threshold=6)[:60]}: save one label a row."
        )
    return np.asarray(ones.argmax(axis=1))


def _from_floats(y: Array, where: str) -> Array:
    """Return whole floats as integers. Raises DataError if some are missing or are no classes."""
    missing = np.isnan(y)
    if missing.any():
        raise DataError(
            f"{where} has no label (NaN) in {missing.sum():,} of {len(y):,} rows, first in row "
            f"{int(missing.argmax()) + 1}: leave these rows out, or label them."
        )
    values = np.unique(y)
    whole = np.isfinite(values) & (np.abs(values) < 2**53) & (values == np.rint(values))
    if len(values) > MANY and (not whole.all() or 5 * len(values) > len(y)):
        shown = ", ".join(f"{value:g}" for value in values[:3])
        raise DataError(
            f"{where} has {len(values):,} different numbers ({shown}, …): this looks like "
            "regression, and Lockstep tells classes apart: give a column of classes."
        )
    if not whole.all():
        raise DataError(
            f"{where} has the label {values[~whole][0]:g}: floats must be whole numbers; save "
            "integers or strings."
        )
    return y.astype(np.int64)
