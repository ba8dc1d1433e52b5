"""Datasets that are scaled: statistics of the training part, applied to every part alike.

Notation: N examples, D features.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from core.datasets.column_statistics import ColumnStatistics
from core.datasets.dataset import DataError, Dataset, Matrix
from core.datasets.file_rows import FileRows
from core.datasets.scaling import Scale, Scaling, chunks

# Smaller standard deviations are not worth a division: float32 has no full precision for them.
_LEAST = float(np.finfo(np.float32).tiny)


def scaling_of(train: Dataset, scale: Scale) -> Scaling:
    """Return the scaling whose statistics are those of ``train`` alone."""
    if scale is not Scale.STANDARD:
        return Scaling(scale, np.empty(0), np.empty(0))
    X = train.X
    if isinstance(X, FileRows):
        return _of_file(X)
    mean = np.zeros(X.shape[1])
    for rows in chunks(X):
        mean += rows.sum(axis=0)
    mean /= len(X)
    square = np.zeros(X.shape[1])
    for rows in chunks(X):
        rows -= mean
        square += np.square(rows, out=rows).sum(axis=0)
    deviation = np.sqrt(square / len(X))
    low = X.min(axis=0)
    # A mean of equal values may be rounded, and is then not their value.
    constant = low == X.max(axis=0)
    mean[constant] = low[constant]
    deviation[constant | (deviation < _LEAST)] = 1
    return Scaling(scale, mean, deviation)


def _of_file(X: FileRows) -> Scaling:
    """Return the scaling to mean 0 and deviation 1 of rows in a file that was read through."""
    known = _known(X)
    mean, deviation = known.mean.copy(), known.deviation
    mean[known.constant] = known.low[known.constant]
    deviation[known.constant | (deviation < _LEAST)] = 1
    return Scaling(Scale.STANDARD, mean, deviation)


def scaled(dataset: Dataset, scaling: Scaling) -> Dataset:
    """Return a scaled copy of a dataset with the same digest, or itself if unscaled.

    Raises DataError if a scaled value is too large for float32.
    """
    if scaling.scale is Scale.NONE:
        return dataset
    X = scaling.rows(_extremes(dataset.X) if isinstance(dataset.X, FileRows) else dataset.X)
    if not np.isfinite(X).all():
        place = int((~np.isfinite(X)).any(axis=0).argmax())
        names = dataset.feature_names
        raise DataError(
            f"Feature {names[place] if names else place} lies too far from its mean on the "
            "training part to be standardised: correct it, or leave it out."
        )
    if isinstance(dataset.X, FileRows):
        return replace(dataset, X=replace(dataset.X, scaling=scaling))
    X.flags.writeable = False
    return replace(dataset, X=X)


def automatic(train: Dataset) -> Scale:
    """Return the scale for examples like these: none for pixels, otherwise standard.

    Pixels are images whose values lie between 0 and 1, as those of bytes do here.
    """
    X = _extremes(train.X) if isinstance(train.X, FileRows) else train.X
    pixels = train.image_shape is not None and X.min() >= 0 and X.max() <= 1
    return Scale.NONE if pixels else Scale.STANDARD


def _extremes(X: FileRows) -> Matrix:
    """Return the smallest and the largest value of each feature, (2, D)."""
    known = _known(X)
    return np.stack((known.low, known.high))


def _known(X: FileRows) -> ColumnStatistics:
    """Return the statistics of rows in a file that was read through."""
    if X.statistics is None:
        raise ValueError("the statistics of these rows are not known")
    return X.statistics
