"""Tiles: groups of trials of a stack that fit a core's second-level cache.

Notation: T trials of the tile, C classes, F features (with the one that is 1 for the bias, if there
is one), B examples of a batch. A tile has R = (C - 1) T rows, class by class (see `residual.py` for
why C - 1). f is the factor of the learning rate in this step (`learning_rate.py`).

Applying weight decay to W itself would need one more pass over W, and float32 would round a small
d away from 1. Within an epoch W is therefore kept as s V, with a float64 scale s per trial. One
step is

    s' = (1 - d) s,   V ← V - (1/s') Z X_b      d = f η λ/‖W‖₂ per trial ("norm"), f η λ ("squared")

A bias does not decay: its column of V is divided by 1 - d in the same step.

With momentum μ, PyTorch's v ← μ v + ∂L/∂W, W ← W - f η v is computed for U = f η v. Weight decay is
part of the gradient, so s stays 1:

    U ← μ (f/f₋) U + Z X_b + d W,   W ← W - U      f₋ is the factor of the step before
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
    V: (R, F) with W = scale V. Its R = (C - 1) T rows are ordered by class, then by trial.
    U: (R, F) what the last step subtracted from W; None without momentum.
    rate: (T,) η/B. shrinkage: (T,) η λ. scale: (T,), which is 1 between epochs.
    momentum: μ, the same for all.
    decaying: which of the F columns decay: all but the bias.
    spare: (R or T, F) scratch for a decay, or for the weights of the implied class.
    """

    members: npt.NDArray[np.intp]
    V: Matrix
    U: Matrix | None
    rate: Floats
    shrinkage: Floats
    scale: Floats
    momentum: float
    decaying: slice
    spare: Matrix

    @classmethod
    def of(
        cls,
        members: npt.NDArray[np.intp],
        trials: Sequence[Hyperparameters],
        weights: Matrix,
        velocity: Matrix | None,
        *,
        bias: bool,
    ) -> Self:
        """Return the tile of these members.

        trials: the hyperparameters of the whole stack. weights, velocity: of the whole stack,
        (K, C - 1, F). bias: whether the last feature is that of the bias.
        """
        _, columns, features = weights.shape
        T = len(members)
        chosen = [trials[k] for k in members]
        rows = columns * T
        tile = cls(
            members=members,
            V=aligned_empty((rows, features)),
            U=None if velocity is None else aligned_empty((rows, features)),
            rate=np.array([trial.learning_rate / trial.batch_size for trial in chosen]),
            shrinkage=np.array([trial.learning_rate * trial.weight_decay for trial in chosen]),
            scale=np.ones(T),
            momentum=trials[0].momentum,
            decaying=slice(features - bias),
            spare=aligned_empty((T if velocity is None else rows, features)),
        )
        tile.weights[...] = weights[members].swapaxes(0, 1)
        if velocity is not None and tile.U is not None:
            tile.by_class(tile.U)[...] = velocity[members].swapaxes(0, 1)
        return tile

    @property
    def weights(self) -> Matrix:
        """A view of V with the shape (C - 1, T, F). Between epochs it equals W."""
        return self.by_class(self.V)

    def by_class(self, rows: Matrix) -> Matrix:
        """Return a view of rows (R, n) with the shape (C - 1, T, n)."""
        T = len(self.members)
        return rows.reshape(len(rows) // T, T, rows.shape[1])

    def squared_norms(self, columns: slice = slice(None)) -> Matrix:
        """Return ‖V‖₂² of each trial, (T,), over all C classes including the implied one.

        columns: the features that count.
        """
        weights = self.weights[:, :, columns]
        squared: Matrix = np.vecdot(weights, weights).sum(axis=0)
        if len(weights) == 1:
            return 2 * squared
        last = weights.sum(axis=0, out=self.spare[: weights.shape[1], columns])
        squared += np.vecdot(last, last)
        return squared

    def logits(self, X: Matrix, out: Matrix) -> Matrix:
        """Return V Xᵀ as (C - 1, T, n) for examples X (n, F), in the flat buffer ``out``."""
        Z = out[: len(self.V) * len(X)].reshape(len(self.V), len(X))
        np.matmul(self.V, X.T, out=Z)
        return self.by_class(Z)

    def step(
        self,
        X: Matrix,
        residual: Residual,
        penalty: Penalty,
        out: Matrix,
        factors: tuple[float, float] = (1.0, 1.0),
    ) -> tuple[Matrix, ...]:
        """Update the weights by one batch X (B, F), with the flat buffer ``out`` as scratch.

        factors: f₋ and f, of the learning rate in the step before and in this one.

        Return what the residual counted in the batch before the update, each (T,).
        """
        before, now = factors
        Z = self.logits(X, out)
        rate = self.rate if now == 1 else self.rate * now
        if self.U is not None:
            counted = residual(Z, rate.astype(np.float32))
            _add_product(self.U, Z.reshape(len(self.V), -1), X, 1.0, self.momentum * now / before)
            self._accelerate(self.U, penalty, now)
            return counted
        if self.shrinkage.any():
            Z *= self.scale[:, None].astype(np.float32)
            self._decay(penalty, now)
        counted = residual(Z, (rate / self.scale).astype(np.float32))
        _add_product(self.V, Z.reshape(len(self.V), -1), X, -1.0, 1.0)
        return counted

    def _decays(self, penalty: Penalty, factor: float) -> Floats:
        """Return d of each trial, (T,)."""
        d = self.shrinkage if factor == 1 else self.shrinkage * factor
        if penalty is Penalty.NORM:
            norms = np.abs(self.scale) * np.sqrt(self.squared_norms(self.decaying))
            norms[norms == 0] = np.inf  # By convention the gradient at W = 0 is 0.
            d = d / norms
        return d

    def _decay(self, penalty: Penalty, factor: float) -> None:
        """Apply the penalty's step, which changes the scales alone (and the biases' columns)."""
        kept = 1 - self._decays(penalty, factor)
        before, self.scale = self.scale, self.scale * kept
        size = np.abs(self.scale)
        folded = (size < 1 / MAX_SCALE) | (size > MAX_SCALE)
        if self.decaying.stop < self.V.shape[1]:
            # With the scale that is left, 1 or s', a bias is as large as with the scale before.
            kept[folded] = 1 / before[folded]
            self.weights[:, :, -1] /= kept.astype(np.float32)
        self._fold(folded, self.decaying)

    def _accelerate(self, U: Matrix, penalty: Penalty, factor: float) -> None:
        """Add the decay to U, and subtract U from the weights."""
        if self.shrinkage.any():
            d = self._decays(penalty, factor).astype(np.float32)
            decay = self.by_class(self.spare)
            np.multiply(self.weights, d[:, None], out=decay)
            decay[:, :, self.decaying.stop :] = 0
            U += self.spare
        self.V -= U

    def end_epoch(self) -> None:
        """Multiply every scale into the weights, so that V equals W."""
        self._fold(self.scale != 1, slice(None))

    def _fold(self, trials: npt.NDArray[np.bool_], columns: slice) -> None:
        """Multiply the scales of these trials into these columns of their weights."""
        if trials.any():
            self.weights[:, trials, columns] *= self.scale[trials, None].astype(np.float32)
            self.scale[trials] = 1


def _add_product(V: Matrix, Z: Matrix, X: Matrix, alpha: float, beta: float) -> None:
    """Set V to beta V + alpha Z X in place. NumPy would need another matrix and another pass."""
    if V.size:  # BLAS does not accept empty matrices.
        sgemm(alpha, X.T, Z.T, beta=beta, c=V.T, overwrite_c=True)
