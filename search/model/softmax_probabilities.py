"""The probabilities of a linear model, which are computed for as many examples as fit in memory.

Notation: M examples, D features, C classes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from core.datasets.dataset import Labels, Matrix, Rows
from core.statistics.probabilities import row_blocks
from core.trainer.softmax import logits

Floats = npt.NDArray[np.float64]
Reals = npt.NDArray[np.floating[Any]]


class SoftmaxProbabilities:
    """The softmax of X W + b, as `core.statistics.probabilities.Probabilities`.

    X: (M, D), in memory or in a file. W: (D, C). b: (C,), where -inf gives a class no probability.
    prepared: what is done to some rows of X before they are multiplied.
    """

    def __init__(
        self, X: Rows, W: Reals, b: Reals, prepared: Callable[[Matrix], Reals] | None = None
    ) -> None:
        self._X = X
        self._W = W
        self._b = b
        self._prepared = prepared
        self._normaliser: Floats | None = None  # (M,) the logarithm of Σ exp(logits)

    @property
    def shape(self) -> tuple[int, ...]:
        """M and C."""
        return len(self._X), self._W.shape[1]

    def __getitem__(self, part: tuple[slice, slice], /) -> Floats:
        """Return the probabilities of these examples for these classes, (m, k)."""
        rows, columns = part
        M, C = self.shape
        first, last, _ = columns.indices(C)
        if (first, last) == (0, C):
            Z = self._logits(rows, columns)
            Z -= _log_sums(Z)[:, None]
            return np.exp(Z, out=Z)
        start, stop, _ = rows.indices(M)
        P = np.empty((stop - start, last - first))
        for block in row_blocks((stop - start, self._W.shape[0])):
            own = slice(start + block.start, start + block.stop)
            P[block] = self._logits(own, columns)
        P -= self._log_sums()[rows, None]
        return np.exp(P, out=P)

    def most_probable(self) -> Labels:
        """Return the most probable class of each example, (M,); the first one if several tie."""
        found = np.empty(len(self._X), np.intp)
        for rows in row_blocks(self.shape):
            # In the precision of the model, in which they may tie.
            found[rows] = logits(self._rows(rows), self._W, self._b).argmax(axis=1)
        return found

    def _log_sums(self) -> Floats:
        """Return the logarithm of the sum over the classes for each example, (M,)."""
        if self._normaliser is None:
            every = slice(None)
            parts = [_log_sums(self._logits(rows, every)) for rows in row_blocks(self.shape)]
            self._normaliser = np.concatenate(parts)
        return self._normaliser

    def _logits(self, rows: slice, columns: slice) -> Floats:
        """Return the logits of these examples for these classes, (m, k)."""
        Z = logits(self._rows(rows), self._W[:, columns], self._b[columns])
        return Z.astype(np.float64, copy=False)

    def _rows(self, rows: slice) -> Reals:
        """Return these rows as they are multiplied, (m, D)."""
        X = self._X[rows]
        return X if self._prepared is None else self._prepared(X)


def _log_sums(Z: Floats) -> Floats:
    """Return log Σ exp(Z) over each row, (m,)."""
    largest = Z.max(axis=1)
    return np.asarray(largest + np.log(np.exp(Z - largest[:, None]).sum(axis=1)))
