"""Scaling of features: statistics of the training part, applied to every part alike.

Notation: N examples, D features.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from core.datasets.dataset import DataError, Dataset, Matrix
from core.datasets.file_rows import FileRows

Statistics = npt.NDArray[np.float64]

_CHUNK = 1 << 20  # values that are held as float64 at a time
# Smaller standard deviations are not worth a division: float32 has no full precision for them.
_LEAST = float(np.finfo(np.float32).tiny)


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

    @classmethod
    def fit(cls, scale: Scale, train: Dataset) -> Self:
        """Return the scaling whose statistics are those of ``train`` alone."""
        if scale is not Scale.STANDARD:
            return cls(scale, np.empty(0), np.empty(0))
        X = train.X
        if isinstance(X, FileRows):
            return cls._of_file(X)
        mean = np.zeros(X.shape[1])
        for rows in _chunks(X):
            mean += rows.sum(axis=0)
        mean /= len(X)
        square = np.zeros(X.shape[1])
        for rows in _chunks(X):
            rows -= mean
            square += np.square(rows, out=rows).sum(axis=0)
        deviation = np.sqrt(square / len(X))
        low = X.min(axis=0)
        # A mean of equal values may be rounded, and is then not their value.
        constant = low == X.max(axis=0)
        mean[constant] = low[constant]
        deviation[constant | (deviation < _LEAST)] = 1
        return cls(scale, mean, deviation)

    @classmethod
    def _of_file(cls, X: FileRows) -> Self:
        """Return the scaling to mean 0 and deviation 1 of rows in a file that was read through."""
        known = X.statistics
        if known is None:
            raise ValueError("the statistics of these rows are not known")
        mean, deviation = known.mean.copy(), known.deviation
        mean[known.constant] = known.low[known.constant]
        deviation[known.constant | (deviation < _LEAST)] = 1
        return cls(Scale.STANDARD, mean, deviation)

    def rows(self, X: npt.NDArray[np.floating[Any]]) -> Matrix:
        """Return rows of raw features, (n, D), as scaled rows; float32, and X itself if unscaled.

        Each value is computed in float64 and then rounded, so it is the same in any company.
        """
        if self.scale is Scale.NONE:
            return np.asarray(X, dtype=np.float32)
        scaled = np.empty(X.shape, dtype=np.float32)
        start = 0
        for rows in _chunks(X):
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

    def apply(self, dataset: Dataset) -> Dataset:
        """Return a scaled copy of a dataset with the same digest, or itself if unscaled.

        Raises DataError if a scaled value is too large for float32.
        """
        if self.scale is Scale.NONE:
            return dataset
        X = self.rows(_extremes(dataset.X) if isinstance(dataset.X, FileRows) else dataset.X)
        if not np.isfinite(X).all():
            place = int((~np.isfinite(X)).any(axis=0).argmax())
            names = dataset.feature_names
            raise DataError(
                f"Feature {names[place] if names else place} lies too far from its mean on the "
                "training part to be standardised: correct it, or leave it out."
            )
        if isinstance(dataset.X, FileRows):
            return replace(dataset, X=replace(dataset.X, scaling=self))
        X.flags.writeable = False
        return replace(dataset, X=X)


UNSCALED = Scaling(Scale.NONE, np.empty(0), np.empty(0))


def automatic(train: Dataset) -> Scale:
    """Return the scale for examples like these: none for pixels, otherwise standard.

    Pixels are images whose values lie between 0 and 1, as those of bytes do here.
    """
    X = _extremes(train.X) if isinstance(train.X, FileRows) else train.X
    pixels = train.image_shape is not None and X.min() >= 0 and X.max() <= 1
    return Scale.NONE if pixels else Scale.STANDARD


def _extremes(X: FileRows) -> Matrix:
    """Return the smallest and the largest value of each feature, (2, D)."""
    known = X.statistics
    if known is None:
        raise ValueError("the statistics of these rows are not known")
    return np.stack((known.low, known.high))


def _chunks(X: npt.NDArray[np.floating[Any]]) -> Iterator[Statistics]:
    """Yield all rows in order, as many at a time as are worth holding as float64."""
    step = max(_CHUNK // max(X.shape[1], 1), 1)
    for start in range(0, len(X), step):
        yield X[start : start + step].astype(np.float64)
