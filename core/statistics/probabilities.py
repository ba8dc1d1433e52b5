"""Probabilities of many examples for many classes, which need not be in memory together.

Notation: M examples, C classes, P (M, C).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.intp]

CELLS = 1 << 22  # the most probabilities that are in memory together: 32 MiB


class Probabilities(Protocol):
    """What gives the probabilities of some examples for some classes; an array (M, C) does."""

    @property
    def shape(self) -> tuple[int, ...]:
        """M and C."""

    def __getitem__(self, part: tuple[slice, slice], /) -> Floats:
        """Return the probabilities of these examples for these classes, (m, k)."""


def row_blocks(shape: tuple[int, ...], cells: int | None = None) -> Iterator[slice]:
    """Yield slices of the rows that have about ``cells`` cells each, by default `CELLS`."""
    return _blocks(shape[0], shape[1], cells)


def column_blocks(shape: tuple[int, ...], cells: int | None = None) -> Iterator[slice]:
    """Yield slices of the columns that have about ``cells`` cells each, by default `CELLS`."""
    return _blocks(shape[1], shape[0], cells)


def _blocks(n: int, across: int, cells: int | None) -> Iterator[slice]:
    """Yield slices of n lines, each of which has ``across`` cells."""
    step = max(1, (cells or CELLS) // max(1, across))
    for start in range(0, n, step):
        yield slice(start, min(start + step, n))


def among_top(S: npt.NDArray[np.floating], y: Labels, k: int) -> npt.NDArray[np.bool_]:
    """Return whether the class of each example is among the k with the highest scores, (M,).

    S: (M, C) scores. Of classes with equal scores the later ones come first, as in scikit-learn's
    top_k_accuracy_score.
    """
    own = np.take_along_axis(S, y[:, None], axis=1)
    ahead = (own < S).sum(axis=1)
    ties = own == S
    ties &= np.arange(S.shape[1]) > y[:, None]
    return np.asarray(ahead + ties.sum(axis=1) < k)
