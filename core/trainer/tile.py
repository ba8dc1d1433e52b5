"""Tiles: groups of trials of a stack that fit a core's second-level cache.

Notation: T trials of the tile, C classes, A active features, B examples of a batch. A tile has
R = (C - 1) T rows, class by class (see `residual.py` for why C - 1).

Applying weight decay to W itself would need one more pass over W, and float32 would round a small
d away from 1. Within an epoch W is therefore kept as s V, with a float64 scale s per trial. One
step is

    s' = (1 - d) s,   V ← V - (1/s') Z X_b        d = η λ/‖W‖₂ per trial ("norm"), η λ ("squared")
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
from scipy.linalg.blas import sgemm

from core.datasets.dataset import Matrix
from core.trainer.aligned import aligned_empty
from core.trainer.residual import Residual
from core.trainer.result import Floats, Hyperparameters
from core.trainer.softmax import Penalty

ROWS_BINARY = 256
ROWS_MULTICLASS = 576
MAX_SCALE = 1e3  # A scale above this or below its inverse is multiplied into the weights.


def tile_sizes(n_trials: int, n_classes: int) -> list[int]:
    """Return how many trials each tile holds, for as few tiles as possible, filled evenly."""
    rows = ROWS_BINARY if n_classes == 2 else ROWS_MULTICLASS
    most = max(1, rows // (n_classes - 1))
    n_tiles = -(-n_trials // most)
    return [n_trials // n_tiles + (k < n_trials % n_tiles) for k in range(n_tiles)]


@dataclass(slots=True)
class Tile:
    """Some trials of a stack while they are trained.

    members: (T,) the indices of the trials in the stack.
    V: (R, A) with W = scale V. Its R = (C - 1) T rows are ordered by class, then by trial.
    rate: (T,) η/B. shrinkage: (T,) η λ. scale: (T,), which is 1 between epochs.
    implied: (T, A) scratch for the weights of the implied class.
    """

    members: npt.NDArray[np.intp]
    V: Matrix
    rate: Floats
    shrinkage: Floats
    scale: Floats
    implied: Matrix

    @classmethod
    def of(
        cls, members: npt.NDArray[np.intp], trials: Sequence[Hyperparameters], weights: Matrix
    ) -> Self:
        """Return the tile of these members.

        trials: the hyperparameters of the whole stack. weights: its weights, (K, C - 1, A).
        """
        _, columns, features = weights.shape
        T = len(members)
        chosen = [trials[k] for k in members]
        tile = cls(
            members=members,
            V=aligned_empty((columns * T, features)),
            rate=np.array([trial.learning_rate / trial.batch_size for trial in chosen]),
            shrinkage=np.array([trial.learning_rate * trial.weight_decay for trial in chosen]),
            scale=np.ones(T),
            implied=aligned_empty((T, features)),
        )
        tile.weights[...] = weights[members].swapaxes(0, 1)
        return tile

    @property
    def weights(self) -> Matrix:
        """A view of V with the shape (C - 1, T, A). Between epochs it equals W."""
        return self.by_class(self.V)

    def by_class(self, rows: Matrix) -> Matrix:
        """Return a view of rows (R, n) with the shape (C - 1, T, n)."""
        T = len(self.members)
        return rows.reshape(len(rows) // T, T, rows.shape[1])

    def squared_norms(self) -> Matrix:
        """Return ‖V‖₂² of each trial, (T,), over all C classes including the implied one."""
        weights = self.weights
        squared: Matrix = np.vecdot(weights, weights).sum(axis=0)
        if len(weights) == 1:
            return 2 * squared
        last = weights.sum(axis=0, out=self.implied)
        squared += np.vecdot(last, last)
        return squared

    def logits(self, X: Matrix, out: Matrix) -> Matrix:
        """Return V Xᵀ as (C - 1, T, n) for examples X (n, A), in the flat buffer ``out``."""
        Z = out[: len(self.V) * len(X)].reshape(len(self.V), len(X))
        np.matmul(self.V, X.T, out=Z)
        return self.by_class(Z)

    def step(
        self, X: Matrix, residual: Residual, penalty: Penalty, out: Matrix
    ) -> tuple[Matrix, Matrix]:
        """Update the weights by one batch X (B, A), with the flat buffer ``out`` as scratch.

        Return the batch's summed loss (T,) and number of hits (T,) before the update.
        """
        Z = self.logits(X, out)
        if self.shrinkage.any():
            Z *= self.scale[:, None].astype(np.float32)
            self._decay(penalty)
        loss_and_hits = residual(Z, (self.rate / self.scale).astype(np.float32))
        _subtract_product(self.V, Z.reshape(self.V.shape[0], -1), X)
        return loss_and_hits

    def _decay(self, penalty: Penalty) -> None:
        """Apply the penalty's step, which changes the scales alone."""
        d = self.shrinkage
        if penalty is Penalty.NORM:
            norms = np.abs(self.scale) * np.sqrt(self.squared_norms())
            norms[norms == 0] = np.inf  # By convention the gradient at W = 0 is 0.
            d = d / norms
        self.scale *= 1 - d
        size = np.abs(self.scale)
        self._fold((size < 1 / MAX_SCALE) | (size > MAX_SCALE))

    def end_epoch(self) -> None:
        """Multiply every scale into the weights, so that V equals W."""
        self._fold(self.scale != 1)

    def _fold(self, trials: npt.NDArray[np.bool_]) -> None:
        """Multiply the scales of these trials into their weights."""
        if trials.any():
            self.weights[:, trials] *= self.scale[trials, None].astype(np.float32)
            self.scale[trials] = 1


def _subtract_product(V: Matrix, Z: Matrix, X: Matrix) -> None:
    """Subtract Z X from V in place. NumPy would need another matrix and another pass for this."""
    if V.size:  # BLAS does not accept empty matrices.
        sgemm(-1.0, X.T, Z.T, beta=1.0, c=V.T, overwrite_c=True)
