"""The arrays that a stack is trained on, arranged for fast training steps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from core.datasets.array_file import ArrayFile
from core.datasets.dataset import Dataset, Labels, Matrix, Rows
from core.datasets.file_rows import FileRows
from core.datasets.scaling import Scale
from core.trainer.aligned import aligned_copy, aligned_empty
from core.trainer.order import EXACT, Order, Shuffle
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

    Examples in a file stay there: they are read batch by batch, and arranged like this then.

    X, y: (N, F) float32 and (N,). X_val, y_val: (M, F) and (M,), with M = 0 if nothing is held out.
        F = A + 1 with a bias, else A. Of examples in a file, X is (N, D) and X_val is (M, D).
    active: (A,) the indices of the remaining features among the D.
    class_weights: (C,) float32, by which an example's loss is multiplied; None if all are 1.
    hit_weights: (C,) float32, Σ over the validation examples is 1; what a hit adds to the balanced
        accuracy. None if that is not wanted.
    shuffle: the order in which an epoch goes through the examples.
    """

    X: Rows
    y: Labels
    X_val: Rows
    y_val: Labels
    active: npt.NDArray[np.intp]
    n_features: int
    n_classes: int
    bias: bool = False
    class_weights: Matrix | None = None
    hit_weights: Matrix | None = None
    shuffle: Shuffle = EXACT

    @classmethod
    def of(
        cls,
        train: Dataset,
        validation: Dataset | None = None,
        *,
        bias: bool = False,
        balanced_classes: bool = False,
        balanced_over: Dataset | None = None,
        order: Order = Order.EXACT,
    ) -> Self:
        """Return the arrays of these datasets; without ``validation``, nothing is held out.

        bias: whether trials may have biases. balanced_classes: whether an example's loss is
        weighted by `softmax.balanced_class_weights` of the training part. balanced_over: if given,
        the balanced accuracy of the validation examples is computed, in which each class counts as
        among these examples: those of all folds, whose mean is then their balanced accuracy.
        order: in which an epoch goes through the examples.
        """
        active = _active(train.X)
        n_classes = len(train.class_names)
        held_out = train.take(np.arange(0)) if validation is None else validation

        def laid_out(data: Dataset) -> Rows:
            if isinstance(data.X, FileRows):
                return data.X
            X: Matrix = aligned_empty((len(data), len(active) + bias))
            np.take(data.X, active, axis=1, out=X[:, : len(active)])
            return _completed(X, data.y, len(active), n_classes)

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
            shuffle=Shuffle.of(order, _row_bytes(train.X)),
        )

    @property
    def columns(self) -> int:
        """F, the number of features that are trained."""
        return len(self.active) + self.bias

    @property
    def nbytes(self) -> int:
        """The size of X and X_val as arrays (N, F) and (M, F), in bytes."""
        return 4 * self.columns * (len(self.y) + len(self.y_val))

    @property
    def files(self) -> tuple[ArrayFile, ...]:
        """The files that the examples are in; none if they are in memory."""
        found = [X.files for X in (self.X, self.X_val) if isinstance(X, FileRows)]
        return tuple({file.path: file for files in found for file in files}.values())

    def gather(self, rows: npt.NDArray[np.intp], out: Matrix) -> None:
        """Write these training examples, (B, F), into ``out``."""
        if isinstance(self.X, FileRows):
            self.arrange(self.X[rows], self.y[rows], out)
        else:
            # The indices are in range. "clip" only avoids NumPy's buffered, bounds-checked copy.
            np.take(self.X, rows, axis=0, out=out, mode="clip")

    def held_out(self, which: slice) -> Matrix:
        """Return these validation examples, (m, F)."""
        if not isinstance(self.X_val, FileRows):
            return self.X_val[which]
        y = self.y_val[which]
        out: Matrix = aligned_empty((len(y), self.columns))
        self.arrange(self.X_val[which], y, out)
        return out

    def in_memory(self) -> TrainingData:
        """Return the same examples with all of them in memory."""
        if not isinstance(self.X, FileRows):
            return self
        X: Matrix = aligned_empty((len(self.y), self.columns))
        for rows, values in self.X.blocks():
            self.arrange(values, self.y[rows], X[rows])
        return replace(self, X=X, X_val=self.held_out(slice(None)))

    def check(self) -> None:
        """Raise DataError if the examples are in a file that has changed."""
        for X in (self.X, self.X_val):
            if isinstance(X, FileRows):
                X.check()

    def arrange(self, values: Matrix, y: Labels, out: Matrix) -> None:
        """Write rows of all features, (n, D) with the labels y (n,), into ``out`` (n, F)."""
        if len(self.active) == values.shape[1]:
            out[:, : len(self.active)] = values
        else:
            np.take(values, self.active, axis=1, out=out[:, : len(self.active)])
        _completed(out, y, len(self.active), self.n_classes)

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

    def columns_of(self, weights: Matrix, bias: Matrix) -> Matrix:
        """Return the trained columns, (C - 1, F), of which `all_classes` made these, bit for bit.

        weights: (D, C). bias: (C,).
        """
        W = weights[self.active]
        if self.bias:
            W = np.concatenate((W, bias[None]))
        trained = W[:, 1:] if self.n_classes == 2 else W[:, :-1]
        return np.ascontiguousarray(trained.T)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return _received, tuple(getattr(self, each.name) for each in fields(self))


def _active(X: Rows) -> npt.NDArray[np.intp]:
    """Return the indices of the features that are not zero in every row, (A,)."""
    if not isinstance(X, FileRows):
        return np.flatnonzero(X.any(axis=0))
    if X.statistics is None:
        raise ValueError("the statistics of these rows are not known")
    standard = X.scaling is not None and X.scaling.scale is Scale.STANDARD
    return np.flatnonzero(~(X.statistics.constant if standard else X.statistics.zero))


def _completed(X: Matrix, y: Labels, n_active: int, n_classes: int) -> Matrix:
    """Return rows (n, F) with the feature that is 1, and negated for the margin form, in place."""
    X[:, n_active:] = 1
    if n_classes == 2:
        X[y == 0] *= -1
    return X


def _row_bytes(X: Rows) -> int:
    """Return the size of a row where it is stored."""
    return X.files[0].row_bytes if isinstance(X, FileRows) else 4 * X.shape[1]


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
