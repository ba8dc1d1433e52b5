"""Arrays of numbers and of labels, made of what a user gives as such."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from search.errors import LockstepError

Array = npt.NDArray[Any]

_MISSING = ("None", "<NA>", "NaT", "NaN")


def as_array(value: Any, name: str) -> Array:
    """Return numbers as an array. Raises LockstepError if they are none."""
    if hasattr(value, "toarray"):
        raise LockstepError(f"{name} is a sparse matrix: give {name}.toarray()")
    array = np.asarray(value)
    if array.dtype == object:
        try:
            return array.astype(np.float64)
        except (TypeError, ValueError):
            raise LockstepError(
                f"{name} must be an array of numbers, but holds Python objects"
            ) from None
    return array


def as_labels(value: Any, name: str) -> Array:
    """Return labels as an array of numbers or texts, "nan" where there is none.

    Raises LockstepError if they are no list or array.
    """
    array = np.asarray(value)
    if array.dtype != object:
        return array
    if array.ndim == 0:
        raise LockstepError(f"{name} must be a list or an array, not {type(value).__name__}")
    kinds = {type(each) for each in array.ravel().tolist()}
    if kinds <= {int, bool} or kinds <= {int, float}:
        return np.array(array.tolist())
    texts = [str(each) for each in array.ravel().tolist()]
    return np.array(["nan" if each in _MISSING else each for each in texts]).reshape(array.shape)
