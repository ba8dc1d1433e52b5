"""The arrays that a stack is trained on, arranged for fast training steps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from core.datasets.dataset import Dataset, Labels, Matrix
from core.trainer.aligned import aligned_copy


@dataclass(frozen=True, slots=True)
class TrainingData:
    """Training and validation examples, reduced to the features that can learn.

    A feature that is zero in every training row always has a zero gradient, so its weights stay at
    their initial zeros. It is left out here (A of D features remain), and its zeros are put back
    into the result, which is therefore exact.

    With two classes, the examples of class 0 are negated: the margin form of `residual.py`.

    X, y: (N, A) float32 and (N,). X_val, y_val: (M, A) and (M,), with M = 0 if nothing is held out.
    active: (A,) the indices of the remaining features among the D.
    """

    X: Matrix
    y: Labels
    X_val: Matrix
    y_val: Labels
    active: npt.NDArray[np.intp]
    n_features: int
    n_classes: int

    @classmethod
    def of(cls, train: Dataset, validation: Dataset | None = None) -> Self:
        """Return the arrays of these datasets; without ``validation``, nothing is held out."""
        active = np.flatnonzero(train.X.any(axis=0))

        held_out = train.take(np.arange(0)) if validation is None else validation

        def laid_out(data: Dataset) -> Matrix:
            X = aligned_copy(np.take(data.X, active, axis=1))
            if len(data.class_names) == 2:
                X[data.y == 0] *= -1
            return X

        return cls(
            X=laid_out(train),
            y=train.y,
            X_val=laid_out(held_out),
            y_val=held_out.y,
            active=active,
            n_features=train.X.shape[1],
            n_classes=len(train.class_names),
        )

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return _received, tuple(getattr(self, each.name) for each in fields(self))


def _received(*parts: Any) -> TrainingData:
    """Return training data that was pickled, with aligned arrays.

    BLAS would copy an unaligned array at every product, and might round differently.
    """
    whole = (aligned_copy(part) if isinstance(part, np.ndarray) else part for part in parts)
    make: Callable[..., TrainingData] = TrainingData
    return make(*whole)
