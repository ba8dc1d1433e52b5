"""The step from logits to residuals P - Y in place, which also computes loss and hits.

The rows of P - Y sum to zero, so weights that start at zero always sum to zero over the classes:
w_C = -Σ w_c over the others. Only C - 1 columns are trained, and likewise z_C = -Σ z_c.

For two classes one column u remains, with W = [-u, u]. With t = ±1 for classes 1 and 0, everything
is a function of the margins m = t x·u, so examples are stored as t x (see `training_data.py`):

    ∂loss/∂u = (tanh(m) - 1)/2 · t x
    loss = log(1 + e^(-2m)) = 2 max(0, -m) - log((1 + |tanh(m)|) / 2)

Each example n may have a weight a_n, which multiplies its loss and its column of P - Y.

Notation: T trials of a tile, C classes, B examples; Z (C - 1, T, B) float32.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Protocol

import numpy as np

from core.datasets.dataset import Labels, Matrix
from core.trainer.aligned import aligned_empty

_SMALLEST = np.finfo(np.float32).smallest_subnormal


class Residual(Protocol):
    """One batch of labels, prepared for comparison with the logits of any number of tiles."""

    def __call__(self, Z: Matrix, factor: Matrix | None) -> tuple[Matrix, ...]:
        """Return sums over the batch for the logits Z, each (T,): of the weighted cross-entropy, of
        the hits and, if the residual was made with hit weights, of the weighted hits.

        factor: (T,); Z is overwritten with factor · a · (P - Y), for two classes multiplied by the
            signs t, as the stored examples are. If None, Z is used as scratch.
        """


class BinaryResidual:
    """The residual for two classes, in the margin form above.

    Z has the margins, and ``scratch`` is a flat buffer of at least their size.
    """

    def __init__(
        self, y: Labels, scratch: Matrix, weights: Matrix | None, hit_weights: Matrix | None
    ) -> None:
        self._ones = _ones(len(y))
        self._weights = weights
        self._hit_weights = hit_weights
        self._scratch = scratch
        # A margin of zero is a tie. Then class 0 is predicted, which is a hit for class 0 only.
        self._least = np.where(y == 1, np.float32(0), -_SMALLEST)

    def __call__(self, Z: Matrix, factor: Matrix | None) -> tuple[Matrix, ...]:
        m = Z[0]
        scratch = self._scratch[: m.size].reshape(m.shape)
        summed = self._ones if self._weights is None else self._weights
        np.greater(m, self._least, out=scratch)
        hits = np.vecdot(scratch, self._ones)  # A dot product with ones is NumPy's fastest sum.
        counted = () if self._hit_weights is None else (np.vecdot(scratch, self._hit_weights),)
        np.minimum(m, 0, out=scratch)
        loss = -2 * np.vecdot(scratch, summed)
        np.tanh(m, out=m)
        np.abs(m, out=scratch)
        scratch *= 0.5
        scratch += 0.5
        np.log(scratch, out=scratch)  # This is never above 0, so a loss is never below 0.
        loss -= np.vecdot(scratch, summed)
        if factor is not None:
            m -= 1
            m *= (np.float32(0.5) * factor)[:, None]
            if self._weights is not None:
                m *= self._weights
        return loss, hits, *counted


class MulticlassResidual:
    """The residual for three or more classes: softmax over C - 1 trained columns and the last."""

    def __init__(
        self, y: Labels, n_classes: int, weights: Matrix | None, hit_weights: Matrix | None
    ) -> None:
        self._y = y
        self._weights = weights
        self._hit_weights = hit_weights
        trained = np.flatnonzero(y < n_classes - 1)  # examples whose class has a column
        self._trained = trained
        self._labels = y[trained], slice(None), trained  # They index Z as (examples, T).

    def __call__(self, Z: Matrix, factor: Matrix | None) -> tuple[Matrix, ...]:
        last = -Z.sum(axis=0)
        top = Z.max(axis=0)
        np.maximum(top, last, out=top)
        Z -= top
        last -= top
        own = last.copy()
        own[:, self._trained] = Z[self._labels].T
        at_top, last_at_top = Z == 0, last == 0
        hit = own == 0
        if np.count_nonzero(at_top) + np.count_nonzero(last_at_top) > hit.size:
            # Some classes tie, as with zero weights or an all-zero example: the first is predicted.
            first = np.concatenate([at_top, last_at_top[None]]).argmax(axis=0)
            hit &= first == self._y
        hits = np.count_nonzero(hit, axis=1).astype(np.float32)
        counted = () if self._hit_weights is None else (hit @ self._hit_weights,)
        np.exp(Z, out=Z)
        np.exp(last, out=last)
        total = Z.sum(axis=0)
        total += last
        each = np.log(total)
        if self._weights is None:
            loss = each.sum(axis=1) - own.sum(axis=1)
        else:
            each -= own
            loss = each @ self._weights
        if factor is not None:
            scaled = factor[:, None] if self._weights is None else np.outer(factor, self._weights)
            Z *= np.divide(scaled, total, out=total)
            Z[self._labels] -= factor if self._weights is None else scaled[:, self._trained].T
        return loss, hits, *counted


def residual_for(
    y: Labels,
    n_classes: int,
    scratch: Matrix,
    weights: Matrix | None = None,
    hit_weights: Matrix | None = None,
) -> Residual:
    """Return the residual of one batch of labels y (B,).

    scratch: a flat buffer that can hold the logits of the largest tile.
    weights: (B,) of the examples, all 1 if None. hit_weights: (B,), to count hits by weight too.
    """
    if n_classes == 2:
        return BinaryResidual(y, scratch, weights, hit_weights)
    return MulticlassResidual(y, n_classes, weights, hit_weights)


@lru_cache(maxsize=4)
def _ones(n: int) -> Matrix:
    """Return n ones, (n,), aligned and read-only."""
    ones: Matrix = aligned_empty((n,))
    ones[:] = 1
    ones.flags.writeable = False
    return ones
