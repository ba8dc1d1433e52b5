"""The arrays that a stack is trained on, laid out once for the trainer's inner step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from core.data import Dataset

Matrix = npt.NDArray[np.float32]
Labels = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class TrainingData:
    """Training and validation examples, reduced to the features that can learn.

    A feature that is zero in every training row has a zero gradient for ever, and its weights stay
    at their zero start: it is left out here (A of D features remain) and its zeros are put back
    into the result, which is therefore exact.

    X, y: (N, A) float32 and (N,); X_val, y_val: (M, A) and (M,), M = 0 where nothing is held out.
    active: (A,) the features' places among the D.
    """

    X: Matrix
    y: Labels
    X_val: Matrix
    y_val: Labels
    active: Labels
    n_features: int
    n_classes: int

    @classmethod
    def of(cls, train: Dataset, validation: Dataset | None = None) -> Self:
        active = np.flatnonzero(train.X.any(axis=0))

        def reduced(X: Matrix) -> Matrix:
            return X if len(active) == X.shape[1] else np.ascontiguousarray(X[:, active])

        return cls(
            X=reduced(train.X),
            y=train.y,
            X_val=reduced(train.X[:0] if validation is None else validation.X),
            y_val=train.y[:0] if validation is None else validation.y,
            active=active,
            n_features=train.X.shape[1],
            n_classes=len(train.class_names),
        )
