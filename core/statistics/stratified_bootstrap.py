"""Bootstrap distributions of a classifier's scores, over resamples of M test examples.

Each resample draws every class's examples from that class with replacement, so that no class is
lost from it. It is written as a row of W (b, M): how often each example was drawn. All scores of
b resamples are then products with W.

Notation: M examples, C classes, b resamples at a time.

Source: Efron & Tibshirani (1993), An Introduction to the Bootstrap, chapter 13 (percentile and
basic intervals).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from core.statistics.proportions import Interval

Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.intp]

RESAMPLES = 1000
_AT_ONCE = 4_000_000  # the most counts in memory: resamples at a time, times examples


def resampled(
    y: Labels, seed: int, resamples: int = RESAMPLES
) -> Iterator[npt.NDArray[np.float32]]:
    """Yield counts W (b, M) until there were ``resamples`` rows. Each class keeps its size.

    y: (M,) the labels.
    """
    rng, M = np.random.default_rng(seed), len(y)
    strata = [np.flatnonzero(y == c) for c in np.unique(y)]
    at_once = max(1, _AT_ONCE // max(M, 1))
    for start in range(0, resamples, at_once):
        b = min(at_once, resamples - start)
        W = np.empty((b, M), np.float32)
        for rows in strata:
            n = len(rows)
            drawn = rng.integers(n, size=(b, n)) + n * np.arange(b)[:, None]
            W[:, rows] = np.bincount(drawn.ravel(), minlength=b * n).reshape(b, n)
        yield W


def indicators(columns: Labels, n_columns: int, values: npt.NDArray[Any]) -> Any:
    """Return a sparse matrix (M, n_columns) with values[m] (M,) in row m and column columns[m]."""
    from scipy.sparse import csr_array

    M = len(columns)
    return csr_array((values, columns, np.arange(M + 1)), shape=(M, n_columns))


def macro_f1s(W: npt.NDArray[np.float32], y: Labels, predicted: Labels, C: int) -> Floats:
    """Return the macro F1 of each resample, (b,).

    The mean is over the classes that have an example or a prediction among all M examples.
    """
    right = indicators(y, C, (y == predicted).astype(np.float32))
    sizes = indicators(y, C, np.ones(len(y), np.float32))
    taken = indicators(predicted, C, np.ones(len(y), np.float32))
    known = np.union1d(y, predicted)
    hits, both = W @ right, W @ sizes + W @ taken
    f1 = np.divide(2 * hits, both, out=np.zeros_like(hits, np.float64), where=both > 0)
    return np.asarray(f1[:, known].mean(axis=1), np.float64)


def percentile(values: Floats, confidence: float = 0.95) -> Interval | None:
    """Return the percentile interval of bootstrap values, None if they are all the same.

    If they are, as for a classifier without an error, they say nothing about other examples.
    """
    if np.ptp(values) == 0:
        return None
    tail = (1 - confidence) / 2
    low, high = np.quantile(values, (tail, 1 - tail)).tolist()
    return Interval(low, high)


def reflected(values: Floats, estimate: float, confidence: float = 0.95) -> Interval | None:
    """Return the basic interval of bootstrap values, within [0, 1], None if they are the same.

    It is the percentile interval, reflected about the estimate, and extended to include it. This
    is for a score that noise only raises, such as the calibration error: a resample has the noise
    twice, so that percentile intervals lie too high.
    """
    found = percentile(values, confidence)
    if found is None:
        return None
    low, high = 2 * estimate - found.high, 2 * estimate - found.low
    return Interval(max(0.0, min(low, estimate)), min(1.0, max(high, estimate)))
