"""Scaling of rows of features by statistics that are known (see `scaled.py` for those of a part).

Notation: n rows, D features.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.float32]
Statistics = npt.NDArray[np.float64]

_CHUNK = 1 << 20  # values that are held as float64 at a time


class Scale(StrEnum):
    """What is done to the features.

    NONE: nothing. STANDARD: each feature has the mean 0 and the standard deviation 1 on the
    training part. L2: each example has the Euclidean length 1, unless it is zero.
    """

    NONE = "none"
    STANDARD = "standard"
    L2 = "l2"


@dataclass(frozen=True, slots=True)
class Scaling:
    """A scale with its statistics, as it is applied to raw features and kept in a model.

    mean, deviation: (D,) float64, of `Scale.STANDARD` only, otherwise (0,). A feature that is
    constant has its value as mean and 1 as deviation, so that it becomes zero.
    """

    scale: Scale
    mean: Statistics = field(compare=False, repr=False)
    deviation: Statistics = field(compare=False, repr=False)

    def rows(self, X: npt.NDArray[np.floating[Any]]) -> Matrix:
        """Return rows of raw features, (n, D), as scaled rows; float32, and X itself if unscaled.

        Each value is computed in float64 and then rounded, so it is the same in any company.
        """
        if self.scale is Scale.NONE:
            return np.asarray(X, dtype=np.float32)
        scaled = np.empty(X.shape, dtype=np.float32)
        start = 0
        for rows in chunks(X):
            if self.scale is Scale.STANDARD:
                rows -= self.mean
                rows /= self.deviation
            else:
                length = np.sqrt(np.square(rows).sum(axis=1, keepdims=True))
                rows /= np.where(length == 0, 1, length)
            with np.errstate(over="ignore"):
                scaled[start : start + len(rows)] = rows
            start += len(rows)
        return scaled

    def in_place(self, X: Matrix) -> Matrix:
        """Scale rows of raw features, (n, D), and return them.

        This is faster than `rows`, and agrees with it up to the rounding of float32: the mean is
        subtracted in two parts, since its rounding could be as large as a small deviation.
        """
        if self.scale is not Scale.STANDARD:
            return self.rows(X)
        near = self.mean.astype(np.float32)
        with np.errstate(over="ignore"):
            X -= near
            X -= (self.mean - near).astype(np.float32)
            X *= (1 / self.deviation).astype(np.float32)
        return X


UNSCALED = Scaling(Scale.NONE, np.empty(0), np.empty(0))


def chunks(X: npt.NDArray[np.floating[Any]]) -> Iterator[Statistics]:
    """Yield all rows in order, as many at a time as are worth holding as float64."""
    step = max(_CHUNK // max(X.shape[1], 1), 1)
    for start in range(0, len(X), step):
        yield X[start : start + step].astype(np.float64)
