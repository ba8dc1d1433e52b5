"""The arrays that a stack is trained on, arranged for fast training steps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from core.datasets.dataset import Dataset, Labels, Matrix
from core.trainer.aligned import aligned_copy, aligned_empty
from core.trainer.softmax import balanced_class_weights


@dataclass(frozen=True, slots=True)
class TrainingData:
    """Training and validation examples, reduced to the features that can learn.

    A feature that is zero in every training row always has a zero gradient, so its weights stay at
    their initial zeros. It is left out here (A of D features remain), and its zeros are put back
    into the result, which is therefore exact.

    With a bias, one more feature follows, which is 1 in every row; its weights are the biases. It
    costs no product of its own.

    With two classes, the examples of class 0 are negated, that feature too: the margin form of
    `residual.py`.

    X, y: (N, F) float32 and (N,). X_val, y_val: (M, F) and (M,), with M = 0 if nothing is held out.
        F = A + 1 with a bias, else A.
    active: (A,) the indices of the remaining features among the D.
    class_weights: (C,) float32, by which an example's loss is multiplied; None if all are 1.
    hit_weights: (C,) float32, Σ over the validation examples is 1; what a hit adds to the balanced
        accuracy. None if that is not wanted.
    """

    X: Matrix
    y: Labels
    X_val: Matrix
    y_val: Labels
    active: npt.NDArray[np.intp]
    n_features: int
    n_classes: int
    bias: bool = False
    class_weights: Matrix | None = None
    hit_weights: Matrix | None = None

    @classmethod
    def of(
        cls,
        train: Dataset,
        validation: Dataset | None = None,
        *,
        bias: bool = False,
        balanced_classes: bool = False,
        balanced_over: Dataset | None = None,
    ) -> Self:
        """Return the arrays of these datasets; without ``validation``, nothing is held out.

        bias: whether trials may have biases. balanced_classes: whether an example's loss is
        weighted by `softmax.balanced_class_weights` of the training part. balanced_over: if given,
        the balanced accuracy of the validation examples is computed, in which each class counts as
        among these examples: those of all folds, whose mean is then their balanced accuracy.
        """
        active = np.flatnonzero(train.X.any(axis=0))
        n_classes = len(train.class_names)
        held_out = train.take(np.arange(0)) if validation is None else validation

        def laid_out(data: Dataset) -> Matrix:
            X: Matrix = aligned_empty((len(data), len(active) + bias))
            np.take(data.X, active, axis=1, out=X[:, : len(active)])
            X[:, len(active) :] = 1
            if n_classes == 2:
                X[data.y == 0] *= -1
            return X

        return cls(
            X=laid_out(train),
            y=train.y,
            X_val=laid_out(held_out),
            y_val=held_out.y,
            active=active,
            n_features=train.X.shape[1],
            n_classes=n_classes,
            bias=bias,
            class_weights=(
                balanced_class_weights(train.y, n_classes).astype(np.float32)
                if balanced_classes
                else None
            ),
            hit_weights=None
            if balanced_over is None
            else _hit_weights(balanced_over) * (len(balanced_over) / max(1, len(held_out))),
        )

    def all_classes(self, columns: Matrix) -> tuple[Matrix, Matrix]:
        """Return trained columns, (C - 1, F), as weights (D, C) and biases (C,).

        The implied class and the inactive features are put back. Biases are zero if there is no
        feature for them.
        """
        last = -columns.sum(axis=0)
        # For two classes the trained column u belongs to class 1: W = [-u, u].
        ordered = [last, *columns] if self.n_classes == 2 else [*columns, last]
        trained: Matrix = np.stack(ordered, axis=1)
        W = np.zeros((self.n_features, self.n_classes), np.float32)
        W[self.active] = trained[: len(self.active)]
        return W, trained[-1].copy() if self.bias else np.zeros(self.n_classes, np.float32)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return _received, tuple(getattr(self, each.name) for each in fields(self))


def _hit_weights(data: Dataset) -> Matrix:
    """Return 1 / (C' n_c) for each class, (C,); n_c counts class c, C' the classes that occur."""
    counts = data.counts()
    occurs = counts > 0
    weights = np.zeros(len(counts), np.float32)
    weights[occurs] = 1 / (occurs.sum() * counts[occurs])
    return weights


def _received(*parts: Any) -> TrainingData:
    """Return training data that was pickled, with aligned arrays.

    BLAS would copy an unaligned array at every product, and might round differently.
    """
    whole = (aligned_copy(part) if isinstance(part, np.ndarray) else part for part in parts)
    make: Callable[..., TrainingData] = TrainingData
    return make(*whole)
