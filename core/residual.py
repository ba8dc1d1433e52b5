"""From logits to residuals P - Y in place, with loss and hits counted on the way.

Rows of P - Y sum to zero, so from a zero start the weights of the classes sum to zero for ever:
w_C = -Σ w_c over the others. Only C - 1 columns are trained, and z_C = -Σ z_c likewise. For two
classes that leaves one column u with W = [-u, u], and with s = x·u and t = ±1 for classes 1 and 0

    p_1 - y = (tanh(s) - t) / 2
    loss = log(1 + e^(-2|s|)) + 2 max(0, -s t) = 2 max(0, -s t) - log((1 + |tanh(s)|) / 2)

Notation: T trials of a tile, C classes, B examples; Z (T, C - 1, B) float32.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.float32]
Labels = npt.NDArray[np.intp]
Totals = npt.NDArray[np.float64]


class Residual(Protocol):
    """One batch of labels, ready to be compared with the logits of any number of tiles."""

    def __call__(self, Z: Matrix, factor: Matrix | None) -> tuple[Totals, Totals]:
        """Summed cross-entropy (T,) and number of hits (T,) of the logits Z.

        With a factor (T,), Z becomes factor · (P - Y) in place; without one its content is spent.
        """


class BinaryResidual:
    """Two classes: the margin form above."""

    def __init__(self, y: Labels) -> None:
        self._positive = y == 1
        self._sign = np.where(self._positive, np.float32(1), np.float32(-1))

    def __call__(self, Z: Matrix, factor: Matrix | None) -> tuple[Totals, Totals]:
        s = Z[:, 0]
        hits = np.count_nonzero((s > 0) == self._positive, axis=1).astype(np.float64)
        scratch = s * self._sign
        np.minimum(scratch, 0, out=scratch)
        loss = -2.0 * scratch.sum(axis=1, dtype=np.float32).astype(np.float64)
        np.tanh(s, out=s)
        np.abs(s, out=scratch)
        scratch *= 0.5
        scratch += 0.5
        np.log(scratch, out=scratch)  # never above 0, so that losses never fall below
        loss -= scratch.sum(axis=1)
        if factor is not None:
            s -= self._sign
            s *= np.float32(0.5) * factor[:, None]
        return loss, hits


class MulticlassResidual:
    """Three classes or more: softmax over the C - 1 trained columns and the implied last one."""

    def __init__(self, y: Labels, n_classes: int) -> None:
        columns = n_classes - 1
        self._place = y * len(y) + np.arange(len(y))  # of (class, example) in a row of Z, flattened
        self._is_last = y == columns
        self._any_last = bool(self._is_last.any())
        self._one_hot = np.zeros((columns, len(y)), np.float32)
        self._one_hot[y[~self._is_last], np.flatnonzero(~self._is_last)] = 1
        self._not_first = y != 0

    def __call__(self, Z: Matrix, factor: Matrix | None) -> tuple[Totals, Totals]:
        last = -Z.sum(axis=1)
        top = Z.max(axis=1)
        np.maximum(top, last, out=top)
        Z -= top[:, None]
        last -= top
        own = np.take(Z.reshape(len(Z), -1), self._place, axis=1, mode="clip")
        if self._any_last:
            np.copyto(own, last, where=self._is_last)
        hit = own == 0
        hits = np.count_nonzero(hit, axis=1).astype(np.float64)
        np.exp(Z, out=Z)
        np.exp(last, out=last)
        total = Z.sum(axis=1)
        total += last
        # Where all classes tie (zero weights, an all-zero example) the first one is predicted.
        tied = total == len(self._one_hot) + 1
        if tied.any():
            hits -= np.count_nonzero(tied & self._not_first, axis=1)
        loss = np.log(total).sum(axis=1).astype(np.float64) - own.sum(axis=1)
        if factor is not None:
            np.reciprocal(total, out=total)
            Z *= total[:, None]
            Z -= self._one_hot
            Z *= factor[:, None, None]
        return loss, hits


def residual_for(y: Labels, n_classes: int) -> Residual:
    """The residual of one batch of labels y (B,)."""
    return BinaryResidual(y) if n_classes == 2 else MulticlassResidual(y, n_classes)
