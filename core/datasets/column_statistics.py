"""Statistics of the columns of a matrix, which can be put together from those of its parts.

Notation: n rows, D columns.

Source: Chan, Golub and LeVeque (1983), The American Statistician 37(3), 242-247, for the merging of
means and sums of squares.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Matrix = npt.NDArray[np.float32]

_LARGEST = 1e18  # whose square float32 can still hold


@dataclass(frozen=True, slots=True)
class ColumnStatistics:
    """The statistics of n rows, each (D,).

    mean: float64. squares: the sum of the squared deviations from it, float64.
    low, high: the smallest and the largest value, float32.
    """

    n: int
    mean: Floats
    squares: Floats
    low: Matrix
    high: Matrix

    @classmethod
    def of(cls, X: Matrix) -> ColumnStatistics:
        """Return the statistics of rows (n, D), with n at least 1.

        Deviations are taken from a rounded mean first, which float32 can do without a loss, and the
        rest is added in float64.
        """
        n = len(X)
        mean = X.mean(axis=0, dtype=np.float64)
        near = mean.astype(np.float32)
        rest = mean - near
        deviations = X - near
        if max(deviations.max(initial=0), -deviations.min(initial=0)) > _LARGEST:
            squares = np.square(deviations, dtype=np.float64).sum(axis=0)
        else:
            squares = np.square(deviations, out=deviations).sum(axis=0, dtype=np.float64)
        squares = np.maximum(squares - n * rest**2, 0)
        return cls(n, mean, squares, X.min(axis=0), X.max(axis=0))

    def merged(self, other: ColumnStatistics) -> ColumnStatistics:
        """Return the statistics of the rows of both."""
        n = self.n + other.n
        difference = other.mean - self.mean
        return ColumnStatistics(
            n,
            self.mean + difference * (other.n / n),
            self.squares + other.squares + difference**2 * (self.n * other.n / n),
            np.minimum(self.low, other.low),
            np.maximum(self.high, other.high),
        )

    @property
    def deviation(self) -> Floats:
        """The standard deviation of each column."""
        deviation: Floats = np.sqrt(self.squares / self.n)
        return deviation

    @property
    def constant(self) -> npt.NDArray[np.bool_]:
        """Whether a column has one value."""
        constant: npt.NDArray[np.bool_] = self.low == self.high
        return constant

    @property
    def zero(self) -> npt.NDArray[np.bool_]:
        """Whether all values of a column are zero."""
        zero: npt.NDArray[np.bool_] = self.constant & (self.low == 0)
        return zero


def merged(parts: Iterable[ColumnStatistics]) -> ColumnStatistics:
    """Return the statistics of the rows of all parts, of which there is at least one."""
    return reduce(ColumnStatistics.merged, parts)
